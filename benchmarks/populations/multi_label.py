"""Tiles of six classes, one to three of them a tile or more, of which one to five are of one scene.

A scene's tiles share what they show, and how well the model sees it; each answer has a score for every class.
"""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.multi_label.score import METRICS as SCORED

METRICS = tuple(metric.name for metric in SCORED)
CLASSES = ("fields", "pastures", "mixed forest", "urban", "water", "heath")
OFTEN = np.array([0.6, 0.5, 0.4, 0.35, 0.3, 0.3])


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers about the tiles of so many scenes: some unread, some classes seen better than others."""
    sizes = rng.integers(1, 6, groups)
    scene = np.repeat(np.arange(groups), sizes)
    n, m = len(scene), len(CLASSES)
    shown = np.where(rng.random((n, m)) < 0.8, (rng.random((groups, m)) < OFTEN)[scene], rng.random((n, m)) < OFTEN)
    shown[~shown.any(axis=1), 0] = True
    seen = rng.normal(0, 0.6, groups)[scene, None] + np.linspace(1.6, 0.6, m)
    score = np.where(shown, seen, -1.0) + rng.normal(0, 1, (n, m))
    claimed = score > 0
    unread = rng.random(n)
    outcomes = np.where(claimed.any(axis=1), "parsed", "malformed").astype(object)
    outcomes[unread < 0.1] = "malformed"
    outcomes[unread < 0.04] = "refused"
    claimed[outcomes != "parsed"] = False
    right = (shown & claimed).sum(axis=1)
    read, exact = outcomes == "parsed", (shown == claimed).all(axis=1)

    def names(table: np.ndarray) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(name for name, there in zip(CLASSES, row, strict=True) if there) for row in table)

    return Answers(
        samples=tuple(map(str, range(n))),
        outcomes=tuple(outcomes),
        scores={
            "jaccard": right / (shown | claimed).sum(axis=1),
            "exact": exact * 1.0,
            "partly": (read & ~exact & (right > 0)) * 1.0,
            "wrong": (read & (right == 0)) * 1.0,
            "ranked": np.ones(n),
        },
        columns={
            "true": names(shown),
            "claimed": names(claimed),
            "ranked": tuple(dict(zip(CLASSES, row, strict=True)) for row in score.round(2).tolist()),
        },
        group_names=tuple(map(str, scene)),
    )
