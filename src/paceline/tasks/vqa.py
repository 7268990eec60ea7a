"""Visual question answering: a question about a picture, answered by a word or a few.

A sample holds ``question``, ``answers`` (one or more references) and its image. An answer is right that equals a
reference, both normalised as :mod:`paceline.tasks.short_answers` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks import short_answers
from paceline.tasks.kind import Answer, Answered, Asks, Part
from paceline.tasks.metrics import Judged, Reading

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec

FIELDS = {
    "question": "the question; a prompt names it too",
    "answer": "the first reference: what a model is tuned to say",
    "answers": "all references, one a line",
}
SHOWN = ()  # {question} is the text of the sample's one part
ASKS = Asks(answer="words", images="one")
GROUP = "sha256"
"""Questions about one picture are resampled together."""
OUTCOMES = short_answers.OUTCOMES
METRICS = short_answers.METRICS
HEADLINE = ("accuracy", "parsed_share")
NOTE = "Words are compared in lower case, without articles and punctuation, numbers as digits, as VQA v2 does it."
combine = short_answers.combine


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    answers = list(sample["answers"])
    return {"question": sample["question"], "answer": answers[0], "answers": "\n".join(answers)}


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``question`` and ``answers`` of a record of any table.

    Raises:
        ValueError: one is missing, or no text.
    """
    kept = {name: value for name, value in fields.items() if name != "answer"}
    question, answers = short_answers.completed_question(fields), short_answers.completed_answers(fields)
    return {**kept, "question": question, "answers": answers}


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question."""
    return (Part(text=sample["question"]),)


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The words of an answer."""
    return short_answers.read_words(answer)


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Right is what equals a reference."""
    judged = []
    for answered in answers:
        references = list(answered.sample["answers"])
        right = answered.reading.value in map(short_answers.normalised, references)
        judged.append(short_answers.judged(answered, references[0] if len(references) == 1 else references, right))
    return judged
