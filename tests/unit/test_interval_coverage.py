"""Intervals of every kind hold the truth about as often as they say: a slice of ``benchmarks/interval_coverage.py``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SIMULATIONS = 60
GROUPS = 100
LEAST = 0.83
"""Of 60 draws: an interval of 95 % falls below it once in thousands of tests."""


def _script() -> ModuleType:
    if "interval_coverage" not in sys.modules:
        spec = importlib.util.spec_from_file_location("interval_coverage", BENCHMARKS / "interval_coverage.py")
        assert spec is not None and spec.loader is not None
        sys.modules["interval_coverage"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["interval_coverage"])
    return sys.modules["interval_coverage"]


KINDS = _script().kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_hold_the_truth(kind: str) -> None:
    rows = _script().coverage(kind, simulations=SIMULATIONS, groups=GROUPS, times=1)
    assert {row.metric for row in rows} == set(_script().population(kind).METRICS)
    low = {row.metric: row.share for row in rows if row.share is not None and row.share < LEAST}
    assert not low, f"of {SIMULATIONS} draws too few intervals hold the truth: {low}"
    assert any(row.share is not None for row in rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_population_is_the_same_for_a_seed_and_comes_in_groups(kind: str) -> None:
    draw = _script().population(kind).draw
    one, other = draw(np.random.default_rng(3), 40), draw(np.random.default_rng(3), 40)
    assert one.samples == other.samples and one.outcomes == other.outcomes
    for name, values in one.scores.items():
        np.testing.assert_array_equal(values, other.scores[name])
    assert one.grouped
    sizes = np.bincount(one.groups)
    assert len(sizes) == 40 and sizes.min() >= 1 and sizes.max() <= 5
    assert not _script().one_of_each(one).grouped


@pytest.mark.parametrize(
    ("share", "expected", "verdict"),
    [
        (0.95, 40.0, "ok"),
        (0.98, 2.0, "above: 2.0 expected"),
        (0.98, 40.0, "OUTSIDE 93-97 %"),
        (0.98, float("inf"), "OUTSIDE 93-97 %"),
        (0.92, 2.0, "OUTSIDE 93-97 %"),
        (None, 2.0, "no interval shown"),
    ],
)
def test_too_wide_an_interval_of_few_hits_is_told_apart_from_one_that_misses(
    share: float | None, expected: float, verdict: str
) -> None:
    assert _script().Covered("right", 0.01, share, 0.0, 1.0, 1000, expected).verdict == verdict


def test_a_table_has_a_row_for_each_metric_and_a_dash_where_no_interval_is_shown() -> None:
    covered = _script().Covered
    tied = [covered("right", 0.5, 0.9512, 0.9, 1.0, 1000), covered("most", 9.0, None, 0.0, 0.0, 0)]
    single = [covered("right", 0.5, 0.94, 0.9, 1.0, 1000), covered("most", 9.0, None, 0.0, 0.0, 0)]
    rows = list(_script().table("vqa", tied, single))
    assert rows == ["| vqa | `right` | 95.1 % | 94.0 % |", "| vqa | `most` | – | – |"]
