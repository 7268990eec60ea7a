"""How much of an answer repeats itself.

``distinct_n``
    different n-grams of words among all (Li et al. 2016, arXiv:1510.03055).
``repeated_4``
    the share of 4-grams that stand in the answer before: 1 − distinct-4, seq-rep-4 of Welleck et al. 2019
    (arXiv:1908.04319).
``longest_run``
    the longest run of words that is said again immediately after itself, in words: 0 where there is none, 2 in "red and
    red and blue".

Words are what stands between white space, in lower case, without punctuation around it.
"""

from __future__ import annotations

from collections.abc import Sequence

_AROUND = ".,;:!?()[]{}\"'“”‘’*_-–—…#`"


def words_of(text: str) -> list[str]:
    """The words that are compared."""
    return [word for token in text.lower().split() if (word := token.strip(_AROUND))]


def ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of ``n`` words."""
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def distinct(words: Sequence[str], n: int) -> float | None:
    """The share of different n-grams; None where there is no n-gram."""
    found = ngrams(words, n)
    return len(set(found)) / len(found) if found else None


def longest_run(words: Sequence[str]) -> int:
    """The words of the longest run that is followed by itself.

    A run of ``p`` words that is, and its repetition, hold a place that is a multiple of ``p`` and equals the one ``p``
    words on; so of each length only those places are compared, n log n in all, and the rest where one is equal.
    """
    import numpy as np

    numbers: dict[str, int] = {}
    found = np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.int64)
    for p in range(len(found) // 2, 0, -1):
        anchors = found[::p]
        if not (anchors[:-1] == anchors[1:]).any():
            continue
        unequal = np.flatnonzero(found[:-p] != found[p:])
        ends = np.concatenate([[-1], unequal, [len(found) - p]])
        if (np.diff(ends) - 1).max() >= p:
            return p
    return 0
