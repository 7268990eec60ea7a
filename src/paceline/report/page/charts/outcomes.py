"""What became of the answers of each cell: one bar."""

from __future__ import annotations

from typing import Any

from paceline.report.read.sweep_results import Group, Report

# By outcome, so that one has the same colour in every task.
COLOURS = {
    "parsed": "#0072B2",
    "refused": "#E69F00",
    "malformed": "#D55E00",
    "out_of_range": "#CC79A7",
    "echoed": "#56B4E9",
    "content_filter": "#999999",
    "error": "#444444",
}


def colours(report: Report) -> dict[str, str]:
    """Colour of every outcome that the kinds of a report's tasks know, or that some answer has."""
    known = {o.name for group in report.groups for o in group.kind.outcomes}
    for group in report.groups:
        known.update(*(report.chosen(row, group.split).outcomes for row in group.rows))
    return {name: colour for name, colour in COLOURS.items() if name in known}


def bars(report: Report, group: Group) -> list[dict[str, Any]]:
    """Counts of every outcome per cell, as parts of a bar 100 wide."""
    charts = []
    for row in group.rows:
        answers = report.chosen(row, group.split)
        n = len(answers.outcomes)
        if not n:
            continue
        x, parts = 0.0, []
        for name, colour in colours(report).items():
            count = answers.outcomes.count(name)
            width = 100 * count / n
            parts.append({"name": name, "count": count, "x": round(x, 2), "width": round(width, 2), "colour": colour})
            x += width
        charts.append({"row": row, "parts": parts, "n": n})
    return charts
