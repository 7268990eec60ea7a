"""How near is a caption to its references?

BLEU and chrF (:mod:`paceline.tasks.captioning.overlap`) and CIDEr-D (:mod:`paceline.tasks.captioning.cider`) are
statistics of the set, computed anew on every resample; ROUGE-L is a mean over samples. An unread answer is an empty
caption in all of them: a miss, not a dropped row.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from paceline.errors import DataError
from paceline.tasks.captioning import cider, overlap
from paceline.tasks.captioning.caption_tokens import read_caption, tokens
from paceline.tasks.captioning.fields import references_of
from paceline.tasks.kind import Answer, Answered, Order, Part
from paceline.tasks.metrics import MALFORMED, PARSED, REFUSED, Judged, Metric, Reading, outcome_shares

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.answers import Answers

OUTCOMES = (PARSED, REFUSED, MALFORMED)

METRICS = (
    Metric("cider_d", "CIDEr-D", unit="", statistic="set", leads=True),
    *(Metric(f"bleu_{n}", f"BLEU-{n}", statistic="set", leads=n == 4, redundant=n in (2, 3)) for n in range(1, 5)),
    Metric("rouge_l", "ROUGE-L", score="rouge_l"),
    Metric("chrf", "chrF", statistic="set"),
    Metric("words", "words per caption", unit="words", score="words", redundant=True),
    *outcome_shares(OUTCOMES),
)
HEADLINE = ("cider_d", "bleu_1", "bleu_4", "rouge_l", "chrf", "parsed_share")

ORDER = Order(
    "cider_d", "", "CIDEr-D", near="best", far="worst", off="", metric="cider_d", scale=1000, higher_is_better=True
)

NOTE = (
    "CIDEr-D runs from 0 to 10, with document frequencies of the evaluated references, and ROUGE-L is as in COCO's "
    "evaluation code; BLEU (13a, smooth exp) and chrF are sacrebleu's, case counts. Words are over read answers."
)

PACKAGES = ("sacrebleu",)


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The caption that an answer gives."""
    return Reading(*read_caption(answer.text))


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Hold captions to their references.

    ``cider_d`` has the document frequencies of the sample's own split, as the metric has; it orders answers, and is
    None where none was read.

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
    judged = []
    for i, answered in enumerate(answers):
        caption = answered.reading.value
        scores = {
            "rouge_l": overlap.rouge_l(captions[i], reference_tokens[i]),
            "cider_d": ciders[i] if caption else None,
            "words": len(caption.split()) if caption else None,
        }
        judged.append(Judged(references[i], scores))
    return judged


def _truth(sample: Mapping[str, Any]) -> list[str]:
    references = references_of(sample)
    if not references:
        raise DataError(f"sample '{sample.get('id')}' has no reference caption to judge an answer by")
    return references


def columns(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``caption``, empty where none was read, and ``references``, a tuple of texts."""
    return {
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
    captions, references = answers.columns["caption"], answers.columns["references"]
    pairs = list(zip(captions, references, strict=True))
    bleu = often @ np.array([overlap.bleu_counts(*pair) for pair in pairs], dtype=np.float64)
    chrf = often @ np.array([overlap.chrf_counts(*pair) for pair in pairs], dtype=np.float64)
    cider_d = _corpus(tuple(captions), tuple(references)).scores(often)
    return {
        "cider_d": (often * cider_d).sum(axis=1) / often.sum(axis=1),
        **{
            f"bleu_{n}": np.array([overlap.corpus_bleu(counts, n) for counts in bleu])
            for n in range(1, overlap.ORDERS + 1)
        },
        "chrf": overlap.corpus_chrf(chrf),
    }


@functools.lru_cache(maxsize=2)
def _corpus(captions: tuple[str, ...], references: tuple[tuple[str, ...], ...]) -> cider.Corpus:
    return cider.corpus([tokens(text) for text in captions], [[_tokens(t) for t in texts] for texts in references])


@functools.lru_cache(maxsize=1 << 14)
def _tokens(text: str) -> tuple[str, ...]:
    return tokens(text)
