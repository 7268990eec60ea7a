"""VQA v2: questions about COCO's photos, each answered by ten people (Goyal and others 2017, arXiv:1612.00837).

The files are those of https://visualqa.org/download.html: ``v2_OpenEnded_mscoco_val2014_questions.json`` and
``v2_mscoco_val2014_annotations.json``, and so for ``train2014``; what stands before ``val2014`` may be another name,
as that of v1 is. Photos lie anywhere below ``images`` under COCO's names, which end in the
photo's number (``COCO_val2014_000000000042.jpg``); they are not copied. Files are read item by item.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data import json_items
from paceline.data.folders import files_below
from paceline.data.readers import Complete, Progress, Sample, Skipped, absolute, images_folder, sampled, source_folder
from paceline.data.readers.coco_qa import number_of
from paceline.errors import DataError, UserError

ANY_KIND = True
PATHS = ("path", "images")
READS = {"path": (".json",)}


@dataclass(frozen=True)
class Options:
    """Where questions, answers and photos are, and how many are taken."""

    path: str = field(default="", metadata={"doc": "folder of the questions' and the annotations' files"})
    images: str = field(default="", metadata={"doc": "folder of COCO's photos; empty: below path"})
    splits: dict[str, str] = field(
        default_factory=lambda: {"train": "train2014", "test": "val2014"},
        metadata={"doc": "split -> the part that stands before _questions.json; one without files is left out"},
    )
    pictures: dict[str, int] = field(
        default_factory=dict,
        metadata={"doc": "split -> photos taken of it, at random, each with all its questions; without a number, all"},
    )
    seed: int = field(default=0, metadata={"doc": "seed of the photos taken"})


def made(options: Options) -> dict[str, str]:
    """Source and licence of questions and photos."""
    return {
        "source": "VQA v2, https://visualqa.org",
        "licence": "questions and answers CC BY 4.0; photos of Flickr by their own licences, as COCO lists them",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The questions of each split, in the order of its file."""
    folder = source_folder(options.path, "VQA v2's questions and annotations")
    files = {split: found for split, part in options.splits.items() if (found := _files(folder, str(part)))}
    if not files:
        parts = ", ".join(map(str, options.splits.values()))
        raise DataError(f"task.options.path: {folder} holds no *_{{part}}_questions.json of the parts {parts}")
    below = images_folder(absolute(options.images or options.path), "COCO's photos")
    photos = {number_of(path.stem): path for path in files_below(below, (".jpg", ".jpeg", ".png"))[0]}
    for split, (questions, answers) in files.items():
        progress(f"reading {questions.name}", 0, 0)
        asked = (_photo_of(q) for q in _objects(questions, "questions"))
        taken = sampled(asked, options.pictures.get(split, 0), options.seed)
        yield from _samples(split, questions, _annotated(answers, taken), photos, taken, complete)


def _samples(
    split: str,
    questions: Path,
    annotated: Mapping[str, Mapping[str, Any]],
    photos: Mapping[str, Path],
    taken: frozenset[str] | None,
    complete: Complete,
) -> Iterator[Sample | Skipped]:
    for question in _objects(questions, "questions"):
        image, name = _photo_of(question), str(question.get("question_id"))
        if taken is not None and image not in taken:
            continue
        photo = photos.get(image)
        if photo is None or name not in annotated:
            yield Skipped(name, "photo not found" if photo is None else "question without an annotation", image)
            continue
        fields = dict(annotated[name])
        if (other := fields.pop(PHOTO)) != image:
            yield Skipped(name, "annotation of another photo" if other else SEVERAL, image)
            continue
        try:
            yield Sample(name, split, photo, complete({"question": question.get("question"), **fields}))
        except ValueError as error:
            yield Skipped(name, str(error))


PHOTO = "photo"
SEVERAL = "question with annotations that differ"


def _photo_of(one: Mapping[str, Any]) -> str:
    """The number of the photo of a question or an annotation."""
    return number_of(str(one.get("image_id")))


def _annotated(path: Path, taken: frozenset[str] | None) -> dict[str, dict[str, Any]]:
    """Question -> fields that its annotation gives, and its photo, which is empty where annotations differ."""
    found: dict[str, dict[str, Any]] = {}
    for one in _objects(path, "annotations"):
        image, name = _photo_of(one), str(one.get("question_id"))
        if taken is not None and image not in taken and name not in found:
            continue
        people = one.get("answers") if isinstance(one.get("answers"), list) else ()
        answers = [_shared(a.get("answer") if isinstance(a, Mapping) else a) for a in people or ()]
        types = {"answer": _shared(one.get("answer_type")), "question": _shared(one.get("question_type"))}
        fields = {"answer": one.get("multiple_choice_answer"), "answers": answers}
        known = {way: kind for way, kind in types.items() if isinstance(kind, str) and kind}
        annotation = {PHOTO: image, **fields, **({"types": known} if known else {})}
        found[name] = annotation if found.get(name, annotation) == annotation else {**annotation, PHOTO: ""}
    return found


def _shared(value: Any) -> Any:
    """A text that stands in memory once, however many people gave it; all else as it is."""
    return sys.intern(value) if isinstance(value, str) else value


def _objects(path: Path, key: str) -> Iterator[Mapping[str, Any]]:
    for item in json_items.listed(path, key):
        if not isinstance(item, Mapping):
            raise DataError(f"{path}: '{key}' holds {str(item)[:40]!r}, which is no object")
        yield item


def _files(folder: Path, part: str) -> tuple[Path, Path] | None:
    """The questions of a part and their annotations; None where it has no questions."""
    questions, annotations = (_one(folder, part, kind) for kind in ("questions", "annotations"))
    if questions is not None and annotations is None:
        raise DataError(f"task.options.path: {questions} has no *_{part}_annotations.json beside it")
    return None if questions is None or annotations is None else (questions, annotations)


def _one(folder: Path, part: str, kind: str) -> Path | None:
    ending = f"_{part}_{kind}.json"
    found = sorted(path for path in folder.rglob("*.json") if f"_{path.name}".endswith(ending) and path.name[0] != ".")
    if len(found) > 1:
        names = ", ".join(str(p.relative_to(folder)) for p in found)
        raise UserError(f"task.options.path: several files of {kind} of '{part}': {names}; give a folder with one")
    return found[0] if found else None
