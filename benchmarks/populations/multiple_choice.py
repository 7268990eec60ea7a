"""Pictures with one to five questions of four choices each: a picture is easy or hard for all of them."""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.multiple_choice import METRICS as SCORED

METRICS = tuple(metric.name for metric in SCORED)


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers to questions about so many pictures: known ones are right, of the others a quarter by chance."""
    picture = np.repeat(np.arange(groups), rng.integers(1, 6, groups))
    n = len(picture)
    knows = rng.normal(0, 1, groups)[picture] + rng.normal(0, 1, n) > 0.2
    right = knows | (rng.random(n) < 0.25)
    unread = ~knows & (rng.random(n) < 0.3)
    refused = unread & (rng.random(n) < 0.5)
    return Answers(
        samples=tuple(map(str, range(n))),
        outcomes=tuple(np.where(refused, "refused", np.where(unread, "malformed", "parsed")).tolist()),
        scores={"right": (right & ~unread) * 1.0, "wrong": (~right & ~unread) * 1.0},
        group_names=tuple(map(str, picture)),
    )
