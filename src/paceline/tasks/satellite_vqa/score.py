"""How answers about tiles are read and counted: by the class in which RSVQA's authors hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from paceline.tasks import short_answers
from paceline.tasks.answer_phrases import DENIES_ITS_YES, plain_marks, said
from paceline.tasks.labels import columns as label_columns
from paceline.tasks.metrics import MALFORMED, PARSED, Judged, Metric, Reading
from paceline.tasks.satellite_vqa.answer_classes import class_of, number_class
from paceline.tasks.satellite_vqa.fields import TilePart

if TYPE_CHECKING:
    from typing import Any

    import numpy as np

    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.answers import Answers, Column
    from paceline.tasks.kind import Answer, Answered, Part

OUTCOMES = short_answers.OUTCOMES
METRICS = (
    short_answers.METRICS[0],
    Metric("average_accuracy", "average accuracy", statistic="set"),
    Metric("exact_accuracy", "exact", score="exact", hits=True, redundant=True),
    *short_answers.METRICS[1:],
)
"""``accuracy``, ``wrong_share`` and the shares of refused and malformed answers are 1 together."""
HEADLINE = ("accuracy", "average_accuracy", "parsed_share")
NOTE = (
    "Areas, and the counts of RSVQA-LR, are right within the range that RSVQA's authors hold them in (0, up to 10, "
    "100, 1,000, and more). Average accuracy: the mean over the types of question. Exact: the number itself."
)


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The class that an answer gives; ``number`` is the one that it states."""
    form = part.form if isinstance(part, TilePart) else "words"
    by_letter = bool(part.choices) and short_answers.shows_letters(prompt)
    if form == "words":
        return short_answers.read_words(answer)
    if form == "yes_no" and "choices" not in answer.data:
        chosen = short_answers.read_choice(answer, part, by_letter=by_letter)
        denied = DENIES_ITS_YES.match(plain_marks(answer.text[slice(*said(answer.text))]))
        return Reading(MALFORMED.name) if denied and chosen.value == "yes" else chosen
    if form == "rural_urban" or "choices" in answer.data:
        return short_answers.read_choice(answer, part, by_letter=by_letter)
    if by_letter:
        chosen = short_answers.read_choice(answer, part, by_letter=True)
        if chosen.outcome == PARSED.name:
            return chosen
    in_ranges = isinstance(part, TilePart) and part.in_ranges
    reading, number = number_class(answer.text, part.text, form, in_ranges=in_ranges)
    return reading if number is None else replace(reading, data={"number": number})


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Right is the class of the true answer, exact the true number, or what is right where there is none."""
    judged = []
    for answered in answers:
        sample, reading = answered.sample, answered.reading
        found = short_answers.judged(answered, sample["class"], reading.value == sample["class"])
        exact = bool(found.scores["right"])
        if exact and isinstance(answered.part, TilePart) and answered.part.in_ranges:
            _, truth = number_class(sample["answer"], "", answered.part.form, in_ranges=True)
            empty = reading.value == class_of(0, answered.part.form)
            exact = empty or (truth is not None and reading.data.get("number") == truth)
        details = {"type": str(sample.get("type", ""))}
        judged.append(Judged(sample["class"], {**found.scores, "exact": exact}, details))
    return judged


def columns(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Column]:
    """``label`` and ``class``, answered and true, and ``type``, that of the question."""
    types = tuple(str((record.get("details") or {}).get("type", "")) for record in records)
    return {**label_columns(records), "type": types}


def resample(answers: Answers, often: np.ndarray) -> Mapping[str, np.ndarray]:
    """The mean over the types of question of the share that is right; types that a resample lacks do not count."""
    import numpy as np

    types = np.array(answers.columns["type"])
    is_type = (types[:, None] == np.unique(types)).astype(float)
    asked, right = often @ is_type, often @ (is_type * np.nan_to_num(answers.scores["right"])[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"average_accuracy": np.nanmean(np.where(asked > 0, right / asked, np.nan), axis=1)}
