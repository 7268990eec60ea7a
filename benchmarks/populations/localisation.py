"""Phrases about tiles, one to five of a tile: a tile is easy or hard for all of them; objects small and large.

Of each true box the IoU of the one that was answered is drawn, both of equal area. Average precision has no interval.
"""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.localisation.score import METRICS as SCORED
from paceline.tasks.localisation.score import THRESHOLDS

METRICS = tuple(
    metric.name
    for metric in SCORED
    if not metric.name.startswith("map_") and metric.outcome not in ("out_of_range", "echoed")  # drawn as malformed
)
MOST = 3


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers about so many tiles: some unread, most near, some elsewhere; one to three true boxes of a phrase."""
    tile = np.repeat(np.arange(groups), rng.integers(1, 6, groups))
    n = len(tile)
    hard = rng.normal(0, 1, groups)[tile]
    fate = rng.random(n)
    outcomes = np.full(n, "parsed", dtype=object)
    outcomes[fate < 0.1] = "malformed"
    outcomes[(fate < 0.03) | (hard > 2)] = "refused"
    read = outcomes == "parsed"
    asked = rng.integers(1, MOST + 1, n)
    there = np.arange(MOST) < asked[:, None]
    area = np.where(there, np.exp(rng.uniform(np.log(144), np.log(40_000), (n, MOST))), 0)
    answered = there & read[:, None] & (rng.random((n, MOST)) > 0.15)
    overlap = 1 / (1 + np.exp(rng.normal(-1.2, 1, (n, MOST)) + hard[:, None]))
    overlap = np.where(answered & (rng.random((n, MOST)) > 0.05), overlap, 0)
    wrong = np.where(read & (rng.random(n) < 0.2), 1, 0)  # a box where nothing is
    said = answered.sum(axis=1) + wrong
    iou = overlap.sum(axis=1) / np.maximum(said, asked)
    common = (2 * area * overlap / (1 + overlap)).sum(axis=1)
    covered = area.sum(axis=1) + (area * answered).sum(axis=1) + wrong * 3000
    return Answers(
        samples=tuple(map(str, range(n))),
        outcomes=tuple(outcomes),
        scores={
            **{f"at_{t}": (iou >= t / 100) * 1.0 for t in THRESHOLDS},
            "iou": iou,
            "iou_read": np.where(read, iou, np.nan),
            "wrong": (read & (iou < 0.5)) * 1.0,
            "found": (overlap >= 0.5).sum(axis=1) * 1.0,
            "scored": np.zeros(n),
        },
        columns={
            "answered": tuple((0,) * k for k in said),
            "true": tuple((0,) * k for k in asked),
            "intersection": common,
            "union": covered - common,
        },
        group_names=tuple(map(str, tile)),
    )
