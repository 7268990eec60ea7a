"""The boxes that an answer gives, as a careful person reads them: one, where one is asked for, or all."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from paceline.tasks.answer_phrases import DOUBT, HEDGE, MAX_CHARACTERS, REFUSAL, UNABLE, plain_marks, said
from paceline.tasks.localisation.box_forms import Found, found_in
from paceline.tasks.localisation.box_geometry import Box, rounded
from paceline.tasks.localisation.box_scales import Named, Placed, placed
from paceline.tasks.metrics import MALFORMED, OUT_OF_RANGE, PARSED, REFUSED, Reading

MOST_BOXES = 1000
"""Boxes of an answer that are read; COCO counts the best hundred."""
_SAME = 0.01
"""Share of a side by which two boxes may differ that are one, told twice in different forms."""
_LONGEST_NONE = 300
"""Characters of an answer that says that there is nothing, and no more."""
_NONE = re.compile(
    r"\W*(?:none|nothing|no\s(?:\w+\s){0,4}?(?:objects?|boxes|detections?|instances?|such \w+|found)[^\d]*"
    r"|there (?:is|are) (?:no|none)\b[^\d]*|(?:\{[^\[\]\d]*)?\[\s*\]\s*\}?)\W*",
    re.IGNORECASE,
)
_SEEN_AT = re.compile(
    r"\b(?:appears?|seems?)\s+(?=(?:in|at|on|near|within|around|inside|from|towards?)\b)", re.IGNORECASE
)
_NOT_HERE = re.compile(r"(?:\b(?:not|never|cannot|nor)\b|n't\b)(?:\s+[a-z-]+){0,3}\W*$", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?;]\s|\n")
_OR = re.compile(r"\b(?:or|alternatively|versus|vs)\b", re.IGNORECASE)
_CONCLUDES = re.compile(
    r"\b(?:final(?:ly)?|therefore|thus|hence|in conclusion|in summary|so,? the|the answer)\b", re.IGNORECASE
)
_CORRECTS = re.compile(r"\b(?:wait|no|actually|sorry|correction|instead|rather|maybe|perhaps)\b", re.IGNORECASE)
_REFUSES = re.compile(
    r"\W*(?:i|we)(?:'m| am| are)? (?:cannot|can't|can not|could not|couldn't|unable to|not able to|do not|don't)\b",
    re.IGNORECASE,
)


def read_boxes(text: str, size: tuple[int, int], asked: str, several: bool) -> Reading:
    """The boxes of an answer in pixels, with their form and scores.

    Args:
        text: the answer.
        size: width and height of the picture in pixels.
        asked: the form that the prompt asks for, ``prompt.boxes``.
        several: whether all that a phrase names is asked for; else one box.
    """
    text = plain_marks(text[:MAX_CHARACTERS])
    start, end = said(text)
    content = text[start:end]
    found = found_in(content)[:MOST_BOXES]
    if not found:
        return _without(content, several)
    if _refuses(content):
        return Reading(REFUSED.name)
    if _hedged(content, found):
        return Reading(MALFORMED.name)
    named = Named.in_answer(content)
    boxes = [placed(one, asked, named, size) for one in found]
    chosen = range(len(found)) if several else _one(content, found, boxes, size)
    if not chosen or (several and _alternatives(content, found)):
        return Reading(MALFORMED.name)
    outcomes = {boxes[i].outcome for i in chosen}
    span = start + found[chosen[0]].span[0], start + found[chosen[-1]].span[1]
    forms = list(dict.fromkeys(boxes[i].form for i in chosen))
    data = {"format": forms[0] if len(forms) == 1 else "mixed"}
    for outcome in (OUT_OF_RANGE, MALFORMED):
        if outcome.name in outcomes:
            return Reading(outcome.name, span=span, data=data)
    scores = [found[i].score for i in chosen]
    if all(score is not None for score in scores):
        data["scores"] = scores  # type: ignore[assignment]  # a list beside a text
    return Reading(PARSED.name, [rounded(boxes[i].box) for i in chosen], span, data)


def _refuses(content: str) -> bool:
    start = content.lstrip(" \t\r\n*_\"'")
    return bool(REFUSAL.match(start) or UNABLE.match(start) or _REFUSES.match(start))


def _without(content: str, several: bool) -> Reading:
    """What an answer says that gives no box: a refusal, that there is none, or nothing."""
    if several and 0 < len(content) <= _LONGEST_NONE and _NONE.fullmatch(content):
        return Reading(PARSED.name, [], data={"format": "none"})
    return Reading(REFUSED.name if _refuses(content) else MALFORMED.name)


def _hedged(content: str, found: Sequence[Found]) -> bool:
    """Whether the answer doubts, or says where it is not: in the sentence that leads to a box, or for all of it."""
    if DOUBT.search(content):
        return True
    before = 0
    for one in found:
        led = _SENTENCE.split(content[max(before, one.span[0] - 300) : one.span[0]])[-1]
        if HEDGE.search(_SEEN_AT.sub("", led)) or _NOT_HERE.search(led):
            return True
        before = one.span[1]
    return False


def _alternatives(content: str, found: Sequence[Found]) -> bool:
    gaps = (content[a.span[1] : b.span[0]] for a, b in itertools.pairwise(found))
    return any(_OR.search(gap) for gap in gaps if len(gap) < 200)


def _one(content: str, found: Sequence[Found], boxes: Sequence[Placed], size: tuple[int, int]) -> list[int]:
    """The one box that is meant: all are the same, or the last is the conclusion; empty where neither is so."""
    if all(_same(boxes[0], box, size) for box in boxes):
        return [0]
    first = len(found) - 1
    while _same(boxes[first - 1], boxes[-1], size):
        first -= 1
    gap = content[found[first - 1].span[1] : found[first].span[0]]
    concludes = _CONCLUDES.search(gap) and not _CORRECTS.search(gap) and not _OR.search(gap)
    return [first] if concludes else []


def _same(a: Placed, b: Placed, size: tuple[int, int]) -> bool:
    """Whether two are one box told twice; in one form they are equal."""
    if a.outcome != b.outcome:
        return False
    if a.form == b.form:
        return _within(a.box, b.box, (0.5, 0.5))
    return _within(a.box, b.box, (size[0] * _SAME, size[1] * _SAME))


def _within(a: Box, b: Box, most: tuple[float, float]) -> bool:
    return all(abs(x - y) <= limit for x, y, limit in zip(a, b, (*most, *most), strict=True))
