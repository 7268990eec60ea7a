"""How boxes are counted: their overlap with the truth (IoU), and average precision where answers carry scores.

One box is held to one: its IoU. Where all that a phrase names is asked for, answered and true boxes are paired so that
their IoUs have the largest sum, and a sample's IoU is this sum by the larger of the two counts. An unread answer has
overlap 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from paceline.tasks.kind import Order
from paceline.tasks.localisation import average_precision
from paceline.tasks.localisation.box_geometry import area, matched, shared
from paceline.tasks.localisation.box_reading import read_boxes
from paceline.tasks.localisation.fields import BoxPart
from paceline.tasks.metrics import (
    ECHOED,
    MALFORMED,
    OUT_OF_RANGE,
    PARSED,
    REFUSED,
    Judged,
    Metric,
    Reading,
    outcome_shares,
)

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.answers import Answers, Column
    from paceline.tasks.kind import Answer, Answered, Part

THRESHOLDS = (50, 60, 70, 80, 90)
"""IoUs in per cent at which DIOR-RSVG and others count a box as right."""
OUTCOMES = (PARSED, REFUSED, MALFORMED, OUT_OF_RANGE, ECHOED)
METRICS = (
    Metric("precision_50", "Pr@0.5", score="at_50", hits=True, leads=True),
    *(Metric(f"precision_{t}", f"Pr@0.{t // 10}", score=f"at_{t}", hits=True, redundant=True) for t in THRESHOLDS[1:]),
    Metric("mean_iou", "mean IoU", score="iou", leads=True),
    Metric("mean_iou_read", "mean IoU of read answers", score="iou_read", redundant=True),
    Metric("cum_iou", "cumulative IoU", statistic="set", redundant=True),
    Metric("wrong_share", "read and wrong", score="wrong", hits=True, lower_is_better=True, redundant=True),
    Metric("box_precision", "precision of boxes", statistic="set", score="found", optional=True, redundant=True),
    Metric("box_recall", "recall of boxes", statistic="set", score="found", optional=True, redundant=True),
    Metric("box_f1", "F1 of boxes", statistic="set", score="found", optional=True),
    Metric("map_50", "mAP 50", statistic="set", score="scored", optional=True),
    Metric("map_50_95", "mAP 50–95", statistic="set", score="scored", optional=True),
    *outcome_shares(OUTCOMES),
)
HEADLINE = ("precision_50", "mean_iou", "box_f1", "map_50", "parsed_share")
ORDER = Order(
    "iou_read", "", "IoU", near="best", far="worst", off="", metric="mean_iou", scale=1000, higher_is_better=True
)
NOTE = (
    "Pr@0.5: share of answers with an IoU of at least 0.5, unread ones counted; cumulative IoU: all intersections by "
    "all unions. Pixels are those of the picture as it was prepared. mAP is COCO's (pycocotools, 101 points, the best "
    "100 boxes) over classes; it is left out where an answered box has no score, and has no interval."
)
PACKAGES = ("pycocotools", "scipy")
_UNSIZED = (1000, 1000)  # where it is only asked which characters are read


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The boxes that an answer gives, in pixels of the upright picture."""
    size = part.size if isinstance(part, BoxPart) and all(part.size) else _UNSIZED
    several = isinstance(part, BoxPart) and part.several
    reading = read_boxes(answer.text, size, prompt.boxes, several)
    if prompt.example and reading.value:
        example = read_boxes(prompt.example, size, prompt.boxes, several)
        if example.value == reading.value:
            return dataclasses.replace(reading, outcome=ECHOED.name, value=None)
    return reading


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Overlap with the truth, and what the statistics of the set are made of."""
    with_scores = any(one.reading.data.get("scores") for one in answers)
    return [_judged(one, with_scores) for one in answers]


def _judged(one: Answered, with_scores: bool) -> Judged:
    true = [tuple(box) for box in one.sample["boxes"]]
    read_it = one.reading.outcome == PARSED.name
    boxes = [tuple(box) for box in one.reading.value or ()]
    pairs = matched(boxes, true) if boxes else []
    iou = sum(pair[2] for pair in pairs) / max(len(boxes), len(true))
    common = sum(shared(boxes[i], true[j]) for i, j, _ in pairs)
    scores: dict[str, float | bool | None] = {f"at_{t}": read_it and iou >= t / 100 for t in THRESHOLDS}
    scores |= {"iou": iou, "iou_read": iou if read_it else None, "wrong": read_it and iou < 0.5}
    several = bool(one.sample.get("several"))
    details: dict[str, Any] = {
        "intersection": round(common, 4),
        "union": round(sum(map(area, (*boxes, *true))) - common, 4),
        "boxes": len(boxes),
    }
    if several:
        scores["found"] = float(sum(pair[2] >= 0.5 for pair in pairs))
    if several or with_scores:
        scored = one.reading.data.get("scores")
        scores["scored"] = (len(scored or ()) == len(boxes)) if read_it else None
        details |= {"scores": scored} if scored else {}
    if form := one.reading.data.get("format"):
        details["format"] = form
    if named := one.sample.get("class"):
        details["class"] = named
    return Judged([list(box) for box in true], scores, details)


def columns(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Column]:
    """Answered and true boxes, their form, class and scores, and the areas that cumulative IoU is made of."""
    details = [r.get("details", {}) for r in records]
    return {
        "answered": tuple(r.get("value") or [] for r in records),
        "true": tuple(r.get("truth") or [] for r in records),
        "form": tuple(str(d.get("format", "")) for d in details),
        "class": tuple(str(d.get("class", "")) for d in details),
        "confidence": tuple(d.get("scores") or [] for d in details),
        "intersection": np.array([float(d.get("intersection", 0)) for d in details]),
        "union": np.array([float(d.get("union", 0)) for d in details]),
    }


def resample(answers: Answers, often: np.ndarray) -> Mapping[str, np.ndarray]:
    """Cumulative IoU, and precision, recall and F1 of boxes at IoU 0.5, on each resample; mAP of the whole alone."""
    found = np.nan_to_num(answers.scores.get("found", np.zeros(len(answers))))
    answered, true = (np.array([len(b) for b in answers.columns[name]], dtype=float) for name in ("answered", "true"))
    common, covered = (np.asarray(answers.columns[name], dtype=float) for name in ("intersection", "union"))
    hits, said, there = (often @ column for column in (found, answered, true))
    with np.errstate(divide="ignore", invalid="ignore"):
        cumulative = (often @ common) / (often @ covered)
        precision = np.where(said > 0, hits / said, 0.0)
        recall, f1 = hits / there, 2 * hits / (said + there)
    nothing = np.full(len(often), np.nan)
    values = {"cum_iou": cumulative, "box_precision": precision, "box_recall": recall, "box_f1": f1}
    whole = len(often) == 1 and bool((often == 1).all())
    if not whole:  # of overlaps that are all 0, or all 1, resamples have one value, and would claim certainty
        if _all_or_nothing(common, covered):
            values["cum_iou"] = nothing
        if _all_or_nothing(found, np.maximum(answered, true)):
            values |= dict.fromkeys(("box_precision", "box_recall", "box_f1"), nothing)
    precisions = average_precision.of(answers) if whole and _all_scored(answers) else {}
    return values | {name: nothing if name not in precisions else np.array([precisions[name]]) for name in _AVERAGED}


_AVERAGED = ("map_50", "map_50_95")


def _all_or_nothing(parts: np.ndarray, wholes: np.ndarray) -> bool:
    return not parts.any() or bool((parts == wholes).all())


def _all_scored(answers: Answers) -> bool:
    """Whether boxes were answered, each with a score."""
    scored = answers.scores.get("scored", np.array([]))
    return bool((scored == 1).any()) and not bool((scored == 0).any())
