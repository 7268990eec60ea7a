"""Consistency of results: do the figures of a table allow each other?

``check`` looks at a table of results with every check of ``rows`` and ``across``; ``published`` reads a table from a
file, ``sweeps`` makes one of a sweep. Adding a check is adding a function to one of the two lists ``CHECKS``.
"""

from __future__ import annotations

from paceline.report.consistency import across
from paceline.tasks.figures import Finding, ResultTable

__all__ = ["Finding", "ResultTable", "check"]


def check(table: ResultTable) -> tuple[Finding, ...]:
    """What can't be, and what hardly can: the impossible first, else in the order of the checks and rows."""
    findings = [finding for checked in across.checks() for finding in checked(table)]
    return tuple(sorted(findings, key=lambda finding: finding.severity != "impossible"))
