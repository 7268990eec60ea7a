"""A folder of one's own photos with their position (GPS in EXIF). Photos are not copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data.folders import files_below
from paceline.data.images import SUFFIXES, BadImage, opened
from paceline.data.readers import Progress, Sample, Skipped, check_shares, source_folder, split_of
from paceline.data.readers.sidecar import PLACE_DECIMALS
from paceline.tasks.geolocation.gazetteer import coordinates_of, nearest_places, place_fields

PATHS = ("path",)
# Tags of the GPS directory (EXIF 2.32, section 4.6.6).
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE = 1, 2, 3, 4
# The standard has one letter; some cameras and editors write the word, in their language. "O" is left out: it is west
# in French and Spanish, and east in German.
NORTH_SOUTH = dict.fromkeys(["n", "north", "northern", "nord", "norte", "noord"], 1)
NORTH_SOUTH |= dict.fromkeys(["s", "south", "southern", "süd", "sued", "sud", "sur", "sul", "zuid"], -1)
EAST_WEST = dict.fromkeys(["e", "east", "eastern", "ost", "est", "este", "oost", "leste"], 1)
EAST_WEST |= dict.fromkeys(["w", "west", "western", "ouest", "oeste", "ovest"], -1)


@dataclass(frozen=True)
class Options:
    """Which folder to read, and how to split it."""

    path: str = field(default="", metadata={"doc": "folder of the photos, searched with its subfolders"})
    shares: dict[str, float] = field(
        default_factory=lambda: {"test": 1.0}, metadata={"doc": "share of the places that each split gets"}
    )
    seed: int = field(default=0, metadata={"doc": "seed of the splits"})


def made(options: Options) -> dict[str, str]:
    """The user's folder; its licence is not recorded."""
    return {"source": options.path, "licence": "that of the photos' owner; they are not copied"}


def read(options: Options, images: Path, progress: Progress) -> Iterator[Sample | Skipped]:
    """The photos in the order of their names."""
    folder, shares = source_folder(options.path, "photos with GPS in EXIF"), check_shares(options.shares)
    paths, passed_over = files_below(folder, SUFFIXES)
    yield from passed_over
    located: list[tuple[Path, tuple[float, float]]] = []
    for n, path in enumerate(paths):
        progress("reading EXIF", n + 1, len(paths))
        try:
            located.append((path, _position(path)))
        except ValueError as error:
            yield Skipped(path.relative_to(folder).as_posix(), str(error))
    places = nearest_places([point for _, point in located])
    for n, ((path, point), place) in enumerate(zip(located, places, strict=True)):
        spot = f"{point[0]:.{PLACE_DECIMALS}f} {point[1]:.{PLACE_DECIMALS}f}"
        # With the suffix: a phone may write IMG_1.jpg and IMG_1.png.
        yield Sample(
            path.relative_to(folder).as_posix(), split_of(options.seed, spot, shares), path, place_fields(point, place)
        )
        progress("reading photos", n + 1, len(located))  # whoever takes a sample decodes its photo


def _position(path: Path) -> tuple[float, float]:
    """Where the photo was taken; ValueError with a countable reason where there is no position."""
    from PIL import ExifTags

    try:
        with opened(path) as image:
            gps = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    except BadImage as error:
        raise ValueError(str(error)) from None
    if LATITUDE not in gps or LONGITUDE not in gps:
        raise ValueError("no GPS in EXIF")
    return coordinates_of(
        _degrees(gps[LATITUDE], gps.get(LATITUDE_REF), NORTH_SOUTH),
        _degrees(gps[LONGITUDE], gps.get(LONGITUDE_REF), EAST_WEST),
    )


def _degrees(parts: Any, hemisphere: Any, signs: Mapping[str, int]) -> float:
    """Degrees, minutes and seconds as degrees; NaN, refused later, where a rational's denominator is 0."""
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
    except (TypeError, ValueError, ZeroDivisionError):
        raise ValueError("broken GPS in EXIF") from None
    if min(degrees, minutes, seconds) < 0 or max(minutes, seconds) > 60:
        raise ValueError("broken GPS in EXIF")
    text = hemisphere.decode("utf-8", "replace") if isinstance(hemisphere, bytes) else str(hemisphere or "")
    word = text.partition("\0")[0].strip(" .\t\r\n").casefold()
    if not word:
        raise ValueError("GPS in EXIF without a hemisphere")
    if word not in signs:
        raise ValueError("GPS in EXIF with a hemisphere that is not understood")
    return signs[word] * (degrees + minutes / 60 + seconds / 3600)
