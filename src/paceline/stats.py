"""Statistics of comparisons: intervals and paired tests. numpy only, seeded, and the same on every machine.

Intervals are percentile bootstrap intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13)
unless stated otherwise. NaN and infinities are refused: a miss has to be counted before it gets here, not dropped.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
RESAMPLES = 1000
SEED = 0

# Numbers in one block of resamples: 1 Mi of int32 indices and float64 values are 12 MiB, near what a cache holds.
_BLOCK = 1 << 20
# Draws that are kept for the next pair of cells: at most 32 of 2 MiB.
_KEPT = 1 << 18
_Z = {0.90: 1.6448536269514722, 0.95: 1.959963984540054, 0.99: 2.5758293035489004}

Floats = npt.NDArray[np.float64]
Statistic = str | Callable[..., Any]
"""A name (``mean``, ``median``, ``std``) or a numpy-like function that takes ``axis``."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, in the unit of the values; all ``None`` where there are no values."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Change:
    """The statistic of b minus that of a, with its interval. Unpacks as (value, low, high)."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided: twice the smaller share of resamples on either side of zero, at least 1/(resamples + 1)."""
    n: int

    def __iter__(self) -> Iterator[float]:
        return iter((self.value, self.low, self.high))


def bootstrap_interval(
    values: npt.ArrayLike,
    statistic: Statistic = "mean",
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Percentile bootstrap interval of a statistic of one sample.

    ``std`` is the population standard deviation (``numpy.std``). A single value has the interval of zero width that
    the bootstrap gives it; read ``n`` beside it.

    Raises:
        ValueError: a value is not finite, or the values are not a plain list.
    """
    x = _finite(values)
    function, name = _statistic(statistic)
    if x.size == 0:
        return Interval(None, None, None, 0)
    value = float(function(x))
    if x.min() == x.max() and name is not None:
        return Interval(value, value, value, int(x.size))
    rng = np.random.default_rng(seed)
    low, high = _percentiles(_resampled(x, function, name, resamples, rng), level)
    return Interval(value, low, high, int(x.size))


def bootstrap_mean_interval(
    values: npt.ArrayLike, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = SEED
) -> Interval:
    """Percentile bootstrap interval of the mean."""
    return bootstrap_interval(values, "mean", level=level, resamples=resamples, seed=seed)


def wilson_interval(k: int, n: int, *, level: float = LEVEL) -> Interval:
    """Wilson's score interval of the share k / n (Wilson 1927; Brown, Cai and DasGupta 2001, Statistical Science 16).

    Used for shares in place of the bootstrap: the percentile bootstrap of a share is a binomial quantile, with which
    this agrees to a few hundredths of a point at n in the thousands, but at 0 or n hits the bootstrap collapses to
    zero width and would claim certainty. 8.5 % of 2,250 (k = 191) gives 7.4 to 9.7 %.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} hits of {n}")
    if n == 0:
        return Interval(None, None, None, 0)
    return Interval(k / n, *_wilson(k / n, n, _normal_quantile(level)), n)


def _wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """The ends of the score interval of a share p of n, which may be no whole number."""
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the ends the bound is exact; rounding would leave it a hair off.
    return 0.0 if p == 0 else centre - half, 1.0 if p == 1 else centre + half


def newcombe_interval(k1: int, n1: int, k2: int, n2: int, *, level: float = LEVEL) -> Interval:
    """Interval of the difference k2 / n2 − k1 / n1 of the shares of two independent samples.

    Made from the two Wilson intervals (Newcombe 1998, Statistics in Medicine 17, method 10). On the same samples a
    paired test tells more apart; this is for tables that show no pairs. ``n`` is that of both together.
    """
    a, b = wilson_interval(k1, n1, level=level), wilson_interval(k2, n2, level=level)
    if None in (a.value, a.low, a.high, b.value, b.low, b.high):
        return Interval(None, None, None, n1 + n2)
    p, l1, u1 = float(a.value or 0), float(a.low or 0), float(a.high or 0)
    q, l2, u2 = float(b.value or 0), float(b.low or 0), float(b.high or 0)
    return Interval(q - p, q - p - math.hypot(q - l2, u1 - p), q - p + math.hypot(u2 - q, p - l1), n1 + n2)


