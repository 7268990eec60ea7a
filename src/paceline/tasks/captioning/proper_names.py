"""The names in a caption, found by their capital letters, and whether other texts hold them.

A name is a run of words with capitals that no sentence's start explains: ``the match between Real Madrid and Chelsea``
has two. Letters in the middle of a word (``LeBron``) and whole words of capitals (``NBA``) tell a name at a sentence's
start too. A plain capital there tells nothing by itself, as any word has one: it belongs to a name where another word
with a capital follows (``Lionel Messi scores``), but a single name at the start is not found. Not names: ``I``,
ordinary words, kinds of things that are spelled with capitals (``TV``, ``Frisbee``, ``T-shirt``). Days, months and
adjectives of nations count: no picture shows them unless its references say so.

A text in capitals alone, or in those of a title, tells no names. Languages that write all nouns with capitals are not
read, and scripts without capitals have no names here.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from paceline.tasks.captioning.name_words import (
    ABBREVIATIONS,
    ADJECTIVES,
    BEFORE_OF,
    COMMON,
    CONNECTING,
    ENDINGS,
    KIND_PHRASES,
    KINDS,
    NATIONS,
    SMALL,
    STARTERS,
    TITLES,
)

LEAST_STEM = 4  # letters that a place and its adjective share

_WORD = re.compile(
    r"[^\W\d_](?:\.[^\W\d_])+(?![^\W_])\.?"  # U.S., J.K.
    r"|[^\W_]+(?:['’&][^\W_]+)*['’]?"
)
_ENDS = frozenset(".!?…:\n。！？")
_OPENS = frozenset("\"'“”„‘«‹*_`")
_HYPHENS = frozenset("-‐‑")
_POSSESSIVE = re.compile(r"['’]s?$")
_OWN_LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})
_I = frozenset(("i", "im", "ive", "ill", "id"))


@dataclass(frozen=True)
class Name:
    """A name as it is written."""

    text: str
    words: tuple[str, ...]
    """The words that tell it from other names, as :func:`normal` writes them."""


@dataclass(frozen=True)
class Vocabulary:
    """The words of some texts, as :func:`normal` writes them."""

    words: frozenset[str]
    stems: frozenset[str]
    """Of the words, without the ending of a place or its adjective."""
    adjective_stems: frozenset[str]
    """Of those with the ending of an adjective."""

    def names(self, name: Name) -> bool:
        """Whether all words of a name are among them, or it as one word."""
        return "".join(name.words) in self.words or all(map(self.holds, name.words))

    def holds(self, word: str) -> bool:
        """Whether a word is among them, or the adjective of a place or the place of an adjective."""
        if word in self.words or NATIONS.get(word, word) in self.words:
            return True
        return any(stem in (self.stems if adjective else self.adjective_stems) for stem, adjective in _stems_of(word))


def normal(word: str) -> str:
    """A word without case, accents, apostrophes, full stops, the possessive and the plural."""
    plain = unicodedata.normalize("NFKD", _POSSESSIVE.sub("", word).casefold()).translate(_OWN_LETTERS)
    plain = "".join(c for c in plain if c.isalnum())
    if len(plain) > 3 and plain.endswith("s"):
        if plain.endswith("ies"):
            return plain[:-3] + "y"
        if plain.endswith(("ses", "xes", "zes", "ches", "shes")):
            return plain[:-2]
        if not plain.endswith(("ss", "us", "is")):
            return plain[:-1]
    return plain


@functools.lru_cache(maxsize=1 << 14)
def vocabulary(texts: tuple[str, ...]) -> Vocabulary:
    """The words of texts; a hyphenated one as a whole and in its parts."""
    words: set[str] = set()
    for text in texts:
        before, joined, whole = 0, "", unicodedata.normalize("NFC", text)
        for match in _WORD.finditer(whole):
            word = normal(match.group())
            joined = joined + word if whole[before : match.start()] in _HYPHENS else word
            words |= {word, joined, NATIONS.get(word, word)}
            before = match.end()
    stems = [found for word in words for found in _stems_of(word)]
    return Vocabulary(
        frozenset(words),
        frozenset(stem for stem, _ in stems),
        frozenset(stem for stem, adjective in stems if adjective),
    )


def _stems_of(word: str) -> Iterable[tuple[str, bool]]:
    """The word without each ending that it has, and whether that is an adjective's."""
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= LEAST_STEM:
            yield word[: len(word) - len(ending)], ending in ADJECTIVES


@dataclass(frozen=True)
class _Word:
    """One word, or one part of a hyphenated one."""

    text: str
    start: int
    end: int
    gap: str
    """What stands between it and the word before."""
    first: bool
    """Whether its capital may be that of a sentence's start."""

    @functools.cached_property
    def plain(self) -> str:
        return normal(self.text)

    @functools.cached_property
    def small(self) -> str:
        return "".join(c for c in _POSSESSIVE.sub("", self.text).casefold() if c.isalnum())

    @functools.cached_property
    def capital(self) -> bool:
        return self.text[0].isupper() and self.small not in _I

    @functools.cached_property
    def shouted(self) -> bool:
        """Whether it is two capitals or more: ``NBA``, ``U.S.``, ``F1``, and ``DJs``."""
        letters = _POSSESSIVE.sub("", self.text)
        letters = letters[:-1] if letters.endswith("s") and letters[:-1].isupper() else letters
        return letters.isupper() and letters[0].isalpha() and sum(c.isalnum() for c in letters) > 1

    @functools.cached_property
    def sure(self) -> bool:
        """Whether its letters tell a name at a sentence's start too."""
        inner = any(c.islower() for c in self.text) and any(c.isupper() for c in self.text[1:])
        return (inner or self.shouted) and self.small not in COMMON | _I

    @functools.cached_property
    def ordinary(self) -> bool:
        return self.small in COMMON or (len(self.small) > 5 and self.small.endswith(("ing", "ly")))

    @functools.cached_property
    def kind(self) -> bool:
        return self.plain in KINDS or self.small in KINDS


