"""Visual question answering: a question about a picture, answered by a word or a few.

A sample holds ``question``, ``answers`` (one or more references) and its image, perhaps ``type`` or ``types``, and
``entailed``: ids of samples on the same picture whose answers follow from this one's. An answer is right that equals a
reference, both normalised as :mod:`paceline.tasks.short_answers` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks import short_answers
from paceline.tasks.kind import Answer, Answered, Asks, Part
from paceline.tasks.metrics import Judged, Metric, Reading
from paceline.tasks.picture_change import bears_by_words

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.panels import Panel, Results
    from paceline.tasks.picture_change import Change

FIELDS = {
    "question": "the question; a prompt names it too",
    "answer": "the first reference: what a model is tuned to say",
    "answers": "all references, one a line",
}
SHOWN = ()  # {question} is the text of the sample's one part
ASKS = Asks(answer="words", images="one")
AUGMENTED_BY = ("flip", "rotate90")  # a crop may cut off what is asked for
GROUP = "sha256"
"""Questions about one picture are resampled together."""
OUTCOMES = short_answers.OUTCOMES
CONSISTENCY = Metric("consistency", score="consistent", optional=True)
"""Hudson and Manning 2019 (arXiv:1902.09506): of the questions answered right that entail others, the mean share of the
entailed ones that are answered right, too."""
METRICS = (*short_answers.METRICS, CONSISTENCY)
HEADLINE = ("accuracy", "consistency", "parsed_share")
NOTE = "Words are compared in lower case, without articles and punctuation, numbers as digits, as VQA v2 does it."
combine = short_answers.combine
weighted = short_answers.weighted


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    answers = list(sample["answers"])
    return {"question": sample["question"], "answer": answers[0], "answers": "\n".join(answers)}


def augmented(fields: Mapping[str, Any], change: Change) -> dict[str, Any] | None:
    """Nothing of a question follows a changed picture; None where it or an answer names a side that is another then."""
    return {} if bears_by_words([fields["question"], *fields["answers"]], change) else None


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
    """Right is what equals a reference; ``consistent`` is None where nothing follows, or the answer is not right."""
    judged = []
    for answered in answers:
        references = list(answered.sample["answers"])
        right = answered.reading.value in map(short_answers.normalised, references)
        judged.append(short_answers.judged(answered, references[0] if len(references) == 1 else references, right))
    if any("entailed" in answered.sample for answered in answers):
        consistent = _consistent(answers, [bool(one.scores["right"]) for one in judged])
        judged = [Judged(one.truth, {**one.scores, "consistent": c}) for one, c in zip(judged, consistent, strict=True)]
    return judged


def _consistent(answers: Sequence[Answered], right: Sequence[bool]) -> Iterator[float | None]:
    """For each question answered right, the share of those that it entails which are answered right.

    A question does not entail itself, and one of another split, or that was not asked, counts for nothing.
    """
    named = [(str(a.sample.get("split", "")), str(a.sample.get("id", ""))) for a in answers]
    known = dict(zip(named, right, strict=True))
    for answered, (split, name), is_right in zip(answers, named, right, strict=True):
        entailed = dict.fromkeys(str(other) for other in answered.sample.get("entailed") or () if str(other) != name)
        asked = [known[split, other] for other in entailed if (split, other) in known] if is_right else []
        yield sum(asked) / len(asked) if asked else None


def panels(results: Results) -> Iterator[Panel]:
    """Accuracy by the type of the question."""
    from paceline.tasks.by_type import panels

    yield from panels(results, METRICS[0])
