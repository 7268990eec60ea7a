"""How boxes are shown: on the pictures, by how much they overlap, by the size of the object, and in which form."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from paceline.stats import Interval
from paceline.tasks.answers import Answers
from paceline.tasks.localisation import box_scales
from paceline.tasks.localisation.box_geometry import SIZES, area, rounded, size_of
from paceline.tasks.localisation.score import METRICS, ORDER, OUTCOMES, THRESHOLDS, resample
from paceline.tasks.metrics import aggregate
from paceline.tasks.panels import (
    CellClasses,
    CellPictures,
    ClassFigures,
    Mark,
    MarkedImage,
    Measure,
    Panel,
    PerClass,
    PictureCase,
    Pictures,
    Results,
    Table,
    TableColumn,
    Value,
)

LABELS = {outcome.name: outcome.label for outcome in OUTCOMES}
BY_NAME = {metric.name: metric for metric in METRICS}
CASES = 8
"""Pictures of each cell: the best, the worst, and such between them as are evenly far apart."""
MOST_MARKS = 30
LEFT_OUT = "left out: no scores"


def panels(results: Results) -> Iterator[Panel]:
    """Boxes on pictures, tables of overlaps and of forms, and figures by the size of the object."""
    if any(ORDER.score in cell.answers.scores for cell in results.cells):
        yield on_pictures(results)
        yield overlaps(results)
        if any("scored" in cell.answers.scores for cell in results.cells):
            yield detections(results)
        yield by_size(results)
        yield forms(results)


# -- on pictures


def on_pictures(results: Results) -> Pictures:
    """What the best cells answered, from the best to the worst, with the true boxes."""
    cells = tuple(
        CellPictures(cell.id, cell.name, tuple(_case(cell.answers, at, label, results.samples) for label, at in shown))
        for cell in results.best
        if (shown := [one for one in _picked(cell.answers) if _size(cell.answers, one[1], results.samples)])
    )
    return Pictures(
        "boxes",
        "Boxes on the pictures",
        "Boxes",
        cells=cells,
        caption="True boxes, and those of the answer, from the best IoU to the worst; unread answers come last.",
    )


def _picked(answers: Answers) -> list[tuple[str, int]]:
    values = np.nan_to_num(answers.scores.get(ORDER.score, np.full(len(answers), np.nan)), nan=-1.0)
    order = [int(i) for i in np.argsort(-values, kind="stable")]
    places = dict.fromkeys(np.linspace(0, len(order) - 1, min(CASES, len(order))).round().astype(int).tolist())
    return [("best" if at == 0 else "worst" if at == len(order) - 1 else "", order[at]) for at in places]


def _size(answers: Answers, at: int, samples: Mapping[str, Mapping[str, Any]]) -> tuple[float, float] | None:
    """Width and height of a sample's picture; None where its data is gone."""
    sample = samples.get(answers.sample_ids[at], {})
    width, height = sample.get("width"), sample.get("height")
    return (float(width), float(height)) if width and height else None


def _case(answers: Answers, at: int, label: str, samples: Mapping[str, Mapping[str, Any]]) -> PictureCase:
    size = _size(answers, at, samples)
    assert size is not None
    phrase = str(samples[answers.sample_ids[at]].get("phrase", ""))
    scores = answers.columns["confidence"][at]
    marks = [_mark(box, size, "", True) for box in answers.columns["true"][at][:MOST_MARKS]]
    for n, box in enumerate(answers.columns["answered"][at][:MOST_MARKS]):
        marks.append(_mark(box, size, f"{scores[n]:.2f}" if n < len(scores) else "", False))
    said = _outcome(answers, at) or f"IoU {answers.scores[ORDER.score][at]:.2f}"
    return PictureCase(answers.samples[at], label, (MarkedImage(tuple(marks)),), truth=phrase, answer=said)


def _outcome(answers: Answers, at: int) -> str:
    """The outcome of an answer that was not read."""
    return "" if answers.parsed[at] else LABELS.get(answers.outcomes[at], answers.outcomes[at])


def _mark(box: Sequence[float], size: tuple[float, float], label: str, truth: bool) -> Mark:
    (x0, y0, x1, y1), (width, height) = box, size
    return Mark(x0 / width, y0 / height, x1 / width, y1 / height, label, truth)


# -- figures


def _figures(answers: Answers, names: Sequence[str]) -> list[Interval]:
    metrics = [BY_NAME[name] for name in names]
    found = aggregate(answers, [dataclasses.replace(metric, optional=False) for metric in metrics], resample)
    return [Interval(one["value"], one["low"], one["high"], one["n"]) for one in (found[name] for name in names)]


def overlaps(results: Results) -> Table:
    """The shares of answers above each IoU, and three means of it, of every cell."""
    names = [*(f"precision_{t}" for t in THRESHOLDS), "mean_iou", "mean_iou_read", "cum_iou"]
    return Table(
        "overlap",
        "Overlap with the truth",
        "Overlap",
        columns=(
            TableColumn("model · prompt · method"),
            TableColumn("answers", "count"),
            *(TableColumn(f"Pr@0.{t // 10}", "share") for t in THRESHOLDS),
            TableColumn("mean\nIoU", "share"),
            TableColumn("of read\nanswers", "share"),
            TableColumn("cumulative\nIoU", "share"),
        ),
        rows=tuple((cell.name, len(cell.answers), *_figures(cell.answers, names)) for cell in results.cells),
        caption="Pr@0.5: share of answers with an IoU of at least 0.5. An unread answer counts as a miss, with IoU 0 "
        "and no intersection; cumulative: the sum of all intersections by that of all unions, in which large objects "
        "weigh more.",
    )


