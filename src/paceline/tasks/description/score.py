"""How good is a description? How long it is and how much it repeats, what it claims that is not there, whether it
finds its picture and names its categories; and whether the colours named are those of the pixels.

Each score belongs to one of the two questions and is None for the other. What a sample has no truth of is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from paceline.tasks.captioning.caption_tokens import read_caption
from paceline.tasks.description import categories as category_words
from paceline.tasks.description import colour_names, object_claims, repetition, search
from paceline.tasks.description.fields import COLOURS, DESCRIPTION, main_of, texts
from paceline.tasks.kind import Answer, Answered, Part, Vectors
from paceline.tasks.metrics import MALFORMED, PARSED, REFUSED, Judged, Metric, Reading, outcome_shares

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.answers import Answers

OUTCOMES = (PARSED, REFUSED, MALFORMED)

METRICS = (
    Metric("colour_f1", "colours F1", lead="colours", score="colour_f1", leads=True),
    Metric("colour_precision", "colours precision", lead="colours", score="colour_precision", redundant=True),
    Metric("colour_recall", "colours recall", lead="colours", score="colour_recall", redundant=True),
    Metric("colour_cover", "pixels of a named colour", score="colour_cover", redundant=True),
    Metric("chair_i", "CHAIR-i", statistic="set", lower_is_better=True),
    Metric("chair_s", "CHAIR-s", score="invents", hits=True, lower_is_better=True, leads=True),
    *(
        Metric(f"found_at_{k}", f"found at {k}", lead="found at", score=f"found_at_{k}", leads=k == 1)
        for k in search.RANKS
    ),
    Metric("category_micro_f1", "categories micro F1", lead="categories", statistic="set"),
    Metric("category_macro_f1", "categories macro F1", lead="categories", statistic="set"),
    Metric("words", "words per description", unit="words", score="words", leads=True),
    Metric("distinct_1", "distinct-1", score="distinct_1", redundant=True),
    Metric("distinct_2", "distinct-2", score="distinct_2"),
    Metric("repeated_4", "repeated 4-grams", score="repeated_4", lower_is_better=True),
    Metric(
        "longest_run",
        "longest repeated run",
        unit="words",
        score="longest_run",
        lower_is_better=True,
        redundant=True,
        skewed=True,
    ),
    *outcome_shares(OUTCOMES),
)
HEADLINE = ("colour_f1", "chair_i", "found_at_1", "category_macro_f1", "words", "repeated_4", "parsed_share")

NOTE = (
    "Colours are the eleven basic terms; the main ones are those of a tenth of the pixels or more. CHAIR counts "
    "COCO's 80 classes, each once an answer, where the data lists all objects. Found at 1: a reference, searched for "
    "among all descriptions of the split by all-MiniLM-L6-v2; the intervals keep these descriptions and draw the "
    "references. Words and repetition are over read descriptions."
)


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The description, or the basic terms of the colours that are named, as a list."""
    outcome, text, span = read_caption(answer.text)
    if text is None or part.name != COLOURS:
        return Reading(outcome, text, span)
    named = colour_names.named(text)
    return Reading(PARSED.name, named, span) if named else Reading(MALFORMED.name)


def embeds(answers: Sequence[Answered]) -> list[str]:
    """Descriptions and references, where there is a reference."""
    described = [a for a in answers if a.part.name == DESCRIPTION]
    references = [text for a in described for text in texts(a.sample, "references")]
    return [*(a.reading.value for a in described if a.reading.value), *references] if references else []


def score(
    answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec, vectors: Vectors | None = None
) -> list[Judged]:
    """Hold answers to what is known of their pictures.

    A description that was not read finds no picture and names no category; it claims nothing, so it counts in no figure
    of claims. Colours that were not read are a miss.
    """
    found = _searched(answers, vectors)
    judged = []
    for n, answered in enumerate(answers):
        if answered.part.name == COLOURS:
            judged.append(Judged({"colours": answered.sample.get("colours") or {}}, _colour_scores(answered)))
            continue
        truth = {name: texts(answered.sample, name) for name in ("references", "categories")}
        truth = {name: listed for name, listed in truth.items() if listed}
        scores = _wording_scores(answered.reading.value)
        if isinstance(answered.sample.get("objects"), list):
            truth["objects"] = texts(answered.sample, "objects")
            scores |= _claims(answered.reading.value, truth)
        if n in found:
            scores |= {f"found_at_{k}": share for k, share in zip(search.RANKS, found[n], strict=True)}
        judged.append(Judged(truth, scores))
    return judged


def _searched(answers: Sequence[Answered], vectors: Vectors | None) -> dict[int, tuple[float, ...]]:
    """Place of a description -> the shares of its references that find it; each split is searched alone."""
    if not vectors:
        return {}
    splits: dict[str, list[int]] = {}
    for n, answered in enumerate(answers):
        if answered.part.name == DESCRIPTION:
            splits.setdefault(str(answered.sample.get("split", "")), []).append(n)
    found: dict[int, tuple[float, ...]] = {}
    for at in splits.values():
        references = [texts(answers[n].sample, "references") for n in at]
        shares = search.found_at([answers[n].reading.value for n in at], references, vectors)
        found |= {n: share for n, share in zip(at, shares, strict=True) if share is not None}
    return found


