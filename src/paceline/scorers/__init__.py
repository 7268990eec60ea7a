"""Scorers: one flat module per judge, each with ``score`` (per sample) and ``aggregate`` (per cell); torch-free.

What stands here without a ``score`` is a scorer's helper: ``coordinates`` reads places out of text.
"""
