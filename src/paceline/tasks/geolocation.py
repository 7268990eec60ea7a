"""Geolocation: where on Earth was this image taken? Coordinates as in :mod:`paceline.gazetteer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paceline.gazetteer import country_name, nearest_places, place_fields

SCORER = "geolocation"

FIELDS = {
    "latitude": "degrees, north positive",
    "longitude": "degrees, east positive",
    "country": "ISO 3166-1 alpha-2 code of the country, such as CH",
    "country_name": "its English name, such as Switzerland",
    "region": "first-level division of the nearest city, such as Zurich",
    "city": "the nearest city of more than 1,000 people",
    "nearest_region": "the region whose middle is nearest; near a border not the one it lies in",
}

SHOWN: tuple[str, ...] = ()  # a prompt that named a field of the truth would give the answer away


def fields(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a sample for templates; country, region and city are looked up where it has none."""
    found = {name: sample.get(name) for name in FIELDS}
    point = found["latitude"], found["longitude"]
    if found["country"] is None and None not in point:
        found.update(place_fields(point, nearest_places([point])[0]))  # type: ignore[list-item,arg-type]
    if found["country"] is not None and found["country_name"] is None:
        found["country_name"] = country_name(found["country"])
    if found["nearest_region"] is not None:
        found["nearest_region"] = region_title(found["nearest_region"])
    else:
        # Monaco and other small countries have no regions.
        found["nearest_region"] = found["region"] or found["country_name"]
    return found


def region_title(name: str) -> str:
    """The readable part of a region's name as sidecars write it: ``Switzerland_Zurich_CH`` -> ``Zurich``."""
    parts = name.split("_")
    return " ".join(parts[1:-1]) if len(parts) >= 3 else name
