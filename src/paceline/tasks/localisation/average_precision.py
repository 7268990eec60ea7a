"""Mean average precision of detections, as pycocotools computes it."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paceline.tasks.answers import Answers


def of(answers: Answers) -> dict[str, float]:
    """``map_50`` and ``map_50_95`` of all answers; NaN where there is no true box.

    Each question is an image of COCO's, and its class a category: questions about one picture and one class would
    compete with each other's boxes. Samples without a class are of one.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    columns = answers.columns
    classes = {name: number for number, name in enumerate(dict.fromkeys(columns["class"]), 1)}
    category = [classes[name] for name in columns["class"]]
    placed = [(at, box) for at, boxes in enumerate(columns["true"]) for box in boxes]
    # Counted from 1: an annotation 0 is to the evaluation as if nothing was matched.
    true = [
        {"id": number, "image_id": at, "category_id": category[at], "iscrowd": 0, **_sides(box)}
        for number, (at, box) in enumerate(placed, 1)
    ]
    found = [
        {"image_id": at, "category_id": category[at], "score": score, **_sides(box)}
        for at, (boxes, scores) in enumerate(zip(columns["answered"], columns["confidence"], strict=True))
        for box, score in zip(boxes, scores, strict=True)
    ]
    if not found or not true:
        return dict.fromkeys(("map_50", "map_50_95"), 0.0 if true else float("nan"))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": at} for at in range(len(category))],
            "categories": [{"id": number} for number in classes.values()],
            "annotations": true,
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"map_50": float(evaluation.stats[1]), "map_50_95": float(evaluation.stats[0])}


def _sides(box: list[float]) -> dict[str, object]:
    """A box as COCO has it: x, y, width, height."""
    x0, y0, x1, y1 = box
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
