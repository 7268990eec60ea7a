"""Reports: the results of a sweep, read from its files alone.

``results.collect`` reads the files; ``terminal``, ``page`` and ``table`` show them. Nothing here runs a model,
reaches the network or changes a cell.
"""

from paceline.report.read.sweep_results import Report, collect

__all__ = ["Report", "collect"]
