"""Step 4a: whether a pair is an answer, a comparison, or no answer at all, by the words around it."""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left
from collections.abc import Sequence

from paceline.tasks.geolocation.coordinates.phrases import (
    BOX,
    BOX_LEAD,
    CLAUSE_BREAK,
    CORNER,
    CORRECTION,
    END_OF_BOX,
    EXAMPLE,
    FORMAT_CUE,
    HARD_CUE,
    NOT,
    REJECTED,
    RELATION,
    SOFT_CUE,
    SOFT_SENTENCE,
    UNSURE,
    sentence_start,
)
from paceline.tasks.geolocation.coordinates.values import Pair
from paceline.tasks.geolocation.coordinates.words import STRUCK

ECHO_TOLERANCE_DEGREES = 1e-4

ANSWER, COMPARISON, NO_ANSWER = 0, 1, 2  # a comparison yields to any answer
_REACH = 140  # characters before a pair that can give its role
_OPENING = re.compile(r"[-+~(\[{\"']{0,4}$")
_LABELLED_OPENING = re.compile(
    r"""(?P<quote>["']?) ?[:=]? ?[{(\[]? ?(?:["']?(?:lat(?:itude)?|lng|lon(?:gitude)?)["']? ?[:=]? ?)?"""
    r"""[-+~(\[{"']{0,4}$""",
    re.IGNORECASE,
)
_LIST_GOES_ON = re.compile(r"[\s)\]\"',;]{0,4}(?:,|and|or|&| ){0,3}[^.;:\n]{0,40}")
_AND = re.compile(r"[\s)\]]{0,3}and[\s(\[]{0,3}[-+]?|[\s)\]]{0,3}and [A-Z][^.;:\n]{0,30}")
_TO = re.compile(r"[\s)\]]{0,3}(?:to|through|up to)[\s(\[]{0,3}[-+]?")
_BETWEEN = re.compile(r"\bbetween\b[^.;:\n]{0,40}$", re.IGNORECASE)


def rank_pairs(text: str, pairs: list[Pair], example: tuple[float, float] | None, *, refuses: bool) -> None:
    """Set the rank of each pair of a plain text, from the first to the last.

    Args:
        example: the prompt's worked example, (latitude, longitude).
        refuses: the text has words of refusal somewhere, so that "in the format (48.85, 2.35)" is no answer.
    """
    previous: Pair | None = None
    for pair in pairs:
        pair.rank = _rank(text, pair, previous, example, refuses=refuses)
        previous = pair
    for a, b in itertools.pairwise(pairs):
        if _names_neither(text, a, b) or _spans_box(text, a, b):
            a.rank = b.rank = NO_ANSWER
    _reject_struck(text, pairs)
    _reject_example_behind_an_answer(text, pairs, example)


def _reject_struck(text: str, pairs: Sequence[Pair]) -> None:
    """ "~~48.8566, 2.3522~~ 51.5074, -0.1278", unless all is struck: "<s>" may start a text, too."""
    marks = [at for at, character in enumerate(text) if character == STRUCK]
    struck = [p for p in pairs if len(marks) % 2 == 0 and bisect_left(marks, p.start) % 2]
    if len(struck) < len(pairs):
        for pair in struck:
            pair.rank = NO_ANSWER


def _reject_example_behind_an_answer(text: str, pairs: Sequence[Pair], example: tuple[float, float] | None) -> None:
    """ "40.7128, -74.0060. Example. It is the Eiffel Tower. Answer: 48.858844, 2.294351": the prompt said again."""
    answer: Pair | None = None
    for pair in pairs:
        if is_echo(pair.latitude, pair.longitude, example):
            if answer is not None and EXAMPLE.search(
                text[answer.end : answer.end + 1000][: pair.end + 25 - answer.end]
            ):
                pair.rank = NO_ANSWER
        elif pair.rank == ANSWER:
            line = text[max(0, pair.start - _REACH) : pair.start].rpartition("\n")[2]
            answer = None if UNSURE.search(line) else pair


