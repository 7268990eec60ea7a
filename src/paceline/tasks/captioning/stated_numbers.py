"""The numbers in a caption, in digits and in words, and whether other texts hold them.

``23``, ``No. 7``, ``21st``, ``twenty-one``, ``a dozen``, ``1,000`` and ``in her 20s`` are numbers; ``3-0``, ``7:30``
and ``12/05`` are one number of several parts. Equal are ``2`` and ``two``, ``21st`` and ``twenty-first``.

No numbers: ``one``, ``first`` and ``second`` alone, which are mostly a pronoun, an opening and "another"; vague ones
(``hundreds``); a small number that names a kind of thing (``two-wheeled``, ``4x4``, ``3D``); digits inside a word of
letters (``F1``); and the mark of a list before a caption (``1. A man``).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ORDINALS = {
    "first": 1,
    "second": 2,
    "third": 3,
    "fifth": 5,
    "eighth": 8,
    "ninth": 9,
    "twelfth": 12,
    **{f"{word}th": n for n, word in enumerate((*UNITS, *TEENS)) if n in (4, 6, 7, 10, 11) or n > 12},
    **{f"{word[:-1]}ieth": 10 * n for n, word in enumerate(TENS, 2)},
}
DECADES = {f"{word[:-1]}ies": 10 * n for n, word in enumerate(TENS, 2)}
VALUES = {
    **{word: n for n, word in enumerate((*UNITS, *TEENS))},
    **{word: 10 * n for n, word in enumerate(TENS, 2)},
    **ORDINALS,
    **DECADES,
}
TIMES = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
SEVERAL = {
    2: "couple pair both twin twins duo double twice",
    3: "trio triple triplets thrice",
    4: "quartet",
    12: "dozen",
}
"""What tells a number without naming it, in a reference."""
_SEVERAL = {word: value for value, words in SEVERAL.items() for word in words.split()}

ALONE = frozenset(("one", "first", "second"))
"""Number words that count only behind another number, and behind ``number``."""
LARGEST_KIND = 4
"""Up to this value a number with a hyphen behind it names a kind of thing: ``four-wheeled``."""

_DIGITS = re.compile(
    r"(?<!\w)(?P<number>\d+(?:(?:[.,:/]|\s?[-–—−]\s?)\d+)*)(?P<suffix>[^\W\d_]*)(?P<more>\d?)"
    r"|(?P<word>[^\W\d_]++)(?!\d)"
)
_LIST_MARK = re.compile(r"\s*\d{1,2}[.)]\s")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_PARTS = re.compile(r"\s?[-–—−]\s?|[,:/]")
_KIND_SUFFIXES = frozenset(("D", "G", "K", "x", "X"))
_HYPHEN = frozenset("-‐‑")
_AND_ANOTHER = re.compile(r"(?:,|\band)\s+(?:a|an|another|one|his|her|the)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Number:
    """A number as it is written."""

    text: str
    parts: tuple[str, ...]
    """Its value in decimal digits; of a score, a time or a date each of its numbers."""


@dataclass(frozen=True)
class _Token:
    text: str
    start: int
    end: int
    value: tuple[str, ...] = ()
    """Of digits; empty of a word."""

    @property
    def word(self) -> str:
        return self.text.casefold()


def numbers(text: str) -> tuple[Number, ...]:
    """The numbers in a text, each once, in their order."""
    text = unicodedata.normalize("NFC", text)
    return tuple({number.parts: number for number in reversed([*_numbers(text, vague=False)])}.values())[::-1]


@functools.lru_cache(maxsize=1 << 14)
def known(texts: tuple[str, ...]) -> frozenset[str]:
    """The values that texts hold: their numbers, and those told otherwise: ``a couple``, ``a man and a dog``."""
    values: set[str] = set()
    for text in (unicodedata.normalize("NFC", text) for text in texts):
        values.update(part for number in _numbers(text, vague=True) for part in number.parts)
        others = len(_AND_ANOTHER.findall(text))
        values.update(str(n) for n in range(2, others + 2))
    return frozenset(values)


def _numbers(text: str, vague: bool) -> Iterator[Number]:
    mark = _LIST_MARK.match(text)
    tokens = list(_tokens(text, mark.end() if mark else 0))
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.value:
            if vague or not _names_a_kind(text, tokens, at, at, token.value[0]):
                yield Number(token.text, token.value)
            at += 1
            continue
        value, end = _spelled(text, tokens, at)
        if value is None:
            if vague and token.word in _SEVERAL:
                yield Number(token.text, (str(_SEVERAL[token.word]),))
        else:
            alone = end == at and token.word in ALONE and not _numbered(tokens, at)
            if vague or not (alone or _names_a_kind(text, tokens, at, end, str(value))):
                yield Number(text[token.start : tokens[end].end], (str(value),))
            at = end
        at += 1


def _tokens(text: str, start: int) -> Iterator[_Token]:
    for match in _DIGITS.finditer(text, start):
        if match["word"]:
            yield _Token(match["word"], match.start(), match.end())
        elif match["suffix"] not in _KIND_SUFFIXES and not match["more"]:
            yield _Token(match.group(), match.start(), match.end(), _values(match["number"]))


def _values(number: str) -> tuple[str, ...]:
    """Digits in any script as decimal numbers without leading zeros, each part of a score by itself."""
    number = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in number)
    if _THOUSANDS.fullmatch(number):
        return (_plain(number.replace(",", "")),)
    parts = [piece for part in _PARTS.split(number) for piece in (part.split(".") if part.count(".") > 1 else [part])]
    return tuple(_plain(part) for part in parts)


def _plain(number: str) -> str:
    whole, point, fraction = number.partition(".")
    return (whole.lstrip("0") or "0") + (point + fraction.rstrip("0")).rstrip(".")


def _spelled(text: str, tokens: list[_Token], at: int) -> tuple[int | None, int]:
    """The number that words from a token on spell, and the last of its tokens; None where they spell none."""
    word = tokens[at].word
    if word not in VALUES and word not in TIMES:
        return None, at
    total, current = 0, VALUES.get(word, 0)
    ended = word in ORDINALS or word in DECADES
    if word in TIMES:
        half = "half" in [token.word for token in tokens[max(0, at - 2) : at]]
        current = TIMES[word] // (2 if half else 1)
    end, tens = at, word in TENS
    while not ended and end + 1 < len(tokens):
        after, gap = tokens[end + 1], text[tokens[end].end : tokens[end + 1].start]
        joined, step = gap == " " or gap in _HYPHEN, end + 1
        hundreds = (current >= 100 and current % 100 == 0) or (total and not current)
        if joined and hundreds and after.word == "and" and step + 1 < len(tokens) and tokens[step + 1].word in VALUES:
            after, step = tokens[step + 1], step + 1
        value = VALUES.get(after.word)
        if joined and after.word in TIMES:
            times = TIMES[after.word]
            if times <= 100:
                current = max(current, 1) * times
            else:
                total, current = total + max(current, 1) * times, 0
        elif joined and value is not None and ((tens and 0 < value < 10) or (hundreds and value > 0)):
            current += value
        else:
            break
        end, tens, ended = step, after.word in TENS, after.word in ORDINALS or after.word in DECADES
    return total + current, end


def _numbered(tokens: list[_Token], at: int) -> bool:
    return at > 0 and tokens[at - 1].word in ("number", "no")


def _names_a_kind(text: str, tokens: list[_Token], start: int, end: int, value: str) -> bool:
    """Whether a small number is the first part of a word, such as ``two-piece``; not so an age."""
    if not value.isdecimal() or len(value) > 1 or int(value) > LARGEST_KIND or end + 1 == len(tokens):
        return False
    after = tokens[end + 1]
    return text[tokens[end].end : after.start] in _HYPHEN and not after.value and not after.word.startswith("year")
