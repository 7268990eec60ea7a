"""The least and the most of a box are no point: "lat_min: 48.8", "48.8 < lat < 48.9", a table with both.

A number that is said to be likeliest beside a range counts for the axis of that range: "48–49, best guess 48.85".
"""

from __future__ import annotations

from collections.abc import Sequence

from paceline.tasks.geolocation.coordinates.gaps import enclosed, join, left_of
from paceline.tasks.geolocation.coordinates.tokens import NUMBER, Tokens
from paceline.tasks.geolocation.coordinates.values import Value
from paceline.tasks.geolocation.coordinates.words import HEMISPHERE_WORD, words

_BEFORE_A_RANGE = words(": is lies ranges somewhere likely probably between from about approximately")
_BOUND = words(
    "min max minimum maximum lowest highest least most lower upper above below exceeds exceed beyond greater less more "
    "fewer smaller larger under over limit limits bound bounds range ranges interval extent ≤ ≥"
)
_NO_BOUND = words("more or less")
_AT_MOST = {("at", "most"), ("at", "least"), ("more", "than"), ("less", "than"), ("up", "to")}
_SIGNS = words("< > ≤ ≥")
_BEST = words("best guess likely likeliest probably say estimate estimated point centre center midpoint middle")
_REACH = 10  # tokens between a label and its number
_CELLS_REACH = 40
_WIDEST = 10.0  # degrees of an interval behind a number: "48.85 [48.5, 49.0]"


def mark_bounds(tokens: Tokens, values: Sequence[Value]) -> None:
    """Set ``ranged`` of numbers that bound a coordinate, and the axis of those that a range leads up to."""
    heads = _Heads(tokens)
    for value in values:
        if not value.ranged:
            value.ranged = (
                (value.labelled and _has_bound(tokens, value)) or _is_compared(tokens, value)
                or _is_beyond(tokens, value) or heads.bound(value)
            )  # fmt: skip
    for n, value in enumerate(values[:-1]):
        after = values[n + 1]
        if not value.bad and enclosed(tokens, value, after) and after.first - value.last <= 3:
            before = left_of(tokens, value) - 1
            stated = n > 0 and values[n - 1].last == before and _lies_in(values[n - 1], value, after)
            of_label = tokens.lower(before) in ("∈", "in") and tokens.axis_at(before - 1) is not None
            named = of_label or any(
                tokens.lower(k) in ("range", "interval", "bounds") for k in range(before - 3, before + 1)
            )
            if stated or named:
                value.ranged = after.ranged = True  # "Latitude: 48.85 [48.5, 49.0]", "lat_range": [48.5, 49.0]
    for n, value in enumerate(values):
        if value.axis is None and not value.bad and not value.ranged:
            _take_axis(tokens, values, n, heads)


def _lies_in(value: Value, low: Value, high: Value) -> bool:
    return value.axis is not None and low.raw <= value.raw <= high.raw <= low.raw + _WIDEST


def _has_bound(tokens: Tokens, value: Value) -> bool:
    """A word such as "minimum" stands right before the label of a value, or between the two."""
    at = left_of(tokens, value)
    for j in range(at, max(-1, at - _REACH), -1):
        lower = tokens.lower(j)
        if j in tokens.claimed and tokens.axis_at(j) is not None:
            arrow = tokens.lower(j + 1) == ">" and not _in_tag(tokens, j)
            before = [tokens.lower(k) for k in (j - 1, j - 2)]
            return arrow or any(w in _BOUND for w in (before if before[0] in ("the", "bound") else before[:1]))
        if lower in _BOUND and not (lower in _NO_BOUND and tokens.lower(j - 1) in _NO_BOUND):
            return True
        if tokens[j].kind == NUMBER:
            return False
    return False


def _is_compared(tokens: Tokens, value: Value) -> bool:
    """ "48.8 < lat", "lat ≤ 48.9"; not the sign of a tag, "<lat>48.8"."""
    j = value.last + 1
    follows = tokens.same_line(value.last, j) and tokens.axis_at(j + 1) is not None
    if tokens.lower(j) in _SIGNS and follows and tokens.lower(j + 2) not in (">", ":", "="):
        return True
    j = left_of(tokens, value)
    return tokens.lower(j) in _SIGNS and tokens.axis_at(j - 1) is not None and not _in_tag(tokens, j - 1)


