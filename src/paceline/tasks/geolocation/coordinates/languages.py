"""The words of other languages, from ``languages.yaml``, and what each becomes in the plain copy of an answer.

A word is read as its English one: "52,52° nördlicher Breite" as "52.52° north latitude". Words are looked up by their
first part, or by their first character in scripts that put no space between words, so the time is that of the text,
however many words the file holds.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.errors import UserError
from paceline.tasks.geolocation.coordinates.spelling import errors, without_a_letter

FILE = Path(__file__).parent / "languages.yaml"
REFUSES = "\ue004"  # what words that refuse an answer become

_SIDES = {"north": "N", "south": "S", "east": "E", "west": "W"}
_BEARINGS = {"north": ("lat", 1), "south": ("lat", -1), "east": ("lon", 1), "west": ("lon", -1)}
_ANYWHERE = {
    "latitude": " latitude ",
    "longitude": " longitude ",
    **{side: f" {side} " for side in _SIDES},
    "north latitude": " N ",
    "south latitude": " S ",
    "east longitude": " E ",
    "west longitude": " W ",
    "measured": " price ",
    "final": " final answer ",
    "refusal": f" {REFUSES} ",
}
_AXES = (_ANYWHERE["latitude"], _ANYWHERE["longitude"])
_LONG = 8  # letters of a label that is known with an error, too
_ENGLISH = ("latitude", "latitudes", "longitude", "longitudes")
_BEHIND_A_NUMBER = {"degree": "°", "minute": " min ", "second": " sec ", "unit": " km "}
_MINUS = " -"
_BEFORE_A_NUMBER = {"about": " approximately ", "is": " is ", "minus": _MINUS}
_BETWEEN_NUMBERS = {"and": " and "}
_ITSELF = ""  # what a word becomes that only tells its language
_KEYS = {"common", *_ANYWHERE, *_BEHIND_A_NUMBER, *_BEFORE_A_NUMBER, *_BETWEEN_NUMBERS}

# Scripts that put no space between words, and marks that belong to the letter before them.
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_MARKS = (
    "\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u0900-\u0903\u093a-\u094f\u0981-\u0983\u09bc-\u09cd\u0b82\u0bbe-\u0bcd"
)
_MARKS += "\u0c00-\u0c03\u0c3e-\u0c4d\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u200c"
_RUN = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{_MARKS}])*")
_LEFT_OUT = re.compile("[\u064b-\u0652\u200c]")
_GLUED = "\u0648\u05d5\u05d1"  # "and" and "in" are glued to an Arabic or Hebrew word
_SIDE_SIGN = re.compile("[北南东東西]")

_BEHIND = re.compile(r"[\d°º˚'′″\"度]\s?$")
_NUMBER_FOLLOWS = re.compile(r"[^\S\n]?[-+−–(~≈\"']{0,2}\s?\d")


@dataclass(frozen=True)
class Word:
    """A word in a text: the characters that it takes, what it becomes, and the languages that it tells."""

    start: int
    end: int
    becomes: str
    languages: frozenset[str]


@dataclass(frozen=True)
class Entry:
    """A word of the file: its parts and what stands between them, and what it becomes where."""

    parts: tuple[str, ...]
    gaps: tuple[str, ...]  # behind each part
    becomes: dict[str, str] = field(default_factory=dict)  # "anywhere", "behind", "before", "between"
    languages: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Vocabulary:
    """The words of all languages. Entries are listed by their first part, or first character if unspaced."""

    spaced: dict[str, list[Entry]]
    unspaced: dict[str, list[Entry]]
    misspelt: dict[str, list[str]]  # long labels by themselves and by themselves without one letter
    letters: dict[str, dict[str, str]]  # of a language: letter to N, S, E or W
    doubtful: dict[str, tuple[str, int]]  # word to axis and sign


@functools.lru_cache(maxsize=4096)
def folded(word: str) -> str:
    """A word as the tables hold it: composed, in lower case, with one kind of i, and nothing that may be left out."""
    if word.isascii():
        return word.lower()
    word = unicodedata.normalize("NFC", word).replace("İ", "i").lower().replace("ı", "i").replace("ς", "σ")
    return _LEFT_OUT.sub("", word)


@functools.cache
def vocabulary() -> Vocabulary:
    """What ``languages.yaml`` says.

    Raises:
        UserError: the file is no YAML, or has a key or a value that it cannot have.
    """
    import yaml

    try:
        content = yaml.load(FILE.read_text(encoding="utf-8"), getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    except yaml.YAMLError as error:
        raise UserError(f"{FILE}: no YAML: {error}") from error
    return read_vocabulary(content)


def read_vocabulary(content: Any) -> Vocabulary:
    """The vocabulary of a file's content: language, key, words.

    Raises:
        UserError: a key or a value that it cannot have, or a word with two meanings.
    """
    if not isinstance(content, Mapping):
        raise UserError(f"{FILE}: it holds no languages; write the name of each and its words below")
    entries: dict[tuple[tuple[str, ...], tuple[str, ...]], Entry] = {}
    letters: dict[str, dict[str, str]] = {}
    doubtful: dict[str, tuple[str, int]] = {}
    for language, keys in content.items():
        for key, value in _checked(language, keys).items():
            if key == "letters":
                letters[language] = {folded(letter): _SIDES[side] for letter, side in value.items()}
                continue
            if key == "doubtful":
                doubtful |= {folded(word): _BEARINGS[side] for word, side in value.items()}
                continue
            for word in value:
                place, becomes = _place(key, word)
                for form in (word, *_without_accents(word)):
                    parts, gaps = _parted(form)
                    entry = entries.setdefault((parts, gaps), Entry(parts, gaps))
                    if entry.becomes.setdefault(place, becomes) != becomes:
                        raise UserError(
                            f"{FILE}: {language}: {key}: '{word}' already means '{entry.becomes[place].strip()}'; "
                            "leave it out of one"
                        )
                    if key not in ("unit", "measured"):
                        entry.languages.add(language)
    spaced: dict[str, list[Entry]] = {}
    unspaced: dict[str, list[Entry]] = {}
    for entry in sorted(entries.values(), key=lambda e: (len(e.parts), len("".join(e.parts))), reverse=True):
        first = entry.parts[0]
        if _UNSPACED.match(first):
            unspaced.setdefault(first[0], []).append(entry)
        else:
            spaced.setdefault(first, []).append(entry)
    misspelt: dict[str, list[str]] = {}
    for word, of_word in spaced.items():
        if len(word) >= _LONG and any(not e.gaps[0] and e.becomes.get("anywhere") in _AXES for e in of_word):
            for form in without_a_letter(word):
                misspelt.setdefault(form, []).append(word)
    return Vocabulary(spaced, unspaced, misspelt, letters, doubtful)


def _checked(language: str, entries: Any) -> Mapping[str, Any]:
    where = f"{FILE}: {language}"
    if not isinstance(entries, Mapping):
        raise UserError(f"{where}: no keys; write for example latitude: [word, word]")
    for key, value in entries.items():
        if key in ("letters", "doubtful"):
            sides = list(value.values()) if isinstance(value, Mapping) else [None]
            if any(side not in _SIDES for side in sides):
                raise UserError(f"{where}: {key}: write {{word: side}} with north, south, east or west")
        elif key not in _KEYS:
            raise UserError(f"{where}: no key '{key}'; there are {', '.join(sorted({*_KEYS, 'letters', 'doubtful'}))}")
        elif not isinstance(value, list) or not all(isinstance(w, str) and _RUN.match(w) for w in value):
            raise UserError(f"{where}: {key}: write a list of words that start with a letter, as [word, word]")
    return entries


def _place(key: str, word: str) -> tuple[str, str]:
    """Where a word may stand, and what it becomes."""
    if key == "common":
        return "anywhere", _ITSELF
    if key in _BEHIND_A_NUMBER:
        return "behind", _BEHIND_A_NUMBER[key]
    if key in _BEFORE_A_NUMBER:
        return "before", _BEFORE_A_NUMBER[key]
    if key in _BETWEEN_NUMBERS:
        return "between", _BETWEEN_NUMBERS[key]
    # "LS" and "北" are a hemisphere behind a number only: 北京 is none.
    is_short = len(word) <= 2 and word.isalpha() and key.partition(" ")[0] in _SIDES
    if is_short and (len(word) == 1 or not _UNSPACED.search(word)):
        return "behind", _ANYWHERE[key]
    return "anywhere", _ANYWHERE[key]


def _parted(word: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parts of a word and what stands behind each: "с. ш." has с and ш, each with a full stop."""
    runs = list(_RUN.finditer(word))
    ends = [run.start() for run in runs[1:]] + [len(word)]
    gaps = tuple(word[run.end() : end] for run, end in zip(runs, ends, strict=True))
    return tuple(folded(run.group()) for run in runs), tuple(g if not g.strip() else g.strip() for g in gaps)


