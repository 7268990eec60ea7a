"""What results cost: the hours of all attempts, those that failed too, beside the score that they bought.

A cell's cost is that of its own attempts and of the tuning whose weights it answers with. A tuning that many cells
share is in the cost of each, because each needs it, and counts once in the sweep's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from paceline.report.analysis import differences
from paceline.report.read import attempt_records

if TYPE_CHECKING:
    from paceline.report.read.attempt_records import Tried
    from paceline.report.read.sweep_results import Group, Report

HOUR = 3600.0


@dataclass(frozen=True)
class Cost:
    """What some attempts took. An attempt holds its GPUs from its first file to its last, busy or not."""

    attempts: int
    gpu_hours: float
    """GPUs held × hours."""
    node_hours: float
    """Nodes × hours of attempts that held no GPU."""
    lost_gpu_hours: float
    """The part of the GPU-hours that went to attempts that ended early."""
    lost_node_hours: float
    usd: float | None
    """GPU-hours × ``cluster.gpu_hour_usd``, as each attempt recorded it, and what services took; None where an attempt
    that held a GPU had no rate, and where nothing has a price.
    """
    service_usd: float = 0.0
    """The part of it that went to services, for the tokens of their answers."""

    def hours(self, unit: str) -> float:
        """The hours in one of :data:`UNITS`."""
        return self.gpu_hours if unit == "GPU-hours" else self.node_hours


UNITS = ("GPU-hours", "node-hours on CPU")


@dataclass(frozen=True)
class Point:
    """A cell of a group: what it cost and how well it answered."""

    id: str
    hours: float
    value: float
    front: bool
    """Whether no other cell costs less and is better: it costs as much at most and is as good at least."""


@dataclass(frozen=True)
class Tradeoff:
    """Cost against score in one group."""

    task: str
    split: str
    metric: str
    metric_unit: str
    unit: str
    """One of :data:`UNITS`: GPU-hours where any cell held a GPU."""
    points: tuple[Point, ...]


@cache
def of_cells(report: Report) -> dict[str, Cost]:
    """Evaluate cell -> its cost, with that of the cells that it needs; cells without an attempt are missing."""
    tried = attempt_records.of_sweep(report)
    with_needed = {row.id: [t for one in (*row.needed, row.id) for t in tried.get(one, ())] for row in report.rows}
    return {cell: total(cell_attempts) for cell, cell_attempts in with_needed.items() if cell_attempts}


def of_sweep(report: Report) -> Cost:
    """The cost of all attempts of the sweep's own cells, each once."""
    sweep_cells = {*(t.id for t in (*report.tunings, *report.unscored)), *(row.id for row in report.rows)}
    return total(
        t
        for cell, cell_attempts in attempt_records.of_sweep(report).items()
        if cell in sweep_cells
        for t in cell_attempts
    )


def total(tried: Iterable[Tried]) -> Cost:
    """The cost of attempts together."""
    every = list(tried)
    lost = [t for t in every if t.cause not in ("done", attempt_records.RUNNING)]
    held = [t for t in every if t.gpu_seconds]
    service_usd = sum(t.service_usd for t in every)
    usd = sum(t.gpu_seconds * t.gpu_hour_usd for t in held) / HOUR + service_usd
    priced = all(t.gpu_hour_usd for t in held) and (held or service_usd)
    return Cost(
        attempts=len(every),
        gpu_hours=_gpu_hours(every),
        node_hours=_node_hours(every),
        lost_gpu_hours=_gpu_hours(lost),
        lost_node_hours=_node_hours(lost),
        usd=usd if priced else None,
        service_usd=service_usd,
    )


def _gpu_hours(tried: Sequence[Tried]) -> float:
    return sum(t.gpu_seconds for t in tried) / HOUR


def _node_hours(tried: Sequence[Tried]) -> float:
    return sum(t.seconds * t.nodes for t in tried if not t.gpu_seconds) / HOUR


def unit_of(report: Report) -> str:
    """The unit of the report's costs: GPU-hours where any attempt held a GPU, else node-hours."""
    return UNITS[0] if any(cost.gpu_hours for cost in of_cells(report).values()) else UNITS[1]


def tradeoff(report: Report, group: Group) -> Tradeoff | None:
    """Every ranked cell's cost and its leading metric; None below two cells that took any time."""
    metric = next(iter(differences.leading(group)), "")
    costs, unit = of_cells(report), unit_of(report)
    ranked = [row for row in group.rank(metric) if row.id in costs and costs[row.id].hours(unit) > 0]
    if len(ranked) < 2:
        return None
    values = [m.value for row in ranked if (m := group.metric(row, metric)) and m.value is not None]
    pairs = [(costs[row.id].hours(unit), value) for row, value in zip(ranked, values, strict=True)]
    on = front(pairs, group.lower_is_better(metric))
    points = [Point(row.id, *pair, i in on) for i, (row, pair) in enumerate(zip(ranked, pairs, strict=True))]
    return Tradeoff(group.task, group.split, metric, group.unit(metric), unit, tuple(points))


def front(points: Sequence[tuple[float, float]], lower_is_better: bool) -> frozenset[int]:
    """Which of (cost, value) no other beats in one and equals at least in the other: the Pareto front.

    Of points that are equal in both, the first.
    """
    sign = 1.0 if lower_is_better else -1.0
    best = float("inf")
    optimal = set()
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], sign * points[i][1])):
        if sign * points[i][1] < best:
            best = sign * points[i][1]
            optimal.add(i)
    return frozenset(optimal)
