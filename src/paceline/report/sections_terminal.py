"""What a kind shows, cost and failures as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paceline.report import cost, failures, results, wording
from paceline.report.results import Report
from paceline.tasks.panels import Calibration, Panel, PerClass

MOST_LINES = 12


def panel(group: results.Group, shown: Panel, ruled: Callable[[str], Table]) -> RenderableType | None:
    """What a kind shows, as a table; None where it is a picture or has nothing to show.

    ``ruled`` makes a table with its first column.
    """
    match shown:
        case PerClass():
            return per_class(group, shown, ruled)
        case Calibration():
            return confidence(group, shown, ruled)
        case _:
            return None


def per_class(group: results.Group, shown: PerClass, ruled: Callable[[str], Table]) -> RenderableType | None:
    """Figures by class of the group's best cell."""
    cell = next(iter(shown.cells), None)
    if cell is None:
        return None
    table = ruled(shown.noun)
    table.add_column(shown.counted, justify="right", no_wrap=True)
    for measure in shown.measures:
        table.add_column(measure.heading, justify="right", no_wrap=True)
    for one in (c for c in cell.classes if not c.part):
        pairs = zip(one.figures, shown.measures, strict=True)
        figures = [wording.with_interval_of(figure, measure.unit) for figure, measure in pairs]
        table.add_row(*map(Text, [one.name, f"{one.n:,}", *figures]))
    told = f"The cell that leads: {cell.name}. {shown.terminal_caption}".rstrip()
    heading = f"{group.title} · {shown.about}"
    return Group(Text(heading, style="bold"), table, Padding(Text(told, style="dim"), (0, 1)))


def confidence(group: results.Group, shown: Calibration, ruled: Callable[[str], Table]) -> RenderableType | None:
    """How far stated confidence is from the share that was right."""
    if not shown.cells:
        return None
    table = ruled("model · prompt · method")
    for name in ("answers", "stated\n%", "right\n%", "ECE\npoints"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in shown.cells[:MOST_LINES]:
        numbers = [wording.number(one.confidence, "share"), wording.with_interval_of(one.right, "share")]
        name = f"{one.name}: {one.level}, {one.short}"
        table.add_row(*map(Text, [name, f"{one.n:,}", *numbers, wording.number(one.error, "share")]))
    if len(shown.cells) > MOST_LINES:
        table.add_row(f"and {len(shown.cells) - MOST_LINES} more")
    told = "ECE: the expected calibration error over ten bins; few answers make it too large."
    heading = f"{group.title} · {shown.title.lower()}"
    return Group(Text(heading, style="bold"), table, Padding(Text(told, style="dim"), (0, 1)))


def costs(report: Report, group: results.Group, ruled: Table) -> RenderableType | None:
    """The cells that no other beats in both cost and score."""
    found = cost.tradeoff(report, group)
    if found is None:
        return None
    rows, spent = {row.id: row for row in group.rows}, cost.of_cells(report)
    score = f"{group.heading(found.metric)}\n{wording.unit_name(found.metric_unit)}"
    front = sorted((p for p in found.points if p.front), key=lambda p: p.hours)
    priced = any(spent[p.id].usd is not None for p in front)
    for name in (score, f"cost\n{found.unit}", *(["cost\nUS dollars"] if priced else [])):
        ruled.add_column(name, justify="right", no_wrap=True)
    for point in front[-MOST_LINES:]:
        row = rows[point.id]
        cells = [wording.number(point.value, found.metric_unit), wording.amount(point.hours)]
        cells += [wording.usd(spent[point.id].usd)] if priced else []
        ruled.add_row(*map(Text, [f"{row.model} · {row.prompt} · {row.label}", *cells]))
    return Group(Text(f"{group.title} · no other cell is both cheaper and better", style="bold"), ruled)


def ended_early(report: Report, ruled: Table) -> Iterator[RenderableType]:
    """What was spent in all, and the causes for which attempts ended early; ``ruled`` has cause and remedy."""
    spent = cost.of_sweep(report)
    if spent.attempts and (spent.gpu_hours or spent.node_hours):
        yield Text(f"Cost: {wording.cost(spent)}")
    found = failures.of_sweep(report)
    if not found:
        return
    for f in found:
        counted = f"{f.attempts:,} of {f.cells:,} cells, {f.recovered:,} done since"
        ruled.add_row(Text(f.cause), Text(f"{counted}; {f.example}, attempt {f.attempt}"), Text(f.remedy))
    yield ruled
