"""What a sample of document questions holds: one document, the questions about it, and the chunks nearest to each.

A sample has ``document``, ``questions`` (each ``name``, ``topic`` and ``question``), ``nearest`` (name -> places of
chunks with their cosine, the nearest first), ``top`` (how many of these are shown) and ``chunks`` (``index``, ``from``,
``to``, ``page``, ``text``); perhaps ``answers``, name of a question -> right answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks.document_questions import joint_answers
from paceline.tasks.kind import Asks, Part

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec

ASKS = Asks(answer="text", images="none")

FIELDS = {
    "document": "the name of the document's file",
    "passages": "the chunks that are shown with what is asked; asked together, those of all questions, numbered",
}

SHOWN = ("document", "passages")

PART_FIELDS = ("topic", "passage")
"""``{topic}`` is a question in a word or a few; ``{passage}`` the chunks that are shown with it."""

GROUP = "document"
"""The questions about one document are resampled together."""

_ALL = re.compile(r"\{(?:questions|topics)(?::[^{}]*)?\}")


def asked_together(prompt: PromptSpec) -> bool:
    """Whether a prompt asks all questions in one conversation."""
    return bool(_ALL.search(f"{prompt.text}\n{prompt.system}"))


def shown_for(sample: Mapping[str, Any], name: str, together: bool = False) -> list[dict[str, Any]]:
    """The chunks that are shown with one question, the nearest first.

    Args:
        sample: a prepared document.
        name: of the question.
        together: whether all questions are asked together; ``together`` of the sample says which chunks are then
            shown, where there is no room for all.
    """
    held = {chunk["index"]: chunk for chunk in sample["chunks"]}
    if together and "together" in sample:
        return [held[place] for place in sample["together"][name]]
    return [held[place] for place, _ in sample["nearest"][name][: sample["top"]]]


def numbered(sample: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chunks that are shown where all questions are asked together, each once, in the order of the questions."""
    shown = [chunk for one in sample["questions"] for chunk in shown_for(sample, one["name"], together=True)]
    return list({chunk["index"]: chunk for chunk in shown}.values())


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The questions, in order, each with its chunks; asked together, each names the numbers of its chunks."""
    together = asked_together(prompt)
    number = {chunk["index"]: n for n, chunk in enumerate(numbered(sample), 1)} if together else {}
    found = []
    for one in sample["questions"]:
        shown = shown_for(sample, one["name"], together)
        passage = "\n\n".join(chunk["text"] for chunk in shown)
        told = f" [{', '.join(str(number[chunk['index']]) for chunk in shown)}]" if together else ""
        own = {"topic": one["topic"] + told, "passage": passage}
        own |= {} if together else {"passages": passage}  # asked alone, a prompt may name either
        found.append(Part(one["name"], one["question"] + told, fields=own))
    return tuple(found)


def split(text: str, parts: Sequence[Part]) -> dict[str, str]:
    """An answer to all questions, taken apart (:mod:`paceline.tasks.document_questions.joint_answers`)."""
    names = {part.name: (part.text, part.fields.get("topic", "")) for part in parts}
    return joint_answers.taken_apart(text, names)


def fields(sample: Mapping[str, Any], task: TaskSpec | None = None) -> dict[str, Any]:
    """The fields of a sample for templates."""
    listed = "\n\n".join(f"[{n}] {chunk['text']}" for n, chunk in enumerate(numbered(sample), 1))
    return {"document": sample["document"], "passages": listed}


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record as they are.

    Raises:
        ValueError: one that the reader ``documents`` gives is missing.
    """
    if not {"document", "questions", "nearest", "top", "chunks"} <= fields.keys():
        raise ValueError("no chunks of a document: the reader `documents` gives them")
    return fields
