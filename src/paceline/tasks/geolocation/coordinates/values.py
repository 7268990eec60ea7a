"""What passes from step to step: the plain copy of an answer, a number with what is known of it, and a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class MapLink(NamedTuple):
    """A place in a link, in degrees, and the character range of its two numbers in the original text."""

    latitude: float
    longitude: float
    start: int
    end: int


@dataclass(frozen=True)
class Plain:
    """A plain copy: the plain character ``n`` stands for the original's from ``origin[n]`` to before ``ends[n]``.

    ``links`` are the map links that hold a pair, one for each ``LINK`` in the copy, in its order.
    """

    text: str
    origin: list[int]
    ends: list[int]
    links: list[MapLink]


class Bearing(NamedTuple):
    """The context of a number that gives its meaning."""

    axis: str | None  # "lat", "lon", or not known
    sign: int  # of its hemisphere: 1, -1, or 0 where none is stated
    firm: bool  # counts even without a partner: a small letter such as the "s" of "40s" does not


UNSTATED = Bearing(None, 0, True)


@dataclass(slots=True)
class Value:
    """One number that might be a coordinate. ``first`` and ``last`` are token indices, inclusive."""

    first: int
    last: int
    degrees: float  # with the sign of its hemisphere
    decimals: int
    raw: float = 0.0  # with its written sign only
    signed: bool = False
    axis: str | None = None
    labelled: bool = False
    firm: bool = True
    hemisphere: bool = False
    marked: bool = False  # carries a degree mark or minutes
    order: str | None = None  # "latlon" or "lonlat": a label for the pair that starts here
    bad: bool = False  # has a unit, a disqualifying word, or glued letters
    breaks: bool = False  # bad, and what follows in the same list is of the same kind
    ranged: bool = False  # an end of a range
    best: bool = False  # the likeliest of a range
    invalid: bool = False  # written as a coordinate, but impossible (75 minutes, latitude … W)


@dataclass(slots=True)
class Pair:
    """Two numbers, or a map link, that could be a place."""

    latitude: float
    longitude: float
    start: int  # in the plain text
    end: int
    span: tuple[int, int]  # in the original text
    ordered: bool  # the text says which one is the latitude
    valid: bool = True
    rank: int = 0  # 0 an answer, 1 a comparison that yields to others, 2 never an answer
    instead: Pair | None = None  # the one that its list of candidates gives