def _in_tag(tokens: Tokens, j: int) -> bool:
    """Token ``j`` stands inside a tag: "<lat>", "<parameter=lat>", "</lat>"."""
    for k in range(j - 1, max(-1, j - 8), -1):
        if tokens.lower(k) == ">" or not tokens.same_line(k, j):
            return False
        if tokens.lower(k) == "<":
            return tokens.glued(k + 1) and not (tokens.is_number(k - 1) and tokens.same_line(k - 1, k))
    return False


def _is_beyond(tokens: Tokens, value: Value) -> bool:
    """ "north of 48.8° N", "at least 48.8° N"."""
    at = left_of(tokens, value)
    if value.hemisphere and (tokens.lower(at - 1), tokens.lower(at)) in _AT_MOST:
        return True
    return value.hemisphere and tokens.lower(at) == "of" and tokens.lower(at - 1) in HEMISPHERE_WORD


def _take_axis(tokens: Tokens, values: Sequence[Value], n: int, heads: _Heads) -> None:
    """Give a value the axis of the range before it: "latitude 48–49, best guess 48.85"."""
    value = values[n]
    before = [v for v in values[max(0, n - 2) : n] if tokens.same_line(v.first, value.first)]
    if not before or not all(v.ranged for v in before[-1:]) or value.first - before[-1].last > _REACH:
        return
    following = values[n + 1] if n + 1 < len(values) else None
    between = [tokens.lower(k) for k in range(before[-1].last + 1, value.first)]
    behind = [tokens.lower(k) for k in range(value.last + 1, value.last + 5)]
    said = behind if behind[0] in ("as", "is", "being", "(") else []  # "52–53 with 52.52 as the best estimate"
    paired = following is not None and following.axis is None and join(tokens, value, following) is not None
    if paired or any(sign in between for sign in (".", ";", "!")):
        return
    axes = {v.axis or _axis_before(tokens, v) for v in before if v.ranged} - {None}
    if len(axes) == 1 and (any(w in _BEST for w in between + said) or heads.best(value)):
        value.axis, value.labelled, value.best = axes.pop(), True, True


def _axis_before(tokens: Tokens, value: Value) -> str | None:
    """The label of a range: "Latitude: between 48 and 49"."""
    j = value.first - 1
    while j > value.first - 6 and tokens.lower(j) in _BEFORE_A_RANGE:
        j -= 1
    return tokens.axis_at(j)


class _Heads:
    """The head of the table that a row stands in, cell by cell."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.head: dict[int, int] = {}  # line of a row to the line of its head
        head = -2
        last = max(tokens.line_first, default=0)
        for line in range(last + 1):
            first = tokens.line_first.get(line)
            if first is None or not self._is_row(line, first):
                head = -2
                continue
            head = line if head < 0 else head
            self.head[line] = head

    def _is_row(self, line: int, first: int) -> bool:
        reach = range(first, min(self.tokens.line_last[line], first + _CELLS_REACH) + 1)
        return any(self.tokens[k].text == "|" for k in reach)

    def bound(self, value: Value) -> bool:
        """The head of the value's column, or of its row, says least or most."""
        return any(word in _BOUND for word in self._cell(value, of_column=True) + self._cell(value, of_column=False))

    def best(self, value: Value) -> bool:
        """The head of the value's column says that it is the best."""
        return any(word in _BEST for word in self._cell(value, of_column=True))

    def _cell(self, value: Value, *, of_column: bool) -> list[str]:
        tokens = self.tokens
        line = tokens[value.first].line
        head = self.head.get(line)
        if head is None or head == line:
            return []
        first = tokens.line_first[line]
        if value.first - first > _CELLS_REACH:
            return []
        column = sum(tokens[k].text == "|" for k in range(first, value.first)) if of_column else 1
        cell, words_of = 0, []
        start = tokens.line_first[head] if of_column else first
        for k in range(start, min(len(tokens), start + _CELLS_REACH)):
            if tokens[k].line != tokens[start].line or cell > column:
                break
            if tokens[k].text == "|":
                cell += 1
            elif cell == column:
                words_of.append(tokens.lower(k))
        return words_of