def _without_accents(word: str) -> list[str]:
    """ "guney" for "güney", "πλατος" for "πλάτος"; not of short words, which would be others."""
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    return [plain] if len(word) >= 6 and re.search("[a-zα-ω]", plain) and plain != word else []


def find_words(text: str) -> list[Word]:
    """The words of other languages in a text, in its order; no two overlap."""
    known = vocabulary()
    found: list[tuple[int, int, Entry]] = []
    at = 0
    for run in _RUN.finditer(text):
        if run.start() < at:
            continue
        start, word = run.start(), run.group()
        if not word.isascii() and _UNSPACED.search(word):
            found += _in_unspaced(text, start, run.end(), known)
            continue
        entry, end = _longest(text, start, run.end(), known)
        if entry is None and word[0] in _GLUED and len(word) > 2:
            start += 1
            entry, end = _longest(text, start, run.end(), known)
        if entry is not None:
            found.append((start, end, entry))
            at = end
    words: list[Word] = []
    follows = -1  # where a word starts that stands right before a number
    for n in range(len(found) - 1, -1, -1):
        start, end, entry = found[n]
        place = _stands(text, start, end, entry, follows)
        if place is None and "between" in entry.becomes and words and n:
            # "enlem ve boylam"
            near = not text[end : words[-1].start].strip() and not text[found[n - 1][1] : start].strip()
            place = "between" if near else None
        if place is not None:
            becomes = entry.becomes[place]
            if becomes == _MINUS:
                end += text[end : end + 1] == " "  # it stands right before its number
            words.append(Word(start, end, becomes or text[start:end], frozenset(entry.languages)))
            follows = start if place == "before" else -1
    return words[::-1]


