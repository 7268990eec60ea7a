"""A sample holds ``label`` and its image; the labels there are, and names of the data's own, are common to all."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paceline.errors import DataError
from paceline.tasks import short_answers
from paceline.tasks.classification.names import Names, folded, names_of
from paceline.tasks.kind import Asks, Part

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec

FIELDS = {"label": "the name of the sample's class: what a model is tuned to say"}
SHOWN = ()  # the question is the prompt's; {choices} shows the labels with letters
ASKS = Asks(answer="choice", images="one", question=False)
AUGMENTED_BY = ("flip", "rotate90", "crop")
GROUP = "group"
"""Samples of one group, such as variants of one drawing, are resampled together."""


@dataclass(frozen=True)
class LabelPart(Part):
    """The one question, with what the labels are called."""

    names: Names = Names((), {})


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    return {"label": sample["label"]}


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``label`` of a record of any table, from ``label`` or ``class``; an underscore of a folder's name is a space.

    ``aliases`` are other names of the label: a list, one text, or label -> these, of which the record keeps its own.

    Raises:
        ValueError: there is no label, it is no text, or aliases are none.
    """
    named = "label" if fields.get("label") not in (None, "") else "class"
    # A folder's name comes in parts or whole, as its disk writes accents.
    label = unicodedata.normalize("NFC", " ".join(short_answers.text_of(fields, named).replace("_", " ").split()))
    if not folded(label):
        raise ValueError("no label")
    kept = {name: value for name, value in fields.items() if name not in ("label", "class", "aliases")}
    given = fields.get("aliases")
    if isinstance(given, Mapping):
        given = {folded(str(name)): names for name, names in given.items()}.get(folded(label))
    aliases = short_answers.texts_of({"aliases": given}, "aliases")
    return {**kept, "label": label, **({"aliases": aliases} if aliases else {})}


def common(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The labels of all splits in alphabetical order, and the names that came with them.

    Raises:
        DataError: two labels that are read as one.
    """
    labels: dict[str, str] = {}
    own: dict[str, dict[str, None]] = {}
    for record in records:
        label = str(record["label"])
        if (first := labels.setdefault(folded(label), label)) != label:
            raise DataError(f"labels {first!r} and {label!r} are read as one; give them one name")
        own.setdefault(label, {}).update(dict.fromkeys(record.get("aliases", ())))
    names = {label: list(names) for label, names in sorted(own.items()) if names}
    return {"labels": sorted(labels.values()), **({"label_names": names} if names else {})}


def names_in(sample: Mapping[str, Any]) -> Names:
    """What the labels of a sample's data are called; those of its own label where it came without its data."""
    own = sample.get("label_names") or {sample["label"]: sample.get("aliases", ())}
    labels = tuple(sample.get("labels") or (sample["label"],))
    return names_of(labels, tuple((label, tuple(names)) for label, names in own.items()))


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question; its choices are the labels."""
    names = names_in(sample)
    return (LabelPart(text="Which of these does the image show?", choices=names.labels, names=names),)


def accepted(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, float]:
    """The label under each name that means it alone."""
    return dict.fromkeys(names_in(sample).of(sample["label"]), 1.0)
