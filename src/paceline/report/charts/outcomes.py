"""What became of the answers of each cell: one bar."""

from __future__ import annotations

from typing import Any

from paceline.report.results import Group, Report

COLOURS = {
    "parsed": "#0072B2",
    "refused": "#E69F00",
    "malformed": "#D55E00",
    "out_of_range": "#CC79A7",
    "echoed": "#56B4E9",
}


def bars(report: Report, group: Group) -> list[dict[str, Any]]:
    """Counts of every outcome per cell, as parts of a bar 100 wide."""
    found = []
    for row in group.rows:
        answers = report.chosen(row, group.split)
        n = len(answers.outcomes)
        if not n:
            continue
        x, parts = 0.0, []
        for name, colour in COLOURS.items():
            count = answers.outcomes.count(name)
            width = 100 * count / n
            parts.append({"name": name, "count": count, "x": round(x, 2), "width": round(width, 2), "colour": colour})
            x += width
        found.append({"row": row, "parts": parts, "n": n})
    return found
