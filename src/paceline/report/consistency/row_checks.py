"""Checks within one row: figures of the same answers that can't stand side by side.

Each looks for a contradiction that no rounding explains. Shares may be over all answers and other figures over the read
ones only; a check holds for both unless it says that it needs the share read. A kind of task adds its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from paceline.tasks.figures import (
    STATISTICS,
    Bound,
    Figure,
    Finding,
    Row,
    RowCheck,
    counts_samples,
    found,
    known_checks,
    read_share,
)

NAMES = {"min": "minimum", "mean": "mean", "median": "median", "max": "maximum"}


def bounds(row: Row) -> Iterator[Finding]:
    """A share lies between 0 and 1; another figure between what its kind of task allows.

    The standard deviation of values in [0, b] is at most b / 2, whatever they are (Popoviciu 1935).
    """
    for name, figure in row.figures.items():
        bound = _bound(figure.unit)
        low, high, why = bound.low, bound.high, bound.why
        if name.startswith("std_") and figure.unit != "share":
            high, why = _sample(row, figure) * (bound.high - bound.low) / 2, bound.why_spread
        if figure.high < low:
            yield found(bounds, row, name, {name: figure}, f"{name} can't be below 0")
        if figure.low > high:
            yield found(bounds, row, name, {name: figure}, why)


def order(row: Row) -> Iterator[Finding]:
    """No mean or median lies outside minimum and maximum."""
    for suffix, figures in _statistics(row).items():
        for lower, upper in (("min", "median"), ("min", "mean"), ("median", "max"), ("mean", "max"), ("min", "max")):
            a, b = figures.get(lower), figures.get(upper)
            if a and b and a.low > b.high:
                names = {f"{lower}_{suffix}": a, f"{upper}_{suffix}": b}
                why = f"the {NAMES[lower]} is never above the {NAMES[upper]}"
                yield found(order, row, f"{upper}_{suffix}", names, why)


def spread(row: Row) -> Iterator[Finding]:
    """The standard deviation fits minimum, mean, median and maximum.

    Variance is at most (max − mean)(mean − min) (Bhatia and Davis, The American Mathematical Monthly 107, 2000), and
    mean and median are at most one standard deviation apart (Hotelling and Solomons, Annals of Mathematical
    Statistics 3, 1932).
    """
    for suffix, f in _statistics(row).items():
        std, mean, median = f.get("std"), f.get("mean"), f.get("median")
        if std is None or mean is None:
            continue
        low = f["min"].low if "min" in f else _bound(std.unit).low
        high = f["max"].high if "max" in f else _bound(std.unit).high
        most = _sample(row, std) * _widest(low, mean, high)
        if std.low > most:
            names = {f"{n}_{suffix}": f[n] for n in ("std", "min", "mean", "max") if n in f}
            why = f"values with this mean within these extremes have a standard deviation of at most {most:.6g}"
            yield found(spread, row, f"std_{suffix}", names, why)
        if median and max(mean.low - median.high, median.low - mean.high) > std.high:
            names = {f"{n}_{suffix}": f[n] for n in ("mean", "median", "std")}
            why = "mean and median are never more than one standard deviation apart"
            yield found(spread, row, f"std_{suffix}", names, why)


def counts(row: Row) -> Iterator[Finding]:
    """``k of n`` is at most n and is the percentage beside it; a percentage of n samples is some count of them.

    The last is the GRIM test (Brown and Heathers, Social Psychological and Personality Science 8, 2017).
    """
    for name, figure in row.figures.items():
        if figure.unit != "share" or figure.n is None:
            continue
        beside = figure.percent
        if beside and not beside.low <= figure.value <= beside.high:
            why = f"{figure.value:.2%} is another percentage".replace("%", " %")
            yield found(counts, row, name, {name: figure}, why)
        whole = math.floor(figure.high * figure.n) >= math.ceil(figure.low * figure.n)
        if not whole and counts_samples(row, name):
            why = f"no whole count of {figure.n:,} rounds to it: n is another one, or the figure is wrong"
            yield found(counts, row, name, {name: figure, "n": f"{figure.n:,}"}, why, suspicious=True)


def checks() -> tuple[RowCheck, ...]:
    """The checks that hold for every task, and those of each kind."""
    return (bounds, order, spread, *(check for one in known_checks() for check in one.rows), counts)


SHARE = Bound(0.0, 1.0, "a share lies between 0 and 100 %", "")
UNBOUNDED = Bound(-math.inf, math.inf, "", "")


def _bound(unit: str) -> Bound:
    if unit == "share":
        return SHARE
    return next((one.bounds[unit] for one in known_checks() if unit in one.bounds), UNBOUNDED)


def _statistics(row: Row) -> dict[str, dict[str, Figure]]:
    """Suffix (the unit) -> statistic -> figure."""
    statistics: dict[str, dict[str, Figure]] = {}
    for name, figure in row.figures.items():
        statistic, _, suffix = name.partition("_")
        if statistic in STATISTICS:
            statistics.setdefault(suffix, {})[statistic] = figure
    return statistics


def _sample(row: Row, std: Figure) -> float:
    """How much larger than that of a population a sample's standard deviation may be: sqrt(n / (n − 1)).

    Only read answers have a value; how many those are is known where n and the share read are, else 2 may be all.
    """
    least, known = read_share(row)
    n = max(2, math.floor((std.n or 0) * least)) if known else 2
    return math.sqrt(n / (n - 1))


def _widest(low: float, mean: Figure, high: float) -> float:
    """The greatest standard deviation of values between two bounds whose mean is what was printed."""
    if not math.isfinite(low + high) or low > high:  # the latter is reported by `order`
        return math.inf
    at = min(max((low + high) / 2, mean.low), mean.high)
    return math.sqrt(max(0.0, (high - at) * (at - low)))
