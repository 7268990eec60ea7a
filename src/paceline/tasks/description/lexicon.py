"""What an answer's words name, found in one pass: phrases out of a list, each with whether it is denied."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[.,;:!?()\n]")
_POSSESSIVE = re.compile(r"'s?$")
_MARKS = frozenset(".;:!?()\n,")
_STARTS = frozenset(["but", "just", "only", "instead", "although", "though", "while", "however", "and", "with", "next",
                     "in", "on", "at", "near", "by", "beside", "behind", "under", "over", "from", "that", "which",
                     "who", "where"])  # fmt: skip
"""Words behind which a denial no longer holds: "a dog with no collar next to a cat"."""
_DENIALS = frozenset(["no", "without", "neither", "nor", "not", "never", "none", "lacks", "lacking", "cannot", "isn't",
                      "aren't", "wasn't", "weren't", "doesn't", "don't", "can't"])  # fmt: skip
_NO_DENIAL = {("not", "only"), ("not", "just"), ("not", "merely"), ("no", "doubt"), ("without", "doubt")}
REACH = 5
"""Words between a denial and what it denies, at most: "there is no big brown dog"."""


@dataclass(frozen=True)
class Named:
    """One phrase of an answer."""

    meaning: str
    denied: bool


def words(text: str) -> list[str]:
    """The words of a text in lower case and its marks, without the ``'s`` of an owner; a hyphen parts words."""
    text = text.lower().replace("’", "'")
    found = _TOKEN.findall(text)
    return [token if token in _DENIALS else _POSSESSIVE.sub("", token) for token in found]


class Lexicon:
    """Phrases and what each means; the longest phrase at a place is the one that is read.

    Args:
        meanings: phrase -> meaning; an empty one hides the words that the phrase holds.
    """

    def __init__(self, meanings: Mapping[str, str]) -> None:
        found = {tuple(words(phrase)): meaning for phrase, meaning in meanings.items()}
        self._meanings = {phrase: meaning for phrase, meaning in found.items() if phrase}  # a sign is no word
        self._lengths: dict[str, list[int]] = {}
        for phrase in self._meanings:
            lengths = self._lengths.setdefault(phrase[0], [])
            if len(phrase) not in lengths:
                lengths.append(len(phrase))
                lengths.sort(reverse=True)

    def named(self, text: str) -> Iterator[Named]:
        """What a text names, in order, with whether it is denied: "no dog", "neither red nor green"."""
        tokens = words(text)
        spans = list(self._spans(tokens))
        denied_to = 0  # the token behind the last phrase that is denied
        for start, end, meaning in spans:
            denied = _denied(tokens, start) or _goes_on(tokens, denied_to, start)
            if denied:
                denied_to = end
            if meaning:
                yield Named(meaning, denied)

    def _spans(self, tokens: Sequence[str]) -> Iterator[tuple[int, int, str]]:
        at = 0
        while at < len(tokens):
            for length in self._lengths.get(tokens[at], ()):
                meaning = self._meanings.get(tuple(tokens[at : at + length]))
                if meaning is not None:
                    yield at, at + length, meaning
                    at += length
                    break
            else:
                at += 1


def _denied(tokens: Sequence[str], start: int) -> bool:
    for back in range(start - 1, max(-1, start - 2 - REACH), -1):
        if tokens[back] in _DENIALS:
            return (tokens[back], tokens[back + 1]) not in _NO_DENIAL
        if tokens[back] in _MARKS or tokens[back] in _STARTS:
            return False
    return False


def _goes_on(tokens: Sequence[str], denied_to: int, start: int) -> bool:
    """Whether a denial goes on from the last denied phrase: "no cat or dog", "no red, green or blue"."""
    if not denied_to or start - denied_to > 3:
        return False
    between = tokens[denied_to:start]
    if any(token in ("or", "nor") for token in between):
        return all(token in (",", "or", "nor", "a", "an", "any") for token in between)
    ahead = tokens[start : start + 8]
    listed = "or" in ahead or "nor" in ahead
    return listed and bool(between) and all(token in (",", "a", "an", "any") for token in between)
