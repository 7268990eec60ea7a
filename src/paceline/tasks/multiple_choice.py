"""Multiple choice: a question about a picture (or, with ``needs: [text]``, without one) and the choices of its answer.

A sample holds ``question``, ``choices`` and ``answer``, the text of the right one. Choices are asked in an order that
looks random and is the same for a sample on every machine, so that the right one has no place of its own in the data.
A prompt that names ``{choices}`` shows them with letters, and then a letter is an answer too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks import short_answers
from paceline.tasks.kind import Answer, Answered, Asks, Part, letter
from paceline.tasks.metrics import Judged, Reading
from paceline.tasks.picture_change import bears_by_words

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.panels import Panel, Results
    from paceline.tasks.picture_change import Change

FIELDS = {
    "question": "the question; a prompt names it too",
    "answer": "the text of the right choice",
    "letter": "its letter, as {choices} shows it",
}
SHOWN = ()  # {question} and {choices} are those of the sample's one part
ASKS = Asks(answer="choice", images="one")
AUGMENTED_BY = ("flip", "rotate90")  # a crop may cut off what is asked for
GROUP = "sha256"
"""Questions about one picture are resampled together."""
OUTCOMES = short_answers.OUTCOMES
METRICS = short_answers.METRICS
HEADLINE = ("accuracy", "parsed_share")
combine = short_answers.combine
weighted = short_answers.weighted


def ordered(sample: Mapping[str, Any]) -> tuple[str, ...]:
    """A sample's choices as they are asked."""
    name = str(sample.get("id", ""))
    return tuple(sorted(sample["choices"], key=lambda choice: hashlib.sha256(f"{name}\0{choice}".encode()).digest()))


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    at = ordered(sample).index(sample["answer"])
    return {"question": sample["question"], "answer": sample["answer"], "letter": letter(at)}


def augmented(fields: Mapping[str, Any], change: Change) -> dict[str, Any] | None:
    """Nothing of a question follows a changed picture; None where it or a choice names a side that is another then."""
    return {} if bears_by_words([fields["question"], *fields["choices"]], change) else None


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``question``, ``choices`` and ``answer`` of a record of any table.

    Raises:
        ValueError: one is missing, or no text, two choices are alike, or the answer is none of them.
    """
    question, choices = short_answers.completed_question(fields), short_answers.completed_choices(fields)
    answer = short_answers.text_of(fields, "answer")
    if answer not in choices:
        raise ValueError("the answer is none of the choices")
    return {**fields, "question": question, "choices": choices, "answer": answer}


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question, with its choices."""
    return (Part(text=sample["question"], choices=ordered(sample)),)


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The choice that an answer names."""
    return short_answers.read_choice(answer, part, by_letter=short_answers.shows_letters(prompt))


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Right is the right choice."""
    return [short_answers.judged(a, a.sample["answer"], a.reading.value == a.sample["answer"]) for a in answers]


def panels(results: Results) -> Iterator[Panel]:
    """Accuracy by the type of the question."""
    from paceline.tasks.by_type import panels

    yield from panels(results, METRICS[0])
