"""Cost, failures, regions and stated confidence as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paceline.report import cost, failures, places, reliability, results, wording
from paceline.report.results import Report

MOST_LINES = 12


def regions(report: Report, group: results.Group, ruled: Table) -> RenderableType | None:
    """Error by region of the group's best cell; ``ruled`` is a table with its first column."""
    found = next(iter(places.by_region(report, group)), None)
    if found is None:
        return None
    row = next(row for row in group.rows if row.id == found.id)
    ruled.add_column("images", justify="right", no_wrap=True)
    ruled.add_column("median\nkm", justify="right", no_wrap=True)
    ruled.add_column(f"within {found.threshold_km:,.0f} km\n%", justify="right", no_wrap=True)
    for one in (r for r in found.regions if not r.subregion):
        shares = wording.with_interval_of(one.within, "share")
        cells = [one.region, f"{one.n:,}", wording.with_interval_of(one.median_km, "km"), shares]
        ruled.add_row(*map(Text, cells))
    told = f"The cell that leads: {row.model} · {row.prompt} · {row.label}. The page has others, and smaller regions."
    heading = f"{group.title} · error by region of the true place"
    return Group(Text(heading, style="bold"), ruled, Padding(Text(told, style="dim"), (0, 1)))


def confidence(report: Report, group: results.Group, ruled: Table) -> RenderableType | None:
    """How far stated confidence is from the share that was right."""
    found = reliability.of_group(report, group)
    if not found:
        return None
    rows = {row.id: row for row in group.rows}
    for name in ("answers", "stated\n%", "right\n%", "ECE\npoints"):
        ruled.add_column(name, justify="right", no_wrap=True)
    for one in found[:MOST_LINES]:
        row = rows[one.id]
        numbers = [wording.number(one.confidence, "share"), wording.with_interval_of(one.right, "share")]
        name = f"{row.model} · {row.prompt} · {row.label}: {one.level}, {one.km:,.0f} km"
        ruled.add_row(*map(Text, [name, f"{one.n:,}", *numbers, wording.number(one.error, "share")]))
    if len(found) > MOST_LINES:
        ruled.add_row(f"and {len(found) - MOST_LINES} more")
    told = "ECE: the expected calibration error over ten bins; few answers make it too large."
    heading = f"{group.title} · stated confidence"
    return Group(Text(heading, style="bold"), ruled, Padding(Text(told, style="dim"), (0, 1)))


def costs(report: Report, group: results.Group, ruled: Table) -> RenderableType | None:
    """The cells that no other beats in both cost and score."""
    found = cost.tradeoff(report, group)
    if found is None:
        return None
    rows, spent = {row.id: row for row in group.rows}, cost.of_cells(report)
    score = f"{wording.title(found.metric)}\n{wording.unit_name(found.metric_unit)}"
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
