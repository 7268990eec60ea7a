"""What a kind of task asks of a model and of people, and what comes back: the records of its contract.

A kind takes them from :mod:`paceline.tasks.kind`, which holds the contract.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from paceline.tasks.metrics import Reading


@dataclass(frozen=True)
class Asks:
    """What a model must be able to read."""

    answer: Literal["text", "words", "choice", "labels", "several_labels", "boxes", "number"] = "text"
    """``text`` is free, ``words`` are one or a few; a model with a list of its own names one of it, and so answers all
    but text, boxes and several labels together."""
    images: Literal["none", "one", "several"] = "one"
    question: bool = True
    """False: a model that is shown the image alone answers too, as a captioner does; others are asked all the same."""

    @property
    def needs(self) -> tuple[str, ...]:
        """What a model must be able to read."""
        shown = {"none": (), "one": ("image",), "several": ("images",)}[self.images]
        return (*shown, "text") if self.question else shown


@dataclass(frozen=True)
class Part:
    """One question about a sample."""

    name: str = ""
    """Kept with the answer; empty where the sample has one question."""
    text: str = ""
    """The question, for a prompt that names ``{question}``, or ``{questions}`` to ask all parts together."""
    choices: tuple[str, ...] = ()
    """What may be answered, in the order shown; empty where anything may. A prompt that names ``{choices}`` shows them
    with letters; ``generation.answer=likelihood`` takes the likeliest of their texts."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """Generation settings of this question that differ from the cell's, where it is asked alone."""
    prefix: str = ""
    """What the answer of a model that takes no question begins with, such as ``the main colours are``, in place of the
    prompt's. Such a model is asked a part without one by the picture alone; a part with one is left out where the
    model can't be led by a beginning."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What a prompt may name of this question beside it, such as ``{passage}``: the kind's ``PART_FIELDS``. Where all
    parts are asked together, ``{passages}`` is those of all, a numbered line each, as ``{questions}`` is."""


@dataclass(frozen=True)
class Answer:
    """What a model answered to one question."""

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    """What is known beside the text: scores of the choices, sizes of the processed images."""


@dataclass(frozen=True)
class Answered:
    """An answer that was read, with what it answers."""

    sample: Mapping[str, Any]
    part: Part
    reading: Reading


@dataclass(frozen=True)
class Criterion:
    """What people mark an answer by: with yes or no, or with one of several choices."""

    name: str
    """Column of the sheet, such as ``accurate``."""
    question: str
    """What the marker is asked, such as ``Does it say what is in the picture, and nothing else?``."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """Name -> what it means; empty where the mark is yes or no."""
    by_truth: bool = False
    """Whether it can be marked only by who sees the right answer."""


@dataclass(frozen=True)
class Order:
    """The score per sample of how far an answer is from the truth; an unread answer has none and comes last."""

    score: str
    unit: str
    name: str = "error"
    """Its name in one word, such as ``overlap``."""
    near: str = "nearest"
    far: str = "farthest"
    off: str = "off"
    """What a value is called behind its unit, such as ``12 m off``."""
    metric: str = ""
    """The metric by which a model's best cell is chosen for examples."""
    scale: int = 100
    """In the page values are kept as whole numbers of 1 / scale of the unit."""
    higher_is_better: bool = False


def letter(number: int) -> str:
    """The letter of a choice, counted from 0: A to Z, then AA, AB and so on."""
    first, last = divmod(number, 26)
    return (letter(first - 1) if first else "") + string.ascii_uppercase[last]


def lettered(choices: Sequence[str]) -> str:
    """Choices as a prompt shows them, a line each: ``A. red``."""
    return "\n".join(f"{letter(number)}. {choice}" for number, choice in enumerate(choices))


def images_of(record: Mapping[str, Any]) -> list[str]:
    """Paths of a sample's images: ``images`` where it has several, else ``image``; empty where it has none."""
    return [str(path) for path in record.get("images") or [record.get("image")] if path]


def digests_of(record: Mapping[str, Any]) -> list[str]:
    """The sha256 of a prepared sample's images, in their order; empty where it has none."""
    return [str(digest) for digest in record.get("sha256s") or [record.get("sha256")] if digest]
