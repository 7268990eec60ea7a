"""Overlap of captions with their references: the counts behind BLEU and chrF, and ROUGE-L.

BLEU and chrF are statistics of a corpus: counts are summed over samples, then the score is computed once. Both are
sacrebleu's (Post, A Call for Clarity in Reporting BLEU Scores, WMT 2018), from 0 to 1 in place of 0 to 100:

BLEU   ``BLEU|nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp`` (Papineni et al., 2002), to any order up to 4
chrF   ``chrF2|nrefs:var|case:mixed|eff:yes|nc:6|nw:0|space:no`` (Popović, 2015)

A missing caption counts as an empty one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections import Counter

    from sacrebleu.metrics import BLEU

Floats = np.ndarray

ORDERS = 4
"""The longest n-gram of BLEU."""
CHARACTERS = 6
"""The longest character n-gram of chrF."""
CHRF_BETA = 2.0
"""Recall weighs beta times as much as precision."""
ROUGE_BETA = 1.2
"""As in COCO's evaluation code."""


@functools.cache
def _bleu() -> BLEU:
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=True)  # turns off a warning on single sentences; the counts do not depend on it


@functools.lru_cache(maxsize=1 << 16)
def bleu_counts(caption: str, references: tuple[str, ...]) -> tuple[int, ...]:
    """What a caption adds to BLEU: its length, the closest reference's, matched n-grams by order, all of them."""
    score = _bleu().sentence_score(caption, references)
    return score.sys_len, score.ref_len, *score.counts, *score.totals


def corpus_bleu(counts: Floats, order: int) -> float:
    """BLEU up to an order from summed counts, float64 (10,)."""
    from sacrebleu.metrics import BLEU

    caption_length, reference, *ngrams = counts.astype(int).tolist()
    matched, total = ngrams[:order], ngrams[ORDERS : ORDERS + order]
    score = BLEU.compute_bleu(matched, total, caption_length, reference, smooth_method="exp", max_ngram_order=order)
    return float(score.score) / 100


@functools.lru_cache(maxsize=1 << 16)
def chrf_counts(caption: str, references: tuple[str, ...]) -> tuple[int, ...]:
    """What a caption adds to chrF: by order of n-gram those of the caption, of the reference, and in both.

    Of several references the one with the highest F counts, the first of equals.
    """
    caption_ngrams = _characters(caption)
    counts = [
        [n for pair in zip(caption_ngrams, _characters(text), strict=True) for n in _in_both(*pair)]
        for text in references
    ]
    best = int(np.argmax(corpus_chrf(np.array(counts, dtype=np.float64))))
    return tuple(counts[best])


@functools.lru_cache(maxsize=1 << 14)
def _characters(text: str) -> list[Counter[str]]:
    from sacrebleu.metrics.helpers import extract_all_char_ngrams

    return list(extract_all_char_ngrams(text, CHARACTERS))


def _in_both(caption: Counter[str], reference: Counter[str]) -> tuple[int, int, int]:
    # sacrebleu leaves out the caption's n-grams of an order that the reference is too short for.
    return caption.total() if reference else 0, reference.total(), (caption & reference).total()


def corpus_chrf(counts: Floats) -> Floats:
    """chrF from summed counts, float64 (..., 18): F of mean precision and mean recall over the orders that both have.

    Returns:
        float64 (...), from 0 to 1.
    """
    caption, reference, both = np.moveaxis(counts.reshape(*counts.shape[:-1], CHARACTERS, 3), -1, 0)
    known = (caption > 0) & (reference > 0)
    orders = np.maximum(known.sum(axis=-1), 1)
    precision = np.where(known, both / np.maximum(caption, 1), 0).sum(axis=-1) / orders
    recall = np.where(known, both / np.maximum(reference, 1), 0).sum(axis=-1) / orders
    return np.asarray(_f(precision, recall, CHRF_BETA))


def _f(precision: Floats, recall: Floats, beta: float) -> Floats:
    below = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / np.where(below > 0, below, 1)


def rouge_l(caption: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L of one caption, from 0 to 1: F of the longest common subsequence of words (Lin, 2004).

    As in COCO's evaluation code (Chen et al., Microsoft COCO Captions, 2015), which published captions are held to:
    beta is 1.2, precision is the best over the references, and so is recall. The ``rouge-score`` package has beta 1
    and takes the best F of a single reference: on the same words never more than this with beta 1.
    """
    common = [(longest_common(caption, reference), len(reference)) for reference in references]
    precision = max((n for n, _ in common), default=0) / max(len(caption), 1)
    recall = max((n / max(length, 1) for n, length in common), default=0.0)
    return float(_f(np.array(precision), np.array(recall), ROUGE_BETA))


def longest_common(some: Sequence[str], others: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(others) + 1)
    for token in some:
        diagonal = 0
        for j, other in enumerate(others, start=1):
            above = row[j]
            row[j] = diagonal + 1 if token == other else max(above, row[j - 1])
            diagonal = above
    return row[-1]
