"""Scorers: one flat module per judge, each with ``score`` (per sample) and ``aggregate`` (per cell); torch-free.

A scorer may have ``part`` (of one text), which tells the characters that it judges: `paceline explain` asks for it.

What stands here without a ``score`` is a scorer's helper: ``coordinates`` reads places out of text.
"""
