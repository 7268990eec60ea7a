"""Numbers that are no coordinates: measurements, counts, list numbers, ranges."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from paceline.tasks.geolocation.coordinates.gaps import enclosed, gap
from paceline.tasks.geolocation.coordinates.hemispheres import are_small_letters
from paceline.tasks.geolocation.coordinates.tokens import NUMBER, WORD, Tokens
from paceline.tasks.geolocation.coordinates.values import Value
from paceline.tasks.geolocation.coordinates.words import (
    DEGREE,
    ENUMERATED,
    HEMISPHERE_LETTER,
    HEMISPHERE_WORD,
    MEASURED,
    NUMBERED,
    UNIT,
    axis_of,
    words,
)

# Units that are something else when a space stands before them ("48.8 in Paris"), and those that are not even then.
_GLUED_UNIT = words("c f h m st nm z am in min no")
_SMALL_UNIT = words("m h am")
_NOT_IN_A_GAP = words('~ about approximately ° "')
_TO = {tuple(phrase.split()) for phrase in ("-", "—", "to", ". .", ". . .", "…", "through", "until", "up to", "→")}
_OR = {tuple(phrase.split()) for phrase in (",", "/", "&", ";", ", or")}
_RANGE_OPENERS = words("between entre zwischen either from range latitudes longitudes")


def is_count(preceding: str, value: Value) -> bool:
    """The word before a number marks it as a measure or a count: "altitude 35", "room 12"."""
    return preceding in MEASURED or (preceding in NUMBERED and value.decimals == 0)


def has_unit(tokens: Tokens, value: Value, j: int) -> bool:
    """Token ``j``, behind a number, makes it a measurement: "35 km", "20%", "640 x 480", "12:30", "4/5"."""
    token = tokens.at(j)
    if token is None or not tokens.same_line(value.last, j):
        return False
    if value.marked:
        return token.text in ("C", "F") or token.lower in ("celsius", "fahrenheit", "kelvin")
    if token.text == "f" and tokens.glued(j) and value.labelled and value.decimals >= 3:
        return False  # "float lat = 48.8566f;"
    if token.text == "s" and (value.labelled or are_small_letters(tokens, j - 1, 1)):
        return False  # "33.8688 s, 151.2093 e"
    if token.lower in UNIT:
        if token.lower in _GLUED_UNIT and not tokens.glued(j):
            return token.lower in _SMALL_UNIT and token.text.islower()
        return True
    if token.text == "°":
        return False
    if token.kind == WORD and tokens.glued(j):
        return _is_glued_unit(token.text, token.lower, value)
    return tokens.is_number(j + 1) and _goes_on(tokens, value, j)


def _is_glued_unit(text: str, lower: str, value: Value) -> bool:
    """Letters glued to a number are a unit, but for hemispheres, degrees and labels: "15z", "the 40s", not "40N"."""
    if lower in HEMISPHERE_LETTER or lower in DEGREE or axis_of(lower) is not None:
        return text == "s" and value.decimals == 0 and not value.labelled
    # Scripts without spaces glue any word: "139.6917です".
    return lower not in HEMISPHERE_WORD and not (value.decimals >= 3 and text[0] >= "\u0e00")


def _goes_on(tokens: Tokens, value: Value, j: int) -> bool:
    """The sign ``j`` and the number behind it make something else of a number."""
    glued = tokens.glued(j) and tokens.glued(j + 1)
    match tokens.lower(j):
        case "+" | "*" | "^":
            return not tokens.is_sign(j, j + 1)  # arithmetic
        case "x":
            return True  # 640 x 480
        case ".":
            return glued  # a dotted chain: 192.168.1.1
        case ":":
            return glued and value.decimals < 3  # a time or a ratio: 12:30
        case "/":
            following = tokens[j + 1].text.partition(".")[2]
            return value.decimals < 3 and len(following) < 3  # a date, a rating: 4/5
    return False


def is_list_number(tokens: Tokens, i: int, left: int) -> bool:
    """Step and list numbers: "Step 1:", "1. ", "(2) ", "Guess 3)". ``left`` is the token before a sign, if any."""
    token = tokens[i]
    if len(token.text) > 2 or "." in token.text:
        return False
    after = tokens.at(i + 1)
    if tokens.lower(left) in ENUMERATED and left == i - 1:
        return after is None or after.text in ":.)-—(" or after.kind == WORD
    if after is None:
        return False
    first = tokens.line_first[token.line]
    if i == first + 1 and tokens.lower(first) in ("(", "#", "-", ">", "["):
        if after.text in (")", "]"):
            return tokens.at(i + 2) is not None
        if tokens.lower(first) == "#" and tokens.glued(i) and after.spaced:
            return True  # "#1 48.8566, 2.3522"
    elif i != first:
        return False
    elif after.text == ")":
        return True
    follower = tokens.at(i + 2)
    spaced = tokens.glued(i + 1) and follower is not None and follower.spaced
    return spaced and (after.text == "." or (after.text == ":" and i == first))


def mark_ranges(tokens: Tokens, values: Sequence[Value]) -> None:
    """Set ``ranged`` of neighbours that are two ends of a range, or two values of one axis."""
    for a, b in itertools.pairwise(values):
        percents = (
            b.bad and tokens.lower(b.last + 1) == "%" and (a.hemisphere or a.labelled or a.decimals >= 3)
        )  # "2.3522° E – 25%"
        if b.first - a.last <= 9 and not percents and not _is_share(tokens, a, b) and _is_range(tokens, a, b):
            a.ranged = b.ranged = True


def _is_share(tokens: Tokens, a: Value, b: Value) -> bool:
    """ "2.3522 — 0.25" at a line's end: how likely the pair is, not a range."""
    dash, behind = tokens.lower(b.first - 1), b.last + 1
    spaced = dash in ("-", "—") and not tokens.glued(b.first - 1) and not tokens.glued(b.first)
    fraction = a.decimals >= 1 and b.axis is None and b.decimals >= 1 and 0 <= b.raw <= 1 < abs(a.raw)
    return spaced and fraction and not tokens.same_line(b.last, behind)


def _is_range(tokens: Tokens, a: Value, b: Value) -> bool:
    between = tuple(g for g in gap(tokens, a, b) if g not in _NOT_IN_A_GAP)
    same = a.axis is not None and a.axis == b.axis
    differ = a.axis is not None and b.axis is not None and a.axis != b.axis
    if between in _TO:
        return not differ  # "40-45° N", not "40 N - 74 W"
    if same and a.hemisphere and b.hemisphere and a.raw * b.raw * a.degrees * b.degrees < 0:
        return True  # "N: 12.0, S: 10.0": two sides of a box
    if between in (("and",), ("or",)):
        return same or (not differ and _opens_range(tokens, a))  # "between 40 and 45", "40° N or 45° N"
    if between in ((",",), (";",)) and a.labelled and b.axis is None and not b.bad and enclosed(tokens, a, b):
        return True  # "lat: [48.1, 48.9]"
    return same and between in _OR  # "48° N, 49° N"


def _opens_range(tokens: Tokens, a: Value) -> bool:
    """A word such as "between" stands in the few tokens before a value."""
    for i in range(a.first - 1, max(-1, a.first - 9), -1):
        token = tokens[i]
        if token.kind == NUMBER or token.text in (";", "!"):
            return False
        if token.lower in _RANGE_OPENERS:
            return True
    return False
