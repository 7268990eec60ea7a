"""How near is a caption to its references?

BLEU and chrF (:mod:`paceline.tasks.captioning.overlap`) and CIDEr-D (:mod:`paceline.tasks.captioning.cider`) are
statistics of the set, computed anew on every resample; ROUGE-L is a mean over samples. An unread answer is an empty
caption in all of them: a miss, not a dropped row. What a caption states and no reference does
(:mod:`paceline.tasks.captioning.invented`) is counted over the captions that were read.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from paceline.errors import DataError
from paceline.tasks.captioning import cider, overlap
from paceline.tasks.captioning.caption_tokens import read_caption, tokens
from paceline.tasks.captioning.fields import references_of
from paceline.tasks.captioning.invented import invented
from paceline.tasks.kind import Answer, Answered, Order, Part
from paceline.tasks.metrics import MALFORMED, PARSED, REFUSED, Judged, Metric, Reading, outcome_shares

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.answers import Answers

OUTCOMES = (PARSED, REFUSED, MALFORMED)

METRICS = (
    Metric("cider_d", "CIDEr-D", unit="", statistic="set", leads=True, decimals=2),
    *(Metric(f"bleu_{n}", f"BLEU-{n}", statistic="set", leads=n == 4, redundant=n in (2, 3)) for n in range(1, 5)),
    Metric("rouge_l", "ROUGE-L", score="rouge_l"),
    Metric("chrf", "chrF", statistic="set"),
    Metric("words", "words per caption", unit="words", score="words", redundant=True),
    Metric("invented_name_share", "invented name", score="invents_name", hits=True, lower_is_better=True),
    Metric("invented_number_share", "invented number", score="invents_number", hits=True, lower_is_better=True),
    Metric(
        "invented_per_caption",
        "invented names and numbers per caption",
        unit="",
        score="invented",
        lower_is_better=True,
        redundant=True,
        decimals=2,
        skewed=True,
    ),
    *outcome_shares(OUTCOMES),
)
HEADLINE = ("cider_d", "bleu_1", "bleu_4", "rouge_l", "chrf", "parsed_share")

ORDER = Order(
    "cider_d", "", "CIDEr-D", near="best", far="worst", off="", metric="cider_d", scale=1000, higher_is_better=True
)

NOTE = (
    "CIDEr-D runs from 0 to 10, with document frequencies of the evaluated references, and ROUGE-L is as in COCO's "
    "evaluation code; BLEU (13a, smooth exp) and chrF are sacrebleu's, case counts. Words, and names and numbers that "
    "are in no reference, are over read answers."
)

PACKAGES = ("sacrebleu",)


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The caption that an answer gives."""
    return Reading(*read_caption(answer.text))


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Hold captions to their references.

    ``cider_d`` has the document frequencies of the sample's own split, as the metric has; it orders answers, and is
    None where none was read. ``invents_name`` is None where capitals tell no names: of one caption, or of all answers
    where the model writes in small letters. The details of an answer are the words that it invents.

    Raises:
        DataError: a sample has no reference.
    """
    references = [_truth(a.sample) for a in answers]
    captions = [tokens(a.reading.value or "") for a in answers]
    reference_tokens = [tuple(_tokens(text) for text in texts) for texts in references]
    ciders: dict[int, float] = {}
    splits: dict[str, list[int]] = {}
    for i, answered in enumerate(answers):
        splits.setdefault(str(answered.sample.get("split", "")), []).append(i)
    for at in splits.values():
        cider_d = cider.corpus([captions[i] for i in at], [reference_tokens[i] for i in at]).scores(
            np.ones((1, len(at)))
        )[0]
        ciders.update(zip(at, cider_d.tolist(), strict=True))
    question = f"{prompt.text} {prompt.prefix}".strip()
    cased = any(c.isupper() for a in answers for c in a.reading.value or "")
    judged = []
    for i, answered in enumerate(answers):
        caption = answered.reading.value
        stated = invented(caption, references[i], question) if caption else None
        named = stated is not None and cased and stated.named
        scores: dict[str, float | bool | None] = {
            "rouge_l": overlap.rouge_l(captions[i], reference_tokens[i]),
            "cider_d": ciders[i] if caption else None,
            "words": len(caption.split()) if caption else None,
            "invents_name": bool(stated.names) if stated and named else None,
            "invents_number": bool(stated.numbers) if stated else None,
            "invented": len(stated.names) + len(stated.numbers) if stated and named else None,
        }
        words = [*stated.names, *stated.numbers] if stated else []
        judged.append(Judged(references[i], scores, {"invented": words} if words else {}))
    return judged


def _truth(sample: Mapping[str, Any]) -> list[str]:
    references = references_of(sample)
    if not references:
        raise DataError(f"sample '{sample.get('id')}' has no reference caption to judge an answer by")
    return references


def columns(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``caption``, empty where none was read; ``references``, a tuple of texts; ``invented``, one of words."""
    return {
        "invented": tuple(tuple(r.get("details", {}).get("invented", ())) for r in records),
        "caption": tuple(sys.intern(str(r.get("value") or "")) for r in records),
        "references": tuple(
            tuple(sys.intern(text) for text in references_of({"references": r.get("truth")})) for r in records
        ),
    }


def resample(answers: Answers, often: np.ndarray) -> dict[str, np.ndarray]:
    """CIDEr-D, BLEU and chrF of resamples.

    Args:
        answers: with the columns of :func:`columns`.
        often: how often each sample was drawn, float64 (resamples, n).

    Returns:
        Metric -> float64 (resamples,).
    """
    counts = _counts(tuple(answers.columns["caption"]), tuple(answers.columns["references"]))
    cider_d = counts.corpus.scores(often)
    bleu = often @ counts.bleu
    return {
        "cider_d": (often * cider_d).sum(axis=1) / often.sum(axis=1),
        **{
            f"bleu_{n}": np.array([overlap.corpus_bleu(summed, n) for summed in bleu])
            for n in range(1, overlap.ORDERS + 1)
        },
        "chrf": overlap.corpus_chrf(often @ counts.chrf),
    }


class _Counts(NamedTuple):
    """What a set's figures are made of, the same in all of its resamples."""

    corpus: cider.Corpus
    bleu: np.ndarray
    chrf: np.ndarray


@functools.lru_cache(maxsize=2)
def _counts(captions: tuple[str, ...], references: tuple[tuple[str, ...], ...]) -> _Counts:
    words = [tokens(text) for text in captions], [[_tokens(text) for text in texts] for texts in references]
    return _Counts(
        cider.corpus(*words), overlap.bleu_counts(captions, references), overlap.chrf_counts(captions, references)
    )


@functools.lru_cache(maxsize=1 << 14)
def _tokens(text: str) -> tuple[str, ...]:
    return tokens(text)
