"""Overlap of captions with their references: the counts behind BLEU and chrF, and ROUGE-L.

BLEU and chrF are statistics of a corpus: counts are summed over samples, then the score is computed once. Both are
sacrebleu's (Post, A Call for Clarity in Reporting BLEU Scores, WMT 2018), from 0 to 1 in place of 0 to 100:

BLEU   ``BLEU|nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp`` (Papineni et al., 2002), to any order up to 4
chrF   ``chrF2|nrefs:var|case:mixed|eff:yes|nc:6|nw:0|space:no`` (Popović, 2015)

A missing caption counts as an empty one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from paceline.tasks.captioning import ngrams

Floats = np.ndarray
Split = TypeVar("Split", str, list[str])
"""A text as characters or as words."""

ORDERS = 4
"""The longest n-gram of BLEU."""
CHARACTERS = 6
"""The longest character n-gram of chrF."""
CHRF_BETA = 2.0
"""Recall weighs beta times as much as precision."""
ROUGE_BETA = 1.2
"""As in COCO's evaluation code."""

_PART = 2000
"""Samples whose words and characters are counted at once."""


@functools.cache
def _bleu_tokenizer() -> Callable[[str], str]:
    from sacrebleu.metrics import BLEU

    return BLEU().tokenizer


def bleu_counts(captions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
    """What each caption adds to BLEU: its length, the closest reference's, matched n-grams by order, all of them.

    Returns:
        float64 (samples, 10).
    """
    split = _bleu_tokenizer()

    def words(text: str) -> list[str]:
        return split(text.rstrip()).split()

    return _in_parts(
        lambda some, others: _bleu_counts(ngrams.of_words(*_mapped(words, some, others))), captions, references
    )


def _bleu_counts(texts: ngrams.Texts) -> Floats:
    n, caption = len(texts.references), texts.place == 0
    length = texts.lengths[caption]
    matched = np.zeros((n, ORDERS))
    for order, of in enumerate(ngrams.counted(texts, ORDERS)):
        # A word counts as often as the reference has it that has it most often.
        most = np.maximum.reduceat(np.where(of.place > 0, of.count, 0), of.first) if of.first.size else of.first
        matched[:, order] = np.bincount(of.sample[of.first], np.minimum(of.in_caption[of.first], most), n)
    total = np.maximum(length[:, None] - np.arange(ORDERS), 0)
    apart = _by_sample(np.abs(texts.lengths - length[texts.sample])[~caption], texts, np.inf)
    lengths = _by_sample(texts.lengths[~caption], texts, np.inf)
    closest = np.where(apart == apart.min(axis=1, keepdims=True), lengths, np.inf).min(axis=1)
    return np.column_stack([length, closest, matched, total])


def _by_sample(values: Floats, texts: ngrams.Texts, filler: float) -> Floats:
    """Values of references as a row a sample, float64 (samples, references of the one that has most)."""
    rows = np.full((len(texts.references), int(texts.references.max())), filler)
    rows[np.arange(rows.shape[1]) < texts.references[:, None]] = values
    return rows


def _mapped(
    split: Callable[[str], Split], captions: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[Split], list[list[Split]]]:
    return [split(text) for text in captions], [[split(text) for text in texts] for texts in references]


def _in_parts(
    counts: Callable[[Sequence[str], Sequence[Sequence[str]]], Floats],
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
) -> Floats:
    """A part of the samples at a time, so that tens of thousands need no gigabytes."""
    parts = [slice(at, at + _PART) for at in range(0, len(captions), _PART)]
    return np.concatenate([counts(captions[part], references[part]) for part in parts])


def corpus_bleu(counts: Floats, order: int) -> float:
    """BLEU up to an order from summed counts, float64 (10,)."""
    from sacrebleu.metrics import BLEU

    caption_length, reference, *ngrams = counts.astype(int).tolist()
    matched, total = ngrams[:order], ngrams[ORDERS : ORDERS + order]
    score = BLEU.compute_bleu(matched, total, caption_length, reference, smooth_method="exp", max_ngram_order=order)
    return float(score.score) / 100


def chrf_counts(captions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
    """What each caption adds to chrF: by order of n-gram those of the caption, of the reference, and in both.

    Of several references the one with the highest F counts, the first of equals.

    Returns:
        float64 (samples, 18).
    """

    def characters(text: str) -> str:
        return "".join(text.split())

    return _in_parts(
        lambda some, others: _chrf_counts(ngrams.of_characters(*_mapped(characters, some, others))),
        captions,
        references,
    )


def _chrf_counts(texts: ngrams.Texts) -> Floats:
    reference = texts.place > 0
    sample, length = texts.sample[reference], texts.lengths[reference]
    before = np.cumsum(texts.references) - texts.references  # references of the samples before
    counts = np.zeros((len(length), CHARACTERS, 3))
    for order, of in enumerate(ngrams.counted(texts, CHARACTERS)):
        in_reference = of.place > 0
        pair = (before[of.sample] + of.place - 1)[in_reference]
        both = np.minimum(of.count, of.in_caption)[in_reference]
        counts[:, order, 1] = np.maximum(length - order, 0)
        # sacrebleu leaves out the caption's n-grams of an order that the reference is too short for.
        counts[:, order, 0] = np.where(length > order, np.maximum(texts.lengths[~reference][sample] - order, 0), 0)
        counts[:, order, 2] = np.bincount(pair, both, len(length))
    rows = counts.reshape(len(length), -1)
    best = _by_sample(corpus_chrf(rows), texts, -1.0).argmax(axis=1)
    return np.asarray(rows[before + best])


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