def _longest(text: str, start: int, end: int, known: Vocabulary) -> tuple[Entry | None, int]:
    """The longest entry that stands at ``start``, where a run ends at ``end``, and its own end."""
    word = folded(text[start:end])
    for entry in known.spaced.get(word) or _spelt_right(word):
        at = _end_of(text, end, entry)
        if at is not None:
            return entry, at
    return None, end


@functools.lru_cache(maxsize=8192)
def _spelt_right(word: str) -> tuple[Entry, ...]:
    """The label that a long word is with one error: "Längengard". It tells no language."""
    if len(word) < _LONG - 1 or word in _ENGLISH:
        return ()
    known = vocabulary()
    labels = {label for form in without_a_letter(word) for label in known.misspelt.get(form, ())}
    right = [label for label in labels if label[0] == word[0] and errors(word, label) == 1]
    if len(right) != 1:
        return ()
    meant = next(e for e in known.spaced[right[0]] if not e.gaps[0])
    return (Entry((word,), ("",), meant.becomes),)


def _end_of(text: str, end: int, entry: Entry) -> int | None:
    """Where an entry ends whose first part ends at ``end``; None if another part is not there."""
    for n, gap in enumerate(entry.gaps):
        if gap.startswith("."):
            if text[end : end + 1] != ".":
                return None
            end += 1
        elif gap.strip():
            if not text.startswith(gap, end) and not (gap == "'" and text.startswith("’", end)):
                return None
            end += len(gap)
        if n + 1 == len(entry.parts):
            return end
        blanks = 0
        while blanks < 3 and text[end : end + 1] in (" ", "\u00a0", "\u202f", "\t"):
            end, blanks = end + 1, blanks + 1
        if (gap == " ") != (blanks > 0) and not gap.startswith("."):
            return None
        run = _RUN.match(text, end)
        if run is None or folded(run.group()) != entry.parts[n + 1]:
            return None
        end = run.end()
    return end


def _in_unspaced(text: str, start: int, end: int, known: Vocabulary) -> list[tuple[int, int, Entry]]:
    """The entries inside a run of a script without spaces, from its start on the longest first."""
    found = []
    while start < end:
        entry, stop = None, start + 1
        for candidate in known.unspaced.get(text[start], ()):
            first = candidate.parts[0]
            if text.startswith(first, start) and (len(candidate.parts) == 1 or start + len(first) == end):
                at = _end_of(text, start + len(first), candidate)
                if at is not None:
                    entry, stop = candidate, at
                    break
        if entry is not None:
            found.append((start, stop, entry))
        start = stop
    return found


def _stands(text: str, start: int, end: int, entry: Entry, follows: int) -> str | None:
    """Where an entry stands, of the places that it has a meaning in."""
    behind = _BEHIND.search(text, max(0, start - 2), start) is not None
    if behind and "behind" in entry.becomes:
        lone = end - start == 1 and _SIDE_SIGN.match(text[start]) is not None
        if not lone or not ("\u3400" <= text[end : end + 1] <= "\u9fff"):
            return "behind"
    before = _NUMBER_FOLLOWS.match(text, end) is not None
    if "before" in entry.becomes and (before or (follows >= 0 and not text[end:follows].strip())):
        return "before"
    if behind and before and "between" in entry.becomes:
        return "between"
    return "anywhere" if "anywhere" in entry.becomes else None
