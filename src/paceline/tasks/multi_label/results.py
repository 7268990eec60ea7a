"""How answers of several classes are shown: class by class, and beside the true ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from paceline import stats
from paceline.stats import Interval
from paceline.tasks.answers import Answers
from paceline.tasks.multi_label.fields import BETWEEN
from paceline.tasks.multi_label.score import OUTCOMES, average_precisions, table
from paceline.tasks.panels import CellResult, CellText, Panel, Results, Table, TableColumn, TextCase, Texts, Value

OUTCOME = {outcome.name: outcome.label for outcome in OUTCOMES}
MOST_CELLS = 4  # with a table of classes each
MOST_CASES = 9


def panels(results: Results) -> Iterator[Panel]:
    """A table of classes for each of the best cells, and samples beside what cells answered."""
    yield from map(per_class, results.best[:MOST_CELLS])
    if results.best:
        yield beside_truth(results)


def per_class(cell: CellResult) -> Table:
    """Every class with its precision, recall and F1, and what stands in its place; the weakest first."""
    answers = cell.answers
    true, claimed = answers.columns["true"], answers.columns["claimed"]
    classes = sorted({name for names in (*true, *claimed) for name in names})
    is_true, is_claimed = (table(column, classes) for column in (true, claimed))
    ranked = average_precisions(answers, classes, is_true, np.ones((1, len(answers))))
    rows: list[tuple[Value, ...]] = []
    for n, name in enumerate(classes):
        there, named = is_true[:, n] > 0, is_claimed[:, n] > 0
        right, either = int((there & named).sum()), int(there.sum() + named.sum())
        instead = Counter(one for at in np.flatnonzero(there & ~named) for one in claimed[at] if one not in true[at])
        wrong = "; ".join(f"{other} ({times}×)" for other, times in instead.most_common(1))
        shares = [_share(answers, right, at) for at in (named, there)]
        precision = float(ranked[0, n]) if ranked is not None and there.any() else None
        rows.append((name, int(there.sum()), int(named.sum()), *shares, 2 * right / either, precision, wrong))
    rows.sort(key=lambda row: (float(str(row[5])), -int(str(row[1]))))
    columns = (
        TableColumn("class"),
        TableColumn("samples", "count"),
        TableColumn("claimed", "count"),
        TableColumn("precision", "share"),
        TableColumn("recall", "share"),
        TableColumn("F1", "share"),
        *([TableColumn("average\nprecision", "share")] if ranked is not None else []),
        TableColumn("claimed instead"),
    )
    shown = rows if ranked is not None else [(*row[:6], row[7]) for row in rows]
    return Table(
        "classes",
        "Class by class",
        "Classes",
        columns=columns,
        rows=tuple(shown),
        caption=f"{cell.name}: the weakest class first. An unread answer claims nothing. Claimed instead: the class "
        "that is most often claimed and not there where this one is missed."
        + ("" if ranked is not None else " Its answers have no score for every class, so there is no mAP."),
    )


def _share(answers: Answers, right: int, of: np.ndarray) -> Interval | None:
    n = int(of.sum())
    if not n:
        return None
    if answers.grouped:  # the groups of one class are too few for an interval
        return Interval(right / n, None, None, n)
    return stats.wilson_interval(right, n)


def beside_truth(results: Results) -> Texts:
    """The best, the median and the worst answers of the leading cell by Jaccard, and those of the other best cells."""
    lead, *others = results.best
    values = lead.answers.scores.get("jaccard", np.zeros(len(lead.answers)))
    order = np.argsort(-values, kind="stable")
    third = MOST_CASES // 3
    middle = max(0, len(order) // 2 - third // 2)
    picked = {"best": order[:third], "median": order[middle : middle + third], "worst": order[::-1][:third]}
    cases: dict[str, TextCase] = {}
    for label, places in picked.items():
        for at in places:
            sample = lead.answers.samples[at]
            truth = BETWEEN.join(lead.answers.columns["true"][at])
            told = [text for cell in (lead, *others) if (text := _said(cell, sample)) is not None]
            cases.setdefault(sample, TextCase(sample, label, (truth,), tuple(told)))
    return Texts(
        "claims",
        "What is claimed, beside what is there",
        "Claims",
        headings=("Jaccard", "missed", "not there"),
        cases=tuple(cases.values()),
        caption=f"Of {lead.name}, and what the best cells of each model, untuned and tuned, claim of the same samples.",
    )


def _said(cell: CellResult, sample: str) -> CellText | None:
    answers = cell.answers
    if sample not in answers.samples:
        return None
    at = answers.samples.index(sample)
    true, claimed = answers.columns["true"][at], answers.columns["claimed"][at]
    missed, added = ([one for one in a if one not in b] for a, b in ((true, claimed), (claimed, true)))
    scores = (f"{answers.scores['jaccard'][at]:.2f}", _listed(missed), _listed(added))
    outcome = "" if claimed else OUTCOME.get(answers.outcomes[at], "not read")
    return CellText(cell.id, cell.name, BETWEEN.join(claimed), scores, outcome)


def _listed(names: Sequence[str]) -> str:
    return BETWEEN.join(names) or "–"


def show(value: Any) -> str:
    """Classes, parted by ``; ``."""
    if isinstance(value, str):
        return value
    return BETWEEN.join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


label = show
