"""Statistics against hand values, exact ones, and simulation."""

from __future__ import annotations

import time
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import stats
from paceline.stats import (
    Interval,
    bootstrap_interval,
    bootstrap_mean_interval,
    holm,
    mcnemar_exact,
    paired_bootstrap,
    wilson_interval,
)


def test_the_interval_of_the_documents() -> None:
    """8.5 % of 2,250: 7.4 to 9.7 %, by Wilson and by bootstrap; 8.4 and 7.6 % lie inside."""
    hits = np.zeros(2250)
    hits[:191] = 1
    for found in (wilson_interval(191, 2250), bootstrap_mean_interval(hits, resamples=4000)):
        assert found.value == pytest.approx(0.085, abs=5e-4)
        assert found.low == pytest.approx(0.074, abs=1e-3)
        assert found.high == pytest.approx(0.097, abs=1e-3)
        assert found.low is not None and found.low < 0.076
        assert found.n == 2250


def test_wilson_by_hand() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81/263, 15/148, 0/20, 1/29.
    for k, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = wilson_interval(k, n)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert wilson_interval(0, 0) == Interval(None, None, None, 0)
    assert wilson_interval(20, 20).high == 1.0
    with pytest.raises(ValueError):
        wilson_interval(3, 2)


@pytest.mark.parametrize(
    ("statistic", "draw", "truth"),
    [
        ("mean", lambda rng: rng.normal(5, 2, 200), 5.0),
        ("mean", lambda rng: rng.exponential(1, 400), 1.0),
        ("median", lambda rng: rng.exponential(1, 301), float(np.log(2))),
        ("median", lambda rng: rng.exponential(1, 300), float(np.log(2))),
        ("mean", lambda rng: (rng.random(400) < 0.3).astype(float), 0.3),
        ("std", lambda rng: rng.uniform(0, 1, 300), 12**-0.5),
    ],
    ids=["mean", "skewed mean", "odd median", "even median", "share", "std"],
)
def test_intervals_cover_the_truth(statistic: str, draw, truth: float) -> None:  # type: ignore[no-untyped-def]
    """Of 600 studies, about 95 % have the truth in their interval: 93 to 97 % is within two standard errors."""
    rng = np.random.default_rng(11)
    studies, covered = 600, 0
    for study in range(studies):
        found = bootstrap_interval(draw(rng), statistic, resamples=300, seed=study)
        assert found.low is not None and found.high is not None
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / studies <= 0.97


def test_wilson_covers_the_truth() -> None:
    """Exactly: the binomial probability of the counts whose interval holds the truth."""
    n = 500
    for p in (0.02, 0.1, 0.5):
        inside = [k for k in range(n + 1) if (w := wilson_interval(k, n)).low <= p <= w.high]  # type: ignore[operator]
        assert 0.93 <= sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in inside) <= 0.97


@pytest.mark.parametrize("n", [1, 2, 7, 40, 41])
def test_resampled_medians_are_those_of_resamples(n: int) -> None:
    x = np.sort(np.random.default_rng(n).normal(size=n))
    fast = stats._resampled_medians(x, 40_000, np.random.default_rng(1))
    index = np.random.default_rng(2).integers(0, n, size=(40_000, n))
    slow = np.median(x[index], axis=1)
    for q in (0.025, 0.25, 0.5, 0.75, 0.975):
        # Compare distribution functions, which stay comparable where quantiles jump.
        at = np.quantile(slow, q)
        assert (fast <= at).mean() == pytest.approx((slow <= at).mean(), abs=0.02)


def test_few_levels_are_resampled_like_many() -> None:
    x = np.repeat([0.0, 1.0], [170, 30])
    fast = bootstrap_interval(x, "mean", resamples=20_000)
    slow = bootstrap_interval(x, lambda v, axis=-1: v.mean(axis=axis), resamples=20_000)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.006)


