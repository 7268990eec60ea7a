"""A metric by the type of the question, for kinds whose samples name one: ``type``, or several ways in ``types``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from paceline.stats import Interval
from paceline.tasks.metrics import PARSED, Metric, aggregate, outcome_shares
from paceline.tasks.panels import CellClasses, CellResult, ClassFigures, Measure, PerClass, Results

if TYPE_CHECKING:
    from paceline.tasks.answers import Answers

MOST_TYPES = 20
"""Types shown, the most frequent; the others stand together in a last row."""
OTHERS = "all other types"
(READ,) = outcome_shares((PARSED,))


def types_of(sample: Mapping[str, Any]) -> dict[str, str]:
    """Way of sorting questions -> the type of this one; empty where the data names none."""
    named = sample.get("types")
    ways = named if isinstance(named, Mapping) else {"": sample.get("type")}
    return {str(way): str(kind) for way, kind in ways.items() if kind not in (None, "") and not isinstance(kind, list)}


def panels(results: Results, metric: Metric) -> Iterator[PerClass]:
    """A table for each way in which the data sorts its questions; none where it does not.

    Types are those of the prepared samples. Intervals are those of the metric itself: where questions are tied by a
    picture, pictures are drawn.
    """
    types = {name: found for name, sample in results.samples.items() if (found := types_of(sample))}
    for way in dict.fromkeys(way for found in types.values() for way in found):
        of = {name: found[way] for name, found in types.items() if way in found}
        cells = [cell for cell in results.best if metric.score in cell.answers.scores]
        yield _by(results, metric, way, of, cells)


def _by(results: Results, metric: Metric, way: str, of: Mapping[str, str], cells: list[CellResult]) -> PerClass:
    shown = [_cell(cell, metric, of) for cell in cells]
    noun = f"{way} type" if way else "type of question"
    records = tuple(
        {"task": results.task.name, "split": results.split, "id": cell.id, "types": noun, "classes": cell.classes}
        for cell in shown
        if cell.classes
    )
    return PerClass(
        "types",
        f"{metric.heading.capitalize()} by {noun}",
        "Types",
        about=f"{metric.heading} by {noun}",
        noun=noun,
        counted="questions",
        measures=(
            Measure(f"{metric.heading}\n%", f"{metric.heading} of all questions, %", metric.unit),
            Measure("read\n%", "answers read, %", "share"),
        ),
        cells=tuple(cell for cell in shown if cell.classes),
        caption=f"By the {noun} that the data names; an unread answer counts as a miss. Bars: 95 % intervals, by "
        "drawing pictures; Wilson's where all answers or none are right. The best cell of each model, untuned and "
        "tuned.",
        records=records,
    )


def _cell(cell: CellResult, metric: Metric, of: Mapping[str, str]) -> CellClasses:
    answers = cell.answers
    at: dict[str, list[int]] = {}
    counts = Counter(of[name] for name in answers.sample_ids if name in of)
    shown = {name for name, _ in counts.most_common(MOST_TYPES)}
    for i, name in enumerate(answers.sample_ids):
        if name in of:
            at.setdefault(of[name] if of[name] in shown else OTHERS, []).append(i)
    order = sorted(at, key=lambda name: (name == OTHERS, -len(at[name]), name))
    return CellClasses(cell.id, cell.name, tuple(_figures(name, answers.take(at[name]), metric) for name in order))


def _figures(name: str, answers: Answers, metric: Metric) -> ClassFigures:
    figures = aggregate(answers, (metric, READ))
    both = [figures[m.name] for m in (metric, READ)]
    shown = tuple(Interval(one["value"], one["low"], one["high"], one["n"]) for one in both)
    return ClassFigures(name, False, len(answers), shown)
