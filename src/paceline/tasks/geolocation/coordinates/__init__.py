"""Reading a latitude and a longitude (decimal degrees, WGS 84) out of a model's free-text answer.

Four steps, each linear in the text; the modules of a step, in the order of reading:

1. *normalise* to a plain copy with the original position of each character: ``plain_text``. The words of other
   languages become English ones: ``languages`` (from ``languages.yaml``), ``foreign_letters``.
2. *tokenise* into numbers, words and signs: ``tokens``; ``commas`` joins the decimal commas of "48,8566".
3. *pair*. ``scan`` gives each number what stands around it: ``axis_labels`` ("Latitude: …"), ``hemispheres``
   ("… N"), ``degrees`` (minutes and seconds). ``measures`` takes out what is no coordinate: a number with a unit,
   behind a word such as "confidence", or inside a range, and ``boxes`` the least and the most of a box. Then numbers
   become pairs: ``stated`` those with an axis, ``bare`` those without, if ``plausible`` says so, ``machine`` those of
   map links; ``gaps`` classifies the text between two numbers.
4. *choose*. ``turns`` ends the text where a made-up dialogue goes on. ``pair_ranking`` separates answers from
   comparisons, ``candidates`` takes the likeliest of a list, ``final_answer`` the final answer, or the last one.

Shared: ``values`` (what passes from step to step), ``words``, ``phrases`` and ``spelling`` (the vocabulary). Each
written form is a function with an example of the text in its docstring.

The guiding preference is to read nothing rather than to invent: an answer counts only if the text states both halves.
No sign is ever mended from a place name. Every look-around is bounded (a fixed number of tokens or characters), and no
pattern nests one unbounded quantifier inside another, so time grows linearly with the text
(``benchmarks/read_coordinates.py`` shows it).
"""

from __future__ import annotations

from dataclasses import dataclass

from paceline.tasks.geolocation.coordinates.bare import pair_bare
from paceline.tasks.geolocation.coordinates.candidates import choose_in_lists
from paceline.tasks.geolocation.coordinates.commas import join_decimal_commas
from paceline.tasks.geolocation.coordinates.final_answer import choose, find_refusals
from paceline.tasks.geolocation.coordinates.machine import pair_map_links
from paceline.tasks.geolocation.coordinates.pair_ranking import ECHO_TOLERANCE_DEGREES, is_echo, rank_pairs
from paceline.tasks.geolocation.coordinates.phrases import NO_VALUE
from paceline.tasks.geolocation.coordinates.plain_text import plain_copy
from paceline.tasks.geolocation.coordinates.scan import read_values
from paceline.tasks.geolocation.coordinates.stated import pair_half_stated, pair_stated
from paceline.tasks.geolocation.coordinates.tokens import Tokens, tokenise
from paceline.tasks.geolocation.coordinates.turns import end_of_turn
from paceline.tasks.geolocation.coordinates.values import Pair

__all__ = [
    "ECHO_TOLERANCE_DEGREES",
    "MAX_CHARACTERS",
    "OUTCOMES",
    "Reading",
    "parse_coordinates",
    "read_coordinates",
]

MAX_CHARACTERS = 20_000
OUTCOMES = ("parsed", "refused", "malformed", "out_of_range", "echoed")


@dataclass(frozen=True)
class Reading:
    """What was read. Degrees are decimal; both are ``None`` unless ``outcome`` is ``parsed``.

    ``span`` is the half-open character range of the pair in the text as given, also for ``out_of_range`` and
    ``echoed``. ``swapped`` is true when an unlabelled longitude-first pair was turned round.
    """

    latitude: float | None
    longitude: float | None
    outcome: str
    span: tuple[int, int] | None
    swapped: bool


def read_coordinates(text: str, example: tuple[float, float] | None = None) -> Reading:
    """Read the pair that an answer gives.

    ``example`` is the worked example of the prompt (latitude, longitude); an answer that repeats it is ``echoed``, a
    miss. Only the first 20,000 characters are read.
    """
    plain = plain_copy(_cut(text))
    pairs = _find_pairs(join_decimal_commas(tokenise(plain)))
    refusals = find_refusals(plain.text)
    rank_pairs(plain.text, pairs, example, refuses=bool(refusals))
    said = plain.text[: end_of_turn(plain.text, pairs, refusals, example)]
    pairs = [p for p in pairs if p.start < len(said)]
    refusals = [at for at in refusals if at < len(said)]
    choose_in_lists(said, pairs)
    choice = choose(said, pairs, refusals)
    pair = choice.pair
    if pair is None:
        if choice.refused or refusals or NO_VALUE.search(said):
            return _unread("refused")
        return _unread("echoed" if any(is_echo(p.latitude, p.longitude, example) for p in pairs) else "malformed")
    if not pair.valid:
        return _unread("malformed", pair.span)
    latitude, longitude, swapped = pair.latitude, pair.longitude, False
    if not pair.ordered and abs(latitude) > 90 and _in_range(longitude, latitude):
        latitude, longitude, swapped = longitude, latitude, True
    if not _in_range(latitude, longitude):
        return _unread("out_of_range", pair.span)
    if is_echo(latitude, longitude, example):
        return _unread("echoed", pair.span)
    return Reading(latitude, longitude, "parsed", pair.span, swapped)


def parse_coordinates(text: str) -> tuple[float, float] | None:
    """(latitude, longitude) in decimal degrees, or ``None`` where nothing was read."""
    reading = read_coordinates(text)
    if reading.latitude is None or reading.longitude is None:
        return None
    return reading.latitude, reading.longitude


def _cut(text: str) -> str:
    """The part of a text that is read. A number that the cut goes through is not a number."""
    kept = text[:MAX_CHARACTERS]
    cut_through = len(text) > MAX_CHARACTERS and text[MAX_CHARACTERS] in "0123456789."
    return kept.rstrip("0123456789.") if cut_through else kept


def _find_pairs(tokens: Tokens) -> list[Pair]:
    """The pairs in the order of the text. No number is part of two; the most explicit ones come first."""
    values = read_values(tokens)
    used: set[int] = set()  # positions in ``values`` that belong to a pair
    pairs = pair_stated(tokens, values, used)
    pairs += pair_bare(tokens, values, used)
    pairs += pair_half_stated(tokens, values, used)
    pairs += pair_map_links(tokens)
    return sorted(pairs, key=lambda p: (p.start, p.end))


def _unread(outcome: str, span: tuple[int, int] | None = None) -> Reading:
    return Reading(None, None, outcome, span, swapped=False)


def _in_range(latitude: float, longitude: float) -> bool:
    return abs(latitude) <= 90 and abs(longitude) <= 180
