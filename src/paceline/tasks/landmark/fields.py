"""A sample holds ``name``, ``category`` and its image; the landmarks of the data are common to all.

What is given beside the right name is drawn for each sample out of all landmarks: a landmark's place in the draw
depends on it, the sample and the seed alone. Another landmark in the data changes the choices of those samples that
draw it.
"""

from __future__ import annotations

import functools
import hashlib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paceline.errors import DataError
from paceline.tasks import multiple_choice, short_answers
from paceline.tasks.kind import Asks, Part, letter

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec

FIELDS = {
    "question": "which landmark the photo shows; a prompt names it too",
    "name": "the landmark's name, which is the right choice",
    "letter": "its letter, as {choices} shows it",
    "category": "what the landmark is for, such as a place of worship",
}
SHOWN = ()  # {question} and {choices} are those of the sample's one part
ASKS = Asks(answer="choice", images="one")
GROUP = "name"
"""Photos of one landmark are resampled together, and are never on both sides of a split by shares."""
QUESTION = "Which of these landmarks does the photo show?"
LANDMARKS = "landmarks"
DISTRACTORS = ("same", "other", "any")
CHOICES = 4


@dataclass(frozen=True)
class LandmarkPart(Part):
    """The one question, with the place of the right choice."""

    category: str = ""
    right: str = ""


def folded(text: str) -> str:
    """A text without accents: ``Château`` and ``Chateau`` are one name."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``name`` and ``category`` of a record of any table; perhaps ``question`` and ``choices`` of its own.

    ``n_choices`` (4), ``distractors`` (``same`` category, ``other`` ones, ``any``) and ``choice_seed`` say how choices
    are drawn where the record brings none.

    Raises:
        ValueError: a name or a category is missing, or what says how choices are drawn is none.
    """
    kept = {key: value for key, value in fields.items() if value not in (None, "")}
    name = short_answers.text_of(fields, "name") or short_answers.text_of(fields, "answer")
    category = short_answers.text_of(fields, "category")
    if not name or not any(c.isalnum() for c in name):
        raise ValueError("no name")
    if not category:
        raise ValueError("no category")
    kept |= {"name": name, "category": category}
    if "choices" in kept:
        kept["choices"] = short_answers.completed_choices(fields)
        if name not in kept["choices"]:
            raise ValueError("the name is none of the choices")
        return kept
    try:
        wanted = int(kept.get("n_choices", CHOICES))
    except (TypeError, ValueError):
        wanted = 0
    if wanted < 2:
        raise ValueError("n_choices is no number from 2 on")
    if kept.get("distractors", DISTRACTORS[0]) not in DISTRACTORS:
        raise ValueError(f"distractors are none of {', '.join(DISTRACTORS)}")
    return kept


def common(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every landmark of the data with its category.

    Raises:
        DataError: one landmark in two categories, or two names that are read as one.
    """
    landmarks: dict[str, str] = {}
    read_as: dict[str, str] = {}
    for record in records:
        name, category = str(record["name"]), str(record["category"])
        if (first := landmarks.setdefault(name, category)) != category:
            raise DataError(f"landmark {name!r} is of two categories, {first!r} and {category!r}; give it one")
        if (other := read_as.setdefault(folded(name).casefold(), name)) != name:
            raise DataError(f"landmarks {other!r} and {name!r} are read as one; give them one name")
    return {LANDMARKS: dict(sorted(landmarks.items()))}


def choices_of(sample: Mapping[str, Any]) -> tuple[str, ...]:
    """A sample's choices as they are asked, fewer where the data has fewer landmarks."""
    if sample.get("choices"):
        return multiple_choice.ordered(sample)
    name, seed = str(sample["name"]), sample.get("choice_seed", 0)
    how, wanted = str(sample.get("distractors", DISTRACTORS[0])), int(sample.get("n_choices", CHOICES))
    landmarks = sample.get(LANDMARKS) or {}
    drawn = _drawn(f"{seed}\0{sample.get('id', '')}", tuple(landmarks.items()))
    own = str(sample["category"])
    first = [n for n, category in drawn if n != name and (how == "any" or (category == own) == (how == "same"))]
    filled = [*first, *(n for n, _ in drawn if n != name and n not in set(first))]
    return multiple_choice.ordered({"id": sample.get("id", ""), "choices": [name, *filled[: wanted - 1]]})


@functools.lru_cache(maxsize=64)
def _drawn(key: str, landmarks: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return sorted(landmarks, key=lambda pair: hashlib.sha256(f"{key}\0{pair[0]}".encode()).digest())


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    at = choices_of(sample).index(sample["name"])
    question = sample.get("question") or QUESTION
    return {"question": question, "name": sample["name"], "letter": letter(at), "category": sample["category"]}


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question, with its choices."""
    choices = choices_of(sample)
    question = str(sample.get("question") or QUESTION)
    return (LandmarkPart(text=question, choices=choices, category=sample["category"], right=sample["name"]),)


def data_counts(records: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Category -> how many landmarks it has."""
    return dict(sorted(Counter({str(r["name"]): str(r["category"]) for r in records}.values()).items()))
