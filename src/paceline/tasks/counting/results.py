"""How counting is shown: counted against true, by how many there are, and by what is counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from paceline.stats import Interval
from paceline.tasks.answers import Answers
from paceline.tasks.counting.score import METRICS
from paceline.tasks.metrics import PARSED, aggregate, outcome_shares
from paceline.tasks.panels import (
    CellClasses,
    CellResult,
    CellScatter,
    ClassFigures,
    Measure,
    Panel,
    PerClass,
    Results,
    Scatter,
)

PICTURES = ("counted",)
RANGES = ((0, "0"), (10, "1 to 10"), (100, "11 to 100"), (1000, "101 to 1000"), (np.inf, "more than 1000"))
"""Up to which true count, and its name: RSVQA-LR's ranges."""
_BY_NAME = {metric.name: metric for metric in METRICS}
SHOWN = (_BY_NAME["accuracy"], _BY_NAME["mae_read"], *outcome_shares((PARSED,)))


def panels(results: Results) -> Iterator[Panel]:
    """Counts against the true ones, and figures by range of the true count and by type."""
    from paceline.tasks.by_type import panels as by_type

    yield scatter(results)
    yield by_range(results)
    yield from by_type(results, METRICS[0])


def scatter(results: Results) -> Scatter:
    """What was counted against what is true, answer by answer."""
    cells = [cell for cell in results.best if "number" in cell.answers.columns]
    return Scatter(
        "counted",
        "Counted against true",
        "Counted",
        x=Measure("true", "true count", ""),
        y=Measure("counted", "counted", ""),
        diagonal=True,
        cells=tuple(_points(cell) for cell in cells),
        caption="A point is an answer that was read, on the diagonal a right one. The best cell of each model, untuned "
        "and tuned.",
    )


def _points(cell: CellResult) -> CellScatter:
    columns = cell.answers.columns
    return CellScatter(
        cell.id, cell.name, cell.answers.samples, np.asarray(columns["truth"]), np.asarray(columns["number"])
    )


def by_range(results: Results) -> PerClass:
    """Accuracy and error by how many there are."""
    cells = [_ranges(cell) for cell in results.best if "truth" in cell.answers.columns]
    records = tuple(
        {"task": results.task.name, "split": results.split, "id": cell.id, "ranges": cell.classes} for cell in cells
    )
    return PerClass(
        "ranges",
        "By the true count",
        "Ranges",
        about="accuracy and error by the true count",
        noun="true count",
        counted="answers",
        measures=(
            Measure("accuracy\n%", "accuracy, %", "share"),
            Measure("MAE\nread", "mean absolute error of read answers", SHOWN[1].unit),
            Measure("read\n%", "answers read, %", "share"),
        ),
        cells=tuple(cells),
        caption="By the range of the true count. An unread answer is not right, and has no error here. The best cell "
        "of each model, untuned and tuned.",
        exported="counts_by_range",
        records=records,
    )


def _ranges(cell: CellResult) -> CellClasses:
    truth = np.asarray(cell.answers.columns["truth"])
    rows, low = [], -np.inf
    for high, name in RANGES:
        at = np.flatnonzero((truth > low) & (truth <= high))
        low = high
        if at.size:
            rows.append(_row(name, cell.answers.take(at.tolist())))
    return CellClasses(cell.id, cell.name, tuple(rows))


def _row(name: str, answers: Answers) -> ClassFigures:
    figures = aggregate(answers, SHOWN)
    shown: Sequence[dict[str, Any]] = [figures[metric.name] for metric in SHOWN]
    return ClassFigures(
        name, False, len(answers), tuple(Interval(f["value"], f["low"], f["high"], f["n"]) for f in shown)
    )


def show(value: Any) -> str:
    """A count, with its thousands set apart."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}"
