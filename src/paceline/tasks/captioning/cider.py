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
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Words = tuple[str, ...]

ORDERS = 4
SIGMA = 6.0
"""Of the penalty of lengths, in words."""

_BLOCK = 1 << 22
"""Numbers in one block of resamples: 32 MiB."""


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
    counts = [[_ngrams(text) for text in texts] for texts in references]
    occurs: dict[Words, list[int]] = {}
    for i, texts in enumerate(counts):
        for ngram in set().union(*texts):
            occurs.setdefault(ngram, []).append(i)
    classes: dict[tuple[int, ...], int] = {(): 0}  # the first: n-grams of captions alone
    class_of = {ngram: classes.setdefault(tuple(samples), len(classes)) for ngram, samples in occurs.items()}

    clipped, squared, caption_squared = _Entries(), _Entries(), _Entries()
    sample: list[int] = []
    weight: list[float] = []
    for i, (caption, texts) in enumerate(zip(captions, counts, strict=True)):
        caption_ngrams = _ngrams(caption)
        for ngram, count in caption_ngrams.items():
            caption_squared.add(ORDERS * i + len(ngram) - 1, class_of.get(ngram, 0), count * count)
        for reference, text in zip(references[i], texts, strict=True):
            for ngram, count in text.items():
                row = ORDERS * len(sample) + len(ngram) - 1
                squared.add(row, class_of[ngram], count * count)
                if ngram in caption_ngrams:
                    clipped.add(row, class_of[ngram], min(caption_ngrams[ngram], count) * count)
            apart = max(len(caption) - 1, 0) - max(len(reference) - 1, 0)
            sample.append(i)
            weight.append(10 / ORDERS / len(texts) * math.exp(-(apart**2) / (2 * SIGMA**2)))
    documents = _Entries()
    for samples, number in classes.items():
        for i in samples:
            documents.add(i, number, 1)
    pairs, n = len(sample), len(captions)
    return Corpus(
        documents.matrix(n, len(classes)),
        clipped.matrix(ORDERS * pairs, len(classes)),
        squared.matrix(ORDERS * pairs, len(classes)),
        caption_squared.matrix(ORDERS * n, len(classes)),
        np.array(sample, dtype=int),
        np.array(weight, dtype=np.float64),
    )


def _ngrams(tokens: Words) -> Counter[Words]:
    return Counter(tokens[i : i + n] for n in range(1, ORDERS + 1) for i in range(len(tokens) - n + 1))


class _Entries:
    """Entries of a sparse matrix; those at one place are added."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._columns: list[int] = []
        self._values: list[float] = []

    def add(self, row: int, column: int, value: float) -> None:
        """One more."""
        self._rows.append(row)
        self._columns.append(column)
        self._values.append(value)

    def matrix(self, rows: int, columns: int) -> csr_array:
        """All of them, of a given shape."""
        from scipy.sparse import csr_array

        at = (np.array(self._rows, dtype=int), np.array(self._columns, dtype=int))
        return csr_array((np.array(self._values, dtype=np.float64), at), shape=(rows, columns))
