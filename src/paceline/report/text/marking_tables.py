"""What people marked, as tables of a terminal and of Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paceline.report import wording
from paceline.report.marking.marking_panel import MarkedChange, Marking
from paceline.report.read import sweep_results

AGREED = "agreed"
MOST_LINES, MOST_ROWS = 30, 60
"""Rows of one table in a terminal, and in Markdown."""
HOW = "A sheet to mark:"
FIGURES, AGREEMENT, CHANGES = "model · prompt · method", "markers", "acceptable: two cells"
"""First columns of the three tables."""


def figures(shown: Marking, joint: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the shares; ``joint`` stands between a count and its share."""
    rows = []
    previous = ""
    for cell in shown.cells:
        outdated = f"{joint}{cell.outdated} outdated" if cell.outdated else ""
        name = "" if cell.id == previous else cell.name
        previous = cell.id
        figures = [wording.marked(one, joint) for one in cell.shares]
        rows.append([name, f"{cell.marker or AGREED}{joint}{cell.answers} marked{outdated}", *figures])
    return [FIGURES, "marked by", *(name for name, _ in shown.columns)], rows


def agreement(shown: Marking) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of how far markers agree."""
    rows = [
        [f"{one.first}, {one.second}", one.name, f"{one.equal} of {one.n}", wording.kappa(one)]
        for one in shown.agreement
    ]
    return [AGREEMENT, "criterion", "alike", "Cohen's kappa"], rows


def changes(shown: Marking) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the pairs of cells."""
    rows = [
        [f"{one.before} → {one.after}", f"{one.hits_before} → {one.hits_after} of {one.n}", gained(one), p_text(one)]
        for one in shown.changes
    ]
    return [CHANGES, "both marked", "gained, lost", "McNemar"], rows


def gained(one: MarkedChange) -> str:
    """On how many questions the second cell is acceptable alone, and on how many the first."""
    return f"{one.only_after}, {one.only_before}"


def p_text(one: MarkedChange) -> str:
    """The corrected p."""
    return wording.p_value(one.p)


def terminal(
    group: sweep_results.Group, shown: Marking, ruled: Callable[[str], Table], most: int = MOST_LINES
) -> RenderableType:
    """The tables of a terminal, with so many rows each; ``ruled`` makes one with its first column."""
    parts: list[RenderableType] = [Text(f"{group.title} · marked by hand", style="bold")]
    for headings, rows in (figures(shown, "\n"), agreement(shown), changes(shown)):
        if rows:
            table = ruled(headings[0])
            for heading in headings[1:]:
                table.add_column(Text(heading), no_wrap=True)
            for row in rows[:most]:
                table.add_row(*map(Text, row))
            if len(rows) > most:
                table.add_row(f"and {len(rows) - most:,} more: the page has them")
            parts.append(table)
    parts.append(Padding(Text(f"{shown.caption} {HOW} {shown.command}", style="dim"), (0, 1)))
    return Group(*parts)


def markdown(shown: Marking, line: Callable[[list[str]], str]) -> Iterator[str]:
    """The lines of Markdown's tables; ``line`` makes a line of one."""
    for headings, rows in (figures(shown, ", "), agreement(shown), changes(shown)):
        if rows:
            yield line(headings)
            yield line(["---"] * len(headings))
            yield from map(line, rows[:MOST_ROWS])
            if len(rows) > MOST_ROWS:
                yield line([f"and {len(rows) - MOST_ROWS:,} more", *[""] * (len(headings) - 1)])
            yield ""
