"""How answers of a label are read and counted.

``exact_accuracy`` takes an answer as it stands, without the white space around it, in any case. ``accuracy`` takes the
one label that it names, by any of its names, in a sentence too; two labels, a hedge or a negation are unread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from paceline.tasks import short_answers
from paceline.tasks.classification.fields import LabelPart
from paceline.tasks.classification.names import OTHER
from paceline.tasks.metrics import MALFORMED, PARSED, Judged, Metric, Reading, outcome_shares

if TYPE_CHECKING:
    import numpy as np

    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.answers import Answers
    from paceline.tasks.kind import Answer, Answered, Part

OUTCOMES = short_answers.OUTCOMES
METRICS = (
    Metric("accuracy", score="right", hits=True, leads=True),
    Metric("exact_accuracy", "exact match", score="exact", hits=True),
    Metric("wrong_share", "read and wrong", score="wrong", hits=True, lower_is_better=True, redundant=True),
    Metric("balanced_accuracy", statistic="set", redundant=True),
    Metric("macro_f1", "macro F1", statistic="set"),
    Metric("macro_precision", "macro precision", statistic="set", redundant=True),
    Metric("micro_f1", "micro F1", statistic="set", redundant=True),
    Metric("micro_precision", "micro precision", statistic="set", redundant=True),
    *outcome_shares(OUTCOMES),
)
HEADLINE = ("accuracy", "exact_accuracy", "macro_f1", "parsed_share")
NOTE = (
    "Exact match: the answer is the label, in any case. Accuracy: it names the label alone, by any of its names; it is "
    "the micro recall, and micro precision is the share of read answers that is right. Macro F1, macro precision and "
    "balanced accuracy, which is the macro recall, are over the classes that the samples have; they have an interval "
    "where every class has 50 independent samples, balanced accuracy where it has 25."
)
LEAST = {"balanced_accuracy": 25, "macro_f1": 50, "macro_precision": 50}
"""Groups of the rarest class, below which a statistic has no interval: with fewer, resamples lie too low (macro F1 of
classes of 25 groups: the interval holds the truth in 92.7 % of draws), or miss classes.
"""
LEAST_OF_ALL = 20
"""Groups below which micro figures have none: of one group every resample is the same."""


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The label that an answer names."""
    by_letter = short_answers.shows_letters(prompt)
    said = {"said": answer.text.strip()}
    named = answer
    if isinstance(part, LabelPart) and "choices" not in answer.data:
        named = replace(answer, text=part.names.spelt_out(answer.text))
        part = replace(part, choices=(*part.choices, OTHER))
    reading = short_answers.read_choice(named, part, by_letter=by_letter)
    if reading.value == OTHER:
        reading = Reading(MALFORMED.name)
    return replace(reading, data=said, span=reading.span if named.text == answer.text else None)


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Right is what names the label, exact what is the label."""
    judged = []
    for one in answers:
        label = str(one.sample["label"])
        found = short_answers.judged(one, label, one.reading.value == label)
        said = str(one.reading.data.get("said", ""))
        exact = one.reading.outcome == PARSED.name and said.casefold() == label.casefold()
        judged.append(Judged(label, {**found.scores, "exact": exact}))
    return judged


def resample(answers: Answers, often: np.ndarray) -> Mapping[str, np.ndarray]:
    """Figures over the classes that a resample has, and over all answers, as scikit-learn defines them by weights.

    An unread answer is of no class: it lowers the recall of its own. Where a class has fewer groups than ``LEAST``
    says, resamples other than the whole have no value.
    """
    import numpy as np

    truths, said = np.array(answers.columns["class"]), np.array(answers.columns["label"])
    classes = np.unique(truths)
    is_class, is_said = truths[:, None] == classes, said[:, None] == classes
    of_class, named, both = (often @ table.astype(float) for table in (is_class, is_said, is_class & is_said))
    there = of_class > 0
    known = there.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = np.where(there, both / of_class, 0.0).sum(axis=1) / known
        f1 = np.where(there, 2 * both / (of_class + named), 0.0).sum(axis=1) / known
        precision = np.where(there & (named > 0), both / named, 0.0).sum(axis=1) / known
    whole = len(often) == 1 and bool((often == 1).all())  # by chance resamples of few samples are the whole, too
    read, right = often @ (said != "").astype(float), both.sum(axis=1)
    micro = {"micro_f1": 2 * right / (often.sum(axis=1) + read), "micro_precision": right / np.maximum(read, 1)}
    groups = min((len(np.unique(answers.groups[column])) for column in is_class.T), default=0)
    if not whole and len(np.unique(answers.groups)) < LEAST_OF_ALL:
        micro = dict.fromkeys(micro, np.full(len(often), np.nan))
    macro = {"balanced_accuracy": recall, "macro_f1": f1, "macro_precision": precision}
    return micro | {
        name: values if whole or groups >= LEAST[name] else np.full(len(often), np.nan)
        for name, values in macro.items()
    }
