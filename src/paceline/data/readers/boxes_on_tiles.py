"""Boxes with exact truth, made on any tiles: patches painted or pasted at seeded places.

Made, not real: nothing is known of what a tile itself shows. On each copy of a tile a few patches are put at random
places where none covers another: of one colour, striped, chequered, or a piece that was cut out of another tile of the
same split. The phrase names one of them (``the striped red patch``), and no two on a copy are alike; with ``several``
it names all of a colour (``the red patches``). A copy is one sample; all copies of a tile are one group, in one split.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.data.folders import files_below
from paceline.data.images import SUFFIXES, TOO_WIDE, BadImage, decode
from paceline.data.readers import Complete, Progress, Sample, Skipped, check_shares, fraction, source_folder, split_of
from paceline.errors import DataError, UserError

if TYPE_CHECKING:
    from PIL import Image

ANY_KIND = True
PATHS = ("path",)
COLOURS = {
    "red": (220, 20, 20),
    "green": (20, 200, 40),
    "blue": (30, 60, 230),
    "yellow": (245, 230, 30),
    "orange": (255, 140, 0),
    "pink": (255, 90, 180),
    "cyan": (30, 220, 230),
    "white": (250, 250, 250),
    "black": (10, 10, 10),
}
PIECE = "piece"
FILLS = ("plain", "striped", "chequered", PIECE)
PIECE_PHRASE = "the piece of another picture"
LEAST_SIDE = 48
"""Pixels of a tile's shorter side, below which patches would be specks."""
LEAST_PATCH = 4
TRIES = 60
"""Places tried for a patch, before it is left out."""
_GAP = 2


@dataclass(frozen=True)
class Options:
    """Where the tiles are, and what is put on them."""

    path: str = field(default="", metadata={"doc": "folder of tiles; its subfolders are searched too"})
    copies: int = field(default=4, metadata={"doc": "copies of each tile, each with patches of its own", "low": 1})
    patches: int = field(default=3, metadata={"doc": "patches on each copy, as far as there is room", "low": 1})
    smallest: float = field(
        default=0.08, metadata={"doc": "least side of a patch, in shares of the tile's shorter one"}
    )
    largest: float = field(default=0.35, metadata={"doc": "largest side of a patch, in the same shares"})
    fills: list[str] = field(
        default_factory=lambda: list(FILLS), metadata={"doc": f"patterns of the patches: {', '.join(FILLS)}"}
    )
    several: bool = field(
        default=False,
        metadata={"doc": "whether a phrase names all patches of a colour, from one up to all on the copy"},
    )
    shares: dict[str, float] = field(
        default_factory=lambda: {"train": 0.6, "validation": 0.15, "test": 0.25},
        metadata={"doc": "share of the tiles that each split gets"},
    )
    seed: int = field(default=0, metadata={"doc": "seed of the splits and of the patches"})


def made(options: Options) -> dict[str, str]:
    """The tiles' folder; the licence is not recorded."""
    return {"source": f"patches made by paceline on the tiles of {options.path}", "licence": "that of the tiles' owner"}


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """Write the copies of each tile, in the order of the tiles' names."""
    shares = _check(options)
    folder = source_folder(options.path, "tiles")
    tiles, passed = _tiles(folder)
    yield from passed
    if not tiles:
        raise DataError(
            f"task.options.path: no picture below {folder}; give a folder of tiles: task.options.path=FOLDER"
        )
    split_tiles: dict[str, list[str]] = {}
    for name in tiles:
        split_tiles.setdefault(split_of(options.seed, f"tile {name}", shares), []).append(name)
    split_of_tile = {name: split for split, names in split_tiles.items() for name in names}
    for n, (name, path) in enumerate(tiles.items()):
        progress("putting patches on tiles", n + 1, len(tiles))
        try:
            tile = decode(path)
        except BadImage as error:
            yield Skipped(name, "tile has values above 8 bits" if str(error) == TOO_WIDE else str(error))
            continue
        if min(tile.size) < LEAST_SIDE:
            yield Skipped(name, f"tile of less than {LEAST_SIDE} pixels a side")
            continue
        split = split_of_tile[name]
        others = {one: tiles[one] for one in split_tiles[split] if one != name}
        for copy in range(options.copies):
            rng = random.Random(f"{options.seed} {name} {copy}")
            picture = tile.copy()
            fields = {**_put(picture, others, options, rng), "tile": name}
            try:
                kept = complete(fields)
            except ValueError as error:
                yield Skipped(f"{name}#{copy}", str(error))
                continue
            file = images / f"{n:05d}_{copy:02d}.png"
            picture.save(file)
            yield Sample(f"{name}#{copy}", split, file, kept)


def _check(options: Options) -> dict[str, float]:
    """The shares of the splits.

    Raises:
        UserError: options that make no patches.
    """
    if not options.fills or (unknown := [fill for fill in options.fills if fill not in FILLS]):
        told = f"got {unknown[0]!r}" if options.fills else "got none"
        raise UserError(f"task.options.fills: expected some of {', '.join(FILLS)}, {told}")
    if not 0 < options.smallest <= options.largest <= 0.9:
        raise UserError(
            "task.options: smallest and largest are sides of patches in shares of the tile's, above 0 and at most 0.9, "
            f"the smallest first; got {options.smallest} and {options.largest}"
        )
    if options.several and set(options.fills) == {PIECE}:
        raise UserError("task.options.several: pieces of other tiles have no colour; add plain, striped or chequered")
    return check_shares(options.shares)


