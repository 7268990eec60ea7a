"""What a sample of captioning holds: ``references``, a list of one or more texts, beside its image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from paceline.tasks.kind import Asks
from paceline.tasks.listed_texts import listed
from paceline.tasks.picture_change import bears_by_words

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec
    from paceline.tasks.picture_change import Change

ASKS = Asks(question=False)
"""A captioner needs no question; a model that takes one is asked it."""

FIELDS = {
    "reference": "the first reference caption: what a model is tuned to write",
    "references": "all reference captions, one a line",
}

SHOWN: tuple[str, ...] = ()  # every field is the truth

AUGMENTED_BY = ("flip", "rotate90", "crop")
GROUP = "sha256"
"""Samples of the same picture are resampled together; where each picture is one sample, nothing is grouped."""


def fields(sample: Mapping[str, Any], task: TaskSpec | None = None) -> dict[str, Any]:
    """The fields of a sample for templates."""
    references = references_of(sample)
    return {"reference": references[0] if references else None, "references": "\n".join(references) or None}


def references_of(sample: Mapping[str, Any]) -> list[str]:
    """The reference captions of a sample: ``references``, or else ``reference``; each a list or one text.

    White space is made single spaces; empty ones are left out. A repetition stays: it has its weight in CIDEr-D.
    """
    references = sample.get("references") or sample.get("reference") or []
    every = references if isinstance(references, list | tuple) else [references]
    texts = (" ".join(text.split()) for text in every if isinstance(text, str))
    return list(filter(None, texts))


def augmented(fields: Mapping[str, Any], change: Change) -> dict[str, Any] | None:
    """Nothing of a caption follows a changed picture; None where one names a side that is another then."""
    return {} if bears_by_words(references_of(fields), change) else None


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``references`` as a list of texts, from ``references`` or ``reference``.

    A cell of CSV that holds a list, as JSON or as Python writes it, is that list, and not one caption with brackets.

    Raises:
        ValueError: there is none, or one is no text.
    """
    fields = {name: listed(value) if name in ("references", "reference") else value for name, value in fields.items()}
    every = fields.get("references") or fields.get("reference") or []
    if not all(isinstance(text, str) for text in (every if isinstance(every, list | tuple) else [every])):
        raise ValueError("a reference is no text")
    references = references_of(fields)
    if not references:
        raise ValueError("no reference caption")
    return {**{name: value for name, value in fields.items() if name != "reference"}, "references": references}
