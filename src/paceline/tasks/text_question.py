"""A question on a text, without a picture, answered by a word or a few, or by one of several choices.

A sample holds ``text``, ``question`` and ``answers`` (one or more references); where it has ``choices``, the first
reference is one of them. Answers with choices are read as :mod:`paceline.tasks.multiple_choice` reads them, others as
:mod:`paceline.tasks.vqa` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks import multiple_choice, short_answers, vqa
from paceline.tasks.kind import Answer, Answered, Asks, Part
from paceline.tasks.metrics import Judged, Reading

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec

FIELDS = {"text": "the text that is asked about", **vqa.FIELDS}
SHOWN = ("text",)
ASKS = Asks(answer="words", images="none")
OUTCOMES = short_answers.OUTCOMES
METRICS = short_answers.METRICS
HEADLINE = ("accuracy", "parsed_share")
NOTE = vqa.NOTE
combine = short_answers.combine
weighted = short_answers.weighted


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    return {"text": sample["text"], **vqa.fields(sample, task)}


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``text``, ``question``, ``answers`` and perhaps ``choices`` of a record of any table.

    Raises:
        ValueError: one is missing, or no text, two choices are alike, or the answer is none of them.
    """
    completed = vqa.complete(fields)
    if not (isinstance(fields.get("text"), str) and fields["text"].strip()):
        raise ValueError("no text")
    if not fields.get("choices"):
        return {name: value for name, value in completed.items() if name != "choices"}
    choices = short_answers.completed_choices(fields)
    if completed["answers"][0] not in choices:
        raise ValueError("the answer is none of the choices")
    return {**completed, "choices": choices}


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question, with its choices where it has some."""
    choices = multiple_choice.ordered(sample) if sample.get("choices") else ()
    return (Part(text=sample["question"], choices=choices),)


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The choice that an answer names, or its words."""
    if part.choices:
        return multiple_choice.read(answer, part, task, prompt)
    return vqa.read(answer, part, task, prompt)


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Right is the right choice, or what equals a reference."""
    judged = []
    for answered in answers:
        if not answered.part.choices:
            judged += vqa.score([answered], task, prompt)
            continue
        truth = answered.sample["answers"][0]
        judged.append(short_answers.judged(answered, truth, answered.reading.value == truth))
    return judged
