"""A sample holds ``labels``, one or more classes, and its image; the classes there are, are common to all samples."""

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

FIELDS = {
    "labels": "the classes that the sample has, parted by '; ': what a model is tuned to say",
    "classes": "all classes of the data, parted by '; '; a prompt may name it",
}
SHOWN = ("classes",)
ASKS = Asks(answer="several_labels", images="one", question=False)
AUGMENTED_BY = ("flip", "rotate90")  # a crop may cut off a class
GROUP = "group"
"""Samples of one group, such as the patches of one scene, are resampled together."""
BETWEEN = "; "
"""A class of BigEarthNet has commas in its name."""


@dataclass(frozen=True)
class ClassesPart(Part):
    """The one question, with what the classes are called."""

    names: Names = Names((), {})


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    return {"labels": BETWEEN.join(sample["labels"]), "classes": BETWEEN.join(names_in(sample).labels)}


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``labels`` of a record of any table: a list, or a text in which they are parted by ``;`` or ``|``.

    A text without these is one label; each is taken once. ``aliases`` are other names: label -> a list, or one text.
    ``vocabulary`` are classes that there are beside those of the records; one record that lists them is enough.

    Raises:
        ValueError: there is no label, one is no text, or aliases are no mapping.
    """
    given = fields.get("labels")
    if isinstance(given, str) and not given.lstrip().startswith("["):
        given = given.replace("|", ";").split(";")
    labels = [unicodedata.normalize("NFC", text) for text in short_answers.texts_of({"labels": given}, "labels")]
    if not labels or not all(map(folded, labels)):
        raise ValueError("no label")
    aliases = fields.get("aliases")
    if aliases is not None and not isinstance(aliases, Mapping):
        raise ValueError("aliases are no mapping of labels to names")
    kept = {name: value for name, value in fields.items() if name not in ("labels", "aliases", "vocabulary")}
    if vocabulary := short_answers.texts_of(fields, "vocabulary"):
        kept["vocabulary"] = vocabulary
    named = {str(label): short_answers.texts_of({"names": names}, "names") for label, names in (aliases or {}).items()}
    return {**kept, "labels": list(dict.fromkeys(labels)), **({"aliases": named} if named else {})}


def common(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The classes of all splits in alphabetical order, with those that a record lists, and the names of the data's own.

    Raises:
        DataError: two classes that are read as one.
    """
    classes: dict[str, str] = {}
    own: dict[str, dict[str, None]] = {}
    for record in records:
        for label in (*record["labels"], *record.get("vocabulary", ())):
            if (first := classes.setdefault(folded(label), label)) != label:
                raise DataError(f"labels {first!r} and {label!r} are read as one; give them one name")
        for label, names in (record.get("aliases") or {}).items():
            own.setdefault(folded(label), {}).update(dict.fromkeys(names))
    named = {label: list(own[key]) for key, label in sorted(classes.items()) if own.get(key)}
    return {"classes": sorted(classes.values()), **({"class_names": named} if named else {})}


def names_in(sample: Mapping[str, Any]) -> Names:
    """What the classes of a sample's data are called; its own labels where it came without its data."""
    own = sample.get("class_names") or {}
    classes = tuple(sample.get("classes") or sorted(sample["labels"]))
    return names_of(classes, tuple((label, tuple(names)) for label, names in own.items()))


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question; its choices are the classes."""
    names = names_in(sample)
    return (ClassesPart(text="Which of these does the image show?", choices=names.labels, names=names),)
