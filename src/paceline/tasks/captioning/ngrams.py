"""N-grams of captions and of their references, counted side by side: whole sets at once, as arrays.

Counting word by word in dictionaries takes most of the time that the figures of a set of captions need. Here a text is
a row of numbers, an n-gram is one number made of n of them, and sorting finds the equal ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Ints = np.ndarray

_LARGEST = 1 << 62


@dataclass(frozen=True)
class Texts:
    """The texts of samples one behind the other: a sample's caption, then its references."""

    symbols: Ints
    """What texts are made of, words or characters, numbered from 0: int64 (symbols,)."""
    lengths: Ints
    """Symbols of each text, int64 (texts,)."""
    references: Ints
    """References of each sample, int64 (samples,)."""

    @property
    def sample(self) -> Ints:
        """The sample of each text, int64 (texts,)."""
        return np.repeat(np.arange(len(self.references)), self.references + 1)

    @property
    def place(self) -> Ints:
        """Of each text: 0 for a caption, k for a k-th reference; int64 (texts,)."""
        before = np.cumsum(self.references + 1) - self.references - 1
        return np.arange(len(self.lengths)) - before[self.sample]


@dataclass(frozen=True)
class Counted:
    """N-grams of one length: an entry for each text and each n-gram in it, sorted by sample, n-gram and text."""

    sample: Ints
    place: Ints
    """As in :class:`Texts`."""
    ngram: Ints
    """A number, the same in all texts."""
    count: Ints
    """How often the text has it."""
    in_caption: Ints
    """How often the caption of the sample has it."""
    first: Ints
    """The first entry of each sample and n-gram, int64 (samples with n-grams,)."""


def of_words(captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Texts:
    """Texts as words."""
    texts = [words for pair in zip(captions, references, strict=True) for words in (pair[0], *pair[1])]
    numbers: dict[str, int] = {}
    symbols = [numbers.setdefault(word, len(numbers)) for words in texts for word in words]
    return _texts(np.array(symbols, dtype=np.int64), texts, references)


def of_characters(captions: Sequence[str], references: Sequence[Sequence[str]]) -> Texts:
    """Texts as characters."""
    texts = [text for pair in zip(captions, references, strict=True) for text in (pair[0], *pair[1])]
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    occurs = np.zeros(int(points.max(initial=0)) + 1, dtype=bool)
    occurs[points] = True
    return _texts((np.cumsum(occurs) - 1)[points], texts, references)


def _texts(symbols: Ints, texts: Sequence[Sequence[str]], references: Sequence[Sequence[object]]) -> Texts:
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    return Texts(symbols, lengths, np.array([len(texts) for texts in references], dtype=np.int64))


def counted(texts: Texts, orders: int) -> Iterator[Counted]:
    """The n-grams of one symbol, of two, and so on up to ``orders``."""
    kinds = int(texts.symbols.max(initial=0)) + 1
    width = int(texts.references.max(initial=0)) + 1
    sample, place = (np.repeat(of_text, texts.lengths) for of_text in (texts.sample, texts.place))
    left = np.repeat(np.cumsum(texts.lengths), texts.lengths) - np.arange(len(texts.symbols))
    at, ngrams, different = np.arange(len(texts.symbols)), texts.symbols, kinds
    spread = max(1, len(texts.references)) * width
    for n in range(1, orders + 1):
        if n > 1:
            fits = left[at] >= n
            at = at[fits]
            ngrams, different = _dense(ngrams[fits], different, kinds * spread)
            ngrams, different = ngrams * kinds + texts.symbols[at + n - 1], different * kinds
        ngrams, different = _dense(ngrams, different, spread)
        entries, count = np.unique((sample[at] * different + ngrams) * width + place[at], return_counts=True)
        both, of = np.divmod(entries, width)
        begins = np.diff(both, prepend=-1) != 0
        first = np.flatnonzero(begins)
        own = np.where(of[first] == 0, count[first], 0)[np.cumsum(begins) - 1]
        owner, ngram = np.divmod(both, different)
        yield Counted(owner, of, ngram, count, own, first)


def _dense(numbers: Ints, different: int, times: int) -> tuple[Ints, int]:
    """Number anew, without gaps, where numbers below ``different`` would grow too large if multiplied."""
    if different * times < _LARGEST:
        return numbers, different
    known, dense = np.unique(numbers, return_inverse=True)
    return dense, len(known)
