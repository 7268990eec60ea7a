"""Geolocation: where on Earth was this image taken? Coordinates as in :mod:`paceline.tasks.geolocation.gazetteer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks.geolocation.gazetteer import (
    coordinates_of,
    country_code,
    country_name,
    country_names,
    nearest_places,
    place_fields,
)

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

LATITUDE, LONGITUDE = ("latitude", "lat"), ("longitude", "lng", "lon", "long")
"""What data calls the two, in any case; the first is their field."""

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
    """Checked coordinates; the country as its code; country, region and city of the nearest city where there is none.

    A country is known by its code or English name. One that is neither is kept as ``stated_country``, and told.

    Raises:
        ValueError: the coordinates are missing, no numbers, or out of range.
    """
    names = _name(fields, LATITUDE), _name(fields, LONGITUDE)
    if names[0] is None or names[1] is None:
        return fields
    point = coordinates_of(fields[names[0]], fields[names[1]])
    own = {names[0]: ("latitude", point[0]), names[1]: ("longitude", point[1])}
    # An empty cell of a table states nothing: it is no country, and no word to train on.
    stated = {name: value for name, value in fields.items() if name not in _LOOKED_UP or not _is_empty(value)}
    fields = dict(own.get(name, (name, value)) for name, value in stated.items())
    country = str(fields.get("country", ""))
    if country.strip().upper() in country_names():
        return fields
    if code := country_code(country):
        return {**fields, "country": code}
    if "country" in fields:
        fields["stated_country"] = fields.pop("country")
    return {**place_fields(point, nearest_places([point])[0]), **fields}


_LOOKED_UP = ("country", "country_name", "region", "city", "nearest_region")


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def named_pair(record: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """The two values that a record of data holds under names of coordinates; None without both."""
    names = _name(record, LATITUDE), _name(record, LONGITUDE)
    return None if names[0] is None or names[1] is None else (record[names[0]], record[names[1]])


def _name(record: Mapping[str, Any], known: Sequence[str]) -> str | None:
    """Which key of a record is one of some names: the field's own, else the first of the others, in any case."""
    if known[0] in record:
        return known[0]
    folded = {key.casefold(): key for key in reversed(list(record)) if isinstance(key, str)}
    return next((folded[name] for name in known if name in folded), None)


def region_title(name: str) -> str:
    """The readable part of a region's name as sidecars write it: ``Switzerland_Zurich_CH`` -> ``Zurich``."""
    parts = name.split("_")
    return " ".join(parts[1:-1]) if len(parts) >= 3 else name
