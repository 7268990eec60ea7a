"""The box of an ensemble: the median of its members' edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.localisation.box_geometry import area, iou, shared
from paceline.tasks.localisation.score import THRESHOLDS
from paceline.tasks.metrics import PARSED

COMBINED = "median edges"
COMBINED_NOTE = "the median of each edge over the members whose answer was read"


def combine(ensembles: Sequence[Sequence[Answers]]) -> list[Answers] | None:
    """What each ensemble answers; None where all that a phrase names is asked for, as boxes there have no partners."""
    if any("found" in member.scores for members in ensembles for member in members):
        return None
    return [_joint(members) for members in ensembles]


def _joint(members: Sequence[Answers]) -> Answers:
    first = members[0]
    boxes: list[list[float] | None] = []
    outcomes: list[str] = []
    for at in range(len(first)):
        given = [one.columns["answered"][at][0] for one in members if one.columns["answered"][at]]
        boxes.append(np.median(np.array(given, dtype=float), axis=0).tolist() if given else None)
        outcomes.append(PARSED.name if given else first.outcomes[at])
    true = [truth[0] for truth in first.columns["true"]]
    pairs = list(zip(boxes, true, strict=True))
    overlap = np.array([iou(box, truth) if box else 0.0 for box, truth in pairs])
    read = np.array([box is not None for box in boxes])
    common = np.array([shared(box, truth) if box else 0.0 for box, truth in pairs])
    whole = np.array([(area(box) if box else 0.0) + area(truth) for box, truth in pairs]) - common
    scores = {f"at_{t}": (overlap >= t / 100).astype(float) for t in THRESHOLDS}
    scores |= {"iou": overlap, "iou_read": np.where(read, overlap, np.nan), "wrong": (read & (overlap < 0.5)) * 1.0}
    columns = {
        **first.columns,
        "answered": tuple([box] if box else [] for box in boxes),
        "confidence": tuple([] for _ in boxes),
        "form": tuple("pixels" if box else "" for box in boxes),
        "intersection": common,
        "union": whole,
    }
    return Answers(first.samples, tuple(outcomes), scores, columns, first.group_names, first.ids)