def _tiles(folder: Path) -> tuple[dict[str, Path], list[Skipped]]:
    """Name below the folder, without its suffix, -> file; of one name in several formats the first by suffix."""
    paths, passed = files_below(folder, SUFFIXES)
    found: dict[str, Path] = {}
    for path in paths:
        below = path.relative_to(folder)
        if (stored := below.as_posix().encode("utf-8", "backslashreplace").decode()) != below.as_posix():
            passed.append(Skipped(stored, "name is no UTF-8"))
        elif (name := below.with_suffix("").as_posix()) in found:
            passed.append(Skipped(below.as_posix(), "the same tile in another format"))
        else:
            found[name] = path
    return found, passed


@dataclass(frozen=True)
class _Patch:
    colour: str
    fill: str
    box: tuple[int, int, int, int]

    @property
    def phrase(self) -> str:
        return PIECE_PHRASE if self.fill == PIECE else f"the {self.fill} {self.colour} patch"


def _put(picture: Image.Image, others: Mapping[str, Path], options: Options, rng: random.Random) -> dict[str, Any]:
    """Put patches on a picture; the phrase and the boxes that it names."""
    fills = [fill for fill in options.fills if fill != PIECE or others] or [FILLS[0]]
    looks = _looks(fills, options, rng)
    patches: list[_Patch] = []
    for colour, fill in looks:
        box = _place(picture.size, [patch.box for patch in patches], options, rng)
        if box is None:
            continue
        if fill == PIECE and not _paste(picture, box, others, rng):
            continue
        if fill != PIECE:
            _paint(picture, box, colour, fill)
        patches.append(_Patch(colour, fill, box))
    if not patches:
        return {}
    if options.several:
        asked = looks[0][0]  # the first has room where any has
        boxes = [list(patch.box) for patch in patches if patch.fill != PIECE and patch.colour == asked]
        return {"phrase": f"the {asked} patches", "class": f"{asked} patch", "boxes": boxes, "several": True}
    chosen = rng.choice(patches)
    return {"phrase": chosen.phrase, "boxes": [list(chosen.box)], "several": False}


def _looks(fills: Sequence[str], options: Options, rng: random.Random) -> list[tuple[str, str]]:
    """Colour and pattern of each patch, no two alike; with ``several`` the first ones are of the colour asked for."""
    painted = [(colour, fill) for colour in COLOURS for fill in fills if fill != PIECE]
    if options.several:
        asked = rng.choice(list(COLOURS))
        fill_of = [fill for fill in fills if fill != PIECE]
        wanted = [(asked, rng.choice(fill_of)) for _ in range(rng.randint(1, options.patches))]
        rest = [look for look in painted if look[0] != asked]
        return [*wanted, *rng.sample(rest, min(len(rest), options.patches - len(wanted)))]
    pool = [*painted, *([("", PIECE)] * (len(COLOURS) if PIECE in fills else 0))]
    rng.shuffle(pool)
    return list(dict.fromkeys(pool))[: options.patches]


def _place(
    size: tuple[int, int], taken: Sequence[tuple[int, int, int, int]], options: Options, rng: random.Random
) -> tuple[int, int, int, int] | None:
    """A place for a patch, clear of the others; None where none was found."""
    short = min(size)
    for _ in range(TRIES):
        sides = [max(LEAST_PATCH, round(short * rng.uniform(options.smallest, options.largest))) for _ in range(2)]
        x, y = rng.randint(0, size[0] - sides[0]), rng.randint(0, size[1] - sides[1])
        box = x, y, x + sides[0], y + sides[1]
        if all(
            box[2] + _GAP <= other[0]
            or other[2] + _GAP <= box[0]
            or box[3] + _GAP <= other[1]
            or other[3] + _GAP <= box[1]
            for other in taken
        ):
            return box
    return None


def _paint(picture: Image.Image, box: tuple[int, int, int, int], colour: str, fill: str) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    x0, y0, x1, y1 = box
    full = COLOURS[colour]
    # A second tone of the same colour: lighter of dark colours, darker of others.
    other = tuple(min(255, v + 110) if sum(full) < 200 else v // 2 for v in full)
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=full)
    step = max(2, min(x1 - x0, y1 - y0) // 5)
    for row, y in enumerate(range(y0, y1, step)):
        if fill == "striped" and row % 2:
            draw.rectangle((x0, y, x1 - 1, min(y + step, y1) - 1), fill=other)
        elif fill == "chequered":
            for x in range(x0 + step * (row % 2), x1, 2 * step):
                draw.rectangle((x, y, min(x + step, x1) - 1, min(y + step, y1) - 1), fill=other)


def _paste(
    picture: Image.Image, box: tuple[int, int, int, int], others: Mapping[str, Path], rng: random.Random
) -> bool:
    """Cut a piece out of another tile and put it into a box; false where that tile can't be read or is too small."""
    width, height = box[2] - box[0], box[3] - box[1]
    # Each tile has a number of its own, and the least is taken: one more tile changes few pieces.
    draw = rng.getrandbits(32)
    try:
        other = decode(others[min(others, key=lambda name: (fraction(draw, name), name))])
    except BadImage:
        return False
    if other.width < width or other.height < height:
        return False
    x, y = rng.randint(0, other.width - width), rng.randint(0, other.height - height)
    picture.paste(other.crop((x, y, x + width, y + height)), box[:2])
    return True
