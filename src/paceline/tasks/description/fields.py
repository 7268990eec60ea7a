"""What a sample of descriptions holds: its picture, the colours of its pixels, and what else is known of it.

``references`` (one or more texts), ``objects`` (names of *all* objects of COCO's classes that the picture shows) and
``categories`` (labels) are optional: what is not there is not judged by. A category may give other words for itself
behind bars: ``coast|shore|beach``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks.kind import Asks, Part
from paceline.tasks.listed_texts import listed
from paceline.tasks.picture_change import bears_by_words

if TYPE_CHECKING:
    from PIL import Image

    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.picture_change import Change

ASKS = Asks(question=False)
"""A captioner describes without a question, and names colours where it can be led to."""

FIELDS = {
    "reference": "the first reference: what a model is tuned to write",
    "references": "all references, one a line",
    "objects": "the objects that are there, with commas between them",
    "categories": "the categories, with commas between them",
    "colours": "the main colours of the pixels, the largest share first, with commas between them",
}

SHOWN: tuple[str, ...] = ()  # every field is the truth

AUGMENTED_BY = ("flip", "rotate90")  # the colours are those of the whole picture
GROUP = "sha256"
"""The questions about one picture are resampled together."""

DESCRIPTION, COLOURS = "description", "colours"

# A cell holds no texts of its questions: these never change once cells were published with them. Another wording is
# another kind, or a prompt with a text of its own.
PARTS = (
    Part(DESCRIPTION, "Describe this picture in detail."),
    Part(
        COLOURS,
        "What are the main colours?",
        generation={"temperature": 0.0},  # read off, not composed
        prefix="the main colours are",
    ),
)

_ASKS_BOTH = re.compile(r"\{questions?[}:]")


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """Both questions; the description alone where the prompt has a text that names neither of them."""
    own_words = prompt.text.strip() and not _ASKS_BOTH.search(f"{prompt.text}\n{prompt.system}")
    return PARTS[:1] if own_words else PARTS


_NUMBERED = re.compile(r"^[ \t>*_#]*(\d{1,2})[.):][*_]*[ \t]*", re.MULTILINE)
_HEADED = re.compile(
    r"^[ \t>*_#-]*(?:the )?(?:main |dominant |primary )?colou?rs?\b[^\n:]{0,24}:", re.M | re.IGNORECASE
)


def split(text: str, parts: Sequence[Part]) -> dict[str, str]:
    """An answer to both questions, taken apart.

    At the first line that begins with the number 2, of several at one that speaks of colours, so that a description
    may be a list; else at one that begins with "Main colours:"; else between two paragraphs. Where it can't be taken
    apart, all of it is the description.
    """
    names = [part.name for part in parts]
    if len(names) < 2:
        return dict.fromkeys(names, text)
    numbers = [m for m in _NUMBERED.finditer(text) if int(m.group(1)) == len(names)]
    if numbers:
        first = _NUMBERED.match(text.lstrip())
        begin = len(text) - len(text.lstrip()) + first.end() if first and int(first.group(1)) == 1 else 0
        speaking = [m for m in numbers if "colo" in text[m.end() :].partition("\n")[0].lower()]
        cut = (speaking or numbers)[0]
        return {names[0]: text[begin : cut.start()].strip(), names[1]: text[cut.end() :].strip()}
    if headed := list(_HEADED.finditer(text)):
        return {names[0]: text[: headed[-1].start()].strip(), names[1]: text[headed[-1].end() :].strip()}
    paragraphs = [paragraph.strip() for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]
    if len(paragraphs) == len(names):
        return dict(zip(names, paragraphs, strict=True))
    return {names[0]: text.strip(), names[1]: ""}


def fields(sample: Mapping[str, Any], task: TaskSpec | None = None) -> dict[str, Any]:
    """The fields of a sample for templates; None where it has none of a name."""
    references = texts(sample, "references")
    joined = {name: ", ".join(texts(sample, name)) or None for name in ("objects", "categories")}
    return {
        "reference": references[0] if references else None,
        "references": "\n".join(references) or None,
        **joined,
        "colours": ", ".join(main_of(sample)) or None,
    }


def main_of(sample: Mapping[str, Any]) -> list[str]:
    """The main colours of a sample, the largest share first."""
    from paceline.tasks.description.colour_names import main_colours

    return main_colours(sample.get("colours") or {})


def texts(sample: Mapping[str, Any], name: str) -> list[str]:
    """The texts of a field, with single spaces, each once; empty where there is none."""
    value = sample.get(name)
    every = value if isinstance(value, list | tuple) else [value]
    return list(dict.fromkeys(" ".join(text.split()) for text in every if isinstance(text, str) and text.strip()))


def augmented(fields: Mapping[str, Any], change: Change) -> dict[str, Any] | None:
    """Nothing of a description follows a changed picture; None where a reference names a side that is another then."""
    return {} if bears_by_words(texts(fields, "references"), change) else None


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``references``, ``objects`` and ``categories`` as lists, where they are given.

    Raises:
        ValueError: one holds what is no text, or a column is called ``colours``, which come from the pixels.
    """
    if fields.get("colours") is not None:
        raise ValueError("a field is called colours, which are read from the pixels; name the columns to be used")
    kept = {name: value for name, value in fields.items() if name not in (*_LISTED, "reference", "colours")}
    given = {"references": fields.get("references") or fields.get("reference")}
    given |= {name: fields.get(name) for name in _LISTED[1:]}
    for name, stated in given.items():
        value = listed(stated)
        if value is None or value == "":
            continue
        every = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(text, str) for text in every):
            raise ValueError(f"{name} holds what is no text")
        found = texts({name: every}, name)
        if found or name == "objects":  # an empty list says that there is none
            kept[name] = found
    return kept


_LISTED = ("references", "objects", "categories")


def pictured(fields: Mapping[str, Any], images: Sequence[Image.Image]) -> dict[str, Any]:
    """``colours``: basic colour term -> its share of the pixels, of the picture as a model is shown it."""
    from paceline.tasks.description.colour_names import shares

    return {"colours": shares(images)}
