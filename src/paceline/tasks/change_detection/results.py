"""How counts of changes are shown: class by class, changed or not, totals, and pairs before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from paceline.stats import Interval, percentiles
from paceline.tasks.answers import Answers
from paceline.tasks.change_detection.fields import IMAGES
from paceline.tasks.change_detection.score import OUTCOMES, changed_name, resample
from paceline.tasks.labels import confusion_panel, matrix_of
from paceline.tasks.metrics import statistics
from paceline.tasks.panels import (
    CellPictures,
    CellResult,
    CellScatter,
    Mark,
    MarkedImage,
    Matrix,
    Measure,
    Panel,
    PictureCase,
    Pictures,
    Results,
    Scatter,
    Table,
    TableColumn,
    Value,
)

OUTCOME = {outcome.name: outcome.label for outcome in OUTCOMES}
MOST_CELLS = 4  # with a table of classes each
MOST_MARKS = 60
PICTURES = ("confusion", "totals")


def show(value: Mapping[str, Any]) -> str:
    """Counts as ``built 2, removed 0``; of yes and no alone, whether anything changed."""
    if isinstance(value.get("changed"), bool):  # what was read; a count of a class of that name is a number
        if "counts" not in value:
            return changed_name(value["changed"])
        value = value["counts"]
    return ", ".join(f"{name} {count:,}" for name, count in value.items())


def panels(results: Results) -> Iterator[Panel]:
    """A table of classes for each of the best cells, changed against told, totals, and pairs of pictures."""
    yield from (per_class(cell) for cell in results.best[:MOST_CELLS] if _counts(cell.answers))
    yield changed(results)
    yield totals(results)
    yield pairs(results)


def _counts(answers: Answers) -> bool:
    """Whether some answer gives counts."""
    return "told" in answers.columns and bool(np.isfinite(np.asarray(answers.columns["told"])).any())


def per_class(cell: CellResult) -> Table:
    """Every class with how many there are, how many are told, and both F1."""
    answers = cell.answers
    truth, told = np.asarray(answers.columns["truth"]), np.asarray(answers.columns["told"])
    given = np.nan_to_num(told)
    drawn = statistics(answers, resample)
    rows: list[tuple[Value, ...]] = []
    for at, name in enumerate(answers.columns["classes"][0]):
        there, said = truth[:, at].sum(), given[:, at].sum()
        right = np.minimum(truth[:, at], given[:, at]).sum()
        read = np.isfinite(told[:, at])
        error = float(np.abs(told[read, at] - truth[read, at]).mean()) if read.any() else None
        rows.append(
            (
                name,
                int(there),
                int(said),
                float(right / said) if said else None,
                float(right / there) if there else None,
                _interval(drawn, f"f1 {name}", len(answers)),
                _interval(drawn, f"presence {name}", len(answers)),
                error,
            )
        )
    return Table(
        "classes",
        "Class by class",
        "Classes",
        columns=(
            TableColumn("class"),
            TableColumn("there", "count"),
            TableColumn("told", "count"),
            TableColumn("precision", "share"),
            TableColumn("recall", "share"),
            TableColumn("F1 of counts", "share"),
            TableColumn("F1 of presence", "share"),
            TableColumn("mean error of a pair", "", largest_first=False),
        ),
        rows=tuple(rows),
        caption=f"{cell.name}. In each pair the smaller of told and there is right; an unread answer tells nothing. "
        "Presence: whether a pair holds the class at all. The mean error is of answers that give counts.",
    )


def _interval(drawn: Mapping[str, tuple[float, np.ndarray]], name: str, n: int) -> Interval:
    value, resampled = drawn.get(name, (float("nan"), np.array([])))
    if not np.isfinite(value):
        return Interval(None, None, None, n)
    low, high = percentiles(resampled[np.isfinite(resampled)]) or (None, None)
    return Interval(value, low, high, n)


def changed(results: Results) -> Matrix:
    """Whether something changed, against what is told of it."""
    cells = []
    for cell in results.best:
        answers = cell.answers
        if "told_changed" in answers.scores:
            truth, told = answers.scores["true_total"], answers.scores["told_changed"]
            both = [(_changed(t), _changed(s)) for t, s in zip(truth, told, strict=True)]
            cells.append(matrix_of(cell, both, [_changed(1.0), _changed(0.0)]))
    return confusion_panel(results, cells, "Changed is a pair with a count of a class that is a change.")


def _changed(flag: float) -> str:
    """As the matrix takes a class; empty where an answer was not read."""
    return json.dumps(changed_name(flag)) if np.isfinite(flag) else ""


def totals(results: Results) -> Scatter:
    """All changes of a pair together, told against true."""
    cells = tuple(
        CellScatter(
            cell.id,
            cell.name,
            cell.answers.samples,
            cell.answers.scores["true_total"],
            cell.answers.scores["told_total"],
        )
        for cell in results.best
        if "told_total" in cell.answers.scores and np.isfinite(cell.answers.scores["told_total"]).any()
    )
    return Scatter(
        "totals",
        "Changes of a pair, all classes together",
        "Totals",
        Measure("there", "changes there are", "changes"),
        Measure("told", "changes told", "changes"),
        diagonal=True,
        cells=cells,
        caption="A point is a pair; answers without counts have none.",
    )


def pairs(results: Results) -> Pictures:
    """The best, the median and the worst total of the best cells, and one answer that was not read."""
    cells = []
    for cell in results.best[:MOST_CELLS]:
        cases = tuple(_case(cell, i, label, results.samples) for label, i in _picked(cell.answers))
        cells.append(CellPictures(cell.id, cell.name, cases))
    return Pictures(
        "pairs",
        "Pairs before and after",
        "Pairs",
        tuple(cells),
        "Chosen by the error of the total. Boxes are those of the data, where it has some.",
    )


def _picked(answers: Answers) -> list[tuple[str, int]]:
    errors = answers.scores.get("total_error", np.full(len(answers), np.nan))
    known = np.flatnonzero(np.isfinite(errors))
    ordered = known[np.argsort(errors[known], kind="stable")]
    chosen: dict[int, str] = {}
    if len(ordered):
        places = (("best", 0), ("median", (len(ordered) - 1) // 2), ("worst", len(ordered) - 1))
        for label, place in places:
            chosen.setdefault(int(ordered[place]), label)
    unread = np.flatnonzero(~answers.parsed)
    if len(unread):
        chosen[int(unread[0])] = "not read"
    if not chosen and len(answers):
        chosen[0] = "first"
    return [(label, i) for i, label in chosen.items()]


def _case(cell: CellResult, i: int, label: str, samples: Mapping[str, Mapping[str, Any]]) -> PictureCase:
    answers = cell.answers
    names = answers.columns["classes"][i]
    said = answers.columns["label"][i]
    value = json.loads(said) if said else {}
    if "counts" in value:  # what is stored has no order of its keys
        value["counts"] = {name: value["counts"][name] for name in names if name in value["counts"]}
    answer = show(value) if value else OUTCOME.get(answers.outcomes[i], answers.outcomes[i])
    truth = show({name: int(count) for name, count in zip(names, answers.columns["truth"][i], strict=True)})
    both = _marks(samples.get(answers.sample_ids[i], {}))
    shown = tuple(MarkedImage(marks, name, at) for at, (name, marks) in enumerate(zip(IMAGES, both, strict=True)))
    return PictureCase(answers.samples[i], label, shown, truth, answer)


def _marks(sample: Mapping[str, Any]) -> tuple[tuple[Mark, ...], tuple[Mark, ...]]:
    """The boxes of what changed: of what was removed before, of all else after."""
    found: tuple[list[Mark], list[Mark]] = ([], [])
    for place in list(sample.get("places") or ())[:MOST_MARKS]:
        left, top, right, bottom = place["box"]
        mark = Mark(left, top, right, bottom, str(place["class"]), truth=True)
        found[0 if place.get("at") == "before" else 1].append(mark)
    return tuple(found[0]), tuple(found[1])