def paired_bootstrap(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    statistic: Statistic = "mean",
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Change:
    """The change from ``a`` to ``b``, which hold the same samples in the same order: samples are drawn, not values.

    Raises:
        ValueError: the lengths differ, there are no values, or one is not finite.
    """
    x, y = _finite(a), _finite(b)
    if x.size != y.size:
        raise ValueError(f"paired values need equal lengths, not {x.size} and {y.size}")
    if x.size == 0:
        raise ValueError("no values to compare")
    function, name = _statistic(statistic)
    value = float(function(y)) - float(function(x))
    if name == "mean":
        drawn = np.concatenate([often @ (y - x) / x.size for often in _draws(x.size, resamples, seed)])
    elif name == "median":
        drawn = np.concatenate([_medians(y, often) - _medians(x, often) for often in _draws(x.size, resamples, seed)])
    else:
        indices = _indices(x.size, resamples, np.random.default_rng(seed))
        drawn = np.concatenate([function(y[index], axis=1) - function(x[index], axis=1) for index in indices])
    return change_of(value, drawn, int(x.size), level=level)


def draws(of: int | npt.NDArray[np.int_], *, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[Floats]:
    """How often each sample is in each resample, shape (rows, n), in blocks of bounded size.

    Args:
        of: the number of samples; or the group of each sample, int (n,), numbered from 0: then whole groups are drawn
            (the cluster bootstrap: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).
        resamples: resamples in all.
        seed: of the draws, which are the same for the same samples.
    """
    if isinstance(of, int):
        yield from _draws(of, resamples, seed)
        return
    for often in _draws(int(of.max()) + 1, resamples, seed):
        yield often[:, of]


def grouped_interval(
    values: npt.ArrayLike, groups: npt.NDArray[np.int_], statistic: str = "mean", *, seed: int = SEED
) -> Interval:
    """Percentile interval of a mean, a median or a std of values that come in groups, by drawing whole groups.

    With few groups (fewer than about 20) such an interval is too short.
    """
    x = _finite(values)
    if x.size == 0:
        return Interval(None, None, None, 0)
    function, _ = _statistic(statistic)
    low, high = _percentiles(_grouped_statistic(x, groups, statistic, seed), LEVEL)
    return Interval(float(function(x)), low, high, int(x.size))


def studentised_interval(
    values: npt.ArrayLike,
    groups: npt.NDArray[np.int_] | None = None,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Bootstrap-t interval of a mean that few values far above the rest make up, such as a count that is mostly zero.

    How far a resample's mean lies from the mean is counted in its own standard errors (Efron and Tibshirani,
    chapter 12), so that a resample which missed the large values is known to be worth less: the percentile interval
    ends too low there. Where values come in groups, whole groups are drawn, and the standard error is that of groups.

    Returns:
        The interval; no ends where a fortieth of the resamples hold values all alike, or there is one group: nothing
        tells of the spread then.
    """
    x = _finite(values)
    if x.size == 0:
        return Interval(None, None, None, 0)
    mean = float(x.mean())
    if x.min() == x.max():
        return Interval(mean, mean, mean, int(x.size))
    numbers = np.arange(x.size) if groups is None else np.unique(groups, return_inverse=True)[1]
    # Centred first, so that the difference of squares loses no digits.
    sizes = np.bincount(numbers).astype(np.float64)
    sums = np.asarray(np.bincount(numbers, x - mean), dtype=np.float64)
    if sizes.size == 1:
        return Interval(mean, None, None, int(x.size))
    deviations = []
    for often in draws(sizes.size, resamples=resamples, seed=seed):
        off, own = _off_centre(often, sizes, sums)
        alike = own <= 1e-9 * np.abs(off)
        with np.errstate(divide="ignore", invalid="ignore"):
            deviations.append(np.where(alike, np.copysign(np.inf, off), off / own))
    low, high = _whole_percentiles(np.concatenate(deviations), level)
    with np.errstate(invalid="ignore"):
        ends = mean - np.array([high, low]) * _off_centre(np.ones((1, sizes.size)), sizes, sums)[1]
    known = bool(np.isfinite(ends).all())
    return Interval(mean, float(ends[0]) if known else None, float(ends[1]) if known else None, int(x.size))


def _off_centre(often: Floats, sizes: Floats, sums: Floats) -> tuple[Floats, Floats]:
    """Means of resamples of groups, float64 (resamples,), and their standard errors, between groups."""
    n = often @ sizes
    off = often @ sums / n
    spread = often @ sums**2 - 2 * off * (often @ (sums * sizes)) + off**2 * (often @ sizes**2)
    return off, np.sqrt(np.maximum(spread, 0.0) * sizes.size / (sizes.size - 1)) / n


def _whole_percentiles(drawn: Floats, level: float) -> tuple[float, float]:
    """Percentiles that are values of resamples, of which some may be infinite."""
    ordered = np.sort(drawn)
    cut = int((1 - level) / 2 * drawn.size)
    return float(ordered[cut]), float(ordered[drawn.size - 1 - cut])


def grouped_share(hits: npt.ArrayLike, groups: npt.NDArray[np.int_], *, level: float = LEVEL) -> Interval:
    """Wilson's interval of the share of hits that come in groups, with as many samples as they are worth.

    Answers to questions about one picture are alike, so n of them tell less than n pictures. They are worth
    p (1 − p) / v, where v is the variance of the share between groups, but never more than n (Kish 1965, Survey
    Sampling, section 8.2; Korn and Graubard 1998, Survey Methodology 24). Student's quantile of G − 1 stands for the
    normal one, as v is estimated from G groups. Where all are hits or none is, nothing tells how alike a group's
    are: then each group counts as one. A bootstrap of groups would be too short for shares near 0 or 1.
    """
    x = _finite(hits)
    if x.size == 0:
        return Interval(None, None, None, 0)
    _, numbers = np.unique(groups, return_inverse=True)
    of_groups, share = int(numbers.max()) + 1, float(x.mean())
    worth = float(of_groups)
    if 0 < share < 1 and of_groups > 1:
        off = np.bincount(numbers, x - share)
        variance = float(off @ off) * of_groups / (of_groups - 1) / x.size**2
        worth = min(float(x.size), share * (1 - share) / variance) if variance else float(x.size)
    return Interval(share, *_wilson(share, worth, _student_quantile(level, max(1, of_groups - 1))), int(x.size))


def grouped_change(
    a: npt.ArrayLike, b: npt.ArrayLike, groups: npt.NDArray[np.int_], statistic: str = "mean", *, seed: int = SEED
) -> Change:
    """:func:`paired_bootstrap` of values that come in groups, by drawing whole groups."""
    x, y = _finite(a), _finite(b)
    middle = np.median if statistic == "median" else np.mean
    drawn = _grouped_statistic(y, groups, statistic, seed) - _grouped_statistic(x, groups, statistic, seed)
    return change_of(float(middle(y) - middle(x)), drawn, int(x.size))


def change_of(value: float, drawn: Floats, n: int, *, level: float = LEVEL) -> Change:
    """A change whose resamples are known, such as that of a statistic of the set; those that have no value left out."""
    known = drawn[np.isfinite(drawn)]
    if not known.size:
        return Change(value, math.nan, math.nan, 1.0, n)
    low, high = _percentiles(known, level)
    # One is added to both counts: the observed sample is itself one of the possible draws, so p is never 0.
    below, above = int((known <= 0).sum()) + 1, int((known >= 0).sum()) + 1
    return Change(value, low, high, min(1.0, 2 * min(below, above) / (known.size + 1)), n)


def percentiles(drawn: Floats, *, level: float = LEVEL) -> tuple[float, float] | None:
    """The ends of the percentile interval; None where there is no resample."""
    return _percentiles(drawn, level) if drawn.size else None


def _grouped_statistic(x: Floats, groups: npt.NDArray[np.int_], statistic: str, seed: int) -> Floats:
    _, numbers = np.unique(groups, return_inverse=True)
    if statistic == "median":
        order = np.argsort(x, kind="stable")
        return np.concatenate([_weighted_medians(x[order], often[:, order]) for often in draws(numbers, seed=seed)])
    # Sums over groups do for moments. Centred first, so that the difference of squares loses no digits.
    middle = float(x.mean())
    sums = np.stack([np.bincount(numbers, v) for v in (np.ones_like(x), x - middle, (x - middle) ** 2)], axis=1)
    resampled = []
    for often in draws(len(sums), seed=seed):
        n, first, second = (often @ sums).T
        mean = first / n
        resampled.append(np.sqrt(np.maximum(second / n - mean**2, 0.0)) if statistic == "std" else middle + mean)
    return np.concatenate(resampled)


def _weighted_medians(ordered: Floats, often: Floats) -> Floats:
    """The medians of resamples of unequal sizes that hold each of the sorted values so often."""
    passed = np.cumsum(often, axis=1)
    half = passed[:, -1:] / 2
    lower, upper = (passed >= half).argmax(axis=1), (passed > half).argmax(axis=1)
    return np.asarray((ordered[lower] + ordered[upper]) / 2, dtype=np.float64)


def mcnemar_exact(a_hits: npt.ArrayLike, b_hits: npt.ArrayLike) -> float:
    """Two-sided exact p of McNemar's test on paired hits (McNemar 1947; binomial with 1/2 on the discordant pairs).

    1.0 where no pair is discordant.
    """
    a, b = np.asarray(a_hits).astype(bool), np.asarray(b_hits).astype(bool)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"paired hits need equal lengths, not {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n, k = only_a + only_b, min(only_a, only_b)
    if n == 0:
        return 1.0
    # log of C(n, i) / 2^n, summed from the largest term down, so that n in the thousands does not underflow.
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(k + 1)]
    top = max(logs)
    tail = math.exp(top) * math.fsum(math.exp(v - top) for v in logs)
    return min(1.0, 2 * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979): they control the family-wise error."""
    p = _finite(p_values)
    if p.size and (p.min() < 0 or p.max() > 1):
        raise ValueError("p-values lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(v) for v in adjusted]


def _finite(values: npt.ArrayLike) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"values must be a plain list, not of shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("values must be finite: count a miss before it gets here")
    return x


def _statistic(statistic: Statistic) -> tuple[Callable[..., Any], str | None]:
    """The function, and its name where a faster way than calling it is known."""
    functions: dict[str, Callable[..., Any]] = {"mean": np.mean, "median": np.median, "std": np.std}
    if isinstance(statistic, str):
        if statistic not in functions:
            raise ValueError(f"unknown statistic '{statistic}'; known: {', '.join(functions)}")
        return functions[statistic], statistic
    return statistic, next((name for name, function in functions.items() if statistic is function), None)


def _indices(n: int, resamples: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int32]]:
    """Resampled positions, shape (rows, n), in blocks of bounded size."""
    rows = max(1, _BLOCK // n)
    for start in range(0, resamples, rows):
        yield rng.integers(0, n, size=(min(rows, resamples - start), n), dtype=np.int32)


def _draws(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each of n samples is in each resample, shape (rows, n), in blocks of bounded size."""
    if n * resamples <= _KEPT:
        yield _kept_draws(n, resamples, seed)
        return
    for index in _indices(n, resamples, np.random.default_rng(seed)):
        yield _counted(index, n)


@functools.lru_cache(maxsize=32)
def _kept_draws(n: int, resamples: int, seed: int) -> Floats:
    """A sweep compares thousands of pairs of the same few sizes, and all with the same draws."""
    return np.concatenate([_counted(i, n) for i in _indices(n, resamples, np.random.default_rng(seed))])


def _counted(index: npt.NDArray[np.int32], n: int) -> Floats:
    rows = index.shape[0]
    flat = (index + np.arange(rows)[:, None] * n).ravel()
    return np.bincount(flat, minlength=rows * n).reshape(rows, n).astype(np.float64)


def _medians(x: Floats, often: Floats) -> Floats:
    """The medians of resamples that hold each value so often: where half of each is passed in sorted order."""
    n = x.size
    order = np.argsort(x)
    passed = np.cumsum(often[:, order], axis=1)
    lower = (passed >= (n + 1) // 2).argmax(axis=1)
    upper = (passed >= n // 2 + 1).argmax(axis=1)
    ordered = x[order]
    return np.asarray((ordered[lower] + ordered[upper]) / 2, dtype=np.float64)


def _resampled(
    x: Floats, function: Callable[..., Any], name: str | None, resamples: int, rng: np.random.Generator
) -> Floats:
    """The statistic of ``resamples`` resamples of ``x``."""
    n = x.size
    if name == "median":
        return _resampled_medians(np.sort(x), resamples, rng)
    if name == "mean":
        levels, counts = np.unique(x, return_counts=True)
        if levels.size <= 16:  # few levels, such as hits and misses: draw how often each occurs
            often = rng.multinomial(n, counts / n, size=resamples)
            return np.asarray(often @ levels / n, dtype=np.float64)
        return np.concatenate([x[index].mean(axis=1) for index in _indices(n, resamples, rng)])
    if name == "std":
        # Centred first, so that the difference of squares loses no digits; a third of the time of numpy.std.
        centred = x - x.mean()
        variances = []
        for index in _indices(n, resamples, rng):
            drawn = centred[index]
            variances.append(np.einsum("ij,ij->i", drawn, drawn) / n - drawn.mean(axis=1) ** 2)
        return np.asarray(np.sqrt(np.maximum(np.concatenate(variances), 0.0)), dtype=np.float64)
    return np.concatenate([np.asarray(function(x[index], axis=1)) for index in _indices(n, resamples, rng)])


def _resampled_medians(ordered: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Medians of resamples, without making any.

    Resampling n of n sorted values is drawing n uniform positions, so the k-th smallest of a resample stands at
    floor(n U_(k)), where U_(k) is the k-th of n uniform order statistics: Beta(k, n - k + 1). For an even n the next
    one above is U_(k) + (1 - U_(k)) Beta(1, n - k). Exact, and free of n.
    """
    n = ordered.size
    k = (n + 1) // 2
    lower = rng.beta(k, n - k + 1, size=resamples)
    at = np.minimum((lower * n).astype(np.int64), n - 1)
    if n % 2:
        return np.asarray(ordered[at], dtype=np.float64)
    upper = lower + (1 - lower) * rng.beta(1, n - k, size=resamples)
    above = np.minimum((upper * n).astype(np.int64), n - 1)
    return np.asarray((ordered[at] + ordered[above]) / 2, dtype=np.float64)


def _percentiles(drawn: Floats, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, not {level}")
    # As numpy.quantile does it, whose checks take most of its time.
    ordered = np.sort(drawn)
    low, high = (_between(ordered, (drawn.size - 1) * q) for q in ((1 - level) / 2, (1 + level) / 2))
    return low, high


def _between(ordered: Floats, at: float) -> float:
    below = min(int(at), ordered.size - 2) if ordered.size > 1 else 0
    a, b, share = float(ordered[below]), float(ordered[min(below + 1, ordered.size - 1)]), at - below
    return b - (b - a) * (1 - share) if share >= 0.5 else a + (b - a) * share


def _normal_quantile(level: float) -> float:
    """The z of a two-sided normal interval."""
    if level in _Z:
        return _Z[level]
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + level) / 2)


def _student_quantile(level: float, freedom: int) -> float:
    """Student's t of a two-sided interval, exact to 1 % from three degrees of freedom (Fisher and Cornish 1960)."""
    z = _normal_quantile(level)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom ** (k + 1) for k, term in enumerate(terms))