def _words(text: str) -> list[_Word]:
    words: list[_Word] = []
    for match in _WORD.finditer(text):
        before = words[-1] if words else None
        gap = text[before.end if before else 0 : match.start()]
        words.append(_Word(match.group(), match.start(), match.end(), gap, before is None or _starts(gap, before)))
    return words


def _starts(gap: str, before: _Word) -> bool:
    """Whether a sentence, or a text in quotation marks, begins behind a gap."""
    ends = [c for c in gap if c in _ENDS]
    if ends == ["."] and gap[0] == ".":
        initial = len(before.text) == 1 and before.text.isupper()
        return not (initial or before.small in ABBREVIATIONS)
    return bool(ends) or (bool(gap) and gap[-1] in _OPENS)


def tells(text: str) -> bool:
    """Whether the capitals of a text tell names: it is not all in capitals, nor in those of a title."""
    if text.isupper():
        return False
    words = [word for word in _words(unicodedata.normalize("NFC", text)) if word.text[0].isalpha()]
    shouted = [word for word in words if word.shouted]
    if len(shouted) > 2 and any(word.small in COMMON for word in shouted):
        return False
    inner = words[1:]
    large = [word for word in inner if word.small not in SMALL]
    if len(large) < 2 or not all(word.text[0].isupper() for word in large):
        return True
    capitals = [i for i, word in enumerate(words) if i and word.text[0].isupper()]
    if capitals[0] > 1 and capitals[-1] - capitals[0] < len(capitals):
        return True  # one name behind small words: ``Fans of the Green Bay Packers``
    # ``Rowling`` ends as ``Riding`` does; a caption with a title's capitals begins with an ordinary word.
    return not any(
        word.text[0].isupper() and (words[0].ordinary or word.small in COMMON) for word in inner if word.ordinary
    )


def names(text: str) -> tuple[Name, ...]:
    """The names in a text, each once, in their order; none where its capitals tell none."""
    text = unicodedata.normalize("NFC", text)
    if not tells(text):
        return ()
    words = _words(text)
    kinds = _of_kinds(words)
    found: dict[tuple[str, ...], Name] = {}
    run: list[int] = []
    for i in range(len(words) + 1):
        if i < len(words) and (words[i].capital or words[i].sure) and i not in kinds:
            if run and not _joins(words, run[-1], i):
                _keep(text, words, run, found)
                run = []
            run.append(i)
        elif run and (i == len(words) or i in kinds or words[i].small not in CONNECTING):
            _keep(text, words, run, found)
            run = []
    return tuple(found.values())


def _of_kinds(words: list[_Word]) -> set[int]:
    """Which words are no names but of kinds: ``T-shirt``, ``American football``."""
    kinds = {i for i, word in enumerate(words) if word.kind}
    for i, (word, after) in enumerate(itertools.pairwise(words)):
        if after.gap in (" ", "-") and after.small in KIND_PHRASES.get(word.small, "").split():
            kinds |= {i, i + 1}
        if len(word.text) == 1 and after.gap in _HYPHENS and after.text[0].islower():
            kinds.add(i)
    return kinds


def _joins(words: list[_Word], before: int, at: int) -> bool:
    """Whether a word goes on with the name that ended before it; between the two stand only connecting words."""
    word = words[at]
    if at == before + 1:
        stopped = word.gap in (". ", ".") and not word.first
        broken = words[before].text.endswith(".") and word.small in STARTERS  # in the U.S. The …
        return (word.gap in (" ", " & ", *_HYPHENS) or stopped) and not broken
    if words[before + 1].small == "of" and words[before].small not in BEFORE_OF:
        return False
    return all(between.gap == " " for between in words[before + 1 : at + 1])


def _keep(text: str, words: list[_Word], run: list[int], found: dict[tuple[str, ...], Name]) -> None:
    """Take a run of words with capitals as a name, if it is one."""
    first = words[run[0]]
    opening = first.first and not first.sure
    told = run[1:] if opening else run
    kept = [words[i] for i in told if words[i].small not in TITLES | CONNECTING and len(words[i].plain) > 1]
    own = not first.ordinary and not _POSSESSIVE.search(first.text)  # of ``Young Americans``, ``Chelsea's Lampard``
    beside = opening and own and run[:2] == [run[0], run[0] + 1]  # ``Manchester City`` at a sentence's start
    if not kept or (len(kept) == 1 and kept[0].small in COMMON and not beside):
        return
    begins = words[told[0]] if opening and not own else first
    name = Name(_POSSESSIVE.sub("", text[begins.start : words[run[-1]].end]), tuple(word.plain for word in kept))
    found.setdefault(name.words, name)
