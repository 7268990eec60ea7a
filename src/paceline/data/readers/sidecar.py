"""Photos with a JSON file beside each, in the layout of the GeoLocator study's street photos.

``location_081482.png`` and ``location_081482.json`` make one record. The JSON holds ``coordinates`` as
[latitude, longitude], or two numbers by the names that the task knows (``lat`` and ``lng``), or it is or holds a point
of GeoJSON, which says what it is and has the longitude first. It may hold ``regions``, the nearest regions as
``[name, "POINT(lon lat)"]``, nearest first. Near a border the nearest region is not the one that the photo is in, so
country and region come from the gazetteer, and the nearest region is kept as that. A ``country`` is compared alone:
where the point lies in it only with latitude and longitude swapped, that is told. ``is_in_region`` was written with the
axes swapped and is not read.

A photo's split depends on its place alone: photos of one spot never stand on both sides. Photos are not
copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from paceline.data.folders import files_below
from paceline.data.images import SUFFIXES
from paceline.data.readers import Progress, Sample, Skipped, check_shares, fraction, source_folder, split_of
from paceline.tasks.geolocation.fields import named_pair
from paceline.tasks.geolocation.gazetteer import (
    coordinates_of,
    country_code,
    nearest_places,
    place_fields,
    swapped,
)

PATHS = ("path",)
READS = {"path": (".json",)}
FIRST = (".png", ".jpg", ".jpeg")
"""Suffixes of the one picture that is read where several bear one name."""
GEOMETRIES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
"""Types of GeoJSON that hold ``coordinates``."""
PLACE_DECIMALS = 3  # degrees; about 100 m: views from one spot differ in the fourth


@dataclass(frozen=True)
class Options:
    """Which folder to read, and how to split it."""

    path: str = field(default="", metadata={"doc": "folder of the photos, searched with its subfolders"})
    sample: int = field(default=0, metadata={"doc": "records taken at random; 0 takes all", "low": 0})
    shares: dict[str, float] = field(
        default_factory=lambda: {"train": 0.7, "validation": 0.15, "test": 0.15},
        metadata={"doc": "share of the places that each split gets"},
    )
    seed: int = field(default=0, metadata={"doc": "seed of the order, the sample and the splits"})


def made(options: Options) -> dict[str, str]:
    """The user's folder; its licence is not recorded."""
    return {"source": options.path, "licence": "that of the photos' owner; they are not copied"}


def read(options: Options, images: Path, progress: Progress) -> Iterator[Sample | Skipped]:
    """Pair the files, in an order that is random and always the same."""
    folder, shares = source_folder(options.path, "photos with JSON sidecars"), check_shares(options.shares)
    paths, passed_over = files_below(folder, (*SUFFIXES, ".json"))
    yield from passed_over
    pairs: dict[str, dict[str, list[Path]]] = {}
    for path in paths:
        kind = "json" if path.suffix.lower() == ".json" else "image"
        name = path.relative_to(folder).with_suffix("").as_posix()
        pairs.setdefault(name, {"image": [], "json": []})[kind].append(path)
    chosen = sorted(pairs, key=lambda name: fraction(options.seed, name))[: options.sample or None]

    located: list[tuple[str, Path, tuple[float, float], str | None, str | None]] = []
    for n, name in enumerate(chosen):
        progress("reading sidecars", n + 1, len(chosen))
        files = pairs[name]
        firsts = [path for path in files["image"] if path.suffix.lower() in FIRST]
        if len(firsts) == 1 < len(files["image"]):
            for path in files["image"]:
                if path not in firsts:
                    reason = f"a PNG or JPEG of that name is read ({path.suffix.lower()})"
                    yield Skipped(path.relative_to(folder).as_posix(), reason)
            files["image"] = firsts
        if not files["json"]:
            yield Skipped(name, "no JSON beside the image", files["image"][0].name)
        elif not files["image"]:
            yield Skipped(name, "no image beside the JSON", files["json"][0].name)
        elif len(files["image"]) > 1:
            yield Skipped(name, "several images of one name", ", ".join(p.name for p in files["image"]))
        else:
            try:
                located.append((name, files["image"][0], *_sidecar(files["json"][0])))
            except ValueError as error:
                yield Skipped(name, str(error), files["json"][0].name)

    places = nearest_places([point for _, _, point, _, _ in located])
    stated = [country or place.country for (*_, country), place in zip(located, places, strict=True)]
    wrong = swapped([point for _, _, point, _, _ in located], stated)
    for n, ((name, image, point, nearest_region, country), place) in enumerate(zip(located, places, strict=True)):
        spot = f"{point[0]:.{PLACE_DECIMALS}f} {point[1]:.{PLACE_DECIMALS}f}"
        known = place_fields(point, place)
        if nearest_region is not None:
            known["nearest_region"] = nearest_region
        if wrong[n]:
            known["stated_country"] = country
        yield Sample(name, split_of(options.seed, spot, shares), image, known)
        progress("reading photos", n + 1, len(located))  # whoever takes a sample decodes its photo


def _pair(record: dict[str, Any]) -> Any:
    """Latitude and longitude as the record has them, a list of two where all is well; nothing where it has none.

    GeoJSON (RFC 7946) has its points the other way round: longitude, latitude and perhaps a height.
    """
    geometry = next((g for g in (record.get("geometry"), record.get("coordinates"), record) if _is_geojson(g)), None)
    if geometry is not None:
        pair = geometry.get("coordinates")
        if geometry["type"] != "Point" or not isinstance(pair, list) or len(pair) not in (2, 3):
            raise ValueError("GeoJSON of no point")
        return [pair[1], pair[0]]
    pair = record.get("coordinates") or record
    return named_pair(pair) if isinstance(pair, dict) else pair


def _is_geojson(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and value.get("type") in GEOMETRIES and "coordinates" in value


def _sidecar(path: Path) -> tuple[tuple[float, float], str | None, str | None]:
    """Coordinates, nearest region and code of the country; ValueError with a countable reason without the first."""
    try:
        record = json.loads(path.read_bytes())
    except OSError:
        raise ValueError("JSON may not be read") from None
    except (ValueError, RecursionError):
        raise ValueError("broken JSON") from None
    if not isinstance(record, dict):
        raise ValueError("no coordinates")
    pair = _pair(record)
    if not pair:
        raise ValueError("no coordinates")
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError("coordinates are no pair")
    regions = record.get("regions")
    try:
        region = str(regions[0][0])  # type: ignore[index]
    except (TypeError, IndexError, KeyError):
        region = None
    return coordinates_of(*pair), region, country_code(str(record.get("country") or ""))
