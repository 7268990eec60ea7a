"""Decimal commas: "48,8566 N; 2,3522 E" has two numbers, "35,139" may be a pair.

A comma is read as decimal only where it can be nothing else: before a degree mark or a hemisphere, behind a single
label or hemisphere letter, or twice in a row.
"""

from __future__ import annotations

from paceline.tasks.geolocation.coordinates.tokens import NUMBER, Token, Tokens
from paceline.tasks.geolocation.coordinates.words import DEGREE, HEMISPHERE_WORD, MINUTE, axis_of, words

_BEHIND_A_LABEL = words(": = \" ' is ~ approximately > of about")
_BETWEEN_LABELS = words(', / & and - | ; " > <')


def join_decimal_commas(tokens: Tokens) -> Tokens:
    """The tokens, where number, comma and number are one number if the comma is decimal."""
    joined: list[Token] = []
    expected: int | None = None  # the second number of "48,8566; 2,3522", decimal because the first one is
    i = 0
    while i < len(tokens):
        if _could_be_joined(tokens, i):
            partner = _partner(tokens, i)
            if i == expected or partner is not None or _before_a_mark(tokens, i) or _behind_a_label(tokens, i):
                expected = expected if partner is None else partner
                a, b = tokens[i], tokens[i + 2]
                number = f"{a.text}.{b.text}"
                joined.append(Token(NUMBER, number, number, a.start, b.end, a.spaced, a.line))
                i += 3
                continue
        joined.append(tokens[i])
        i += 1
    return Tokens(tokens.plain, joined) if len(joined) < len(tokens) else tokens


def _could_be_joined(tokens: Tokens, i: int) -> bool:
    """Two whole numbers glued to one comma, and no list of them: "48,8566", not "1,2,3"."""
    if not 0 <= i < len(tokens) - 2:
        return False
    a, comma, b = tokens[i], tokens[i + 1], tokens[i + 2]
    return (
        a.kind == NUMBER and b.kind == NUMBER and comma.text == "," and not comma.spaced and not b.spaced
        and a.text.isdigit() and b.text.isdigit() and len(a.text) <= 3
        and not (tokens.lower(i - 1) == "," and not a.spaced and tokens.is_number(i - 2))
        and not (tokens.lower(i + 3) == "," and tokens.is_number(i + 4)
                 and tokens.glued(i + 3) and tokens.glued(i + 4))
    )  # fmt: skip


def _partner(tokens: Tokens, i: int) -> int | None:
    """Where a second number with a comma follows at once: "48,8566; 2,3522", "48,8566 2,3522"."""
    j = i + 3
    if tokens.lower(j) in (";", "|", "/", ",", "and"):
        j += 1
    if tokens.lower(j) in ("-", "+"):
        j += 1
    if not _could_be_joined(tokens, j) or tokens[j].line != tokens[i].line:
        return None
    gap = j - (i + 3)
    if gap == 0 and not tokens[j].spaced:
        return None
    comma = tokens.lower(i + 3) == ","
    if comma and not tokens[i + 4].spaced:
        return None
    long_enough = len(tokens[i + 2].text) >= 2 and len(tokens[j + 2].text) >= 2
    return j if long_enough or (not comma and gap) else None


def _before_a_mark(tokens: Tokens, i: int) -> bool:
    """A degree mark or hemisphere stands behind: "48,8566° N", "48,8566 N", "46,5″" behind minutes."""
    follower = tokens.at(i + 3)
    if follower is None or follower.line != tokens[i].line:
        return False
    if follower.text in ("'", '"'):
        return tokens.lower(i - 1) in DEGREE or tokens.lower(i - 1) in MINUTE
    return follower.lower in DEGREE or follower.text in ("N", "S", "E", "W") or follower.lower in HEMISPHERE_WORD


def _behind_a_label(tokens: Tokens, i: int) -> bool:
    """A label of one axis, or a letter, stands before: "Lat: 48,8566", "N 48,8566"; not "lat, lon: 48,2"."""
    j = i - 1
    if tokens.lower(j) in ("-", "+"):
        j -= 1
    elif j >= 0 and tokens[j].text in ("N", "S", "E", "W"):
        return True
    while i - j < 8 and (tokens.lower(j) in _BEHIND_A_LABEL or tokens.lower(j) in HEMISPHERE_WORD):
        j -= 1
    axis = axis_of(tokens.lower(j))
    if axis is None:
        return False
    k = j - 1
    while j - k < 4 and tokens.lower(k) in _BETWEEN_LABELS:
        k -= 1
    return axis_of(tokens.lower(k)) in (None, axis)
