"""Step 2: numbers, words and single signs, with the queries that every reader of them needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from paceline.tasks.geolocation.coordinates.values import Plain
from paceline.tasks.geolocation.coordinates.words import BOXED, axis_of

NUMBER, WORD, SIGN = "number", "word", "sign"
_TOKEN = re.compile(
    r"(?P<number>[0-9]+\.[0-9]+(?:[eE](?:[-+][0-9]{1,2}|0?[0-3])(?![0-9.]|[^\W\d_]|°))?"
    r"|[0-9]+(?:[eE][-+][0-9]{1,2}(?![0-9.]))?|(?<![\w.])\.[0-9]+)"
    r"|(?P<word>(?<=[0-9])[dms](?=[NSEW](?![^\W\d_]))|[^\W\d_]+)|(?P<sign>[^\s])"
)
_SIGN_OPENERS = ",;([{|:=\"'~<>/&@" + BOXED


@dataclass(slots=True)
class Token:
    """A piece of the plain text; ``start`` and ``end`` are offsets in it."""

    kind: str
    text: str
    lower: str
    start: int
    end: int
    spaced: bool  # white space or the text's start stands before it
    line: int


def tokenise(plain: Plain) -> Tokens:
    """The tokens of a plain copy, in its order."""
    tokens: list[Token] = []
    line, end = 0, 0
    for match in _TOKEN.finditer(plain.text):
        start, text = match.start(), match.group()
        if start > end and "\n" in plain.text[end:start]:
            line += 1
        spaced = start > end or not tokens
        tokens.append(Token(str(match.lastgroup), text, text.lower(), start, match.end(), spaced, line))
        end = match.end()
    return Tokens(plain, tokens)


def decimal(digits: str) -> float:
    """A decimal number as float; digits beyond the 17th decimal cannot change it and are not converted."""
    whole, _, fraction = digits.partition(".")
    return float(f"{whole or '0'}.{fraction[:17] or '0'}")


class Tokens(list[Token]):
    """The tokens of a text. Any index may be queried: beyond the ends there is no token.

    ``claimed`` holds the indices of the labels and hemispheres that a number has taken for its own, so that no other
    number takes them, too.
    """

    def __init__(self, plain: Plain, tokens: Iterable[Token]) -> None:
        super().__init__(tokens)
        self.plain = plain
        self.claimed: set[int] = set()
        self.line_first: dict[int, int] = {}
        self.line_last: dict[int, int] = {}
        for at, token in enumerate(self):
            self.line_first.setdefault(token.line, at)
            self.line_last[token.line] = at
        self._lower = [t.lower for t in self]  # read so often that a precomputed list is faster
        self.names_shapely = "shapely" in self._lower
        self._says_lat = any(axis_of(lower) == "lat" for lower in self._lower)

    def at(self, i: int) -> Token | None:
        """Token ``i``, if there is one."""
        return self[i] if 0 <= i < len(self) else None

    def lower(self, i: int) -> str:
        """Token ``i`` in lower case, or an empty string."""
        return self._lower[i] if 0 <= i < len(self._lower) else ""

    def glued(self, i: int) -> bool:
        """Token ``i`` follows the one before it without white space."""
        return 0 < i < len(self) and not self[i].spaced

    def is_number(self, i: int) -> bool:
        """Token ``i`` is a number."""
        return 0 <= i < len(self) and self[i].kind == NUMBER

    def same_line(self, i: int, j: int) -> bool:
        """Tokens ``i`` and ``j`` exist and stand on one line."""
        return 0 <= i < len(self) and 0 <= j < len(self) and self[i].line == self[j].line

    def axis(self, i: int) -> str | None:
        """``lat`` or ``lon`` if token ``i`` is a free axis label ("long" only in a text that also says "lat")."""
        if i in self.claimed or not 0 <= i < len(self):
            return None
        lower = self[i].lower
        if lower in ("long", "longs") and not self._says_lat:
            return None
        return axis_of(lower)

    def axis_at(self, i: int) -> str | None:
        """``lat`` or ``lon`` if token ``i`` is an axis label, whether a number has taken it or not."""
        return axis_of(self._lower[i]) if 0 <= i < len(self) else None

    def is_sign(self, i: int, number: int) -> bool:
        """The token ``i``, a ``+`` or ``-``, is the sign of the number behind it: "(-33.8", not the dash of "40-45"."""
        before = self.at(i - 1)
        opened = before is None or before.text in _SIGN_OPENERS
        if self.glued(number):
            if before is None or self[i].spaced or opened:
                return True
            # ISO 6709, "+40.7128-074.0060": a signed decimal followed at once by a signed decimal.
            if before.kind == NUMBER and "." in before.text and "." in self[number].text:
                return self.lower(i - 2) in ("+", "-") and not self.glued(i - 2)
            return before.kind == WORD and self.axis(i - 1) is not None
        if before is None or before.line != self[number].line:
            return self._is_spaced_like_next(i, number)
        return opened

    def _is_spaced_like_next(self, i: int, number: int) -> bool:
        """ "- 34.6037, - 58.3816": the dash is no bullet if the second number has the like."""
        k = number + 2 if self.lower(number + 1) == "°" else number + 1
        return (
            self.same_line(i, k + 2) and self.lower(k) in (",", ";") and self.lower(k + 1) == "-"
            and self.is_number(k + 2) and not self.glued(k + 2)
        )  # fmt: skip

    def signed(self, number: int) -> bool:
        """A ``+`` or ``-`` that is its sign stands before the number."""
        return self.lower(number - 1) in ("+", "-") and self.is_sign(number - 1, number)
