"""The stated confidence of an answer: the percentages that it gives beside the country, the region and the city.

The prompt ``geo_confidence`` asks for the three, from 0 to 100 percent. Answers state it in many forms, so the text is
read piece by piece (a line, a sentence):

- a piece that names levels and as many percentages pairs them in order: ``Country: France (95%)``;
- a piece with one percentage and no level belongs to the level named in the piece before: ``I am 95 percent sure.``;
- where no level is named at all and there are three percentages, they are country, region and city, as was asked.

What is stated again later counts in its later form, as with coordinates. A percentage over 100 is none.
"""

from __future__ import annotations

import re

LEVELS = ("country", "region", "city")

# "state" alone is a verb, too.
_LEVEL = re.compile(
    r"\b(?:(?P<country>countr(?:y|ies)|nation)|(?P<region>region|province|state(?=\W*[:(]|\s+is\b))|(?P<city>city|town))\b",
    re.I,
)
_NUMBER = r"\d{1,3}(?:\.\d+)?"
_PERCENT = re.compile(
    # A range counts as its middle.
    rf"(?<![\d.,])(?:(?P<low>{_NUMBER})\s*%?\s*(?:-|–|to)\s*)?(?P<high>{_NUMBER})\s*(?:%|percent\b|per\s+cent\b)"
    # A bare whole number counts only after the word itself: 0.9 may be a share or a percentage.
    r"|\b(?:confidence|certainty)(?:\s+level)?\W{0,6}(?:is\s+)?(?P<bare>\d{1,3})"
    r"(?![\d.,]*\d|\s*(?:%|per\s?cent|-|–|to\b|/(?!\s*100)))",
    re.I,
)
_END = re.compile(r"[\n;]+|(?<=[^\d\s.])[.!?]+(?=\s|$)|(?<=\d)[.!?]+(?=\s+[A-Z]|\s*$)")
_SAYS = re.compile(r"%|per\s?cent|confidence|certainty", re.I)


def stated_confidence(text: str) -> dict[str, float | None]:
    """The confidence that an answer states at each of :data:`LEVELS`, from 0 to 1; None where it states none."""
    confidences: dict[str, float | None] = dict.fromkeys(LEVELS)
    if not _SAYS.search(text):
        return confidences
    before: str | None = None
    named = False
    for piece in _END.split(text):
        levels = list(dict.fromkeys(str(m.lastgroup) for m in _LEVEL.finditer(piece)))
        values = [v for m in _PERCENT.finditer(piece) if (v := _share(m)) is not None]
        named = named or bool(levels)
        if levels and len(levels) == len(values):
            confidences.update(zip(levels, values, strict=True))
        elif not levels and len(values) == 1 and before:
            confidences[before] = values[0]
        # A level takes its percentage from the next piece at the latest, blank pieces aside.
        if piece.strip():
            before = levels[0] if len(levels) == 1 and not values else None
    if not named:
        values = [v for m in _PERCENT.finditer(text) if (v := _share(m)) is not None]
        if len(values) == len(LEVELS):
            confidences.update(zip(LEVELS, values, strict=True))
    return confidences


def _share(match: re.Match[str]) -> float | None:
    bare, low, high = match["bare"], match["low"], match["high"]
    value = float(bare or high)
    if low is not None and not bare:
        value = (float(low) + value) / 2
    return value / 100 if value <= 100 else None
