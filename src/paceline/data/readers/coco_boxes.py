"""Boxes of annotations in COCO's format (``instances_val2017.json`` and others): all of each class and picture.

A sample asks for all objects of one class on one picture; classes that a picture lacks are not asked about. Groups of
objects that are one annotation (``iscrowd``) have no boxes of their own: that class of that picture is left out. Files
are read item by item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data import json_items
from paceline.data.readers import (
    Complete,
    Progress,
    Sample,
    Skipped,
    absolute,
    below,
    images_folder,
    sampled,
    source_folder,
)
from paceline.errors import DataError, UserError

ANY_KIND = True
PATHS = ("path", "images")
READS = {"path": (".json",)}


@dataclass(frozen=True)
class Options:
    """Where annotations and pictures are, and how many are taken."""

    path: str = field(default="", metadata={"doc": "folder of the annotations' files"})
    images: Any = field(default="", metadata={"doc": "folder of the pictures, or split -> folder; empty: path"})
    splits: dict[str, str] = field(
        default_factory=lambda: {"train": "instances_train2017.json", "test": "instances_val2017.json"},
        metadata={"doc": "split -> its file below path"},
    )
    pictures: dict[str, int] = field(
        default_factory=dict,
        metadata={"doc": "split -> pictures taken of it, at random, each with all its classes; without a number, all"},
    )
    phrase: str = field(default="{class}", metadata={"doc": "what is asked for, with {class}"})
    seed: int = field(default=0, metadata={"doc": "seed of the pictures taken"})


def made(options: Options) -> dict[str, str]:
    """The files; the licence is not recorded."""
    return {"source": f"{', '.join(options.splits.values())} of {options.path}", "licence": "that of the data's owner"}


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """Classes of pictures, in the order of each file's pictures."""
    if options.path and (file := absolute(options.path)).is_file():
        raise DataError(
            f"task.options.path: {file} is a file; give its folder, and which split it holds: "
            f"task.options.path={file.parent}, options: {{splits: {{test: {file.name}}}}}"
        )
    folder = source_folder(options.path, "annotations in COCO's format")
    if "{class}" not in options.phrase:
        raise UserError(f"task.options.phrase: names no {{class}}, got {options.phrase!r}")
    for split, name in options.splits.items():
        path = folder / name
        if not path.is_file():
            raise DataError(
                f"task.options.splits.{split}: no file {path}; name those there are: splits: {{{split}: FILE}}"
            )
        given = options.images.get(split, "") if isinstance(options.images, Mapping) else options.images
        pictures = images_folder(absolute(str(given or options.path)), f"the pictures of split '{split}'")
        yield from _samples(path, split, pictures, options, progress, complete)


def _samples(
    path: Path, split: str, pictures: Path, options: Options, progress: Progress, complete: Complete
) -> Iterator[Sample | Skipped]:
    progress(f"reading {path.name}", 0, 0)
    listed = {str(one.get("id")): one for one in _objects(path, "images")}
    taken = sampled(listed, options.pictures.get(split, 0), options.seed)
    names = {str(one.get("id")): str(one.get("name")) for one in _objects(path, "categories")}
    boxes: dict[tuple[str, str], list[Any]] = {}
    crowds: set[tuple[str, str]] = set()
    for one in _objects(path, "annotations"):
        key = str(one.get("image_id")), str(one.get("category_id"))
        if taken is not None and key[0] not in taken:
            continue
        if key[0] not in listed or key[1] not in names:
            yield Skipped(f"{split}/{one.get('id')}", "annotation of no picture or class of the file")
            continue
        boxes.setdefault(key, []).append(one.get("bbox"))
        if one.get("iscrowd"):
            crowds.add(key)
    by_image: dict[str, list[str]] = {}
    for image, category in boxes:
        by_image.setdefault(image, []).append(category)
    for image, record in listed.items():
        if taken is not None and image not in taken:
            continue
        if image not in by_image:
            yield Skipped(f"{split}/{image}", "picture without an annotation")
        for category in sorted(by_image.get(image, ())):
            label, name = names[category], f"{split}/{image}/{names[category]}"
            if (image, category) in crowds:
                yield Skipped(name, "class with a group that is one annotation")
                continue
            fields = {
                "phrase": options.phrase.replace("{class}", label),
                "class": label,
                "boxes": boxes[image, category],
                "box_format": "xywh",
                "several": True,
                "tile": f"{split}/{image}",
                **{side: record[side] for side in ("width", "height") if record.get(side)},
            }
            try:
                yield Sample(name, split, below(pictures, str(record.get("file_name"))), complete(fields))
            except ValueError as error:
                yield Skipped(name, str(error))


def _objects(path: Path, key: str) -> Iterator[Mapping[str, Any]]:
    for item in json_items.listed(path, key):
        if not isinstance(item, Mapping):
            raise DataError(f"{path}: '{key}' holds {str(item)[:40]!r}, which is no object")
        yield item
