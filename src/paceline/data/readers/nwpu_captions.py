"""NWPU-Captions: 31,500 aerial pictures of 45 scenes, five captions each (Cheng et al. 2022).

``dataset_nwpu.json`` holds a list for each scene; a picture has ``filename``, ``split`` and its captions as ``raw`` and
``raw_1`` to ``raw_4``. Pictures lie in a folder for each scene, ``airplane/airplane_001.jpg``, or all in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data import json_items
from paceline.data.readers import Complete, Progress, Sample, Skipped, absolute, below, images_folder, require_variables
from paceline.errors import DataError, UserError

ANY_KIND = True
PATHS = ("path", "images")
READS = {"path": (".json",)}
FILE = "dataset_nwpu.json"
CAPTIONS = ("raw", "raw_1", "raw_2", "raw_3", "raw_4")
SPLITS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Options:
    """Where captions and pictures are."""

    path: str = field(default="", metadata={"doc": f"{FILE}, or its folder"})
    images: str = field(default="", metadata={"doc": "folder of the scenes' pictures; empty: that of the captions"})


def made(options: Options) -> dict[str, str]:
    """Source and licence."""
    return {
        "source": "NWPU-Captions, github.com/HaiyanHuang98/NWPU-Captions",
        "licence": "that of the data's owner: pictures of NWPU-RESISC45, out of Google Earth",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The pictures, scene by scene, in the order of the file."""
    require_variables({"path": options.path, "images": options.images})
    if not options.path:
        raise UserError(f"task.options.path is not set; give {FILE}: task.options.path=FILE")
    path = absolute(options.path)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"task.options.path: no file {path}; give {FILE}: task.options.path=FILE")
    folder = images_folder(absolute(options.images) if options.images else path.parent, "the pictures")
    for scene, pictures in json_items.members(path):
        if not isinstance(pictures, list):
            raise DataError(f"{path}: '{scene}' is no list of pictures but {str(pictures)[:40]!r}")
        progress(f"reading captions of {scene}", 0, 0)
        for n, picture in enumerate(pictures):
            yield _sample(scene, n, picture, folder, complete)


def _sample(scene: str, n: int, picture: Any, folder: Path, complete: Complete) -> Sample | Skipped:
    name = f"{scene}/{n}"
    if not isinstance(picture, Mapping) or not isinstance(picture.get("filename"), str):
        return Skipped(name, "picture without a file's name")
    name = f"{scene}/{picture['filename']}"
    split = SPLITS.get(str(picture.get("split")))
    if split is None:
        return Skipped(name, "split is none of train, val, test")
    try:
        places = [below(folder, f"{scene}/{picture['filename']}"), below(folder, picture["filename"])]
    except ValueError as error:
        return Skipped(name, str(error))
    image = next((place for place in places if place.is_file()), None)
    if image is None:
        return Skipped(name, "picture not found")
    captions = [text for key in CAPTIONS if isinstance(text := picture.get(key), str) and text.strip()]
    try:
        return Sample(name, split, image, complete({"references": captions, "scene": scene}))
    except ValueError as error:
        return Skipped(name, str(error))
