"""How answers of several classes are read and counted.

An answer claims the classes that it names (:mod:`paceline.tasks.multi_label.claims`); one that claims none is unread,
and an unread one claims nothing: it misses every class that is there. Precision, recall, F1, the Jaccard score and mean
average precision are scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from paceline.tasks import short_answers
from paceline.tasks.answer_phrases import REFUSAL, UNABLE, plain_marks, said
from paceline.tasks.kind import Answer, Answered, Part
from paceline.tasks.metrics import MALFORMED, PARSED, REFUSED, Judged, Metric, Reading, outcome_shares
from paceline.tasks.multi_label.claims import claims
from paceline.tasks.multi_label.fields import ClassesPart

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.answers import Answers

OUTCOMES = (PARSED, REFUSED, MALFORMED)
FIGURES = ("precision", "recall", "f1")
METRICS = (
    Metric("micro_f1", "micro F1", lead="micro", statistic="set", leads=True),
    *(Metric(f"micro_{name}", f"micro {name}", lead="micro", statistic="set") for name in FIGURES[:2]),
    Metric("macro_f1", "macro F1", lead="macro", statistic="set", leads=True),
    *(Metric(f"macro_{name}", f"macro {name}", lead="macro", statistic="set") for name in FIGURES[:2]),
    Metric("mean_average_precision", "mAP", score="ranked", statistic="set", optional=True),
    Metric("jaccard", "Jaccard", score="jaccard"),
    Metric("exact_match", "exact match", score="exact", hits=True, leads=True),
    Metric("partly_share", "partly right", score="partly", hits=True, redundant=True),
    Metric("wrong_share", "read and wrong", score="wrong", hits=True, lower_is_better=True, redundant=True),
    *outcome_shares(OUTCOMES),
)
HEADLINE = ("micro_f1", "macro_f1", "mean_average_precision", "jaccard", "exact_match", "parsed_share")
NOTE = (
    "Exact match: all classes and no other. Jaccard: of the classes that are there or claimed, the share that is both. "
    "Macro figures and mAP are means over the classes that the samples have; mAP is of answers with a score for every "
    "class alone. An unread answer claims nothing."
)
LEAST = 50
"""Groups of the rarest class below which means over classes have no interval, as of classification."""
LEAST_OF_ALL = 20
"""Groups of all samples below which no statistic has one: of one group every resample is the same."""


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The classes that an answer claims, in their order; of one chosen by likelihood the likeliest.

    ``data`` keeps the scores of all classes, in their order, where the answer has them.
    """
    names = part.names if isinstance(part, ClassesPart) else None
    classes = part.choices
    ranked = scores_of(answer.data, classes)
    data = {"ranked": ranked} if ranked else {}
    if "choices" in answer.data or names is None:
        if answer.text in classes:
            return Reading(PARSED.name, [answer.text], (0, len(answer.text)), data)
        return Reading(MALFORMED.name, data=data)
    start, end = said(answer.text)
    text = answer.text[start:end]
    found = claims(text, names, by_letter=short_answers.shows_letters(prompt))
    if found.claimed:
        return Reading(PARSED.name, [name for name in classes if name in found.claimed], (start, end), data)
    plain = plain_marks(text)
    refuses = UNABLE.match(plain) or (not found.denied and REFUSAL.match(plain))
    return Reading(REFUSED.name if refuses else MALFORMED.name, data=data)


def scores_of(data: Mapping[str, Any], classes: Sequence[str]) -> list[float]:
    """A score for each class, in their order; empty where one has none.

    Args:
        data: of an answer: ``choices`` with their log-probabilities per character, or ``labels`` of a classifier.
        classes: of the data.
    """
    by_choice = {one["choice"]: one.get("per_character") for one in data.get("choices", ())}
    by_label = {label.casefold(): value for label, value in data.get("labels", ())}
    found = [by_choice.get(name, by_label.get(name.casefold())) for name in classes]
    return [float(value) for value in found if value is not None] if None not in found else []


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Hold the claimed classes to the true ones."""
    judged = []
    for one in answers:
        truth = list(one.sample["labels"])
        read = one.reading.outcome == PARSED.name
        true, claimed = set(truth), set(one.reading.value or ()) if read else set()
        right = len(true & claimed)
        scores: dict[str, float | bool | None] = {
            "jaccard": right / len(true | claimed),
            "exact": read and true == claimed,
            "partly": read and right > 0 and true != claimed,
            "wrong": read and not right,
        }
        ranked = one.reading.data.get("ranked")
        if ranked:
            scores["ranked"] = True
        details = {"ranked": ranked, "classes": list(one.part.choices)} if ranked else {}
        judged.append(Judged(truth, scores, details))
    return judged


# -- statistics of the set


def columns(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the functions below need, one entry an answer.

    Returns:
        ``true`` and ``claimed``, tuples of classes; ``ranked``, class -> score, empty where the answer has none.
    """
    details = [record.get("details") or {} for record in records]
    return {
        "true": tuple(tuple(map(str, record.get("truth") or ())) for record in records),
        "claimed": tuple(tuple(map(str, record.get("value") or ())) for record in records),
        "ranked": tuple(dict(zip(d.get("classes", ()), d.get("ranked", ()), strict=False)) for d in details),
    }


