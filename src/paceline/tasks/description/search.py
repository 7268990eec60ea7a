"""Does a description find its picture? Cosines of references, as people would type them, and of all descriptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

RANKS = (1, 5, 10)
DECIMALS = 5
"""Of a cosine: what differs by less is equal, so that the last bit of a machine decides nothing."""
BLOCK = 512


def found_at(
    descriptions: Sequence[str | None], references: Sequence[Sequence[str]], vectors: Mapping[str, np.ndarray]
) -> list[tuple[float, ...] | None]:
    """Of each picture how many of its references find its description among the first 1, 5 and 10.

    Args:
        descriptions: one a picture; None where the answer was not read, which no search finds.
        references: the texts that are searched for, any number a picture.
        vectors: of all of them.

    Returns:
        Shares from 0 to 1, one a rank of ``RANKS``; None for a picture without a reference. Descriptions that are
        equally near stand in random order: the share is the probability.
    """
    counts = Counter(text for text in descriptions if text)
    index = list(counts)
    row = {text: n for n, text in enumerate(index)}
    times = np.array([counts[text] for text in index], dtype=np.float64)
    queries = [(n, text) for n, texts in enumerate(references) for text in texts]
    found = np.zeros((len(queries), len(RANKS)))
    matrix = np.stack([vectors[text] for text in index]).astype(np.float64) if index else np.zeros((0, 1))
    for begin in range(0, len(queries) if index else 0, BLOCK):
        block = queries[begin : begin + BLOCK]
        cosines = np.round(np.stack([vectors[text] for _, text in block]).astype(np.float64) @ matrix.T, DECIMALS)
        for i, (n, _) in enumerate(block):
            own = descriptions[n]
            if not own:
                continue
            nearness = cosines[i, row[own]]
            before, equal = times[cosines[i] > nearness].sum(), times[cosines[i] == nearness].sum()
            found[begin + i] = [min(1.0, max(0.0, (rank - before) / equal)) for rank in RANKS]
    shares: list[tuple[float, ...] | None] = [None] * len(references)
    at = 0
    for n, texts in enumerate(references):
        if texts:
            shares[n] = tuple(found[at : at + len(texts)].mean(axis=0).tolist())
            at += len(texts)
    return shares
