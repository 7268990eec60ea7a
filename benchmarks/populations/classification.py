"""Pictures of six sports, of which one to five are of one scene: a scene is easy or hard for all of them."""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.classification.score import METRICS as SCORED

METRICS = tuple(metric.name for metric in SCORED)
CLASSES = 6


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers about so many scenes: some unread, some sports harder, most mistakes for the next sport."""
    sizes = rng.integers(1, 6, groups)
    scene = np.repeat(np.arange(groups), sizes)
    n = len(scene)
    # In turn, as test sets hold them: what differs between draws is the scenes and not how many each sport has.
    truth = (np.arange(groups) % CLASSES)[scene]
    hardness = rng.normal(0, 1, groups)[scene] + (truth % 4) * 0.5
    slip = rng.normal(0, 1, n) + hardness
    said = np.where(slip > 1.0, (truth + 1 + (rng.random(n) < 0.3) * rng.integers(0, CLASSES - 2, n)) % CLASSES, truth)
    unread = rng.random(n)
    outcomes = np.full(n, "parsed", dtype=object)
    outcomes[unread < 0.1] = "malformed"
    outcomes[(unread < 0.03) | (hardness > 2.0)] = "refused"
    read = outcomes == "parsed"
    right = read & (said == truth)
    exact = right & (rng.random(n) < 0.7)
    return Answers(
        samples=tuple(map(str, range(n))),
        outcomes=tuple(outcomes),
        scores={"right": right * 1.0, "exact": exact * 1.0, "wrong": (read & ~right) * 1.0},
        columns={
            "class": tuple(f'"sport {t}"' for t in truth),
            "label": tuple(f'"sport {s}"' if r else "" for s, r in zip(said, read, strict=True)),
        },
        group_names=tuple(map(str, scene)),
    )
