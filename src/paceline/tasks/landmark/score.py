"""How answers about landmarks are read and counted: as any multiple choice, with refusals as a figure of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from paceline.tasks import short_answers
from paceline.tasks.answer_phrases import MAX_CHARACTERS, plain_marks
from paceline.tasks.labels import columns as label_columns
from paceline.tasks.landmark.fields import folded
from paceline.tasks.metrics import MALFORMED, PARSED, REFUSED, Judged, Reading
from paceline.tasks.named_choices import named

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.answers import Column
    from paceline.tasks.kind import Answer, Answered, Part

OUTCOMES = short_answers.OUTCOMES
METRICS = short_answers.METRICS
HEADLINE = ("accuracy", "refused_share", "parsed_share")
NOTE = "An answer that names one landmark is read, also behind what it can't tell; one that names none may refuse."
_INABILITY = re.compile(
    r"\b(?:can ?not|can't|could ?not|couldn't|unable to|not able to|(?:im|not )possible to|isn't possible to|no way to"
    r"|too \w+ (?:for me )?to|won't|will not|refuse to|decline to|not allowed to)\s+(?:\w+ly\s+)?(?:be\s+)?"
    r"(?:\w+ly\s+)?(?:identif|tell\b|say\b|determine|recogni[sz]e|answer|name\b|help\b|assist\b|know\b|view\b|verif|comply\b"
    r"|see\s+(?:the|this|an?|any)\s+(?:image|picture|photo))"
    r"|\b(?:not familiar with|(?:don't|do not) (?:know|recogni[sz]e)|not something (?:that )?i can)\b",
    re.IGNORECASE,
)
_UNSURE = re.compile(r"\b(?:can ?not|can't) be (?:\w+ly )?(?:sure|certain)\b", re.IGNORECASE)


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The landmark that an answer names, with or without accents; where it names none, whether it refuses."""
    by_letter = short_answers.shows_letters(prompt)
    if "choices" in answer.data:
        return short_answers.read_choice(answer, part, by_letter=by_letter)
    names = {_spelled(choice): choice for choice in part.choices}
    plain = _spelled(answer.text)
    reading = short_answers.read_choice(
        replace(answer, text=plain), replace(part, choices=tuple(names)), by_letter=by_letter
    )
    if _UNSURE.search(plain_marks(plain[:MAX_CHARACTERS])):
        return Reading(MALFORMED.name)
    if reading.outcome == PARSED.name:
        span = reading.span if len(plain) == len(answer.text) else None
        return Reading(PARSED.name, names[reading.value], span)
    if reading.outcome == MALFORMED.name and refuses(plain, tuple(names), by_letter=by_letter):
        return Reading(REFUSED.name)
    return reading


def _spelled(text: str) -> str:
    """A name as it is compared: without accents, and ``Notre-Dame`` as ``Notre Dame``."""
    return _HYPHEN.sub(" ", folded(text))


_HYPHEN = re.compile(r"(?<=[^\W\d_]{2})[-‐‑](?=[^\W\d_]{2})")


def refuses(text: str, choices: Sequence[str], *, by_letter: bool) -> bool:
    """Whether an answer says, in any of its sentences, that it can't be given, and names no choice at all."""
    plain = plain_marks(text[:MAX_CHARACTERS])
    told = named(plain, choices, by_letter=by_letter)
    return not told.answers and not told.ruled_out and bool(_INABILITY.search(plain))


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Right is the landmark; kept with it are its category, and where the right and the given choice stood."""
    judged = []
    for answered in answers:
        name, choices = answered.sample["name"], list(answered.part.choices)
        value = answered.reading.value
        found = short_answers.judged(answered, name, value == name)
        details: dict[str, Any] = {
            "category": answered.sample["category"],
            "choices": len(choices),
            "right_at": choices.index(name),
        }
        details |= {"answered_at": choices.index(value)} if value in choices else {}
        judged.append(Judged(name, found.scores, details))
    return judged


def columns(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Column]:
    """``label`` and ``class``; ``category``; and ``choices``, ``right_at`` and ``answered_at``, int (n,), −1 unread."""
    import numpy as np

    details = [record.get("details") or {} for record in records]
    places = ("choices", "right_at", "answered_at")
    return {
        **label_columns(records),
        "category": tuple(str(one.get("category", "")) for one in details),
        **{name: np.array([int(one.get(name, -1)) for one in details], dtype=int) for name in places},
    }
