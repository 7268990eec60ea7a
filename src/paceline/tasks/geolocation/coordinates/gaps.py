"""What stands between two numbers, and what joins them into a pair."""

from __future__ import annotations

from paceline.tasks.geolocation.coordinates.tokens import Tokens
from paceline.tasks.geolocation.coordinates.values import Value
from paceline.tasks.geolocation.coordinates.words import BOXED, BRACKET_CLOSE, BRACKET_OPEN, words

_APPROXIMATE = words("~ about approximately approx")
_SKIPPED = _APPROXIMATE | words("\" ' roughly °")
_JOINS = {",": "comma", ";": "semi", "|": "bar", "/": "slash", "and": "and", "&": "and", ":": "colon"}


def gap(tokens: Tokens, a: Value, b: Value) -> list[str]:
    """The tokens between two values (at most 13), without the sign of ``b`` and a tolerance of ``a`` ("± 0.1")."""
    end = b.first
    if end - 1 > a.last and tokens.signed(end):
        end -= 1
    between = [t.lower for t in tokens[a.last + 1 : min(end, a.last + 14)]]
    return between[2:] if between[:1] == ["±"] else between


def left_of(tokens: Tokens, value: Value) -> int:
    """Index of the token before a value, its sign and its approximations: the bracket of "(~ -33.8"."""
    left = value.first - 1
    if tokens.signed(value.first):
        left -= 1
    while value.first - left < 5 and tokens.lower(left) in _APPROXIMATE:
        left -= 1
    return left


def join(tokens: Tokens, a: Value, b: Value) -> str | None:
    """How two neighbouring bare numbers are joined; None if they are not.

    ``comma`` (also where each has a bracket of its own, "(48.8566), (2.3522)"), ``semi``, ``bar``, ``slash``, ``and``,
    ``colon``, ``space`` or ``newline``.
    """
    if b.first - a.last > 12:
        return None
    between = [g for g in gap(tokens, a, b) if g not in _SKIPPED]
    newline = not tokens.same_line(a.last, b.first)
    if not between:
        return "newline" if newline else "space"
    if between[0] in BRACKET_CLOSE and between[-1] in BRACKET_OPEN:
        inner = [g for g in between[1:-1] if g != BOXED]
        return "comma" if inner in ([","], [";"], [], ["and"]) and enclosed(tokens, a, b) else None
    kind = _JOINS.get(between[0]) if len(between) == 1 else None
    return kind if not newline or kind in ("comma", "semi") else None


def enclosed(tokens: Tokens, a: Value, b: Value) -> bool:
    """A bracket opens before ``a``, and one closes behind ``b``."""
    return tokens.lower(left_of(tokens, a)) in BRACKET_OPEN and tokens.lower(b.last + 1) in BRACKET_CLOSE


def only_brackets(tokens: Tokens, a: Value, b: Value) -> bool:
    """Only brackets and commas stand between, on one line: "(12.5, 34.2), (56.1, 78.9)"."""
    return tokens.same_line(a.last, b.first) and all(g in ",()[];" for g in gap(tokens, a, b))
