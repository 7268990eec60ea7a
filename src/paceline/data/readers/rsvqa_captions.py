"""Captions made from RSVQA's answers about a tile, by a rule: nobody wrote them (Lobry et al. 2020, arXiv:2003.07333).

The files are RSVQA's: ``…_split_train_questions.json`` with its answers and images beside it; tiles lie below
``images`` under their number. What the rule says of a tile, at most two sentences:

- of ``Is there a road?`` and ``Is a road present?``, answered by yes, what is there: ``A rural area with a road and a
  water area.``; an area that no answer calls rural or urban is ``An area``;
- of ``How many roads are there?`` and the like, answered by 1 or more: ``There are 12 roads and 1 water area.``

Things with a size, a shape or a place (``a small road``, ``next to``), comparisons and areas say nothing, and neither
does a no or a 0. Things stand in the order of the questions. A tile of which nothing is said is skipped and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paceline.data.readers import Complete, Progress, Sample, Skipped, absolute, images_folder, sampled, source_folder
from paceline.data.readers.rsvqa import active, files_of, tiles_below
from paceline.errors import DataError

ANY_KIND = True
PATHS = ("path", "images")
READS = {"path": (".json",)}
_IN_IT = r"(?:\s+in\s+the\s+image)?\s*\??\s*"
_PRESENT = re.compile(rf"is\s+(?:there\s+an?\s+(?P<a>[a-z ]+?)|an?\s+(?P<b>[a-z ]+?)\s+present){_IN_IT}", re.IGNORECASE)
_HOW_MANY = r"what\s+is\s+the\s+(?:number|amount)\s+of"
_COUNTED = re.compile(
    rf"(?:how\s+many\s+(?P<a>[a-z ]+?)\s+are\s+there|{_HOW_MANY}\s+(?P<b>[a-z ]+?)){_IN_IT}", re.IGNORECASE
)
_MORE = re.compile(
    r"\b(?:small|medium|large|square|rectangular|circular|next|of|on|at|in|near|left|right|top|bottom)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Options:
    """Where questions and tiles are, and how many are taken."""

    path: str = field(default="", metadata={"doc": "folder of the questions, answers and images files"})
    images: str = field(default="", metadata={"doc": "folder of the tiles; empty: below path"})
    splits: dict[str, str] = field(
        default_factory=lambda: {"train": "train", "validation": "val", "test": "test"},
        metadata={"doc": "split -> the part that its files name; one without files is left out"},
    )
    pictures: dict[str, int] = field(
        default_factory=dict, metadata={"doc": "split -> tiles taken of it, at random; without a number, all"}
    )
    seed: int = field(default=0, metadata={"doc": "seed of the tiles taken"})


def made(options: Options) -> dict[str, str]:
    """Source and licence; that the captions are made."""
    return {
        "source": "RSVQA, rsvqa.sylvainlobry.com; captions are made from its answers by a rule, and nobody wrote them",
        "licence": "answers derived from OpenStreetMap (ODbL), © OpenStreetMap contributors; tiles: USGS, Copernicus",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The tiles of each split, in the order of its file of images."""
    folder = source_folder(options.path, "RSVQA's questions and answers")
    files = {split: found for split, part in options.splits.items() if (found := files_of(folder, "*", str(part)))}
    if not files:
        wanted = ", ".join(f"…_split_{part}_questions.json" for part in options.splits.values())
        raise DataError(f"task.options.path: {folder} holds none of {wanted}; give the folder of RSVQA's files")
    tiles = tiles_below(images_folder(absolute(options.images) if options.images else folder, "the tiles"))
    for split, parts in files.items():
        progress(f"reading answers of {split}", 0, 0)
        names = [str(image.get("id")) for image in active(parts["images"], "images")]
        taken = sampled(names, options.pictures.get(split, 0), options.seed)
        asked = _asked(parts, set(names) if taken is None else taken)
        for name in dict.fromkeys(names):
            if taken is not None and name not in taken:
                continue
            record = f"{split}_{name}"
            if name not in tiles:
                yield Skipped(record, "tile not found", name)
                continue
            try:
                references = sentences_of(asked.get(name, ()))
                if not references:
                    raise ValueError("no answer says what is there")
                yield Sample(record, split, tiles[name], complete({"references": references, "tile": name}))
            except ValueError as error:
                yield Skipped(record, str(error))


def sentences_of(asked: Sequence[tuple[str, str]]) -> list[str]:
    """The captions of a tile.

    Args:
        asked: its questions, each with its answer.
    """
    there: dict[str, None] = {}
    counted: dict[str, str] = {}
    kind = ""
    for question, given in asked:
        answer = given.strip().lower()
        if answer in ("rural", "urban"):
            kind = answer
        elif answer == "yes" and (thing := _thing(_PRESENT, question)):
            there.setdefault(thing)
        elif re.fullmatch(r"\d+", answer) and int(answer) and (thing := _thing(_COUNTED, question)):
            counted.setdefault(thing, f"{int(answer)} {thing if int(answer) > 1 else _singular(thing)}")
    made = []
    if there:
        area = f"{_article(kind).capitalize()} {kind} area" if kind else "An area"
        made.append(f"{area} with {_listed([f'{_article(thing)} {thing}' for thing in there])}.")
    if counted:
        one = next(iter(counted.values())).startswith("1 ")
        made.append(f"There {'is' if one else 'are'} {_listed(list(counted.values()))}.")
    return made


def _thing(pattern: re.Pattern[str], question: str) -> str:
    match = pattern.fullmatch(question.strip())
    thing = " ".join((match["a"] or match["b"]).lower().split()) if match else ""
    return "" if _MORE.search(thing) else thing


def _singular(things: str) -> str:
    if things.endswith("ies"):
        return f"{things[:-3]}y"
    return things[:-2] if things.endswith(("ches", "shes", "sses", "xes")) else things.removesuffix("s")


def _article(word: str) -> str:
    return "an" if word[:1] in "aeiou" else "a"


def _listed(texts: Sequence[str]) -> str:
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else texts[0]


def _asked(parts: Mapping[str, Path], tiles: set[str] | frozenset[str]) -> dict[str, list[tuple[str, str]]]:
    """Tile -> its questions, each with its answer."""
    answers = {str(one.get("question_id")): str(one.get("answer", "")) for one in active(parts["answers"], "answers")}
    asked: dict[str, list[tuple[str, str]]] = {}
    for question in active(parts["questions"], "questions"):
        tile, answer = str(question.get("img_id")), answers.get(str(question.get("id")))
        if tile in tiles and answer is not None:
            asked.setdefault(tile, []).append((str(question.get("question", "")), answer))
    return asked
