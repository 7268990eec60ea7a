"""A judge that marks most answers by a few kinds of failure, with answers about one picture marked alike."""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.failure_kinds import FAILURE

METRICS = (*(f"{name}_share" for name in FAILURE.choices), "accuracy", "parsed_share")
SHARES = np.array([0.25, 0.1, 0.3, 0.15, 0.1, 0.07, 0.03])


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers about so many pictures, one to five each: half of a picture's repeat its first kind."""
    names = tuple(FAILURE.choices)
    sizes = rng.integers(1, 6, groups)
    of = np.repeat(np.arange(groups), sizes)
    first = rng.choice(len(names), groups, p=SHARES)[of]
    kind = np.where(rng.random(len(of)) < 0.5, first, rng.choice(len(names), len(of), p=SHARES))
    read = rng.random(len(of)) < 0.95
    scores = {name: ((kind == i) & read).astype(float) for i, name in enumerate(names)}
    scores["as_marked"] = (read & (rng.random(len(of)) < np.where(rng.random(groups)[of] < 0.5, 0.5, 0.8))).astype(
        float
    )
    samples = tuple(map(str, range(len(of))))
    outcomes = tuple("parsed" if one else "malformed" for one in read)
    return Answers(samples, outcomes, scores, {}, tuple(map(str, of)))
