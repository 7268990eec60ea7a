"""Checks within one row: figures of the same answers that can't stand side by side.

Each looks for a contradiction that no rounding explains. Shares may be over all answers and distances over the read
ones only; a check holds for both unless it says that it needs the share read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from paceline.gazetteer import EARTH_RADIUS_KM
from paceline.report.consistency.figures import STATISTICS, Figure, Finding, Row, Severity, threshold

NAMES = {"min": "minimum", "mean": "mean", "median": "median", "max": "maximum"}
HALF_EARTH_KM = math.pi * EARTH_RADIUS_KM
"""The farthest that two places can be apart: 20,015.1 km along a great circle."""


def bounds(row: Row) -> Iterator[Finding]:
    """A share lies between 0 and 1; a distance on Earth between 0 and half a great circle.

    The standard deviation of values in [0, b] is at most b / 2, whatever they are (Popoviciu 1935).
    """
    for name, figure in row.figures.items():
        low, high, told = {
            "share": (0.0, 1.0, "a share lies between 0 and 100 %"),
            "km": (0.0, HALF_EARTH_KM, "no two places on Earth are more than 20,015.1 km apart, half a great circle"),
        }.get(figure.unit, (-math.inf, math.inf, ""))
        if name == "std_km":
            high = _sample(row, figure) * HALF_EARTH_KM / 2
            told = "distances of at most half a great circle spread no wider"
        if figure.high < low:
            yield _found(bounds, row, name, {name: figure}, f"{name} can't be below 0")
        if figure.low > high:
            yield _found(bounds, row, name, {name: figure}, told)


def order(row: Row) -> Iterator[Finding]:
    """No mean or median lies outside minimum and maximum."""
    for suffix, figures in _statistics(row).items():
        for lower, upper in (("min", "median"), ("min", "mean"), ("median", "max"), ("mean", "max"), ("min", "max")):
            a, b = figures.get(lower), figures.get(upper)
            if a and b and a.low > b.high:
                names = {f"{lower}_{suffix}": a, f"{upper}_{suffix}": b}
                why = f"the {NAMES[lower]} is never above the {NAMES[upper]}"
                yield _found(order, row, f"{upper}_{suffix}", names, why)


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
        low = f["min"].low if "min" in f else 0.0 if suffix == "km" else -math.inf
        high = f["max"].high if "max" in f else HALF_EARTH_KM if suffix == "km" else math.inf
        most = _sample(row, std) * _widest(low, mean, high)
        if std.low > most:
            names = {f"{n}_{suffix}": f[n] for n in ("std", "min", "mean", "max") if n in f}
            why = f"values with this mean within these extremes have a standard deviation of at most {most:.6g}"
            yield _found(spread, row, f"std_{suffix}", names, why)
        if median and max(mean.low - median.high, median.low - mean.high) > std.high:
            names = {f"{n}_{suffix}": f[n] for n in ("mean", "median", "std")}
            why = "mean and median are never more than one standard deviation apart"
            yield _found(spread, row, f"std_{suffix}", names, why)


def shares_grow(row: Row) -> Iterator[Finding]:
    """Whatever is within a distance is within every longer one too."""
    shares = _shares(row)
    for (near, a), (far, b) in pairwise(shares):
        if a.low > b.high:
            names = {_within(near): a, _within(far): b}
            yield _found(shares_grow, row, _within(far), names, f"all within {near:g} km are also within {far:g} km")


def median_against_shares(row: Row) -> Iterator[Finding]:
    """More than half within d is a median of at most d, and a median below d is at least half within d.

    The first holds for shares over all answers too: of the read ones then even more are within d. The second needs the
    share read: half of the read answers is a smaller part of all.
    """
    median = row.figures.get("median_km")
    if median is None:
        return
    least, known = _read(row)
    for km, share in _shares(row):
        names = {_within(km): share, "median_km": median}
        if share.low > 0.5 and median.low > km:
            why = f"more than half within {km:g} km means a median of at most {km:g} km"
            yield _found(median_against_shares, row, _within(km), names, why)
        if median.high < km and share.high < 0.5 * least:
            why = f"a median below {km:g} km means that at least half of the read answers are within {km:g} km"
            if known:
                yield _found(median_against_shares, row, _within(km), names | known, why)
            else:
                why += f"; it can be only if at most {200 * share.high:.3g} % were read, which the table doesn't say"
                yield _found(median_against_shares, row, _within(km), names, why, suspicious=True)


def extremes_against_shares(row: Row) -> Iterator[Finding]:
    """Something within d means a minimum of at most d; a maximum below d means that all read answers are within d."""
    low, high = row.figures.get("min_km"), row.figures.get("max_km")
    least, known = _read(row)
    for km, share in _shares(row):
        if low and share.low > 0 and low.low > km:
            why = f"some are within {km:g} km, so the nearest is"
            yield _found(extremes_against_shares, row, "min_km", {_within(km): share, "min_km": low}, why)
        if high and known and high.high < km and share.high < least:
            why = f"the farthest is within {km:g} km, so every read answer is"
            names = {_within(km): share, "max_km": high} | known
            yield _found(extremes_against_shares, row, _within(km), names, why)


def mean_against_shares(row: Row) -> Iterator[Finding]:
    """The mean is the area under the share that lies beyond each distance, so the shares printed bound it.

    E[X] is the integral of P(X > t), which never rises: between two thresholds it is at most what it is at the nearer
    and at least what it is at the farther one. Beyond the last threshold it ends at the maximum (half the Earth where
    none is given). The lower bound needs the share read: an unread answer is no far one.
    """
    mean, shares = row.figures.get("mean_km"), _shares(row)
    if mean is None or not shares:
        return
    farthest = row.figures["max_km"].high if "max_km" in row.figures else HALF_EARTH_KM
    names = {"mean_km": mean} | {_within(km): share for km, share in shares}
    nearer = [(0.0, 1.0), *((km, min(1.0, 1 - share.low)) for km, share in shares if km < farthest)]
    ends = [*(km for km, _ in nearer[1:]), farthest]
    most = sum((end - km) * beyond for (km, beyond), end in zip(nearer, ends, strict=True))
    if mean.low > most * (1 + 1e-9):
        yield _found(mean_against_shares, row, "mean_km", names, f"these shares allow a mean of at most {most:.6g} km")
    read, known = _read(row)
    if not known or read == 0:
        return
    starts = [0.0, *(km for km, _ in shares)]
    least = sum((km - at) * max(0.0, 1 - share.high / read) for at, (km, share) in zip(starts, shares, strict=False))
    if mean.high < least * (1 - 1e-9):
        why = f"these shares ask for a mean of at least {least:.6g} km"
        yield _found(mean_against_shares, row, "mean_km", names | known, why)


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
            yield _found(counts, row, name, {name: figure}, why)
        if math.floor(figure.high * figure.n) < math.ceil(figure.low * figure.n):
            why = f"no whole count of {figure.n:,} rounds to it: n is another one, or the figure is wrong"
            yield _found(counts, row, name, {name: figure, "n": f"{figure.n:,}"}, why, suspicious=True)


CHECKS: tuple[Callable[[Row], Iterator[Finding]], ...] = (
    bounds,
    order,
    spread,
    shares_grow,
    median_against_shares,
    extremes_against_shares,
    mean_against_shares,
    counts,
)


def _found(
    check: Callable[..., object],
    row: Row,
    figure: str,
    numbers: Mapping[str, Figure | str],
    why: str,
    suspicious: bool = False,
) -> Finding:
    printed = {name: number if isinstance(number, str) else number.printed for name, number in numbers.items()}
    severity: Severity = "suspicious" if suspicious else "impossible"
    return Finding(check.__name__, severity, row.label, figure, printed, why)


def _statistics(row: Row) -> dict[str, dict[str, Figure]]:
    """Suffix (the unit) -> statistic -> figure."""
    found: dict[str, dict[str, Figure]] = {}
    for name, figure in row.figures.items():
        statistic, _, suffix = name.partition("_")
        if statistic in STATISTICS:
            found.setdefault(suffix, {})[statistic] = figure
    return found


def _shares(row: Row) -> list[tuple[float, Figure]]:
    """(km, share within it), the nearest first."""
    found = [(km, figure) for name, figure in row.figures.items() if (km := threshold(name)) is not None]
    return sorted(found, key=lambda pair: pair[0])


def _within(km: float) -> str:
    return f"within_{km:g}_km"


def _read(row: Row) -> tuple[float, dict[str, Figure]]:
    """The least share of answers read that the row allows, and the figure that says so; (1, {}) where none does."""
    if parsed := row.figures.get("parsed_share"):
        return max(0.0, parsed.low), {"parsed_share": parsed}
    if unread := row.figures.get("unread_share"):
        return max(0.0, 1 - unread.high), {"unread_share": unread}
    return 1.0, {}


def _sample(row: Row, std: Figure) -> float:
    """How much larger than that of a population a sample's standard deviation may be: sqrt(n / (n − 1)).

    Only read answers have a distance; how many those are is known where n and the share read are, else 2 may be all.
    """
    least, known = _read(row)
    n = max(2, math.floor((std.n or 0) * least)) if known else 2
    return math.sqrt(n / (n - 1))


def _widest(low: float, mean: Figure, high: float) -> float:
    """The greatest standard deviation of values between two bounds whose mean is what was printed."""
    if not math.isfinite(low + high) or low > high:  # the latter is for `order` to tell
        return math.inf
    at = min(max((low + high) / 2, mean.low), mean.high)
    return math.sqrt(max(0.0, (high - at) * (at - low)))
