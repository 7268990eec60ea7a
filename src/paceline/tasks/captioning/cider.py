"""CIDEr-D: agreement of captions with their references in n-grams that distinguish pictures.

Vedantam, Zitnick and Parikh, CIDEr: Consensus-based Image Description Evaluation (CVPR 2015), as COCO's evaluation
code computes it. For n = 1 to 4 a text is the vector of its n-gram counts, each times the inverse document frequency

    idf = ln N - ln max(1, number of samples with the n-gram in a reference),    N samples

of the references that are evaluated. The score is 10 times the mean over n and over a sample's references of the
cosine of caption and reference, with the caption's counts clipped to the reference's, times
exp(-(difference of lengths)^2 / (2 · 6^2)). It runs from 0 to 10; a text shorter than n words has nothing in n.
Two details are the code's, not the paper's: a length is the number of bigrams, and an n-gram of every sample weighs 0.

The document frequencies are a property of the set, so a resample has its own: a sample that was drawn twice is two
documents. That must be quick a thousand times over. N-grams that occur in the same samples have the same idf in every
resample, so their products are added up beforehand; what is left is a sparse product a block of resamples.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paceline.tasks.captioning import ngrams

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Words = tuple[str, ...]

ORDERS = 4
SIGMA = 6.0
"""Of the penalty of lengths, in words."""

_BLOCK = 1 << 21
"""Numbers in one block of resamples: 16 MiB."""


@dataclass(frozen=True)
class Corpus:
    """Captions and references, as far as CIDEr-D depends on them.

    A pair is a sample with one of its references. A class holds the n-grams that occur in the references of the same
    samples. Rows of the sparse matrices go by text and, inside, by order: row 4 p + n - 1.
    """

    documents: csr_array
    """Which samples a class occurs in: 1 or 0, (samples, classes)."""
    clipped: csr_array
    """Sum of min(count in caption, count in reference) · count in reference, (4 pairs, classes)."""
    references: csr_array
    """Sum of squared counts in the reference, (4 pairs, classes)."""
    captions: csr_array
    """Sum of squared counts in the caption, (4 samples, classes)."""
    sample: np.ndarray
    """The sample of each pair, int (pairs,)."""
    weight: np.ndarray
    """Of each pair: 10 / 4 / number of references times the penalty of its lengths, float64 (pairs,)."""

    def scores(self, often: np.ndarray) -> np.ndarray:
        """The score of each sample in each resample, float64 (resamples, samples), also of samples not drawn.

        Args:
            often: how often each sample was drawn, float64 (resamples, samples).
        """
        most = max(1, _BLOCK // max(1, self.clipped.shape[0], self.clipped.shape[1]))
        blocks = [self._scores(often[at : at + most]) for at in range(0, len(often), most)]
        return np.concatenate(blocks)

    def _scores(self, often: np.ndarray) -> np.ndarray:
        count = often.sum(axis=1, keepdims=True)
        idf = np.log(np.maximum(count, 1)) - np.log(np.maximum(often @ self.documents, 1))
        squared = np.ascontiguousarray(idf.T**2)
        length = np.sqrt(self.captions @ squared).reshape(-1, ORDERS, len(often))[self.sample]
        lengths = length * np.sqrt(self.references @ squared).reshape(length.shape)
        dot = (self.clipped @ squared).reshape(length.shape)
        cosine = np.divide(dot, lengths, out=np.zeros_like(dot), where=lengths > 0).sum(axis=1)
        return (self._mean @ cosine).T

    @functools.cached_property
    def _mean(self) -> csr_array:
        """From pairs to samples, (samples, pairs)."""
        from scipy.sparse import csr_array

        pairs = np.arange(len(self.sample))
        shape = (self.documents.shape[0], len(pairs))
        return csr_array((self.weight, (self.sample, pairs)), shape=shape)


def corpus(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> Corpus:
    """Count n-grams: captions, and as many lists of references, as words."""
    texts = ngrams.of_words(captions, references)
    reference = texts.place > 0
    samples, sample = len(captions), texts.sample[reference]
    before = np.cumsum(texts.references) - texts.references  # references of the samples before
    classes: dict[bytes, int] = {b"": 0}  # from samples, as bytes; the first: n-grams of captions alone
    clipped, squared, caption_squared = _Entries(), _Entries(), _Entries()
    for order, of in enumerate(ngrams.counted(texts, ORDERS)):
        column = _classes(of, samples, classes)
        in_reference = of.place > 0
        row = ORDERS * np.where(in_reference, before[of.sample] + of.place - 1, of.sample) + order
        both = in_reference & (of.in_caption > 0)
        squared.add(row, column, of.count**2, in_reference)
        clipped.add(row, column, np.minimum(of.count, of.in_caption) * of.count, both)
        caption_squared.add(row, column, of.count**2, ~in_reference)
    documents = _Entries()
    occurs = [np.frombuffer(members, dtype=np.int64) for members in classes]
    documents.add(np.concatenate(occurs), np.repeat(np.arange(len(classes)), [len(o) for o in occurs]))
    bigrams = np.maximum(texts.lengths - 1, 0)
    apart = bigrams[~reference][sample] - bigrams[reference]
    penalty = np.array([math.exp(-(d**2) / (2 * SIGMA**2)) for d in range(int(np.abs(apart).max(initial=0)) + 1)])
    return Corpus(
        documents.matrix(samples, len(classes)),
        clipped.matrix(ORDERS * len(sample), len(classes)),
        squared.matrix(ORDERS * len(sample), len(classes)),
        caption_squared.matrix(ORDERS * samples, len(classes)),
        sample,
        10 / ORDERS / texts.references[sample] * penalty[np.abs(apart)],
    )


def _classes(of: ngrams.Counted, samples: int, classes: dict[bytes, int]) -> np.ndarray:
    """The class of each entry; new ones are added to ``classes``."""
    known, number = np.unique(of.ngram, return_inverse=True)
    in_reference = of.place > 0
    pairs = np.sort(number[in_reference] * samples + of.sample[in_reference])
    ngram, sample = np.divmod(pairs[np.diff(pairs, prepend=-1) != 0], max(samples, 1))
    begins = np.flatnonzero(np.diff(ngram, prepend=-1))
    class_of = np.zeros(len(known), dtype=int)
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(ngram)], strict=False):
        members = sample[begin:end].tobytes()
        class_of[ngram[begin]] = classes.setdefault(members, len(classes))
    return class_of[number]


class _Entries:
    """Entries of a sparse matrix; those at one place are added."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(
        self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray | None = None, where: np.ndarray | None = None
    ) -> None:
        """More of them: ones if without values; only some of them if told which."""
        values = np.ones(len(rows)) if values is None else values.astype(np.float64)
        chosen = slice(None) if where is None else where
        self._parts.append((rows[chosen], columns[chosen], values[chosen]))

    def matrix(self, rows: int, columns: int) -> csr_array:
        """All of them, of a given shape."""
        from scipy.sparse import csr_array

        row, column, values = (np.concatenate(arrays) for arrays in zip(*self._parts, strict=True))
        return csr_array((values, (row, column)), shape=(rows, columns))
