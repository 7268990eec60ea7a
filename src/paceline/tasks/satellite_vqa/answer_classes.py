"""The classes in which RSVQA's authors hold answers, and which one an answer gives.

Lobry et al. 2020 (arXiv:2003.07333; ``VocabEncoder.py`` of https://github.com/syvlo/RSVQA): areas are 0 m² or one of
four ranges that end at 10, 100 and 1,000 m²; counts are such ranges in RSVQA-LR and plain numbers in RSVQA-HR; all else
is a word. A model that answers in words may give the number or the range: both are its class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from paceline.tasks.answer_phrases import HEDGE, NEGATION, plain_marks, said
from paceline.tasks.counting.stated_count import count_in
from paceline.tasks.metrics import MALFORMED, PARSED, Reading

Form = Literal["yes_no", "rural_urban", "count", "area", "words"]
FORMS: Mapping[str, Form] = {
    "presence": "yes_no",
    "comp": "yes_no",
    "comparison": "yes_no",
    "yes no": "yes_no",
    "yes/no": "yes_no",
    "rural_urban": "rural_urban",
    "count": "count",
    "counting": "count",
    "numbers": "count",
    "area": "area",
    "areas": "area",
}
"""Type of a question -> what its answer is; of other types it is a word or a few."""
ENDS = (10, 100, 1000)
WORDS: Mapping[Form, tuple[str, ...]] = {"yes_no": ("yes", "no"), "rural_urban": ("rural", "urban")}

_UNIT = r"(?:m\s?2(?!\d)|m²|m\s*\^\s*2|m\*\*2|sq\.?\s?m(?:et(?:er|re)s?)?\b|sqm\b|square[\s-]met(?:er|re)s?)"
_AREA = re.compile(rf"(?<=\d)\s*{_UNIT}", re.IGNORECASE)
_OTHER_UNIT = re.compile(
    r"\d\s*(?:(?:sq(?:uare|\.)?\s*)?(?:[kcdm]m|(?:kilo|centi|deci|milli)m\w+|mi|miles?|ft|feet|foot|yd|yards?|in|inch(?:es)?"
    r"|acres?|ha|hectares?|units?|blocks?|pixels?|px)(?:²|(?![^\W\d_]))|sq(?:ft|[kc]m|mi|yd)\b"
    r"|[ ](?:\w+[ ])?(?:buildings?|houses?|roads?|cars?|trees?|fields?|areas?)\b)",
    re.IGNORECASE,
)
"""A number of something that is no square metre."""
_LATEX = re.compile(r"\\(?:,|text|mathrm|,?\\text)|[{}$~]")
_BETWEEN = re.compile(
    rf"(?:\bbetween\s+|\bfrom\s+|\b)(\d+)\s*{_UNIT}?\s*(?:and|to|-|–)\s*(\d[\d,]*)\s*{_UNIT}?(?!\w|\.\d)", re.IGNORECASE
)
_ABOVE = re.compile(rf"(?:\b(?:more|greater|larger)\s+than|\bover|\babove|>)\s*(1,?000)\s*{_UNIT}?(?!\w|\.\d)", re.I)


def form_of(sort: str) -> Form:
    """What the answers to questions of a type are."""
    return FORMS.get(sort.lower(), "words")


def ranges(form: Form) -> tuple[str, ...]:
    """The classes of areas, or of counts, as RSVQA's authors name them."""
    unit = "m2" if form == "area" else ""
    starts = (0, *ENDS[:-1])
    between = (f"between {low}{unit} and {high}{unit}" for low, high in zip(starts, ENDS, strict=True))
    return (f"0{unit}", *between, f"more than {ENDS[-1]}{unit}")


def class_of(number: float, form: Form) -> str:
    """The range that a count or an area lies in; the ends belong to the range below."""
    names = ranges(form)
    return names[0] if number <= 0 else names[1 + sum(number > end for end in ENDS)]


def number_class(text: str, question: str, form: Form, *, in_ranges: bool) -> tuple[Reading, float | None]:
    """The class of a count or an area that an answer gives, and its number where it gives one.

    Args:
        text: the answer.
        question: what was asked.
        form: ``count`` or ``area``; an area in another unit than square metres is not read.
        in_ranges: whether counts are classes; else the class of one is its digits.
    """
    start, end = said(text)
    body = _LATEX.sub(" ", plain_marks(text[start:end])) if form == "area" else plain_marks(text[start:end])
    if form == "area" and not _AREA.search(body) and _OTHER_UNIT.search(body):
        return Reading(MALFORMED.name), None
    if in_ranges and (named := _named_range(body, form)):
        return Reading(PARSED.name, named, (start, end)), None
    reading = count_in(_AREA.sub("", body) if form == "area" else text, question)
    if reading.outcome != PARSED.name:
        return reading, None
    value = class_of(reading.value, form) if in_ranges else f"{reading.value}"
    return Reading(PARSED.name, value, (start, end)), float(reading.value)


def _named_range(body: str, form: Form) -> str:
    """The one range that a text names, also with the ends that leave no number twice (``between 1 and 10``)."""
    found = set()
    for low, high in ((int(m[1]), int(m[2].replace(",", ""))) for m in _BETWEEN.finditer(body) if len(m[0]) < 80):
        start = high // 10 if high > ENDS[0] else 0
        found.add(class_of(high, form) if high in ENDS and low in (start, start + 1) else "")
    if _ABOVE.search(body):
        found.add(ranges(form)[-1])
    unsure = HEDGE.search(body) or NEGATION.search(body)
    return found.pop() if len(found) == 1 and not unsure else ""
