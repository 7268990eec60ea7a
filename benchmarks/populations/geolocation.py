"""A world of places, each seen in one to five photos: a place is easy or hard for all of them."""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.geolocation.score import METRICS as SCORED
from paceline.tasks.geolocation.score import geoscore

METRICS = tuple(metric.name for metric in SCORED)

HALF_ROUND = 20_015.0
"""The farthest that two places can be apart, km."""


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers about photos of so many places: an eighth unread, distances over five orders of magnitude, of which one
    in four hundred is below 1 km.
    """
    sizes = rng.integers(1, 6, groups)
    place = np.repeat(np.arange(groups), sizes)
    n = len(place)
    hardness = rng.normal(0, 1, groups)[place]

    refusing = rng.normal(0, 1, n) + hardness > 2.0
    slipped = rng.random(n)
    outcomes = np.full(n, "parsed", dtype=object)
    outcomes[slipped < 0.05] = "malformed"
    outcomes[slipped < 0.03] = "out_of_range"
    outcomes[slipped < 0.015] = "echoed"
    outcomes[refusing] = "refused"
    read = outcomes == "parsed"

    distance = np.minimum(10 ** (2.6 + 0.6 * hardness + rng.normal(0, 0.7, n)), HALF_ROUND)
    distance[~read] = np.nan
    points = np.array([geoscore(d) if np.isfinite(d) else 0.0 for d in distance])
    country = np.where(read, rng.normal(0, 1, n) - hardness > -0.4, 0.0).astype(float)
    region = np.where(country > 0, rng.random(n) < 0.5, 0.0)
    at_sea = rng.random(groups)[place] < 0.1
    country[at_sea | ~read] = np.nan
    region[at_sea | ~read] = np.nan
    swapped = np.where(read, rng.random(n) < 0.03, np.nan)
    return Answers(
        samples=tuple(map(str, range(n))),
        outcomes=tuple(outcomes),
        scores={
            "distance_km": distance,
            "geoscore": points,
            "country": country,
            "region": region,
            "swapped": swapped,
        },
        group_names=tuple(map(str, place)),
    )
