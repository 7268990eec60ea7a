"""Pictures with one to five questions each, answered by ten people: a picture is easy or hard for all of them."""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.consensus import credit
from paceline.tasks.vqa_consensus import METRICS as SCORED

METRICS = tuple(metric.name for metric in SCORED)
CREDITS = np.array([credit(people, 10) for people in range(11)])


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers to questions about so many pictures: a fifth unread, and of the others as many people gave each as a
    binomial says, whose share is the picture's and the question's.
    """
    picture = np.repeat(np.arange(groups), rng.integers(1, 6, groups))
    n = len(picture)
    agreement = 1 / (1 + np.exp(rng.normal(0.5, 1, groups)[picture] + rng.normal(0.5, 1.5, n)))
    credits = CREDITS[rng.binomial(10, agreement)]
    outcomes = np.where(rng.random(n) < 0.1, "malformed", "parsed").astype(object)
    outcomes[rng.normal(0, 1, n) > agreement * 2 + 0.8] = "refused"
    read = outcomes == "parsed"
    held = credits * read
    return Answers(
        samples=tuple(map(str, range(n))),
        outcomes=tuple(outcomes),
        scores={
            "credit": held,
            # The evaluation code counts some answers that were not read, and some that were read otherwise.
            "official": np.where(rng.random(n) < 0.05, CREDITS[rng.binomial(10, agreement)], held),
            "right": (read & (held == 1)) * 1.0,
            "partly": (read & (held > 0) & (held < 1)) * 1.0,
            "wrong": (read & (held == 0)) * 1.0,
        },
        group_names=tuple(map(str, picture)),
    )
