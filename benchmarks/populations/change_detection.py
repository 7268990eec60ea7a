"""Pairs of pictures, one to five of one place: a place is hard or easy, and much or little changes in it."""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.change_detection.score import METRICS as SCORED
from paceline.tasks.change_detection.score import scores_of

METRICS = tuple(metric.name for metric in SCORED)
CLASSES = ("built", "removed", "damaged")


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers about so many places: a third of the pairs unchanged, counts told with an error, some unread."""
    sizes = rng.integers(1, 6, groups)
    place = np.repeat(np.arange(groups), sizes)
    n = len(place)
    much, hard = rng.gamma(2.0, 0.5, groups)[place], rng.normal(0, 1, groups)[place]
    changed = rng.random(n) < 0.65
    truth = rng.poisson(much[:, None] * np.array([1.0, 0.9, 0.8])) * changed[:, None]
    slips = rng.random((n, 3)) < 1 / (1 + np.exp(1.0 - hard))[:, None]
    told = np.maximum(0, truth + slips * rng.integers(-2, 4, (n, 3)))
    unread = rng.random(n)
    outcomes = np.full(n, "parsed", dtype=object)
    outcomes[unread < 0.1] = "malformed"
    outcomes[(unread < 0.03) | (hard > 2.0)] = "refused"
    read = outcomes == "parsed"
    changes = (True,) * len(CLASSES)
    judged = [
        scores_of(t, s if r else None, changes, bool(s.sum()) if r else None)
        for t, s, r in zip(truth.tolist(), told, read, strict=True)
    ]
    scores = {
        name: np.array([np.nan if j[name] is None else float(j[name] or 0) for j in judged]) for name in judged[0]
    }
    for name, share in (("absent", 0.1), ("unknown", 0.05)):
        scores[name] = np.where(read, rng.random(n) < share, np.nan)
    return Answers(
        samples=tuple(map(str, range(n))),
        outcomes=tuple(outcomes),
        scores=scores,
        columns={
            "classes": (CLASSES,) * n,
            "changes": (changes,) * n,
            "truth": truth.astype(float),
            "told": np.where(read[:, None], told, np.nan).astype(float),
            "label": ("",) * n,
        },
        group_names=tuple(map(str, place)),
    )
