"""49 photos of landmarks out of the game GCompris, with what each is for, and where.

They lie in ``explore_monuments.rcc`` of Debian's package ``gcompris-qt-data`` (3.1). ``monuments.csv``, beside this
file, was written by hand: a landmark's name, its functional category and its place. Whose photo each is, and its
licence, is told by the README inside of the container and kept with the sample. The photos are not shipped.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data.readers import (
    Complete,
    Progress,
    Sample,
    Skipped,
    absolute,
    check_shares,
    require_variables,
    split_of,
)
from paceline.data.readers.monuments.qt_resources import Resources
from paceline.errors import DataError

ANY_KIND = True
PACKAGED = True
PATHS = ("path",)
INSTALLED = "/usr/share/gcompris-qt/rcc/explore_monuments.rcc"
INSIDE = "/gcompris/src/activities/explore_monuments/resource"
TABLE = Path(__file__).with_name("monuments.csv")
_CREDIT = re.compile(r"Copyright: (?P<who>[^\n]*)\nLicense: (?P<licence>[^\n]*)\n(?:Source: (?P<source>[^\n]*)\n)?")
_MISSPELT = {"germany/audaPalatina.webp": "germany/aulaPalatina.webp"}
"""A file's name in the README -> its own."""


@dataclass(frozen=True)
class Options:
    """Where the photos are, how they are asked about, and how they are split."""

    path: str = field(
        default="",
        metadata={"doc": "explore_monuments.rcc, or a folder that holds it; empty: where Debian installs it"},
    )
    choices: int = field(default=4, metadata={"doc": "choices given with each photo", "low": 2})
    distractors: str = field(
        default="same",
        metadata={
            "doc": "landmarks that are given beside the right one: same (category, as far as it has), other, any"
        },
    )
    shares: dict[str, float] = field(default_factory=lambda: {"test": 1.0}, metadata={"doc": "split -> its share"})
    seed: int = field(default=0, metadata={"doc": "seed of the choices and of the split"})


def made(options: Options) -> dict[str, str]:
    """Source and licence of the photos."""
    return {
        "source": "GCompris, explore_monuments.rcc of Debian's gcompris-qt-data; categories and places by paceline",
        "licence": "photos CC BY-SA 4.0, CC0 or public domain: each sample names its own, with its author and source",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The photos in the order of the table."""
    resources = Resources(_file(options))
    shares = check_shares(options.shares)
    credits = _credits(resources)
    with TABLE.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for n, row in enumerate(rows):
        progress("reading photos", n + 1, len(rows))
        inside, name = f"{INSIDE}/{row['file']}", row["file"].rpartition("/")[2]
        if inside not in resources:
            yield Skipped(row["name"], "photo not found", row["file"])
            continue
        photo = images / name
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.write_bytes(resources.read(inside))
        fields: dict[str, Any] = {key: row[key] for key in ("name", "category", "place")}
        fields |= {"n_choices": options.choices, "distractors": options.distractors, "choice_seed": options.seed}
        fields |= credits.get(row["file"], {})
        try:
            yield Sample(photo.stem, split_of(options.seed, row["name"], shares), photo, complete(fields))
        except ValueError as error:
            yield Skipped(row["name"], str(error))


def _credits(resources: Resources) -> dict[str, dict[str, str]]:
    """File -> author, licence and source of its photo, by the README in the container."""
    name = f"{INSIDE}/README"
    text = resources.read(name).decode("utf-8", "replace") if name in resources else ""
    credits: dict[str, dict[str, str]] = {}
    for block in re.split(r"\n\s*\n", text.replace("\r", "")):
        if told := _CREDIT.match(block.lstrip()):
            credit = {"author": told["who"], "licence": told["licence"], "source": told["source"] or ""}
            for file in block.partition("Files:")[2].split():
                credits[_MISSPELT.get(file, file)] = {key: value.strip() for key, value in credit.items() if value}
    return credits


def _file(options: Options) -> Path:
    require_variables({"path": options.path})
    file = absolute(options.path or INSTALLED)
    if file.is_dir():
        inside = sorted(file.rglob("explore_monuments.rcc"))
        file = inside[0] if inside else file / "explore_monuments.rcc"
    if not file.is_file():
        raise DataError(
            f"task.options.path: no {file}; it comes with a package of Debian: apt-get install gcompris-qt-data, or, "
            "without installing it, apt-get download gcompris-qt-data && dpkg -x gcompris-qt-data_*.deb FOLDER and "
            "task.options.path=FOLDER"
        )
    return file
