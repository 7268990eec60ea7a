"""A sample holds ``question``, ``answer``, ``class``, ``type`` and its image; the training counts are common to all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paceline.tasks import short_answers
from paceline.tasks.counting.fields import MOST_CHOICES, TRAIN
from paceline.tasks.kind import Asks, Part
from paceline.tasks.picture_change import bears_by_words
from paceline.tasks.satellite_vqa.answer_classes import WORDS, Form, class_of, form_of, number_class, ranges

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.picture_change import Change

FIELDS = {
    "question": "the question; a prompt names it too",
    "answer": "the answer as the data gives it: yes, 3, 1351m2",
    "class": "the class in which RSVQA's authors hold it: yes, 3 (of RSVQA-LR a range), more than 1000m2",
}
SHOWN = ()  # {question} is the text of the sample's one part
ASKS = Asks(answer="words", images="one")
AUGMENTED_BY = ("flip", "rotate90")  # a crop would change counts and areas
GROUP = "sha256"
"""Questions about one tile are resampled together."""
COUNTS = "train_counts"


@dataclass(frozen=True)
class TilePart(Part):
    """The one question, with what its answer is."""

    form: Form = "words"
    in_ranges: bool = False
    """Whether numbers are held in ranges: areas always, counts in RSVQA-LR."""


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    return {name: sample[name] for name in FIELDS}


def augmented(fields: Mapping[str, Any], change: Change) -> dict[str, Any] | None:
    """Nothing of a question follows a changed picture; None where it names a side that is another then."""
    return {} if bears_by_words([fields["question"]], change) else None


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``question``, ``answer`` and ``class`` of a record of any table; ``type`` says what its answer is.

    ``ranges: true`` holds counts in ranges, as RSVQA-LR does.

    Raises:
        ValueError: there is no question or no answer, or it is none that such a question has.
    """
    question, answer = short_answers.completed_question(fields), short_answers.text_of(fields, "answer")
    if not short_answers.normalised(answer):
        raise ValueError("no answer")
    form = form_of(short_answers.text_of(fields, "type"))
    return {**fields, "question": question, "answer": answer, "class": _class(answer, form, _in_ranges(fields, form))}


def _in_ranges(fields: Mapping[str, Any], form: Form) -> bool:
    return form == "area" or (form == "count" and str(fields.get("ranges", "")).lower() in ("true", "1", "yes"))


def _class(answer: str, form: Form, in_ranges: bool) -> str:
    plain = short_answers.normalised(answer)
    if form in WORDS:
        if plain not in WORDS[form]:
            raise ValueError(f"the answer is none of {', '.join(WORDS[form])}")
        return plain
    if form == "words":
        return plain
    if in_ranges and answer in ranges(form):
        return answer
    reading, number = number_class(answer, "", form, in_ranges=in_ranges)
    if number is None:
        raise ValueError(f"the answer is no {form}")
    return class_of(number, form) if in_ranges else str(reading.value)


def common(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The most frequent counts of the training split, in their order: what may be chosen where they are numbers."""
    counts = Counter(
        int(r["class"]) for r in records if r["split"] == TRAIN and _is_number(r) and str(r["class"]).isdecimal()
    )
    return {COUNTS: sorted(count for count, _ in counts.most_common(MOST_CHOICES))} if counts else {}


def _is_number(record: Mapping[str, Any]) -> bool:
    form = form_of(str(record.get("type", "")))
    return form == "count" and not _in_ranges(record, form)


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question; the classes of its answer may be chosen, of plain counts those of the training split."""
    form = form_of(str(sample.get("type", "")))
    in_ranges = _in_ranges(sample, form)
    choices = ranges(form) if in_ranges else WORDS.get(form, ())
    if form == "count" and not in_ranges:
        choices = tuple(map(str, sample.get(COUNTS) or ()))
    return (TilePart(text=sample["question"], choices=choices, form=form, in_ranges=in_ranges),)


def accepted(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, float]:
    """The answer and its class: what a model that answers out of a list of its own is trained on."""
    return dict.fromkeys((sample["answer"], sample["class"]), 1.0)
