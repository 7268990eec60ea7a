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
    known = set().union(*(_known(report, group) for group in report.groups))
    return {name: colour for name, colour in COLOURS.items() if name in known}


def _known(report: Report, group: Group) -> set[str]:
    named = {outcome.name for outcome in group.kind.outcomes}
    return named.union(*(report.chosen(row, group.split).outcomes for row in group.rows))


def bars(report: Report, group: Group) -> list[dict[str, Any]]:
    """Counts per cell of every outcome that the group's kind knows or some answer has, as parts of a bar 100 wide."""
    charts = []
    known = _known(report, group)
    for row in group.rows:
        answers = report.chosen(row, group.split)
        n = len(answers.outcomes)
        if not n:
            continue
        x, parts = 0.0, []
        for name, colour in COLOURS.items():
            if name not in known:
                continue
            count = answers.outcomes.count(name)
            width = 100 * count / n
            parts.append({"name": name, "count": count, "x": round(x, 2), "width": round(width, 2), "colour": colour})
            x += width
        charts.append({"row": row, "parts": parts, "n": n})
    return charts