def _colour_scores(answered: Answered) -> dict[str, float | None]:
    known: Mapping[str, float] = answered.sample.get("colours") or {}
    if not known:
        return {}
    named, main = set(answered.reading.value or ()), set(main_of(answered.sample))
    right = len(named & main)
    return {
        "colour_precision": right / len(named) if named else None,
        "colour_recall": right / len(main),
        "colour_f1": 2 * right / (len(named) + len(main)),
        "colour_cover": sum(known.get(term, 0.0) for term in named) / sum(known.values()),
    }


def _wording_scores(text: str | None) -> dict[str, float | None]:
    if not text:
        return {}
    words = repetition.words_of(text)
    distinct_4 = repetition.distinct(words, 4)
    return {
        "words": len(text.split()),
        "distinct_1": repetition.distinct(words, 1),
        "distinct_2": repetition.distinct(words, 2),
        "repeated_4": 1 - distinct_4 if distinct_4 is not None else 0.0,
        "longest_run": repetition.longest_run(words),
    }


def _claims(text: str | None, truth: Mapping[str, Sequence[str]]) -> dict[str, float | bool | None]:
    """Classes claimed, and of these invented: neither among the objects nor named by a reference."""
    if not text:
        return {}
    there = set(object_claims.known(truth["objects"]))
    for reference in truth.get("references", ()):
        there.update(object_claims.claimed(reference))
    claimed = object_claims.claimed(text)
    invented = [name for name in claimed if name not in there]
    return {"claimed": len(claimed), "invented": len(invented), "invents": bool(invented)}


# -- statistics of the set


def columns(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the functions below need, one entry an answer.

    Returns:
        ``text``, the description, empty where none was read; ``named`` and ``categories``, tuples of what it names and
        of what is true, None where the sample has no category; ``references``; of the other question ``colours``, those
        that are named, and ``main``, the true ones.
    """
    truths = [_truth(record) for record in records]
    vocabulary = category_words.vocabulary(truth.get("categories", ()) for truth in truths)
    described = [record.get("part", "") != COLOURS for record in records]
    values = [
        str(record["value"]) if is_text and record.get("value") else ""
        for record, is_text in zip(records, described, strict=True)
    ]
    true = [tuple(map(category_words.label_of, t["categories"])) if t.get("categories") else None for t in truths]
    named = [
        tuple(category_words.named(text, vocabulary)) if labels is not None else None
        for text, labels in zip(values, true, strict=True)
    ]
    return {
        "text": tuple(values),
        "named": tuple(named),
        "categories": tuple(true),
        "references": tuple(tuple(truth.get("references", ())) for truth in truths),
        "colours": tuple(
            () if is_text else tuple(r.get("value") or ()) for r, is_text in zip(records, described, strict=True)
        ),
        "main": tuple(tuple(main_of(truth)) for truth in truths),
    }


def _truth(record: Mapping[str, Any]) -> Mapping[str, Any]:
    truth = record.get("truth")
    return truth if isinstance(truth, dict) else {}


def resample(answers: Answers, often: np.ndarray) -> dict[str, np.ndarray]:
    """CHAIR-i and the F1 of categories on resamples.

    Args:
        answers: with the columns of :func:`columns`.
        often: how often each answer was drawn, float64 (resamples, n).

    Returns:
        Metric -> float64 (resamples,); NaN where nothing was claimed, or there is no category.
    """
    claims = [np.nan_to_num(answers.scores.get(name, np.zeros(len(answers)))) for name in ("invented", "claimed")]
    invented, claimed = (often @ claim for claim in claims)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"chair_i": np.where(claimed > 0, invented / claimed, np.nan), **_category_f1(answers, often)}


def _category_f1(answers: Answers, often: np.ndarray) -> dict[str, np.ndarray]:
    true, named = answers.columns["categories"], answers.columns["named"]
    labels = sorted({label for of in (*true, *named) for label in of or ()})
    if not labels:
        nothing = np.full(len(often), np.nan)
        return {"category_micro_f1": nothing, "category_macro_f1": nothing}
    number = {label: n for n, label in enumerate(labels)}
    is_true, is_named = (np.zeros((len(true), len(labels))) for _ in range(2))
    for matrix, column in ((is_true, true), (is_named, named)):
        for n, of in enumerate(column):
            for label in of or ():
                matrix[n, number[label]] = 1
    right = often @ (is_true * is_named)
    either = often @ (is_true + is_named)
    each = np.where(
        either > 0, 2 * right / np.maximum(either, 1), np.nan
    )  # of a label that was not drawn there is none
    return {
        "category_micro_f1": 2 * right.sum(axis=1) / np.maximum(either.sum(axis=1), 1),
        "category_macro_f1": np.nansum(each, axis=1) / np.maximum(np.isfinite(each).sum(axis=1), 1),
    }