def test_edges() -> None:
    assert bootstrap_interval([]) == Interval(None, None, None, 0)
    assert bootstrap_interval([3.0]) == Interval(3.0, 3.0, 3.0, 1)
    assert bootstrap_interval([3.0], "median") == Interval(3.0, 3.0, 3.0, 1)
    assert bootstrap_interval([3.0], "std") == Interval(0.0, 0.0, 0.0, 1)
    assert bootstrap_interval([2.0] * 50, "median") == Interval(2.0, 2.0, 2.0, 50)
    assert bootstrap_interval([0.1] * 50) == Interval(pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1), 50)
    for bad in ([1.0, float("nan")], [float("inf")]):
        with pytest.raises(ValueError, match="finite"):
            bootstrap_interval(bad)
        with pytest.raises(ValueError, match="finite"):
            paired_bootstrap(bad, bad)
    with pytest.raises(ValueError, match="plain list"):
        bootstrap_interval([[1.0], [2.0]])
    with pytest.raises(ValueError, match="unknown statistic 'mode'"):
        bootstrap_interval([1.0], "mode")
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([1.0, 2.0], level=95)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_percentiles_are_those_of_numpy(values: list[float], level: float) -> None:
    expected = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    assert stats._percentiles(np.array(values), level) == pytest.approx(tuple(expected), rel=1e-12, abs=1e-9)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=40))
def test_paired_draws_are_plain_resamples(values: list[float]) -> None:
    """Counting how often a value is drawn gives the means and the medians of the drawn values."""
    x, n = np.array(values), len(values)
    index = np.concatenate(list(stats._indices(n, 50, np.random.default_rng(7))))
    (often,) = stats._draws(n, 50, 7)
    assert often.sum(axis=1).tolist() == [n] * 50
    assert often @ x / n == pytest.approx(x[index].mean(axis=1))
    assert (stats._medians(x, often) == np.median(x[index], axis=1)).all()


def test_seeds() -> None:
    x = np.random.default_rng(0).exponential(size=500)
    assert bootstrap_interval(x, "std") == bootstrap_interval(x, "std")
    assert bootstrap_interval(x, "mean", seed=1) != bootstrap_interval(x, "mean", seed=2)


def test_blocks_do_not_change_the_statistic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_BLOCK", 100)
    found = bootstrap_interval(np.arange(60.0), "std", resamples=50)
    assert found.low is not None and found.high is not None and found.value is not None
    assert found.low <= found.value <= found.high


def test_a_hundred_thousand_values_take_seconds() -> None:
    x = np.random.default_rng(0).exponential(1000, 100_000)
    start = time.process_time()
    bootstrap_mean_interval(x)
    bootstrap_interval(x, "median")
    # About a second here; the bound leaves room for a slow or busy machine.
    assert time.process_time() - start < 6


def test_paired_bootstrap_sees_what_unpaired_intervals_hide() -> None:
    rng = np.random.default_rng(5)
    a = rng.normal(1000, 400, 300)
    b = a - 20 + rng.normal(0, 30, 300)
    change = paired_bootstrap(a, b)
    assert change.value == pytest.approx(float(b.mean() - a.mean()))
    assert change.low < change.value < change.high < 0
    assert change.p < 0.01
    value, low, high = change
    assert (value, low, high) == (change.value, change.low, change.high)
    apart = bootstrap_interval(a).high, bootstrap_interval(b).low
    assert apart[1] < apart[0]  # type: ignore[operator]


@pytest.mark.parametrize("statistic", ["mean", "median", np.median, np.mean])
def test_paired_bootstrap_of_the_same_values(statistic) -> None:  # type: ignore[no-untyped-def]
    a = np.random.default_rng(0).normal(size=50)
    change = paired_bootstrap(a, a, statistic)
    assert (change.value, change.low, change.high, change.p, change.n) == (0, 0, 0, 1, 50)


def test_paired_bootstrap_has_the_right_size() -> None:
    rng = np.random.default_rng(8)
    rejected = 0
    for study in range(400):
        a, b = rng.normal(size=(2, 100))
        change = paired_bootstrap(a, b, resamples=300, seed=study)
        rejected += change.p <= 0.05
    assert 0.025 <= rejected / 400 <= 0.08


