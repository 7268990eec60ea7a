"""Geolocation: where on Earth was this image taken? Coordinates as in :mod:`paceline.tasks.geolocation.gazetteer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from paceline.tasks.geolocation.gazetteer import coordinates_of, country_name, nearest_places, place_fields

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec

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


def fields(sample: Mapping[str, Any], task: TaskSpec | None = None) -> dict[str, Any]:
    """The fields of a sample for templates; country, region and city are looked up where it has none."""
    values = {name: sample.get(name) for name in FIELDS}
    point = values["latitude"], values["longitude"]
    if values["country"] is None and None not in point:
        values.update(place_fields(point, nearest_places([point])[0]))  # type: ignore[list-item,arg-type]
    if values["country"] is not None and values["country_name"] is None:
        values["country_name"] = country_name(values["country"])
    if values["nearest_region"] is not None:
        values["nearest_region"] = region_title(values["nearest_region"])
    else:
        # Monaco and other small countries have no regions.
        values["nearest_region"] = values["region"] or values["country_name"]
    return values


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """Checked coordinates, with the country, region and city where the record has no country.

    Raises:
        ValueError: the coordinates are missing, no numbers, or out of range.
    """
    if "latitude" not in fields or "longitude" not in fields:
        return fields
    point = coordinates_of(fields["latitude"], fields["longitude"])
    fields = {**fields, "latitude": point[0], "longitude": point[1]}
    if "country" in fields:
        return fields
    return {**place_fields(point, nearest_places([point])[0]), **fields}


def region_title(name: str) -> str:
    """The readable part of a region's name as sidecars write it: ``Switzerland_Zurich_CH`` -> ``Zurich``."""
    parts = name.split("_")
    return " ".join(parts[1:-1]) if len(parts) >= 3 else name
