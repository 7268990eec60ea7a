"""Worked examples of a prompt (few-shot): which there are, which are shown with a sample, and as what turns.

    <root>/data/<reader>-<digest>/shots/alike-<key>.jsonl    examples that look like an evaluated sample
    <root>/data/<reader>-<digest>/shots/vectors-<key>.npy    a vector of each sample, by an embedder; .json names them
    <root>/shots/<digest>/                                    the examples of a file of the user's

``paceline prepare`` with the prompt makes them, once; a cell reads them. Imports no torch.
"""