def detections(results: Results) -> Table:
    """Precision, recall and average precision of boxes, where all that a phrase names is asked for."""
    rows = []
    for cell in results.cells:
        *of_boxes, map_50, map_all = _figures(
            cell.answers, ("box_precision", "box_recall", "box_f1", "map_50", "map_50_95")
        )
        several = "found" in cell.answers.scores
        counts = [sum(map(len, cell.answers.columns[name])) for name in ("true", "answered")]
        why = LEFT_OUT if cell.answers.parsed.any() else "left out: nothing read"
        precisions: list[Value] = [map_50, map_all, "" if map_50.value is not None else why]
        rows.append((cell.name, *counts, *(of_boxes if several else (None,) * 3), *precisions))
    return Table(
        "detections",
        "All boxes found",
        "Detections",
        columns=(
            TableColumn("model · prompt · method"),
            TableColumn("true\nboxes", "count"),
            TableColumn("answered", "count"),
            TableColumn("precision", "share"),
            TableColumn("recall", "share"),
            TableColumn("F1", "share"),
            TableColumn("mAP 50", "share"),
            TableColumn("mAP\n50–95", "share"),
            TableColumn("mAP"),
        ),
        rows=tuple(rows),
        caption="Precision, recall and F1 of boxes paired one to one, found at an IoU of at least 0.5. mAP is COCO's, "
        "by pycocotools; it needs a score for each answered box and is left out where one lacks it. It has no "
        "interval: none was shown to hold the truth.",
    )


def by_size(results: Results) -> PerClass:
    """Figures of small, medium and large objects."""
    names = ("precision_50", "mean_iou")
    cells = []
    for cell in results.best:
        sizes = [_size_class(boxes) for boxes in cell.answers.columns["true"]]
        classes = []
        for size in SIZES:
            if at := [i for i, one in enumerate(sizes) if one == size]:
                figures = _figures(cell.answers.take(at), names)
                classes.append(ClassFigures(size, False, len(at), tuple(figures)))
        cells.append(CellClasses(cell.id, cell.name, tuple(classes)))
    records = tuple(
        {"task": results.task.name, "split": results.split, "id": cell.id, "sizes": cell.classes}
        for cell in cells
        if cell.classes
    )
    return PerClass(
        "sizes",
        "By the size of the object",
        "Sizes",
        about="Pr@0.5 and mean IoU by the size of the object",
        noun="size",
        counted="samples",
        measures=(
            Measure("Pr@0.5\n%", "IoU of at least 0.5, % of answers", "share"),
            Measure("mean IoU\n%", "mean IoU, %", "share"),
        ),
        cells=tuple(cell for cell in cells if cell.classes),
        caption="Small: less than 32² pixels; medium: less than 96²; large: more, as COCO has them, in pixels of the "
        "prepared picture; of several true boxes by their mean area. The best cell of each model, untuned and tuned.",
        records=records,
    )


def _size_class(boxes: Sequence[Sequence[float]]) -> str:
    mean = sum(map(area, boxes)) / len(boxes) if boxes else 0.0
    return size_of((0, 0, mean, 1))


def forms(results: Results) -> Table:
    """In which form boxes were answered, and how well each fares: a model that mixes them may be misread."""
    rows: list[tuple[Value, ...]] = []
    mixed = []
    for cell in results.cells:
        answers = cell.answers
        counts = Counter(f for f, read in zip(answers.columns["form"], answers.parsed, strict=True) if read and f)
        if len(set(counts) - {"none"}) > 1 or "mixed" in counts:
            mixed.append(cell.name or "the cell")
        for form, n in counts.most_common():
            at = [i for i, f in enumerate(answers.columns["form"]) if f == form and answers.parsed[i]]
            iou = float(np.mean(answers.scores["iou"][at]))
            rows.append((cell.name, box_scales.label(form), n, n / sum(counts.values()), iou))
    told = f" In several forms answered: {'; '.join(mixed[:5])}{'; …' if len(mixed) > 5 else ''}." if mixed else ""
    return Table(
        "forms",
        "Forms of boxes",
        "Forms",
        columns=(
            TableColumn("model · prompt · method"),
            TableColumn("form"),
            TableColumn("read\nanswers", "count"),
            TableColumn("of the\ncell's", "share"),
            TableColumn("mean\nIoU", "share"),
        ),
        rows=tuple(rows),
        caption="How the boxes that were read are written. Where the prompt asks for no form (prompt.boxes), what fits "
        "into the picture is taken for pixels; a model that answers from 0 to 1000 then is read wrongly wherever its "
        f"numbers fit, and its mean IoU is low. Pixels are those of the prepared picture.{told}",
    )


def show(value: Any) -> str:
    """Boxes as JSON, in pixels."""
    return json.dumps([rounded(box) for box in value]) if isinstance(value, list | tuple) else str(value or "")


def name(value: Any) -> str:
    """One box, or how many there are."""
    boxes = value if isinstance(value, list | tuple) else []
    return json.dumps(rounded(boxes[0])) if len(boxes) == 1 else f"{len(boxes)} boxes"
