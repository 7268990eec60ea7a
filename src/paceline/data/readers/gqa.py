"""GQA: questions made from scene graphs of Visual Genome's photos (Hudson and Manning 2019, arXiv:1902.09506).

The files are those of https://cs.stanford.edu/people/dorarad/gqa/download.html: ``testdev_balanced_questions.json``
and others with answers, each an object of questions by number; ``train_all_questions/`` is a folder of such. Photos lie
below ``images`` by their number (``2405722.jpg``); they are not copied. Files are read item by item. A question's
``entailed`` ones count for the consistency where they are in the same split: those of ``val_balanced`` are mostly in
``val_all``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data import json_items
from paceline.data.folders import files_below
from paceline.data.readers import Complete, Progress, Sample, Skipped, absolute, images_folder, sampled, source_folder
from paceline.errors import DataError

ANY_KIND = True
PATHS = ("path", "images")
READS = {"path": (".json",)}
WAYS = ("structural", "semantic")
"""How ``types`` sorts questions: what is asked (query, verify, …), and of what (object, attribute, …)."""


@dataclass(frozen=True)
class Options:
    """Where questions and photos are, and how many are taken."""

    path: str = field(default="", metadata={"doc": "folder of the questions' files"})
    images: str = field(default="", metadata={"doc": "folder of the photos; empty: below path"})
    splits: dict[str, str] = field(
        default_factory=lambda: {"train": "train_balanced", "validation": "val_balanced", "test": "testdev_balanced"},
        metadata={"doc": "split -> its file before _questions.json; one without a file is left out"},
    )
    pictures: dict[str, int] = field(
        default_factory=dict,
        metadata={"doc": "split -> photos taken of it, at random, each with all its questions; without a number, all"},
    )
    seed: int = field(default=0, metadata={"doc": "seed of the photos taken"})


def made(options: Options) -> dict[str, str]:
    """Source and licence of questions and photos."""
    return {
        "source": "GQA, https://cs.stanford.edu/people/dorarad/gqa",
        "licence": "questions CC BY 4.0; photos of Flickr by their own licences, as Visual Genome lists them",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The questions of each split, in the order of its files."""
    folder = source_folder(options.path, "GQA's questions")
    files = {split: found for split, name in options.splits.items() if (found := _files(folder, str(name)))}
    if not files:
        names = ", ".join(f"{name}_questions.json" for name in options.splits.values())
        raise DataError(f"task.options.path: {folder} holds none of {names}")
    below = images_folder(absolute(options.images or options.path), "the photos")
    photos = {path.stem: path for path in files_below(below, (".jpg", ".jpeg", ".png"))[0]}
    for split, parts in files.items():
        progress(f"reading questions of {split}", 0, 0)
        asked = (str(q.get("imageId")) for _, q in _questions(parts))
        taken = sampled(asked, options.pictures.get(split, 0), options.seed)
        for name, question in _questions(parts):
            image = str(question.get("imageId"))
            if taken is not None and image not in taken:
                continue
            if (photo := photos.get(image)) is None:
                yield Skipped(name, "photo not found", image)
                continue
            try:
                yield Sample(name, split, photo, complete(_fields(question)))
            except ValueError as error:
                yield Skipped(name, str(error))


def _fields(question: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a question that a task may use; ``entailed`` only where the file has it."""
    types = question.get("types")
    ways = {way: types[way] for way in WAYS if isinstance(types.get(way), str)} if isinstance(types, Mapping) else {}
    fields = {"question": question.get("question"), "answer": question.get("answer")}
    if ways:
        fields["types"] = ways
    if isinstance(question.get("fullAnswer"), str):
        fields["full_answer"] = question["fullAnswer"]
    if isinstance(entailed := question.get("entailed"), list):
        fields["entailed"] = [str(name) for name in entailed]
    return fields


def _questions(parts: list[Path]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in parts:
        for name, question in json_items.members(path):
            if not isinstance(question, Mapping):
                raise DataError(f"{path}: '{name}' is no question but {str(question)[:40]!r}")
            yield name, question


def _files(folder: Path, name: str) -> list[Path]:
    """The files of a split: one, or those of a folder; below ``path`` or a folder in it."""
    for place in (folder, *sorted(p for p in folder.iterdir() if p.is_dir())):
        if (file := place / f"{name}_questions.json").is_file():
            return [file]
        if (parts := place / f"{name}_questions").is_dir():
            return sorted(parts.glob("*.json"), key=lambda path: (len(path.name), path.name))
    return []
