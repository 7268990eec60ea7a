"""Documents with one to five questions each: a document is easy or hard for all, and some have right answers."""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.document_questions.score import METRICS as SCORED

METRICS = tuple(metric.name for metric in SCORED)
CHUNK = 20
"""Content words of an answer, of which a chunk holds some."""


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers about so many documents: a quarter unread, three fifths of the others carried by a chunk."""
    sizes = rng.integers(1, 6, groups)
    group = np.repeat(np.arange(groups), sizes)
    n = len(group)
    skill = rng.normal(0, 1, groups)[group] + rng.normal(0, 0.8, n)
    unread = np.select([skill < -1.6, skill < -1.3, skill < -1.0], ["refused", "echoed", "malformed"], "parsed")
    read = unread == "parsed"
    held = rng.binomial(CHUNK, 1 / (1 + np.exp(-(0.4 + 0.8 * skill)))) / CHUNK
    faithful = np.minimum(1.0, held + rng.binomial(CHUNK, 0.1, n) / CHUNK)
    nearest = rng.random(n) < 0.7
    words = np.round(np.exp(rng.normal(3, 0.4, groups)[group] + rng.normal(0, 0.4, n))) + 1
    f1 = np.where(read, rng.beta(2, 4, n) * (held > 0.2), 0.0)
    known = rng.random(groups)[group] < 0.8

    def of_read(values: np.ndarray) -> np.ndarray:
        return np.where(read, values, np.nan)

    return Answers(
        samples=tuple(map(str, range(n))),
        outcomes=tuple(unread.tolist()),
        scores={
            "token_f1": np.where(known, f1, np.nan),
            "supported": of_read((held >= 0.5) * 1.0),
            "first_support": of_read(((held >= 0.5) & nearest) * 1.0),
            "faithfulness": of_read(faithful),
            "words": of_read(words),
        },
        group_names=tuple(map(str, group)),
    )
