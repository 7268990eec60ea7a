"""A folder of one's own photos with their position (GPS in EXIF). Photos are not copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data.readers import Progress, Sample, Skipped, check_shares, source_folder, split_of
from paceline.data.readers.sidecar import PLACE_DECIMALS
from paceline.tasks.geolocation.gazetteer import coordinates_of, nearest_places, place_fields

PATHS = ("path",)
IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")

# Tags of the GPS directory (EXIF 2.32, section 4.6.6).
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE = 1, 2, 3, 4


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
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in IMAGES and p.name[0] != "." and p.is_file()]
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
    from PIL import ExifTags, Image

    try:
        with Image.open(path) as image:
            gps = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    except Image.DecompressionBombError:
        raise ValueError("image has too many pixels") from None
    except Exception:  # a damaged file makes the parsers raise nearly anything
        raise ValueError("broken image") from None
    if LATITUDE not in gps or LONGITUDE not in gps:
        raise ValueError("no GPS in EXIF")
    point = coordinates_of(
        _degrees(gps[LATITUDE], gps.get(LATITUDE_REF), "S"),
        _degrees(gps[LONGITUDE], gps.get(LONGITUDE_REF), "W"),
    )
    if point == (0.0, 0.0):
        raise ValueError("GPS says 0, 0: the camera had no fix")
    return point


def _degrees(parts: Any, hemisphere: Any, negative: str) -> float:
    """Degrees, minutes and seconds as degrees; NaN, refused later, where a rational's denominator is 0."""
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
    except (TypeError, ValueError, ZeroDivisionError):
        raise ValueError("broken GPS in EXIF") from None
    letter = hemisphere.decode("ascii", "replace") if isinstance(hemisphere, bytes) else str(hemisphere or "")
    value = degrees + minutes / 60 + seconds / 3600
    return -value if letter.strip("\0 ").upper() == negative else value
