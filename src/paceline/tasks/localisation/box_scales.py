"""From the numbers of a box to pixels of the upright picture: which form they have, told by fixed rules in their order.

1. Tokens, signs and names at the numbers tell their own form (``<loc0123>``, ``%``, ``width``).
2. Four numbers of at most 1 are shares of the picture, whatever was asked for: in another form they cover nothing.
3. What the prompt asks for (``prompt.boxes``) holds.
4. Words of the answer: ``pixels``, ``0-1000``, ``normalized``; names in brackets, such as ``[ymin, xmin, ymax, xmax]``.
5. What lies in the picture is pixels, else what is at most 1000 is thousandths.

Corners are taken to be left, top, right, bottom; where right is left of left, or bottom above top, the last two numbers
are width and height. Pixels are those of the prepared picture, not of what a processor made of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from paceline.tasks.localisation.box_forms import Found
from paceline.tasks.localisation.box_geometry import Box, area
from paceline.tasks.metrics import MALFORMED, OUT_OF_RANGE, PARSED

SLACK = 0.01
"""Share of a side by which a box may reach beyond the picture; it is cut there."""
WHOLE = {"unit": 1.0, "percent": 100.0, "thousand": 1000.0, "loc_1024": 1023.0, "loc_1000": 1000.0, "patches": 1.0}
"""Form -> what stands for the whole side; pixels have that of the picture."""
LABELS = {
    "pixels": "pixels",
    "unit": "0 to 1",
    "percent": "per cent",
    "thousand": "0 to 1000",
    "loc_1024": "<loc0123>",
    "loc_1000": "<loc_123>",
    "patches": "<patch_index_0123>",
}
ORDERS = {"xywh": "x-y-w-h", "cxcywh": "centre-w-h", "yxyx": "y first"}
_ASKED = {"thousand_yx": ("thousand", "yxyx")}
"""Forms that a prompt asks for which are a scale and an order; the others are a scale."""

_X, _Y = r"x[_ ]?", r"y[_ ]?"
_CENTRE = r"(?:c{0}|{0}c|{0}[_ ]?cent(?:er|re)|cent(?:er|re)[_ ]?{0})"
_WH = r"\W+w(?:idth)?\W+h(?:eight)?\b"
_ORDER_NAMED = (
    ("cxcywh", re.compile(rf"\b{_CENTRE.format('x')}\W+{_CENTRE.format('y')}{_WH}|\bcxcywh\b", re.IGNORECASE)),
    (
        "xywh",
        re.compile(rf"\b{_X}(?:min)?\W+{_Y}(?:min)?{_WH}|\bleft\W+top{_WH}|(?<![a-z])xywh\b", re.IGNORECASE),
    ),
    ("yxyx", re.compile(rf"\b{_Y}(?:min|[01])\W+{_X}(?:min|[01])\W+{_Y}(?:max|[12])\W+{_X}(?:max|[12])\b", re.I)),
    ("xyxy", re.compile(rf"\b{_X}(?:min|[01])\W+{_Y}(?:min|[01])\W+{_X}(?:max|[12])\W+{_Y}(?:max|[12])\b", re.I)),
)
_SCALE_NAMED = (
    ("thousand", re.compile(r"\b0\s*(?:-|–|to|and|\.\.)\s*1,?000\b|\bout of 1,?000\b|/1000\b|\bthousandths?\b", re.I)),
    ("normalised", re.compile(r"\bnormali[sz]ed\b|\brelative coordinates\b|\bfractions? of\b", re.I)),
    ("pixels", re.compile(r"\bpixels?\b|\dpx\b|\bpx\b", re.I)),
)


@dataclass(frozen=True)
class Placed:
    """A box on the picture, or why it is none."""

    outcome: str
    form: str
    """Scale and order, such as ``pixels`` or ``thousand_yxyx``."""
    box: Box = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Named:
    """What the words of an answer say of its numbers."""

    order: str = ""
    scale: str = ""

    @classmethod
    def in_answer(cls, text: str) -> Named:
        """By the first name that is found."""
        order = next((order for order, pattern in _ORDER_NAMED if pattern.search(text)), "")
        return cls(order, next((scale for scale, pattern in _SCALE_NAMED if pattern.search(text)), ""))


def placed(found: Found, asked: str, named: Named, size: tuple[int, int]) -> Placed:
    """A box in pixels, cut to the picture.

    Args:
        found: as it is written.
        asked: ``prompt.boxes``.
        named: what the answer's words say.
        size: width and height of the picture in pixels.
    """
    scale, asked_order = _ASKED.get(asked, (asked, ""))
    # Names and points tell x from y themselves.
    order = found.order or named.order or asked_order or "xyxy"
    scale = _scale(found, scale, order, named, size)
    sides = size if scale == "pixels" else (WHOLE[scale], WHOLE[scale])
    values = found.values
    if scale == "loc_1000":  # a bin's middle
        values = tuple(value + 0.5 for value in values)
    shares = _corners(values, order, found.corners)
    if order == "xyxy" and not found.corners and (shares[2] < shares[0] or shares[3] < shares[1]):
        as_sides = _corners(values, "xywh", False)
        if as_sides[2] <= sides[0] * (1 + SLACK) and as_sides[3] <= sides[1] * (1 + SLACK):
            order, shares = "xywh", as_sides
    form = scale if order == "xyxy" or scale == "loc_1024" else f"{scale}_{order}"
    x0, y0, x1, y1 = (value / side for value, side in zip(shares, (*sides, *sides), strict=True))
    if min(x0, y0) < -SLACK or max(x1, y1, x0, y0) > 1 + SLACK:
        return Placed(OUT_OF_RANGE.name, form)
    cut = [min(max(value, 0.0), 1.0) for value in (x0, y0, x1, y1)]
    box = cut[0] * size[0], cut[1] * size[1], cut[2] * size[0], cut[3] * size[1]
    return Placed(PARSED.name if area(box) > 0 and box[0] < box[2] else MALFORMED.name, form, box)


def _corners(values: tuple[float, ...], order: str, points: bool) -> tuple[float, float, float, float]:
    a, b, c, d = values
    if order == "xywh":
        return a, b, a + c, b + d
    if order == "cxcywh":
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    if order == "yxyx":
        return b, a, d, c
    return (min(a, c), min(b, d), max(a, c), max(b, d)) if points else (a, b, c, d)


def _scale(found: Found, asked: str, order: str, named: Named, size: tuple[int, int]) -> str:
    """Pixels, or the form of shares."""
    fractions = max(map(abs, found.values)) <= 1
    if found.scale and not (found.scale == "thousand" and fractions):
        return found.scale
    if fractions:
        return "unit"
    if asked or named.scale in ("thousand", "pixels"):
        return asked or named.scale
    reach = _corners(found.values, order, found.corners)
    inside = all(value <= side * (1 + SLACK) for value, side in zip(reach, (*size, *size), strict=True))
    if named.scale == "normalised":
        return "thousand"
    if inside or (order == "xyxy" and not found.corners and _fits_by_sides(found.values, size)):
        return "pixels"
    return "thousand" if max(found.values) <= 1000 else "pixels"


def _fits_by_sides(values: tuple[float, ...], size: tuple[int, int]) -> bool:
    """Whether four numbers make a box in the picture only as x, y, width and height."""
    x0, y0, x1, y1 = values
    return (x1 < x0 or y1 < y0) and x0 + x1 <= size[0] * (1 + SLACK) and y0 + y1 <= size[1] * (1 + SLACK)


def label(form: str) -> str:
    """A form for people: ``0 to 1000, x-y-w-h``."""
    scale, order = next(((form[: -len(end) - 1], end) for end in ORDERS if form.endswith(f"_{end}")), (form, ""))
    return ", ".join(filter(None, (LABELS.get(scale, scale), ORDERS.get(order, ""))))
