"""How far two people agree beyond chance: Cohen's kappa of their marks, yes and no or one of several choices.

Computed here, as scikit-learn's ``cohen_kappa_score`` does, which a login node should not load; a test compares both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paceline import stats
from paceline.stats import Interval

FEWEST_GROUPS = 100
"""Samples below which the bootstrap's interval is too short, and none is shown."""
MOST_UNDEFINED = 0.01
"""Share of resamples that may have no kappa."""

Marks = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of two people's marks."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Answers that both marked."""
    equal: int
    """Those that both marked alike."""
    why: str
    """Why there is no kappa, or no interval; empty where there are both."""

    @property
    def interval(self) -> Interval:
        """The same as an interval."""
        return Interval(self.value, self.low, self.high, self.n)


def cohen_kappa(a: Marks, b: Marks, groups: npt.NDArray[np.int_]) -> Kappa:
    """Cohen's kappa (Cohen 1960, Educational and Psychological Measurement 20) with a bootstrap interval.

    Args:
        a: what one person marked, text (n,): the same where it means the same.
        b: what the other marked of the same answers.
        groups: the sample of each answer, int (n,): samples are drawn, as answers to one sample are alike.
    """
    n, equal = len(a), int((a == b).sum())
    if not n:
        return Kappa(None, None, None, 0, 0, "no answer in common")
    classes = np.unique(np.concatenate([a, b]))
    alike, ours, theirs = (a == b).astype(float), *((one[:, None] == classes).astype(float) for one in (a, b))
    value = float(_kappa(np.ones((1, n)), alike, ours, theirs)[0])
    if not np.isfinite(value):
        return Kappa(None, None, None, n, equal, f"undefined: both say {a[0]} to all")
    _, numbers = np.unique(groups, return_inverse=True)
    size = int(numbers.max()) + 1
    if equal == n:
        return Kappa(value, None, None, n, equal, "no interval where they always agree")
    if size < FEWEST_GROUPS:
        return Kappa(value, None, None, n, equal, f"no interval below {FEWEST_GROUPS} samples")
    drawn = np.concatenate([_kappa(often, alike, ours, theirs) for often in stats.draws(numbers)])
    known = drawn[np.isfinite(drawn)]
    ends = stats.percentiles(known) if len(known) >= (1 - MOST_UNDEFINED) * len(drawn) else None
    if ends is None:
        return Kappa(value, None, None, n, equal, "no interval: nearly all marks are equal")
    return Kappa(value, *ends, n, equal, "")


def _kappa(often: stats.Floats, alike: stats.Floats, a: stats.Floats, b: stats.Floats) -> stats.Floats:
    """Kappa of each resample, float64 (rows,); NaN where chance alone would agree always.

    Args:
        often: how often each answer was drawn, float64 (rows, n).
        alike: 1 where both marked the same, float64 (n,).
        a: 1 in the column of what one person marked, float64 (n, classes); ``b`` likewise.
    """
    total = often.sum(axis=1)
    observed = often @ alike / total
    expected = ((often @ a) * (often @ b)).sum(axis=1) / total**2
    by_chance = 1 - expected
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(by_chance > 1e-12, (observed - expected) / by_chance, np.nan))
