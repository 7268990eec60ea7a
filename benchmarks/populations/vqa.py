"""Pictures with one to five questions each: a picture is easy or hard for all of them, and some entail others."""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.vqa import METRICS as SCORED

METRICS = tuple(metric.name for metric in SCORED)
MOST = 5


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers to questions about so many pictures: a seventh unread, two fifths right; half of all pairs entailed."""
    there = np.arange(MOST) < rng.integers(1, MOST + 1, groups)[:, None]
    hardness = rng.normal(0, 1, groups)[:, None] + rng.normal(0, 1, (groups, MOST))
    right = there & (hardness < -0.3)
    refused = ~right & (rng.random((groups, MOST)) < 0.4) & (hardness > 0.8)
    unread = refused | (~right & (rng.random((groups, MOST)) < 0.12))
    entails = (
        there[:, :, None] & there[:, None, :] & (rng.random((groups, MOST, MOST)) < 0.5) & ~np.eye(MOST, dtype=bool)
    )
    entailed = entails.sum(axis=2)
    shares = (entails & right[:, None, :]).sum(axis=2) / np.maximum(entailed, 1)
    consistent = np.where(right & (entailed > 0), shares, np.nan)
    outcomes = np.where(refused, "refused", np.where(unread, "malformed", "parsed"))[there]
    return Answers(
        samples=tuple(map(str, range(int(there.sum())))),
        outcomes=tuple(outcomes.tolist()),
        scores={
            "right": right[there] * 1.0,
            "wrong": (~right & ~unread)[there] * 1.0,
            "consistent": consistent[there],
        },
        group_names=tuple(map(str, np.nonzero(there)[0])),
    )
