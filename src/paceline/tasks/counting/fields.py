"""A sample holds ``question``, ``count`` and its image; each split's median and its counts are common to all."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks import short_answers
from paceline.tasks.counting.stated_count import counted_thing
from paceline.tasks.kind import Asks, Part
from paceline.tasks.picture_change import bears_by_words

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.picture_change import Change

FIELDS = {
    "question": "the question, such as 'How many buildings are there?'; a prompt names it too",
    "count": "the true number: what a model is tuned to say",
}
SHOWN = ()  # {question} is the text of the sample's one part
ASKS = Asks(answer="number", images="one")
AUGMENTED_BY = ("flip", "rotate90")  # a crop would change the count
GROUP = "sha256"
"""Questions about one picture, such as a tile, are resampled together."""
MEDIANS, COUNTS = "count_medians", "counts_by_split"
"""What all samples share: split -> the median of its counts, and its most frequent counts."""
TRAIN = "train"
"""The split whose median and counts are taken. It has this name always: a cell that answers does not hold what another
split to train on would be called.
"""
MOST_CHOICES = 100
"""Counts that may be chosen from: as many answers as the model of RSVQA's authors knows."""
_UNSORTED = frozenset(("", "count", "counting", "number", "numbers"))
"""Types of question that say no more than that something is counted."""
_WRITTEN = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    return {"question": sample["question"], "count": sample["count"]}


def augmented(fields: Mapping[str, Any], change: Change) -> dict[str, Any] | None:
    """Nothing of a question follows a changed picture; None where it names a side that is another then."""
    return {} if bears_by_words([fields["question"]], change) else None


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``question`` and ``count`` of a record of any table; the count from ``count``, ``answer`` or ``answers``.

    A record whose type says nothing more than that something is counted gets what is counted as its ``type``.

    Raises:
        ValueError: there is no question, or no number from 0 on.
    """
    question = short_answers.completed_question(fields)
    named = next((name for name in ("count", "answer", "answers") if fields.get(name) not in (None, "", [])), "")
    value = fields.get(named)
    count = number_of(value[0] if isinstance(value, list) and len(value) == 1 else value)
    kept = {name: value for name, value in fields.items() if name not in ("answer", "answers")}
    sort = fields.get("type")
    if "types" not in fields and str("" if sort is None else sort).lower() in _UNSORTED:
        kept = {name: value for name, value in kept.items() if name != "type"}
        kept |= {"type": what} if (what := counted_thing(question)) else {}
    return {**kept, "question": question, "count": count}


def number_of(value: Any) -> int | float:
    """A true count, from a number or its digits; an int where it is whole.

    Raises:
        ValueError: it is none.
    """
    if value in (None, ""):
        raise ValueError("no count")
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and _WRITTEN.fullmatch(text) and len(text) < 20:
        text = float(text.replace(",", ""))
    if isinstance(text, bool) or not isinstance(text, int | float) or not math.isfinite(text):
        raise ValueError("the count is no number")
    if text < 0:
        raise ValueError("the count is below 0")
    return int(text) if text == int(text) else float(text)


def common(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The median of each split's counts, and its most frequent counts in their order."""
    by_split: dict[str, list[int | float]] = defaultdict(list)
    for record in records:
        by_split[str(record["split"])].append(record["count"])
    most = {split: Counter(counts).most_common(MOST_CHOICES) for split, counts in sorted(by_split.items())}
    return {
        MEDIANS: {split: float(statistics.median(by_split[split])) for split in most},
        COUNTS: {split: sorted(count for count, _ in counts) for split, counts in most.items()},
    }


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question; what may be chosen are the counts of the training split, where it has two or more."""
    counts = (sample.get(COUNTS) or {}).get(TRAIN) or ()
    return (Part(text=sample["question"], choices=tuple(map(str, counts)) if len(counts) > 1 else ()),)
