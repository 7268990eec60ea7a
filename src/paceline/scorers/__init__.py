"""Scorers: one flat module per judge, each with ``score`` (per sample) and ``aggregate`` (per cell); torch-free."""