def table(column: Iterable[Iterable[str]], classes: Sequence[str]) -> np.ndarray:
    """Which classes each entry holds, float64 (n, classes)."""
    number = {name: n for n, name in enumerate(classes)}
    rows = [[number[name] for name in names] for names in column]
    made = np.zeros((len(rows), len(classes)))
    for row, held in zip(made, rows, strict=True):
        row[held] = 1
    return made


def resample(answers: Answers, often: np.ndarray) -> dict[str, np.ndarray]:
    """Micro and macro precision, recall and F1, and mean average precision, on resamples.

    Args:
        answers: with the columns of :func:`columns`.
        often: how often each answer was drawn, float64 (resamples, n).

    Returns:
        Metric -> float64 (resamples,). What has nothing to count is 0, as with scikit-learn's ``zero_division=0``.
        Means over classes are over those that a resample has; where one has fewer groups than ``LEAST``, resamples
        other than the whole have no value, and where all are fewer than ``LEAST_OF_ALL`` nothing has.
    """
    true, claimed = answers.columns["true"], answers.columns["claimed"]
    classes = sorted({name for names in true for name in names})
    others = sorted({name for names in claimed for name in names} - set(classes))
    is_true, is_claimed = (table(column, [*classes, *others]) for column in (true, claimed))
    right, there, named = (often @ counts for counts in (is_true * is_claimed, is_true, is_claimed))
    known = (there > 0)[:, : len(classes)]
    sums = {"micro": [counts.sum(axis=1) for counts in (right, there, named)]}
    figures = {f"micro_{name}": values for name, values in zip(FIGURES, _figures(*sums["micro"]), strict=True)}
    rare = _rarest(answers, is_true[:, : len(classes)]) < LEAST
    whole = len(often) == 1 and bool((often == 1).all())  # by chance resamples of few samples are the whole, too
    if not whole and len(np.unique(answers.groups)) < LEAST_OF_ALL:
        nothing = np.full(len(often), np.nan)
        names = [f"{over}_{name}" for over in ("micro", "macro") for name in FIGURES]
        return dict.fromkeys((*names, "mean_average_precision"), nothing)

    def mean(values: np.ndarray) -> np.ndarray:
        if rare and not whole:
            return np.full(len(often), np.nan)
        return np.where(known, values, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)

    each = (counts[:, : len(classes)] for counts in (right, there, named))
    figures |= {f"macro_{name}": mean(values) for name, values in zip(FIGURES, _figures(*each), strict=True)}
    precisions = average_precisions(answers, classes, is_true, often)
    figures["mean_average_precision"] = np.full(len(often), np.nan) if precisions is None else mean(precisions)
    return figures


def _figures(right: np.ndarray, there: np.ndarray, named: np.ndarray) -> Sequence[np.ndarray]:
    """Precision, recall and F1 of counts."""
    wanted = ((right, named), (right, there), (2 * right, there + named))
    return [np.divide(a, b, out=np.zeros_like(a), where=b > 0) for a, b in wanted]


def _rarest(answers: Answers, is_true: np.ndarray) -> int:
    """Groups of the class that has the fewest."""
    return min((len(np.unique(answers.groups[column > 0])) for column in is_true.T), default=0)


def average_precisions(
    answers: Answers, classes: Sequence[str], is_true: np.ndarray, often: np.ndarray
) -> np.ndarray | None:
    """Average precision of each class on resamples, float64 (resamples, classes); None without every answer's scores.

    The sum over thresholds of precision times what recall gains there, with equal scores at one threshold.
    """
    ranked = answers.columns["ranked"]
    if not ranked or not all(all(name in of for name in classes) for of in ranked):
        return None
    made = np.zeros((len(often), len(classes)))
    for n, name in enumerate(classes):
        scores = np.array([of[name] for of in ranked])
        order = np.argsort(-scores, kind="stable")
        last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
        drawn = often[:, order]
        hits = np.cumsum(drawn * is_true[order, n], axis=1)[:, last]
        seen = np.cumsum(drawn, axis=1)[:, last]
        total = hits[:, -1:]
        gained = np.diff(hits, axis=1, prepend=0.0)
        made[:, n] = (gained * hits / np.maximum(seen, 1)).sum(axis=1) / np.maximum(total[:, 0], 1)
    return made
