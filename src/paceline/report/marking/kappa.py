"""How far two people agree beyond chance: Cohen's kappa of their yes and no.

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

Booleans = npt.NDArray[np.bool_]


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


def cohen_kappa(a: Booleans, b: Booleans, groups: npt.NDArray[np.int_]) -> Kappa:
    """Cohen's kappa (Cohen 1960, Educational and Psychological Measurement 20) with a bootstrap interval.

    Args:
        a: what one person marked, bool (n,).
        b: what the other marked of the same answers.
        groups: the sample of each answer, int (n,): samples are drawn, as answers to one sample are alike.
    """
    n, equal = len(a), int((a == b).sum())
    if not n:
        return Kappa(None, None, None, 0, 0, "no answer in common")
    value = float(_kappa(np.ones((1, n)), a, b)[0])
    if not np.isfinite(value):
        return Kappa(None, None, None, n, equal, f"undefined: both say {'yes' if a[0] else 'no'} to all")
    _, numbers = np.unique(groups, return_inverse=True)
    size = int(numbers.max()) + 1
    if equal == n:
        return Kappa(value, None, None, n, equal, "no interval where they always agree")
    if size < FEWEST_GROUPS:
        return Kappa(value, None, None, n, equal, f"no interval below {FEWEST_GROUPS} samples")
    drawn = np.concatenate([_kappa(often, a, b) for often in stats.draws(numbers)])
    known = drawn[np.isfinite(drawn)]
    ends = stats.percentiles(known) if len(known) >= (1 - MOST_UNDEFINED) * len(drawn) else None
    if ends is None:
        return Kappa(value, None, None, n, equal, "no interval: nearly all marks are equal")
    return Kappa(value, *ends, n, equal, "")


def _kappa(often: stats.Floats, a: Booleans, b: Booleans) -> stats.Floats:
    """Kappa of each resample, float64 (rows,); NaN where chance alone would agree always."""
    total = often.sum(axis=1)
    observed = often @ (a == b).astype(float) / total
    yes_a, yes_b = often @ a.astype(float) / total, often @ b.astype(float) / total
    expected = yes_a * yes_b + (1 - yes_a) * (1 - yes_b)
    by_chance = 1 - expected
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(by_chance > 1e-12, (observed - expected) / by_chance, np.nan))
