"""Single letters of other languages: "41,0082° K, 28,9784° D" beside "Enlem", "37,9838° Β, 23,7275° Α".

A letter means one thing in one language and another in the next: O is east in German and west in Spanish, K is north
in Turkish and east in Hungarian. So letters are read only where every language that they may be of agrees: the
languages that another word of the text tells or, where none does, all that have these letters, and then only if both
axes are among them. N, S, E and W keep their English meaning or have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from paceline.tasks.geolocation.coordinates.languages import folded, vocabulary

_BEHIND = re.compile(r"(?<=[0-9°'\"]) ?([^\W\d_]{1,2})(?![^\W\d_]|\.[^\W\d_])")
_BEFORE = re.compile(r"(?<![^\W\d_])([^\W\d_]{1,2}) ?(?=[0-9]{1,3}[.,°])")
_ENGLISH = {"n": "N", "s": "S", "e": "E", "w": "W"}
_MARKS = "°'\""


def translate_letters(text: str, told: Iterable[str]) -> str:
    """The plain text with N, S, E and W for the letters of another language; its length stays.

    Args:
        told: the languages of the words in the text.
    """
    letters = vocabulary().letters
    told = [language for language in told if language in letters]
    found = [m for pattern in (_BEHIND, _BEFORE) for m in pattern.finditer(text) if _may_be_one(text, m, bool(told))]
    named = {folded(m.group(1)) for m in found}
    meaning = _agreed(named, told or list(letters), told=bool(told)) if named - _ENGLISH.keys() else {}
    if not meaning:
        return text
    characters = list(text)
    for match in found:
        start, end = match.span(1)
        characters[start:end] = meaning[folded(match.group(1))].ljust(end - start)
    return "".join(characters)


def _may_be_one(text: str, match: re.Match[str], told: bool) -> bool:
    letter, start = match.group(1), match.start(1)
    capital = letter[0].isupper() or not letter.isascii()
    if not capital or folded(letter) not in _known():
        return False
    if match.re is _BEFORE:
        return not letter.isascii() or told
    before = text[start - 1] if text[start - 1] != " " else text[start - 2]
    return before in _MARKS or told


def _known() -> frozenset[str]:
    return frozenset().union(*vocabulary().letters.values())


def _agreed(named: set[str], languages: Iterable[str], *, told: bool) -> dict[str, str]:
    """What the letters mean in every language that has them all; empty where two disagree or no axis has a partner."""
    letters = vocabulary().letters
    meanings = [
        {name: letters[language][name] for name in named} for language in languages if named <= letters[language].keys()
    ]
    if not meanings or any(other != meanings[0] for other in meanings):
        return {}
    meaning = meanings[0]
    if any(meaning[name] != _ENGLISH[name] for name in named & _ENGLISH.keys()):
        return {}
    both = bool({"N", "S"} & set(meaning.values())) and bool({"E", "W"} & set(meaning.values()))
    return meaning if told or both else {}
