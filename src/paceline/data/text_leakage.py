"""Texts that stand on both sides of a split in nearly the same words.

Case, punctuation and white space do not count. Two texts of eight words or more are near where their sets of three
consecutive words agree by three quarters (Jaccard). They are found by MinHash (Broder, On the resemblance and
containment of documents, 1997) in bands, and then compared exactly: the time grows with the number of texts, not with
the product. A pair at the threshold is met in 99 of 100 cases, a nearer one nearly always.

Not found: other words for the same, translations, a sentence inside of a long document.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paceline.data.leakage import Twin

FEWEST_WORDS = 8
"""Of a text that is compared: shorter ones are alike by chance."""
LEAST_AGREEMENT = 0.75
ASKED = ("question", "questions", "choices")
"""Fields that many samples share by right: what is asked about each picture."""
_LENGTH = 3  # words of a shingle
_BANDS, _ROWS = 16, 4
_MOST_CANDIDATES = 16  # of one bucket: a template of a thousand texts costs no product
_WORD = re.compile(r"[^\W_]+")

_draw = np.random.RandomState(62)
_FACTORS = _draw.randint(0, 2**62, _BANDS * _ROWS).astype(np.uint64) * np.uint64(2) + np.uint64(1)
_SHIFTS = _draw.randint(0, 2**62, _BANDS * _ROWS).astype(np.uint64)


@dataclass(frozen=True)
class Fields:
    """Which fields of a kind's records are compared.

    Attributes:
        documented: those that the kind documents.
        shown: those that a prompt may name.
        group: the one that ties samples together.
    """

    documented: Sequence[str]
    shown: Sequence[str]
    group: str

    def texts(self, record: Mapping[str, Any]) -> list[str]:
        """What of a record is compared: without an image what is asked about, else the words of its truth."""
        if record.get("image") or record.get("images"):
            names = [name for name in self.documented if name not in (*self.shown, *ASKED)]
        else:
            shown = [name for name in self.shown if name in record]
            names = shown or [name for name in record if name not in ("id", "split", self.group)]
        return [text for name in names for text in _strings(record.get(name))]


def _strings(value: Any) -> list[str]:
    every = value if isinstance(value, list | tuple) else [value]
    return [text for text in every if isinstance(text, str)]


def normalised(text: str) -> str:
    """A text's words in lower case, with single spaces: letters and digits of any script alone."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def near_twins(
    records: Sequence[Mapping[str, Any]],
    fields: Callable[[Mapping[str, Any]], Fields],
    train: str,
    known: frozenset[str] | set[str] = frozenset(),
) -> list[Twin]:
    """Samples one of whose texts is also trained on in nearly the same words.

    Args:
        records: samples with ``id`` and ``split``.
        fields: of a record.
        train: name of the training split.
        known: ids of samples that were found already, which are passed over.

    Returns:
        The twins in the order of the records.
    """
    trained: dict[str, str] = {}
    others: list[tuple[Mapping[str, Any], list[str]]] = []
    for record in records:
        texts = [text for text in map(normalised, fields(record).texts(record)) if _long(text)]
        if record["split"] == train:
            for text in texts:
                trained.setdefault(text, str(record["id"]))
        elif texts:
            others.append((record, texts))
    if not trained or not others:
        return []
    searched = _Searched(list(trained))
    twins = []
    for record, texts in others:
        if record["id"] in known:
            continue
        best, agreement = max((searched.nearest(text) for text in texts), key=lambda found: found[1])
        if agreement >= LEAST_AGREEMENT:
            twin = Twin(
                record["split"], str(record["id"]), "", "words", trained[best], "", 0, round(float(agreement), 4)
            )
            twins.append(twin)
    return twins


def _long(text: str) -> bool:
    return text.count(" ") >= FEWEST_WORDS - 1


def agreement(a: str, b: str) -> float:
    """How far the three-word sequences of two normalised texts agree, from 0 to 1 (Jaccard)."""
    ones, others = _shingles(a), _shingles(b)
    return len(ones & others) / len(ones | others)


def _shingles(text: str) -> set[str]:
    words = text.split(" ")
    return {" ".join(words[i : i + _LENGTH]) for i in range(max(1, len(words) - _LENGTH + 1))}


class _Searched:
    """Normalised texts in which near ones are searched."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = set(texts)
        self.buckets: dict[tuple[int, bytes], list[str]] = {}
        for text in texts:
            for band in _bands(text):
                bucket = self.buckets.setdefault(band, [])
                if len(bucket) < _MOST_CANDIDATES:
                    bucket.append(text)

    def nearest(self, text: str) -> tuple[str, float]:
        """The text that agrees most, and how far; empty and 0 where none may."""
        if text in self.texts:
            return text, 1.0
        candidates = dict.fromkeys(one for band in _bands(text) for one in self.buckets.get(band, ()))
        return max(((one, agreement(text, one)) for one in candidates), key=lambda found: found[1], default=("", 0.0))


def _bands(text: str) -> list[tuple[int, bytes]]:
    """Texts that agree share some of these with high probability."""
    hashed = np.fromiter((zlib.crc32(one.encode()) for one in _shingles(text)), dtype=np.uint64)
    least = np.full(len(_FACTORS), 2**64 - 1, np.uint64)
    for start in range(0, len(hashed), 4096):  # a document has a hundred thousand
        mixed = hashed[start : start + 4096, None] * _FACTORS[None, :] + _SHIFTS[None, :]
        least = np.minimum(least, mixed.min(axis=0))
    low = (least >> np.uint64(32)).astype(np.uint32).reshape(_BANDS, _ROWS)
    return [(band, row.tobytes()) for band, row in enumerate(low)]
