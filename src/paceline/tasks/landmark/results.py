"""How landmarks are shown: accuracy and refusals by category, and whether the place of a choice matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from paceline.stats import Interval
from paceline.tasks.answers import Answers
from paceline.tasks.kind import Criterion, letter
from paceline.tasks.landmark.score import METRICS
from paceline.tasks.metrics import Unit, aggregate
from paceline.tasks.panels import (
    CellClasses,
    CellResult,
    ClassFigures,
    Measure,
    Panel,
    PerClass,
    Results,
    Table,
    TableColumn,
    Value,
)

MARKS = (
    Criterion("accurate", "Does it name the landmark that the photo shows?"),
    Criterion("sufficient_reasons", "Does it give reasons from the photo that suffice to tell the landmark?"),
)
"""An answer that is accurate without sufficient reasons may be a guess."""
_BY_NAME = {metric.name: metric for metric in METRICS}
SHOWN = tuple(_BY_NAME[name] for name in ("accuracy", "refused_share", "parsed_share"))
LEAST = 5
"""Answers expected at each place below which the chi-square test says nothing (Cochran 1954, Biometrics 10)."""


def panels(results: Results) -> Iterator[Panel]:
    """Figures by category, and places of choices."""
    yield by_category(results)
    yield positions(results)


# -- categories


def by_category(results: Results) -> PerClass:
    """Accuracy, and the share that was refused, by what the landmark is for."""
    cells = [_categories(cell) for cell in results.best if "category" in cell.answers.columns]
    records = tuple(
        {"task": results.task.name, "split": results.split, "id": cell.id, "categories": cell.classes} for cell in cells
    )
    return PerClass(
        "categories",
        "By category of the landmark",
        "Categories",
        about="accuracy and refusals by category",
        noun="category",
        counted="photos",
        measures=(
            Measure("accuracy\n%", "accuracy, %", "share"),
            Measure("refused\n%", "answers refused, %", "share"),
            Measure("read\n%", "answers read, %", "share"),
        ),
        cells=tuple(cells),
        caption="By what the landmark is for. Refused, unread, wrong and right answers are 100 %. The best cell of "
        "each model, untuned and tuned.",
        exported="landmark_categories",
        records=records,
    )


def _categories(cell: CellResult) -> CellClasses:
    categories = cell.answers.columns["category"]
    counts = Counter(categories)
    rows = []
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        answers = cell.answers.take([i for i, one in enumerate(categories) if one == name])
        figures = [aggregate(answers, SHOWN)[metric.name] for metric in SHOWN]
        shown = tuple(Interval(one["value"], one["low"], one["high"], one["n"]) for one in figures)
        rows.append(ClassFigures(name, False, len(answers), shown))
    return CellClasses(cell.id, cell.name, tuple(rows))


# -- places


def positions(results: Results) -> Table:
    """How often a choice is right and answered at each place, and how many are right there."""
    rows: list[tuple[Value, ...]] = []
    for cell in results.best:
        if "answered_at" in cell.answers.columns:
            rows += _places(cell)
    return Table(
        "positions",
        "Does the place of a choice matter?",
        "Places",
        columns=(
            TableColumn("model · settings"),
            TableColumn("place"),
            TableColumn("right choice there", "count"),
            TableColumn("answered", "count"),
            TableColumn("expected", Unit("", 1)),
            TableColumn("accuracy where right there", "share"),
            TableColumn("p of places", Unit("", 3), largest_first=False),
            TableColumn("p of accuracy", Unit("", 3), largest_first=False),
        ),
        rows=tuple(rows),
        caption="Right choices stand at places drawn by seed. Expected: as many answers at each place, of those read. "
        "p of places: chi-square test that answers stand at all places alike; p of accuracy: that accuracy does not "
        "depend on where the right choice stands. A small p tells of a bias of position. No p where samples come in "
        f"groups, differ in their number of choices, or where fewer than {LEAST} are expected. The best cell of each "
        "model, untuned and tuned.",
    )


def _places(cell: CellResult) -> Iterator[tuple[Value, ...]]:
    answers = cell.answers
    choices = np.asarray(answers.columns["choices"])
    right_at, answered_at = (np.asarray(answers.columns[name]) for name in ("right_at", "answered_at"))
    right = answers.scores["right"] == 1
    most = int(choices.max(initial=0))
    there = np.bincount(right_at[right_at >= 0], minlength=most)
    answered = np.bincount(answered_at[answered_at >= 0], minlength=most)
    expected = _expected(choices[answered_at >= 0], most)
    tested = not answers.grouped and len(set(choices.tolist())) == 1
    of_places, of_accuracy = position_tests(answers) if tested else (None, None)
    for place in range(most):
        hits = int(right[right_at == place].sum())
        share = hits / int(there[place]) if there[place] else None
        first = place == 0
        yield (
            cell.name if first else "",
            letter(place),
            int(there[place]),
            int(answered[place]),
            float(expected[place]),
            share,
            of_places if first else None,
            of_accuracy if first else None,
        )


def _expected(choices: np.ndarray, most: int) -> np.ndarray:
    """Answers at each place where all of a question's places are alike."""
    return np.array([(1 / choices[choices > place]).sum() for place in range(most)])


def position_tests(answers: Answers) -> tuple[float | None, float | None]:
    """p of answers at all places alike, and of an accuracy that is the same wherever the right choice stands.

    Returns:
        p of :func:`scipy.stats.chisquare` and of :func:`scipy.stats.chi2_contingency` without Yates's correction; None
        where too few are expected.
    """
    from scipy import stats as tests

    choices = int(np.max(answers.columns["choices"], initial=0))
    right_at, answered_at = (np.asarray(answers.columns[name]) for name in ("right_at", "answered_at"))
    read = answered_at >= 0
    of_places = of_accuracy = None
    if choices > 1 and read.sum() >= LEAST * choices:
        of_places = float(tests.chisquare(np.bincount(answered_at[read], minlength=choices)).pvalue)
    right = answers.scores["right"] == 1
    table = np.array([np.bincount(right_at[kept], minlength=choices) for kept in (right, ~right)])
    if choices > 1 and table.sum(axis=1).min() > 0 and table.sum(axis=0).min() > 0:
        found = tests.chi2_contingency(table, correction=False)
        if found.expected_freq.min() >= LEAST:
            of_accuracy = float(found.pvalue)
    return of_places, of_accuracy
