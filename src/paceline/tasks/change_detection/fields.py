"""A sample holds two pictures, before and after, and ``counts``: class -> how many of it there are.

Classes are those of all samples, in the order in which they come. ``unchanged`` names those that are no change, such as
xView2's ``no-damage``; where the data does not say it, the classes whose names do.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paceline.errors import DataError
from paceline.tasks.change_detection.told_counts import MOST, class_key
from paceline.tasks.kind import Asks, Part
from paceline.tasks.listed_texts import listed

if TYPE_CHECKING:
    from PIL import Image

    from paceline.config.schema import PromptSpec, TaskSpec

FIELDS = {
    "counts": "the count of each class as JSON, in the order of the classes: what a model is tuned to say",
    "classes": "the names of the classes, parted by commas; a prompt names them too",
    "changed": "`yes` or `no`: whether anything changed",
    "total": "how many changes there are, of all classes together",
}
SHOWN = ("classes",)
ASKS = Asks(answer="text", images="several")
IMAGES = ("before", "after")
AUGMENTED_BY = ("flip", "rotate90")  # of both pictures alike; a crop would change the counts
GROUP = "group"
"""Pairs of one tile, or of one disaster, are resampled together."""
NO_CHANGE = ("nodamage", "undamaged", "unchanged", "nochange", "intact")
"""Names of classes, without what parts their words, that are no change where the data does not say which are."""


@dataclass(frozen=True)
class CountsPart(Part):
    """The one question, with the classes that are counted."""

    classes: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    """Those that are no change."""


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    counts, unchanged = counts_of(sample), unchanged_of(sample)
    total = sum(count for name, count in counts.items() if name not in unchanged)
    return {
        "counts": json.dumps(counts, ensure_ascii=False),
        "classes": ", ".join(counts),
        "changed": "yes" if total else "no",
        "total": total,
    }


def counts_of(sample: Mapping[str, Any]) -> dict[str, int]:
    """Class -> count, of every class of the data; 0 of one that the sample does not name."""
    counts = sample["counts"]
    return {name: int(counts.get(name, 0)) for name in sample.get("classes") or counts}


def unchanged_of(sample: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes that are no change."""
    return tuple(sample.get("unchanged_classes") or _unchanged(tuple(sample.get("classes") or sample["counts"])))


@functools.lru_cache(maxsize=16)
def _unchanged(classes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in classes if class_key(name) in NO_CHANGE)


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``counts`` of a record of any table: an object of class to number, or a field for each of ``classes``.

    Raises:
        ValueError: there are no counts, or one is no whole number from 0.
    """
    given = fields.get("counts")
    if isinstance(given, str) and given.strip():
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise ValueError("counts is no JSON") from None
    if given in (None, ""):
        classes = listed(fields.get("classes"))
        if not isinstance(classes, list | tuple) or not classes:
            raise ValueError("no counts: give `counts`, or a column for each of the constant `classes`")
        lacking = [name for name in classes if name not in fields]
        if lacking:
            raise ValueError(f"no field of the class '{lacking[0]}'")
        given = {str(name): fields[name] for name in classes}
        fields = {name: value for name, value in fields.items() if name not in given}
    if not isinstance(given, Mapping) or not given:
        raise ValueError("counts is no object of class to number")
    named = {_class_name(name): _whole(count) for name, count in given.items()}
    kept = {name: value for name, value in fields.items() if name not in ("classes", "unchanged")}
    unchanged = listed(fields.get("unchanged"))
    if unchanged not in (None, ""):
        kept["unchanged"] = [
            _class_name(n) for n in (unchanged if isinstance(unchanged, list | tuple) else [unchanged])
        ]
    return {**kept, "counts": named}


def _class_name(name: Any) -> str:
    text = " ".join(str(name).split())
    if not class_key(text):
        raise ValueError("a class without a name")
    return text


def _whole(count: Any) -> int:
    """A count of a table, in which whole numbers may be floats or texts."""
    try:
        number = float(count) if not isinstance(count, bool) and count not in (None, "") else -1.0
    except (TypeError, ValueError):
        number = -1.0
    if not (0 <= number <= MOST and number == int(number)):
        raise ValueError("a count is no whole number from 0, or is missing")
    return int(number)


def pictured(fields: Mapping[str, Any], images: Sequence[Image.Image]) -> dict[str, Any]:
    """Nothing more, where there are two pictures.

    Raises:
        ValueError: there are not.
    """
    if len(images) != 2:
        raise ValueError("not two pictures")
    return {}


def common(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The classes of all splits, and those that are no change where the data says it.

    Raises:
        DataError: two classes that are read as one, or a class without a change that there is not.
    """
    classes: dict[str, str] = {}
    unchanged: dict[str, None] = {}
    for record in records:
        for name in record["counts"]:
            if (first := classes.setdefault(class_key(name), name)) != name:
                raise DataError(f"classes {first!r} and {name!r} are read as one; give them one name")
        unchanged.update(dict.fromkeys(record.get("unchanged", ())))
    names = list(classes.values())
    if wrong := [name for name in unchanged if name not in names]:
        raise DataError(f"unchanged: no class {wrong[0]!r} is counted; classes: {', '.join(names)}")
    if not set(names) - set(unchanged or _unchanged(tuple(names))):
        raise DataError(f"no class of {', '.join(names)} is a change; name those that are none: unchanged")
    return {"classes": names, **({"unchanged_classes": list(unchanged)} if unchanged else {})}


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question."""
    return (
        CountsPart(
            text="What has changed between the two pictures?",
            classes=tuple(counts_of(sample)),
            unchanged=unchanged_of(sample),
        ),
    )
