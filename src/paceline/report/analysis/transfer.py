"""What weights that are tuned on one task are worth on another: a table of tasks tuned on by tasks evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from paceline.report.analysis import differences
from paceline.report.read.sweep_results import Group, Metric, Report, Row

UNTUNED = "untuned"


@dataclass(frozen=True, eq=False)
class Column:
    """A test set, and the metric that is shown of it: the first of those that lead."""

    group: Group
    metric: str

    @property
    def unit(self) -> str:
        """The metric's unit."""
        return self.group.unit(self.metric)


@dataclass(frozen=True)
class Place:
    """One cell in the table."""

    row: Row
    metric: Metric


@dataclass(frozen=True)
class Line:
    """What weights are worth that were tuned on one task, or not at all, in each column."""

    name: str
    trained_task: str
    """Empty for the untuned model."""
    places: tuple[Place | None, ...]
    """None where the sweep has no such cell with a result."""


@dataclass(frozen=True)
class Matrix:
    """One model, tuned in one way on several tasks."""

    model: str
    method: str
    """With the settings that tell it from other ways in the sweep."""
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


@cache
def matrices(report: Report) -> tuple[Matrix, ...]:
    """A table for each model and way of tuning that was evaluated on another task, in sweep order; worked out once."""
    recipes = dict.fromkeys(row.recipe for row in report.done if row.transfer)
    return tuple(filter(None, (_matrix(report, recipe) for recipe in recipes)))


def _matrix(report: Report, recipe: str) -> Matrix | None:
    columns: list[Column] = []
    found: list[list[Row]] = []
    for group in report.groups:
        metric = next(iter(differences.leading(group)), None)
        tuned = [row for row in group.rows if row.recipe == recipe]
        if metric is None or not tuned:
            continue
        untuned = differences.untuned_of(group)
        bases = {base.id: base for row in tuned if (base := untuned.get(row.id))}
        columns.append(Column(group, metric))
        found.append([*bases.values(), *tuned])
    if not columns:
        return None
    plain = all(len({row.trained_task for row in rows}) == len(rows) for rows in found)
    lines: dict[tuple[str, ...], list[Place | None]] = {}
    for at, (column, rows) in enumerate(zip(columns, found, strict=True)):
        for row in rows:
            key = (row.trained_task,) if plain else (row.trained_task, row.trained_on, row.prompt)
            places = lines.setdefault(key, [None] * len(columns))
            if measured := column.group.metric(row, column.metric):
                places[at] = Place(row, measured)
    tasks = list(dict.fromkeys(["", *(column.group.task for column in columns), *(key[0] for key in lines)]))
    ordered = sorted(lines, key=lambda key: tasks.index(key[0]))
    first = next(row for rows in found for row in rows if row.transfer)
    return Matrix(
        first.model,
        _method(report, recipe),
        tuple(columns),
        tuple(Line(_name(key), key[0], tuple(lines[key])) for key in ordered),
    )


def _name(key: tuple[str, ...]) -> str:
    trained_task, *prompts = key
    name = trained_task or UNTUNED
    if not prompts:
        return name
    trained_on, asked = prompts
    return f"{name}, trained on {trained_on}, asked {asked}" if trained_on not in ("", asked) else f"{name}, {asked}"


def _method(report: Report, recipe: str) -> str:
    """The method with the settings that tell it apart, without the task tuned on, which is a row of the table."""
    rows = [row for row in report.done if row.recipe == recipe]
    settings = [row.variant.removeprefix(f"train.task={row.trained_task}").removeprefix(" ") for row in rows]
    shown = max(settings, key=len)
    return f"{rows[0].method} ({shown})" if shown else rows[0].method


def as_json(matrix: Matrix) -> Iterator[dict[str, Any]]:
    """Every cell of a table as plain values, a record each."""
    for line in matrix.lines:
        for column, place in zip(matrix.columns, line.places, strict=True):
            if place is None:
                continue
            row, measured = place.row, place.metric
            yield {
                "model": matrix.model,
                "method": matrix.method,
                "trained_task": line.trained_task,
                "task": column.group.task,
                "split": column.group.split,
                "trained_on": row.trained_on,
                "prompt": row.prompt,
                "cell": row.id,
                "metric": column.metric,
                "value": measured.value,
                "low": measured.low,
                "high": measured.high,
                "n": measured.n,
                "unit": measured.unit,
            }
