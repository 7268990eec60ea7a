"""Tiles with one to five questions of four types: a tile is easy or hard for all of them, a type for all tiles."""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.satellite_vqa.score import METRICS as SCORED

METRICS = tuple(metric.name for metric in SCORED)
TYPES = ("area", "comp", "count", "presence")
OFTEN = (0.15, 0.35, 0.25, 0.25)


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers to questions about so many tiles: areas and counts are right less often, a seventh is not read."""
    tile = np.repeat(np.arange(groups), rng.integers(1, 6, groups))
    n = len(tile)
    sort = rng.choice(len(TYPES), n, p=OFTEN)
    ease = rng.normal(0, 1, groups)[tile] + rng.normal(0, 1, n) + np.array([-0.9, 0.4, -0.4, 0.8])[sort]
    right = ease > 0
    unread = ~right & (rng.random(n) < 0.3)
    refused = unread & (rng.random(n) < 0.5)
    in_ranges = np.isin(sort, (0, 2))
    exact = right & (~in_ranges | (rng.random(n) < 0.4))
    return Answers(
        samples=tuple(map(str, range(n))),
        outcomes=tuple(np.where(refused, "refused", np.where(unread, "malformed", "parsed")).tolist()),
        scores={"right": right * 1.0, "wrong": (~right & ~unread) * 1.0, "exact": exact * 1.0},
        columns={"type": tuple(TYPES[i] for i in sort)},
        group_names=tuple(map(str, tile)),
    )
