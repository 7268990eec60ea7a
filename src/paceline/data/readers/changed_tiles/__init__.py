"""Pairs made on real aerial or satellite tiles: crops before and after, between which drawn roofs come, go or break.

The ground is real, the changes are made. Each pair is one crop of a tile, shown twice. Roofs (a rectangle with a ridge
along or across, and a shadow) are drawn on it: ``built`` ones after alone, ``removed`` ones before alone, ``damaged``
ones on both, with holes and rubble after. Others stand on both, unharmed, so that roofs after don't tell how many came.
All roofs keep apart and inside the crop, so that every count is exact; ``places`` has the box of each.

Both pictures of every pair, changed or not, have a brightness, a contrast and a noise of their own, and the second is
shifted by a few pixels: no difference of pixels tells the changes. What is real in a tile is not counted.

A tile is one group, in one split; one that looks like a tile before it is left out, as the same tile in two formats
would stand in two. Tiles are parted by their order at random, so that few tiles fill every split; other
tiles in the folder may move some to another split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from paceline.counted import counted
from paceline.data.folders import files_below
from paceline.data.images import SUFFIXES, TOO_WIDE, BadImage, decode
from paceline.data.readers import Complete, Progress, Sample, Skipped, check_shares, fraction, source_folder
from paceline.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

PATHS = ("path",)
READS = {"path": SUFFIXES}
ANY_KIND = True


@dataclass(frozen=True)
class Options:
    """Which tiles, and what is made of each."""

    path: str = field(default="", metadata={"doc": "folder of the tiles, searched with its subfolders"})
    pairs: int = field(default=40, metadata={"doc": "pairs made of each tile", "low": 1})
    pixels: int = field(default=128, metadata={"doc": "width and height of a crop", "low": 64})
    most: int = field(default=3, metadata={"doc": "roofs of each class in a pair, at most", "low": 1, "high": 6})
    unchanged: float = field(
        default=0.3, metadata={"doc": "share of the pairs in which nothing changes", "low": 0, "high": 1}
    )
    shift: int = field(
        default=2, metadata={"doc": "pixels by which the second picture is shifted, at most", "low": 0, "high": 8}
    )
    shares: dict[str, float] = field(
        default_factory=lambda: {"train": 0.6, "validation": 0.15, "test": 0.25},
        metadata={"doc": "share of the tiles that each split gets, at least one"},
    )
    seed: int = field(default=0, metadata={"doc": "seed of the splits and of all that is drawn"})


def made(options: Options) -> dict[str, str]:
    """The user's tiles, and that the changes are drawn."""
    return {
        "source": f"{options.path}; the changes are made: roofs drawn on crops",
        "licence": "that of the tiles' owner; crops are copied",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """Tile by tile in the order of their names, each with its pairs."""
    import numpy as np

    from paceline.data.leakage import thumbnail
    from paceline.data.readers.changed_tiles.drawn_pairs import Pair

    folder, shares = source_folder(options.path, "tiles"), check_shares(options.shares)
    paths, passed_over = files_below(folder, SUFFIXES)
    yield from passed_over
    tiles: dict[str, Path] = {}
    looks: list[bytes] = []
    for n, path in enumerate(paths):
        name = path.relative_to(folder).as_posix()
        tile = _tile(path, options)
        if isinstance(tile, str):
            yield Skipped(name, tile)
        else:
            tiles[name] = path  # decoded again when it is drawn on: a folder may hold more than the memory
            looks.append(thumbnail(tile))
        progress("reading tiles", n + 1, len(paths))
    for name, first in _likes(list(tiles), looks).items():
        del tiles[name]
        yield Skipped(name, "looks like a tile before it", first)
    split_of = splits(list(tiles), shares, options.seed)
    total = len(tiles) * options.pairs
    for number, (name, path) in enumerate(tiles.items()):
        tile = _tile(path, options)
        if isinstance(tile, str):
            yield Skipped(name, tile)  # exchanged meanwhile
            continue
        pixels = np.asarray(tile, dtype=np.uint8)
        for n in range(options.pairs):
            pair = Pair(pixels, options, f"{name} {n}")
            record = {"counts": pair.counts, "places": pair.places, "group": name}
            sample = f"{name}#{n + 1}"
            try:
                fields = complete(record)
            except ValueError as error:
                yield Skipped(sample, str(error))
                continue
            # PPM: its bytes are the same whatever the library's version.
            files = tuple(images / f"{number:04d}_{n:04d}_{when}.ppm" for when in ("before", "after"))
            for file, image in zip(files, (pair.before, pair.after), strict=True):
                image.save(file, "PPM")
            yield Sample(sample, split_of[name], fields=fields, images=files)
            progress("drawing pairs", number * options.pairs + n + 1, total)


def _tile(path: Path, options: Options) -> Image.Image | str:
    """A tile; why it can't be used where it can't."""
    try:
        image = decode(path)
    except BadImage as error:
        return "tile has values above 8 bits" if str(error) == TOO_WIDE else str(error)
    if min(image.size) < options.pixels + 2 * options.shift:
        return "tile smaller than a crop with its shift"
    return image


def _likes(names: Sequence[str], looks: Sequence[bytes]) -> dict[str, str]:
    """Tile -> the first one that looks like it: a tile that lies there twice would stand in two splits."""
    from paceline.data.leakage import alike  # numpy

    found: dict[str, str] = {}
    for i, j in sorted(alike(looks, looks)):
        if i < j and names[i] not in found:
            found.setdefault(names[j], names[i])
    return found


def splits(names: Sequence[str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Tile -> split: in an order at random, so many of each as its share says, and at least one.

    Raises:
        DataError: there are fewer tiles than splits.
    """
    if not names:
        return {}
    if len(names) < len(shares):
        raise DataError(
            f"task.options.path: {counted(len(names), 'tile')} can't fill the splits {', '.join(shares)}, as a tile "
            "stands in one of them; give more tiles, or fewer splits: task.options.shares={test: 1.0}"
        )
    ordered = sorted(names, key=lambda name: (fraction(seed, f"tile {name}"), name))
    most = {split: max(1, round(share * len(names))) for split, share in shares.items()}
    while sum(most.values()) > len(names):
        most[max(most, key=lambda split: most[split])] -= 1
    largest = max(shares, key=lambda split: shares[split])
    most[largest] += len(names) - sum(most.values())
    parted = [split for split, count in most.items() for _ in range(count)]
    return dict(zip(ordered, parted, strict=True))
