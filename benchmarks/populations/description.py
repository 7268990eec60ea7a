"""A population of descriptions: pictures that are described one to five times, the times of one picture alike."""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.description.search import RANKS

METRICS = (
    "colour_f1",
    "colour_precision",
    "colour_recall",
    "colour_cover",
    "chair_i",
    "chair_s",
    *(f"found_at_{rank}" for rank in RANKS),
    "category_micro_f1",
    "category_macro_f1",
    "words",
    "distinct_1",
    "distinct_2",
    "repeated_4",
    "longest_run",
    "parsed_share",
)
LABELS = ("beach", "city", "farm", "forest", "night", "snow")
OFTEN = np.array([0.45, 0.35, 0.3, 0.25, 0.2, 0.15])
"""How often a picture is of a category."""


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers to pictures; how good they are differs from picture to picture more than from time to time."""
    sizes = rng.integers(1, 6, groups)
    group = np.repeat(np.arange(groups), sizes)
    n = len(group)
    skill = rng.normal(0, 1, groups)[group] + rng.normal(0, 0.7, n)

    def chance(offset: float) -> np.ndarray:
        """Probabilities that rise with the skill."""
        return np.asarray(1 / (1 + np.exp(-(skill + offset))))

    read = rng.random(n) < chance(2.5)
    main, named = rng.integers(1, 4, groups)[group], rng.integers(1, 5, n)
    right = rng.binomial(np.minimum(main, named), chance(0.3))
    claimed = rng.poisson(2.5, n)
    invented = rng.binomial(claimed, 1 - chance(1.0))
    nearness = rng.random(n) * (1 - chance(0.0)) * 40
    words = np.round(np.exp(rng.normal(3.2, 0.5, groups)[group] + rng.normal(0, 0.3, n))) + 1
    repeats = np.where(rng.random(n) < 0.3, rng.beta(1, 4, n), 0.0)
    true = rng.random((groups, len(LABELS))) < OFTEN
    true[np.arange(groups), rng.integers(0, len(LABELS), groups)] = True
    said = np.where(
        true[group], rng.random((n, len(LABELS))) < chance(0.6)[:, None], rng.random((n, len(LABELS))) < 0.08
    )
    said &= read[:, None]

    def described(values: np.ndarray) -> np.ndarray:
        return np.where(read, values, np.nan)

    scores = {
        "colour_f1": np.where(read, 2 * right / (main + named), 0.0),
        "colour_precision": described(right / named),
        "colour_recall": np.where(read, right / main, 0.0),
        "colour_cover": np.where(read, chance(0.3), 0.0),
        "claimed": described(claimed),
        "invented": described(invented),
        "invents": described(invented > 0),
        **{f"found_at_{rank}": (read & (nearness < rank)).astype(float) for rank in RANKS},
        "words": described(words),
        "distinct_1": described(1 - 0.6 * repeats - 0.1 * rng.random(n)),
        "distinct_2": described(1 - 0.8 * repeats),
        "repeated_4": described(repeats),
        "longest_run": described(np.where(repeats > 0.2, rng.geometric(0.3, n), 0)),
    }
    columns = {
        "categories": tuple(_labels(row) for row in true[group]),
        "named": tuple(_labels(row) for row in said),
    }
    return Answers(
        tuple(f"s{i}" for i in range(n)),
        tuple("parsed" if one else "malformed" for one in read),
        scores,
        columns,
        tuple(f"g{number}" for number in group),
    )


def _labels(row: np.ndarray) -> tuple[str, ...]:
    return tuple(label for label, there in zip(LABELS, row, strict=True) if there)
