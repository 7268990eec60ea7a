"""Pairs of bare numbers: "(48.8566, 2.3522)", "48.8566 2.3522", a list of pairs, with or without an order stated.

Numbers that are joined make a chain. A chain of two is a pair, one of three a pair with a height, a longer one is cut
into pairs or dropped. Whether the two numbers can be meant as a place is for
:mod:`paceline.tasks.geolocation.coordinates.plausible` to decide.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paceline.tasks.geolocation.coordinates.axis_labels import read_order
from paceline.tasks.geolocation.coordinates.gaps import join, left_of, only_brackets
from paceline.tasks.geolocation.coordinates.machine import container
from paceline.tasks.geolocation.coordinates.plausible import Candidate, is_plausible
from paceline.tasks.geolocation.coordinates.stated import make_pair
from paceline.tasks.geolocation.coordinates.tokens import Tokens
from paceline.tasks.geolocation.coordinates.values import Pair, Value
from paceline.tasks.geolocation.coordinates.words import ABBREVIATED, words

_ORDER_REACH = 40  # tokens between a heading such as "longitude, latitude" and its pair
_BEHIND_A_PAIR = words(') ] ( [ in as - " — format :')


@dataclass
class Chain:
    """Joined numbers: positions in the list of values, and how each is joined to the next (one fewer)."""

    positions: list[int]
    joins: list[str]


def pair_bare(tokens: Tokens, values: Sequence[Value], used: set[int]) -> list[Pair]:
    """Pairs among the values that no other pair uses; ``used`` (positions in ``values``) gets theirs."""
    pairs: list[Pair] = []
    for chain in _chains(tokens, values, used):
        for part in _cut(tokens, values, chain):
            pair = _read_pair(tokens, values, part)
            if pair is not None:
                used.update(part.positions)
                pairs.append(pair)
    return pairs


def _chains(tokens: Tokens, values: Sequence[Value], used: set[int]) -> Iterator[Chain]:
    """The chains of bare numbers. A list that starts as measurements ("12 km, 35.5, 20.1") has none."""
    chain = Chain([], [])
    tainted = False
    for n, value in enumerate(values):
        previous = values[n - 1] if n else None
        free = n not in used and (value.axis is None or not value.firm) and not value.ranged and not value.bad
        kind = join(tokens, previous, value) if previous is not None else None
        if (
            previous is not None and kind is not None and free and chain.positions and chain.positions[-1] == n - 1
            and _holds(tokens, kind, previous, value, values[chain.positions[0]])
        ):  # fmt: skip
            chain.positions.append(n)
            chain.joins.append(kind)
            continue
        if not tainted:
            yield chain
        tainted = (
            previous is not None and not value.breaks
            and (tainted or previous.breaks) and _is_same_list(tokens, kind, previous, value)
        )  # fmt: skip
        chain = Chain([n] if free else [], [])
    if not tainted:
        yield chain


def _holds(tokens: Tokens, kind: str, a: Value, b: Value, first: Value) -> bool:
    """A space or line end joins only numbers that look like coordinates: "48.8 2.3", not "in 2015 3"."""
    if kind not in ("space", "newline"):
        return True
    if min(a.decimals, b.decimals) >= 1 or (a.marked and b.marked) or (a.decimals > 0 and b.signed):
        return True
    return kind == "space" and (first.order is not None or container(tokens, left_of(tokens, first)) is not None)


def _is_same_list(tokens: Tokens, kind: str | None, a: Value, b: Value) -> bool:
    """Two values stand in one list. "EPSG:4326 48.86, 2.35": a space joins only numbers of the same make."""
    if kind == "space":
        return (a.decimals > 0) == (b.decimals > 0)
    if a.decimals == 0 and b.decimals >= 3 and kind in ("comma", "semi"):
        return False  # "Route 139, 35.3606, 138.7274"
    return kind in ("comma", "semi", "and", "slash") or only_brackets(tokens, a, b)


def _cut(tokens: Tokens, values: Sequence[Value], chain: Chain) -> list[Chain]:
    """The parts of a chain that hold one pair each; none where that is not plain."""
    positions, joins = chain.positions, chain.joins
    if len(positions) < 2:
        return []
    if len(positions) > 3 and _repeats([values[n].raw for n in positions]):
        return [Chain(positions[:2], joins[:1])]  # a model in a loop: "48.86, 2.35, 48.86, 2.35, 48.8"
    if len(positions) == 2 or (len(positions) == 3 and not {"semi", "comma"} <= set(joins)):
        return [chain]
    weak = _weak_joins(tokens, values, chain)
    cuts = [0, *(w + 1 for w in weak), len(positions)]
    parts = [Chain(positions[a:b], joins[a : b - 1]) for a, b in itertools.pairwise(cuts)]
    if not weak or not all(2 <= len(part.positions) <= 3 for part in parts):
        return []
    return [whole for part in parts for whole in _cut(tokens, values, part)]


def _repeats(numbers: list[float]) -> bool:
    """The numbers are one pair over and over; the last of a longer list may be cut short."""
    return all(v == numbers[n % 2] for n, v in enumerate(numbers[:-1] if len(numbers) > 4 else numbers))


def _weak_joins(tokens: Tokens, values: Sequence[Value], chain: Chain) -> list[int]:
    """Joins at which a long list falls into pairs: line ends, semicolons, or commas among spaces."""
    joins = chain.joins
    lines = [
        n for n, (a, b) in enumerate(itertools.pairwise(chain.positions))
        if not tokens.same_line(values[a].last, values[b].first)
    ]  # fmt: skip
    if lines:
        return lines
    if "semi" in joins and "comma" in joins:
        weak = "semi"
    elif "space" in joins and "comma" in joins:
        weak = "space" if joins[0] == "comma" else "comma"
    else:
        return []
    return [n for n, kind in enumerate(joins) if kind == weak]


def _read_pair(tokens: Tokens, values: Sequence[Value], chain: Chain) -> Pair | None:
    """The pair at the head of a chain, longitude first where the text says so."""
    a, b, last = (values[chain.positions[n]] for n in (0, 1, -1))
    order = a.order or _order_nearby(tokens, a, last)
    point = container(tokens, left_of(tokens, a))
    if point in ("geojson", "call") or (point == "wkt" and chain.joins[0] == "space"):
        order = "lonlat"
    candidate = Candidate(
        a, b, last, chain.joins[0], ordered=order is not None, in_container=point is not None, more=len(chain.joins) > 1
    )
    if not is_plausible(tokens, candidate):
        return None
    latitude, longitude = (b.raw, a.raw) if order == "lonlat" else (a.raw, b.raw)
    return make_pair(tokens, a, b, latitude, longitude, ordered=order is not None)


def _order_nearby(tokens: Tokens, first: Value, last: Value) -> str | None:
    """An order right behind the pair, "2.3522, 48.8566 (lon, lat)", or as a heading shortly before it."""
    return _order_behind(tokens, last) or _order_before(tokens, first)


def _order_behind(tokens: Tokens, last: Value) -> str | None:
    i = last.last + 1
    while i <= last.last + 5 and tokens.lower(i) in _BEHIND_A_PAIR:
        i += 1
    if tokens.same_line(last.last, i):
        for j in (i, i + 2, i + 1):
            order = read_order(tokens, j)
            if order is not None and order.first >= i and tokens.lower(j + 1) not in (":", "="):
                return order.order
    return None


def _order_before(tokens: Tokens, first: Value) -> str | None:
    for j in range(first.first - 1, max(-1, first.first - _ORDER_REACH), -1):
        ended = tokens[j].text in ".!?" and (j + 1 >= len(tokens) or tokens[j + 1].spaced)
        if ended and tokens.lower(j - 1) not in ABBREVIATED:
            return None
        order = read_order(tokens, j)
        if order is not None:
            return order.order
        if tokens.axis(j) is not None:
            return None
    return None