@pytest.mark.parametrize(
    ("statistic", "draw", "truth"),
    [
        # A hit kept, won and lost: b hits 9 points more often.
        ("mean", lambda rng: rng.choice([[0, 0], [1, 1], [0, 1], [1, 0]], 400, p=[0.5, 0.3, 0.145, 0.055]).T, 0.09),
        ("mean", lambda rng: (x := rng.exponential(1000, 400), x * rng.uniform(0.6, 1.0, 400)), -200.0),
        ("median", lambda rng: rng.normal([[0.0], [1.0]], 2.0, (2, 81)), 1.0),
    ],
    ids=["hits", "skewed distances", "median"],
)
def test_paired_intervals_cover_the_change(statistic: str, draw, truth: float) -> None:  # type: ignore[no-untyped-def]
    """Of 600 pairs of cells, about 95 % have the true change in their interval."""
    rng = np.random.default_rng(17)
    covered = 0
    for study in range(600):
        change = paired_bootstrap(*draw(rng), statistic, resamples=300, seed=study)
        covered += change.low <= truth <= change.high
    assert 0.93 <= covered / 600 <= 0.97


def test_holm_keeps_the_family_wise_error_of_many_mcnemar_tests() -> None:
    """Twelve comparisons without any difference: in at most 5 % of sweeps one is called real."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(400):
        hits = rng.random((13, 120)) < 0.4
        wrong += min(holm([mcnemar_exact(hits[0], other) for other in hits[1:]])) <= 0.05
    assert wrong / 400 <= 0.05


def test_paired_bootstrap_refuses_unequal_and_empty() -> None:
    with pytest.raises(ValueError, match="equal lengths"):
        paired_bootstrap([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="no values"):
        paired_bootstrap([], [])


def _hits(both: int, only_a: int, only_b: int, neither: int) -> tuple[list[bool], list[bool]]:
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return a, b


def test_mcnemar_by_hand() -> None:
    # 1 against 7 discordant: 2 (C(8,0) + C(8,1)) / 2^8 = 18/256.
    assert mcnemar_exact(*_hits(5, 1, 7, 9)) == pytest.approx(18 / 256)
    assert mcnemar_exact(*_hits(5, 7, 1, 9)) == pytest.approx(18 / 256)
    assert mcnemar_exact(*_hits(5, 0, 6, 9)) == pytest.approx(2 / 64)
    assert mcnemar_exact(*_hits(5, 4, 4, 0)) == 1.0
    assert mcnemar_exact(*_hits(5, 0, 0, 3)) == 1.0
    assert mcnemar_exact([], []) == 1.0
    with pytest.raises(ValueError, match="equal lengths"):
        mcnemar_exact([True], [True, False])


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_exact(only_a: int, only_b: int) -> None:
    n, k = only_a + only_b, min(only_a, only_b)
    exact = min(Fraction(1), 2 * Fraction(sum(comb(n, i) for i in range(k + 1)), 2**n))
    assert mcnemar_exact(*_hits(3, only_a, only_b, 3)) == pytest.approx(float(exact), rel=1e-9)


def test_mcnemar_of_many() -> None:
    p = mcnemar_exact(*_hits(0, 4000, 6000, 0))
    assert 0 < p < 1e-80


def test_holm_by_hand() -> None:
    # Holm 1979: sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, made monotone.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
    for bad in ([1.5], [-0.1], [float("nan")]):
        with pytest.raises(ValueError):
            holm(bad)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_properties(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(raw <= new <= 1 for raw, new in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert list(np.array(adjusted)[order]) == sorted(adjusted)
    assert all(new <= min(1, len(p) * raw) + 1e-12 for raw, new in zip(p, adjusted, strict=True))


def test_a_share_of_groups_is_worth_as_many_samples_as_tell_something_new() -> None:
    hits, each = np.array([1.0] * 30 + [0.0] * 70), np.arange(100)
    # Of its own group each, n are worth n: Wilson's interval, but for Student's quantile.
    alone = stats.grouped_share(hits, each)
    assert (alone.low, alone.high) == pytest.approx((0.2189, 0.3958), abs=2e-3)
    # Answers of a group that are all the same are worth the number of groups.
    tied = stats.grouped_share(np.repeat(hits, 5), np.repeat(each, 5))
    assert (tied.value, tied.n) == (0.3, 500)
    assert (tied.low, tied.high) == pytest.approx((alone.low, alone.high), abs=1e-6)
    # Each group as good as every other: never worth more than they are.
    even = stats.grouped_share(np.tile([1.0, 0.0], 50), np.repeat(np.arange(50), 2))
    wilson = wilson_interval(50, 100)
    assert even.low is not None and even.high is not None and wilson.low is not None and wilson.high is not None
    assert even.low <= wilson.low and even.high >= wilson.high
    assert stats.grouped_share([], np.array([], dtype=int)) == Interval(None, None, None, 0)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_without_a_miss_or_a_hit_each_group_counts_as_one(value: float) -> None:
    found = stats.grouped_share(np.full(600, value), np.repeat(np.arange(200), 3))
    whole = wilson_interval(int(200 * value), 200)
    assert (found.low, found.high) == pytest.approx((whole.low, whole.high), abs=1e-3)
    one = stats.grouped_share(np.full(9, value), np.zeros(9, dtype=int))
    assert one.low is not None and one.high is not None
    assert one.high - one.low > 0.75  # one group tells next to nothing


def test_student_quantiles_are_those_of_scipy() -> None:
    from scipy.stats import t

    for freedom in (3, 5, 10, 30, 299, 5000):
        assert stats._student_quantile(0.95, freedom) == pytest.approx(float(t.ppf(0.975, freedom)), rel=0.01)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 30), statistic=st.sampled_from(["mean", "median", "std"]))
def test_resamples_of_groups_are_those_of_the_repeated_samples(seed: int, statistic: str) -> None:
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(0, 12, 30))
    values = rng.normal(1000, 1, 30)
    _, numbers = np.unique(groups, return_inverse=True)
    found = stats._grouped_statistic(values, groups, statistic, 0)[:20]
    often = np.concatenate(list(stats.draws(numbers)))[:20].astype(int)
    wanted = [float(getattr(np, statistic)(np.repeat(values, row))) for row in often]
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9)


# --- means that few values make up


def _few(rng: np.random.Generator, n: int) -> np.ndarray:
    """Zero for seven eighths, a long tail for the rest: mean 0.4."""
    return np.where(rng.random(n) < 0.12, rng.geometric(0.3, n), 0).astype(float)


def test_a_studentised_interval_holds_a_skewed_mean_where_the_percentile_interval_ends_too_low() -> None:
    rng = np.random.default_rng(4)
    held, above = np.zeros(2), np.zeros(2)
    for _ in range(400):
        x = _few(rng, 120)
        found = [stats.studentised_interval(x), bootstrap_interval(x)]
        held += [bool(one.low <= 0.4 <= one.high) for one in found]  # type: ignore[operator]
        above += [bool(one.high < 0.4) for one in found]  # type: ignore[operator]
    assert held[0] / 400 > 0.92
    assert above[0] < above[1]


def test_a_studentised_interval_is_nearly_students_where_nothing_is_skewed() -> None:
    x = np.random.default_rng(5).normal(10, 2, 400)
    found, half = stats.studentised_interval(x), 1.966 * x.std(ddof=1) / 20
    assert (found.value, found.n) == (pytest.approx(x.mean()), 400)
    assert (found.low, found.high) == (
        pytest.approx(x.mean() - half, abs=0.03),
        pytest.approx(x.mean() + half, abs=0.03),
    )


def test_groups_of_one_are_single_values_and_copies_in_groups_tell_nothing_new() -> None:
    x = _few(np.random.default_rng(6), 200)
    single = stats.studentised_interval(x)
    assert stats.studentised_interval(x, np.arange(200)) == single
    copied = stats.studentised_interval(np.repeat(x, 3), np.repeat(np.arange(200), 3))
    assert (copied.low, copied.high, copied.n) == (pytest.approx(single.low), pytest.approx(single.high), 600)


def test_without_enough_spread_a_studentised_interval_has_no_ends() -> None:
    assert stats.studentised_interval([]) == Interval(None, None, None, 0)
    assert stats.studentised_interval([2.0, 2.0]) == Interval(2.0, 2.0, 2.0, 2)
    one = np.zeros(100)
    one[0] = 5.0
    assert stats.studentised_interval(one) == Interval(0.05, None, None, 100)
    assert stats.studentised_interval([1.0, 2.0], np.zeros(2, dtype=int)) == Interval(1.5, None, None, 2)