def _spans_box(text: str, a: Pair, b: Pair) -> bool:
    """ "(48.81, 2.31) to (48.91, 2.41)", "bounds: (48.81, 2.31), (48.91, 2.41)", "SW: 48.81, 2.31; NE: 48.91, 2.41"."""
    between = text[a.end : b.start]
    if len(between) > 60:
        return False
    before = text[max(0, a.start - 60) : a.start]
    before = before[sentence_start(before) :]
    if _TO.fullmatch(between):
        return True
    if BOX.search(before) and _LIST_GOES_ON.fullmatch(between):
        return True
    return _is_corner(before) and _is_corner(between)


def _is_corner(lead: str) -> bool:
    """ "SW: (", ``"sw": [``, ``"southwest": {"lat": ``, ``"low": {"latitude": ``."""
    opening = _LABELLED_OPENING.search(lead)
    key = lead if opening is None else lead[: opening.start()]
    quoted = opening is not None and bool(opening["quote"])
    return bool(CORNER.search(key) or (quoted and END_OF_BOX.search(key)))


def is_echo(latitude: float, longitude: float, example: tuple[float, float] | None) -> bool:
    """Equal to the prompt's own example after rounding both to four decimals, to within 1e-4 degrees (11 m)."""
    if example is None:
        return False
    tolerance = ECHO_TOLERANCE_DEGREES + 1e-9
    return (
        abs(round(latitude, 4) - round(example[0], 4)) <= tolerance
        and abs(round(longitude, 4) - round(example[1], 4)) <= tolerance
    )


def _rank(text: str, pair: Pair, previous: Pair | None, example: tuple[float, float] | None, *, refuses: bool) -> int:
    rejected = REJECTED.match(text[pair.end : pair.end + 60])
    if rejected:
        return COMPARISON if rejected["far"] or rejected["has"] or rejected["next"] else NO_ANSWER
    floor = previous.end if previous is not None else 0
    window = text[max(floor, pair.start - _REACH) : pair.start]
    sentence = window[sentence_start(window) :]
    # Strip the opening of the pair itself: "unlike Paris (48.8, …", "not at coordinates (…".
    lead = _OPENING.sub("", sentence)
    if _leads(HARD_CUE, lead, most_words=9) or NOT.search(lead) or BOX_LEAD.search(lead):
        return NO_ANSWER
    if _leads(SOFT_CUE, lead, most_words=7):
        return COMPARISON
    if FORMAT_CUE.search(sentence):
        if refuses:
            return NO_ANSWER
        if is_echo(pair.latitude, pair.longitude, example):
            return COMPARISON  # "the example was …"
    if _leads(SOFT_SENTENCE, sentence):
        return COMPARISON
    if previous is not None and len(sentence) == len(window) and pair.start - floor <= _REACH:
        if _leads(RELATION, lead):
            return COMPARISON
        if previous.rank and _goes_on(window) and not CORRECTION.search(window):
            return previous.rank
    return ANSWER


def _leads(cue: re.Pattern[str], text: str, most_words: int | None = None) -> bool:
    """A cue leads to the end of ``text``: no new clause, and at most so many words, stand in its ``gap``."""
    match = cue.search(text)
    if match is None or CLAUSE_BREAK.search(match["gap"]):
        return False
    return most_words is None or match["gap"].count(" ") <= most_words


def _goes_on(window: str) -> bool:
    """Two pairs stand in one list: "unlike Paris (…) or London (…)"."""
    return bool(_LIST_GOES_ON.fullmatch(window)) and not CLAUSE_BREAK.search(window) and len(window.split()) <= 6


def _names_neither(text: str, a: Pair, b: Pair) -> bool:
    """ "between (48.8, 2.3) and (51.5, -0.1)", "between Paris (…) and London (…)"."""
    if not _AND.fullmatch(text[a.end : b.start][:50]):
        return False
    return bool(_BETWEEN.search(text[max(0, a.start - 60) : a.start]))
