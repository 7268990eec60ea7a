"""What figures of geolocation can't be: distances, shares within a distance, single answers, true places.

Shares may be over all answers and distances over the read ones only; a check holds for both unless it says that it
needs the share read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from paceline.errors import UserError, nearest
from paceline.tasks.figures import (
    Bound,
    Figure,
    FigureChecks,
    Finding,
    ResultTable,
    Row,
    above,
    below,
    found,
    read_share,
)
from paceline.tasks.geolocation import gazetteer
from paceline.tasks.geolocation.data_checks import stated_country

HALF_EARTH_KM = math.pi * gazetteer.EARTH_RADIUS_KM
"""The farthest that two places can be apart: 20,015.1 km along a great circle."""


@dataclass(frozen=True)
class Place:
    """A true place that is printed with its country."""

    name: str
    latitude: float
    longitude: float
    country: str
    """ISO 3166-1 alpha-2 code."""


def unit_of(metric: str) -> str:
    """``share`` within a distance, ``km`` of a distance; empty for other metrics."""
    if threshold(metric) is not None:
        return "share"
    return "km" if metric.endswith("_km") else ""


def threshold(metric: str) -> float | None:
    """The km of a share within a distance: ``within_25_km`` -> 25.0; None for other metrics."""
    match = re.fullmatch(r"within_(\d+(?:\.\d+)?)_?km", metric)
    return float(match[1]) if match else None


def shares_grow(row: Row) -> Iterator[Finding]:
    """Whatever is within a distance is within every longer one too."""
    shares = _shares(row)
    for (near, a), (far, b) in pairwise(shares):
        if a.low > b.high:
            names = {_within(near): a, _within(far): b}
            yield found(shares_grow, row, _within(far), names, f"all within {near:g} km are also within {far:g} km")


def median_against_shares(row: Row) -> Iterator[Finding]:
    """More than half within d is a median of at most d, and a median below d is at least half within d.

    The first holds for shares over all answers too: of the read ones then even more are within d. The second needs the
    share read: half of the read answers is a smaller part of all.
    """
    median = row.figures.get("median_km")
    if median is None:
        return
    least, known = read_share(row)
    for km, share in _shares(row):
        names = {_within(km): share, "median_km": median}
        if share.low > 0.5 and median.low > km:
            why = f"more than half within {km:g} km means a median of at most {km:g} km"
            yield found(median_against_shares, row, _within(km), names, why)
        if median.high < km and share.high < 0.5 * least:
            why = f"a median below {km:g} km means that at least half of the read answers are within {km:g} km"
            if known:
                yield found(median_against_shares, row, _within(km), names | known, why)
            else:
                why += f"; it can be only if at most {200 * share.high:.3g} % were read, which the table doesn't say"
                yield found(median_against_shares, row, _within(km), names, why, suspicious=True)


def extremes_against_shares(row: Row) -> Iterator[Finding]:
    """Something within d means a minimum of at most d; a maximum below d means that all read answers are within d."""
    low, high = row.figures.get("min_km"), row.figures.get("max_km")
    least, known = read_share(row)
    for km, share in _shares(row):
        if low and share.low > 0 and low.low > km:
            why = f"some are within {km:g} km, so the nearest is"
            yield found(extremes_against_shares, row, "min_km", {_within(km): share, "min_km": low}, why)
        if high and known and high.high < km and share.high < least:
            why = f"the farthest is within {km:g} km, so every read answer is"
            names = {_within(km): share, "max_km": high} | known
            yield found(extremes_against_shares, row, _within(km), names, why)


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
        yield found(mean_against_shares, row, "mean_km", names, f"these shares allow a mean of at most {most:.6g} km")
    read, known = read_share(row)
    if not known or read == 0:
        return
    starts = [0.0, *(km for km, _ in shares)]
    least = sum((km - at) * max(0.0, 1 - share.high / read) for at, (km, share) in zip(starts, shares, strict=False))
    if mean.high < least * (1 - 1e-9):
        why = f"these shares ask for a mean of at least {least:.6g} km"
        yield found(mean_against_shares, row, "mean_km", names | known, why)


def cases_beyond(table: ResultTable) -> Iterator[Finding]:
    """A single answer is no farther than the maximum of the row that it belongs to, and no nearer than the minimum."""
    for case in table.cases:
        for metric, beyond, comparative in (("max_km", above, "farther"), ("min_km", below, "nearer")):
            limits = [row.figures[metric] for row in case.rows if metric in row.figures]
            # It may belong to any of the rows, so it has to be beyond all of them.
            if limits and len(limits) == len(case.rows) and all(beyond(case.error, figure) for figure in limits):
                numbers = {case.image: case.error.printed, metric: " and ".join(f.printed for f in limits)}
                why = f"one answer is {comparative} than the {comparative.removesuffix('er')}est of all"
                yield Finding("cases_beyond", "impossible", case.rows[0].label, metric, numbers, why)


def swapped_truths(table: ResultTable) -> Iterator[Finding]:
    """A true place lies in the country printed beside it, not only once latitude and longitude are swapped."""
    places = [truth for truth in table.truths if isinstance(truth, Place)]
    swapped = gazetteer.swapped([(p.latitude, p.longitude) for p in places], [p.country for p in places])
    for place, wrong in zip(places, swapped, strict=True):
        if wrong:
            country = gazetteer.country_name(place.country)
            numbers = {"latitude": f"{place.latitude:g}", "longitude": f"{place.longitude:g}"}
            why = f"it is said to be in {country}, and only ({place.longitude:g}, {place.latitude:g}) is: swapped"
            yield Finding("swapped_truths", "impossible", place.name, "truth", numbers, why)


def read_truth(fields: Mapping[str, str], place: str) -> Place:
    """A true place as a published table prints it.

    Raises:
        UserError: no such country.
        ValueError: no coordinates.
    """
    code = gazetteer.country_code(fields["country"])
    if code is None:
        known = nearest(fields["country"], gazetteer.country_names().values())
        raise UserError(f"{place}.country: no country '{fields['country']}': {known}")
    return Place(fields["name"], *gazetteer.coordinates_of(fields["latitude"], fields["longitude"]), code)


def truths_of(task: str, manifest: Mapping[str, Any], samples: Mapping[str, Mapping[str, Any]]) -> Iterator[Place]:
    """The true places that looked swapped when the data was prepared."""
    for sample in manifest.get("swapped_truths", []):
        if record := samples.get(sample):
            country = stated_country(record) or record["country"]
            yield Place(f"{task} · {sample}", record["latitude"], record["longitude"], country)


def _shares(row: Row) -> list[tuple[float, Figure]]:
    """(km, share within it), the nearest first."""
    shares = [(km, figure) for name, figure in row.figures.items() if (km := threshold(name)) is not None]
    return sorted(shares, key=lambda pair: pair[0])


def _within(km: float) -> str:
    return f"within_{km:g}_km"


figure_checks = FigureChecks(
    unit_of=unit_of,
    bounds={
        "km": Bound(
            0.0,
            HALF_EARTH_KM,
            "no two places on Earth are more than 20,015.1 km apart, half a great circle",
            "distances of at most half a great circle spread no wider",
        )
    },
    lower_is_better=frozenset({"km"}),
    rows=(shares_grow, median_against_shares, extremes_against_shares, mean_against_shares),
    tables=(cases_beyond, swapped_truths),
    case_key="km",
    case_name="distance",
    truths_key="places",
    truth_keys=("name", "latitude", "longitude", "country"),
    read_truth=read_truth,
    truths_of=truths_of,
)
