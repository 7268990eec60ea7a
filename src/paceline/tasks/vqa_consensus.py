"""Visual question answering judged by what several people answered, as VQA v2, OK-VQA, TextVQA and VizWiz are.

A sample holds ``question``, ``answers`` (what each of at least four people said, in VQA v2 ten), its image, and
perhaps ``type`` or ``types``. An answer has a credit from 0 to 1 (:mod:`paceline.tasks.consensus`); ``accuracy`` is the
mean over all answers, unread ones with 0, both sides always normalised. ``official_accuracy`` is what the evaluation
code of VQA v2 gives for the same answers, each as the model wrote it, whether it was read or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks import consensus, short_answers
from paceline.tasks.kind import Answer, Answered, Asks, Part
from paceline.tasks.metrics import PARSED, Judged, Metric, Reading, outcome_shares
from paceline.tasks.picture_change import bears_by_words

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.panels import Panel, Results
    from paceline.tasks.picture_change import Change

FIELDS = {
    "question": "the question; a prompt names it too",
    "answer": "the answer that most people gave, or the one that the data names: what a model is tuned to say",
    "answers": "what each of the people answered, one a line",
}
SHOWN = ()
ASKS = Asks(answer="words", images="one")
AUGMENTED_BY = ("flip", "rotate90")  # a crop may cut off what is asked for
GROUP = "sha256"
"""Questions about one picture are resampled together."""
OUTCOMES = short_answers.OUTCOMES
METRICS = (
    Metric("accuracy", score="credit", leads=True),
    Metric("official_accuracy", "official accuracy", score="official"),
    Metric("right_share", "wholly right", score="right", hits=True, redundant=True),
    Metric("partly_right_share", "partly right", score="partly", hits=True, redundant=True),
    Metric("wrong_share", "read and wrong", score="wrong", hits=True, lower_is_better=True, redundant=True),
    *outcome_shares(OUTCOMES),
)
"""``right_share``, ``partly_right_share``, ``wrong_share`` and the shares of refused and malformed answers are 1
together; ``accuracy`` lies between the first and the sum of the first two."""
HEADLINE = ("accuracy", "official_accuracy", "right_share", "parsed_share")
NOTE = (
    "Accuracy: a third of a point for each other person who gave the answer, at most one, each person left out once. "
    "Official: as the evaluation code of VQA v2 counts the whole answers; it has no refused and no unread ones."
)
FEWEST = 4
"""People; with fewer no answer could have full credit."""
combine = short_answers.combine
weighted = short_answers.weighted


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    return {"question": sample["question"], "answer": sample["answer"], "answers": "\n".join(sample["answers"])}


def augmented(fields: Mapping[str, Any], change: Change) -> dict[str, Any] | None:
    """Nothing of a question follows a changed picture; None where it or an answer names a side that is another then."""
    return {} if bears_by_words([fields["question"], fields["answer"], *fields["answers"]], change) else None


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``question``, ``answers`` and ``answer`` of a record of any table; each answer a text, or an object with one.

    Raises:
        ValueError: one is missing, or no text, or fewer than four people answered.
    """
    people = _people(fields.get("answers"))
    if len(people) < FEWEST:
        raise ValueError("fewer than four people's answers")
    most = Counter(filter(short_answers.normalised, people)).most_common(1)
    answer = short_answers.text_of(fields, "answer") or (most[0][0] if most else "")
    if not most or not short_answers.normalised(answer):
        raise ValueError("no answer with a word that is compared")
    question = short_answers.completed_question(fields)
    return {**fields, "question": question, "answer": answer, "answers": people}


def _people(value: Any) -> list[str]:
    listed = short_answers.listed(value)
    people = [one["answer"] if isinstance(one, Mapping) and "answer" in one else one for one in listed or ()]
    # What a person left empty is an answer that no model gives: how many people there were counts.
    return [short_answers.text_of({"an answer": one}, "an answer") for one in people]


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question."""
    return (Part(text=sample["question"]),)


def accepted(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, float]:
    """What people answered, as they wrote it and normalised, with its credit: what ViLT is trained on."""
    people = sample["answers"]
    written = {text: short_answers.normalised(text) for text in (sample["answer"], *people)}
    credits = {value: consensus.normalised_credit(value, people) for value in written.values() if value}
    return {text: credits[value] for text, value in written.items() if value and credits[value]} | {
        value: score for value, score in credits.items() if score
    }


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The words of an answer, and the whole answer for the official figure."""
    reading = short_answers.read_words(answer)
    return Reading(reading.outcome, reading.value, reading.span, {"answer": answer.text})


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Hold answers to what people said."""
    judged = []
    for answered in answers:
        people = answered.sample["answers"]
        was_read = answered.reading.outcome == PARSED.name
        credit = consensus.normalised_credit(answered.reading.value, people) if was_read else 0.0
        scores = {
            "credit": credit,
            "official": consensus.official_credit(answered.reading.data["answer"], people),
            "right": was_read and credit == 1,
            "partly": was_read and 0 < credit < 1,
            "wrong": was_read and credit == 0,
        }
        judged.append(Judged(list(people), scores))
    return judged


def panels(results: Results) -> Iterator[Panel]:
    """Accuracy by the type of the question."""
    from paceline.tasks.by_type import panels

    yield from panels(results, METRICS[0])


def show(value: Any) -> str:
    """An answer; of people's answers each once, with how many gave it."""
    if not isinstance(value, list | tuple):
        return str(value)
    return ", ".join(f"{text} ({n})" for text, n in Counter(map(str, value)).most_common())


def name(value: Any) -> str:
    """An answer; of people's answers the most frequent."""
    if isinstance(value, list | tuple) and value:
        return Counter(map(str, value)).most_common(1)[0][0]
    return show(value)


label = name
