"""DIOR-RSVG: objects of aerial pictures, each with a phrase and a box (Zhan, Xiong and Yuan 2023, TGRS 61).

The layout is that of the authors' repository (github.com/ZhanYang-nwpu/RSVG-pytorch): ``Annotations/00001.xml``, VOC's
format with a ``description`` in each ``object``; ``JPEGImages/00001.jpg``; and ``train.txt``, ``val.txt`` and
``test.txt``, a number a line. A number counts all objects of all annotations, from 0. The authors' code counts in the
order in which the file system lists them, which is by name on Windows, where they ran it: so it is here. As a missing
annotation shifts all that follow, lists and annotations must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from paceline.data.readers import Complete, Progress, Sample, Skipped, below, sampled, source_folder
from paceline.errors import DataError, UserError

ANY_KIND = True
PATHS = ("path",)
READS = {"path": (".xml", ".txt")}
EXPRESSIONS = 38_320
"""Objects of the whole data set: the published lists hold each number below this once."""
_EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Options:
    """Where the data set is, and how much of it is taken."""

    path: str = field(default="", metadata={"doc": "folder that holds Annotations, JPEGImages and the lists"})
    splits: dict[str, str] = field(
        default_factory=lambda: {"train": "train.txt", "validation": "val.txt", "test": "test.txt"},
        metadata={"doc": "split -> its list; one that is left out is not read"},
    )
    pictures: dict[str, int] = field(
        default_factory=dict,
        metadata={"doc": "split -> pictures taken of it, at random, each with its phrases; without a number, all"},
    )
    seed: int = field(default=0, metadata={"doc": "seed of the pictures taken"})


def made(options: Options) -> dict[str, str]:
    """Source and licence."""
    return {
        "source": "DIOR-RSVG, github.com/ZhanYang-nwpu/RSVG-pytorch, on pictures of DIOR",
        "licence": "for research, as its authors say; pictures of DIOR by their own terms",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The objects of the lists, in the order of the annotations."""
    folder = source_folder(options.path, "DIOR-RSVG")
    annotations, pictures = folder / "Annotations", folder / "JPEGImages"
    for place in (annotations, pictures):
        if not place.is_dir():
            raise DataError(f"task.options.path: {folder} holds no folder {place.name}; give that of DIOR-RSVG")
    splits = _lists(folder, options)
    objects = _objects(annotations, progress)
    if splits and (most := max(splits)) >= len(objects):
        raise DataError(
            f"{annotations}: holds {len(objects):,} objects, and the lists name number {most:,}; as objects are told "
            f"by their number, all annotations must be there (the whole data set has {EXPRESSIONS:,} objects)"
        )
    taken = {
        split: sampled(
            (one["tile"] for number, one in enumerate(objects) if splits.get(number) == split),
            options.pictures.get(split, 0),
            options.seed,
        )
        for split in set(splits.values())
    }
    for number, one in enumerate(objects):
        name, split = f"{number:05d}", splits.get(number)
        if split is None:
            yield Skipped(name, "object in no list that is read")
            continue
        chosen = taken[split]
        if chosen is not None and one["tile"] not in chosen:
            continue
        try:
            fields = complete({k: v for k, v in one.items() if k != "file"})
            yield Sample(name, split, below(pictures, one["file"]), fields)
        except ValueError as error:
            yield Skipped(name, str(error), one["file"])


def _lists(folder: Path, options: Options) -> dict[int, str]:
    """Number of an object -> its split.

    Raises:
        DataError: a list is missing or holds something else, or a number stands in two.
    """
    found: dict[int, str] = {}
    for split, name in options.splits.items():
        path = folder / name
        try:
            lines = path.read_text(encoding="utf-8-sig").split()
            numbers = [int(line) for line in lines]
        except OSError as error:
            raise DataError(f"task.options.splits.{split}: can't read {path}: {error.strerror or error}") from None
        except ValueError:
            raise DataError(f"{path}: holds something else than the numbers of objects, one a line") from None
        if not numbers or min(numbers) < 0:
            raise DataError(f"{path}: holds no number of an object, or one below 0")
        for number in numbers:
            if (other := found.setdefault(number, split)) != split:
                raise DataError(f"{path}: object {number} stands in the lists of '{other}' and of '{split}'")
    if not found:
        raise UserError("task.options.splits: name at least one list, such as {test: test.txt}")
    return found


def _objects(annotations: Path, progress: Progress) -> list[dict[str, Any]]:
    """Every object of every annotation, in the order that numbers count.

    Raises:
        DataError: a file is broken; left out it would shift the numbers of all objects behind it.
    """
    objects = []
    paths = sorted(path for path in annotations.iterdir() if path.suffix.lower() == ".xml" and path.name[0] != ".")
    for n, path in enumerate(paths):
        progress("reading annotations", n + 1, len(paths))
        try:
            content = path.read_bytes()
            if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
                raise ValueError("it declares entities, which no annotation needs")
            root = ElementTree.fromstring(content)
        except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:  # also an unknown encoding
            raise DataError(
                f"{path}: can't be read ({error}); get it again, as objects are told by their number"
            ) from None
        shared = {
            "file": root.findtext("filename", "").strip() or f"{path.stem}.jpg",
            "tile": path.stem,
            "width": root.findtext("size/width"),
            "height": root.findtext("size/height"),
        }
        for one in root.iter("object"):
            box = [(one.findtext(f"bndbox/{edge}") or "").strip() for edge in _EDGES]
            phrase, label = (one.findtext(tag, "").strip() for tag in ("description", "name"))
            objects.append(
                {**shared, "phrase": phrase, "class": label, "box": box if all(box) else "", "several": False}
            )
    return objects
