"""A sample holds ``phrase``, ``boxes`` (the true ones) and its image; ``prepare`` adds the picture's ``width`` and
``height``.

Boxes are left, top, right and bottom in pixels of the upright picture: as a model is shown it, turned by its EXIF
orientation. Boxes that are given in pixels of the file as it is stored are refused where that can be told.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from paceline.tasks.kind import Asks, Part
from paceline.tasks.localisation.box_geometry import area, rounded

if TYPE_CHECKING:
    from PIL import Image

    from paceline.config.schema import PromptSpec, TaskSpec

_ONE = "of the one true box; none where there are several"
FIELDS = {
    "phrase": "what is looked for; a prompt names it too",
    "width": "of the upright picture in pixels; a prompt names it too",
    "height": "of the upright picture in pixels; a prompt names it too",
    "x0": f"left edge in whole pixels, {_ONE}",
    "y0": f"top edge in whole pixels, {_ONE}",
    "x1": f"right edge in whole pixels, {_ONE}",
    "y1": f"bottom edge in whole pixels, {_ONE}",
    "x0_thousand": f"left edge from 0 to 1000, {_ONE}",
    "y0_thousand": f"top edge from 0 to 1000, {_ONE}",
    "x1_thousand": f"right edge from 0 to 1000, {_ONE}",
    "y1_thousand": f"bottom edge from 0 to 1000, {_ONE}",
    "x0_unit": f"left edge from 0 to 1, {_ONE}; with a format: {{x0_unit:.3f}}",
    "y0_unit": f"top edge from 0 to 1, {_ONE}",
    "x1_unit": f"right edge from 0 to 1, {_ONE}",
    "y1_unit": f"bottom edge from 0 to 1, {_ONE}",
    "boxes": "all true boxes in whole pixels, as JSON: [[x0, y0, x1, y1], …]",
    "boxes_thousand": "all true boxes from 0 to 1000, as JSON",
    "detections": 'all true boxes as JSON objects in whole pixels: [{"box": [x0, y0, x1, y1], "score": 1.0}, …]',
    "loc": "all true boxes as PaliGemma writes them: <loc0102><loc0102><loc0512><loc0512>, parted by ' ; '",
}
SHOWN = ("phrase", "width", "height")
ASKS = Asks(answer="boxes", images="one")
AUGMENTED_BY = ("flip", "rotate90", "crop")
GROUP = "tile"
"""Samples on one tile or picture are resampled together; without a column of that name the picture is its own."""
FORMATS = ("xyxy", "xywh", "cxcywh", "yxyx")
UNITS = {"pixels": 0.0, "unit": 1.0, "percent": 100.0, "thousand": 1000.0}
"""What a data's ``box_format`` may begin with -> what stands for the whole side; of pixels nothing does."""
_CORNERS = (("x0", "y0", "x1", "y1"), ("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"))
_SIDES = (("x", "y", "w", "h"), ("x", "y", "width", "height"), ("left", "top", "width", "height"))
_BEYOND = 0.01
"""Share of a side by which a true box may reach beyond the picture, from rounding; it is cut there."""
NO_BOX, NO_PHRASE = "no box", "no phrase"
BAD_BOX = "a box is no four numbers"
EMPTY_BOX = "a box without an area"
SHARES = "a box of numbers up to 1 alone, which are no pixels; of shares say box_format, such as unit_xywh or unit_xyxy"
BEYOND = "a box reaches beyond the upright picture"
TURNED = "boxes of the picture as it is stored, before EXIF turns it"
OTHER_SIZE = "the size in the data is not that of the picture"


@dataclass(frozen=True)
class BoxPart(Part):
    """The one question, with what an answer is read by."""

    size: tuple[int, int] = (0, 0)
    """Width and height of the picture in pixels."""
    several: bool = False
    """Whether all that the phrase names is asked for."""


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """``phrase`` and ``boxes`` of a record of any table.

    ``phrase`` is a text, or ``class``. Boxes are ``boxes``, ``box`` or ``bbox`` (four numbers, a list of such, or
    these as text), or four columns such as ``xmin, ymin, xmax, ymax`` or ``x, y, w, h``. ``box_format`` says how they
    are written: ``xyxy`` (the default), ``xywh``, ``cxcywh`` or ``yxyx``, behind ``unit_``, ``percent_`` or
    ``thousand_`` where they are no pixels. ``several`` says whether a phrase asks for all that it names; where no
    record says so, that is asked of all samples if one has several boxes (:func:`common`).

    Raises:
        ValueError: there is no phrase or box, or one is none; its text is a countable reason.
    """
    phrase = fields.get("phrase") if fields.get("phrase") not in (None, "") else fields.get("class")
    if not isinstance(phrase, str) or not phrase.strip():
        raise ValueError(NO_PHRASE)
    given, columns = _given(fields)
    unit, order = _format(fields.get("box_format"), "xywh" if columns in _SIDES else "xyxy")
    boxes = [_one(one, order) for one in _each(given)]
    if not boxes:
        raise ValueError(NO_BOX)
    if any(area(box) <= 0 or box[2] <= box[0] for box in boxes):
        raise ValueError(EMPTY_BOX)
    used = {"boxes", "box", "bbox", "box_format", "box_unit", "class", "phrase", "several", *columns}
    kept = {name: value for name, value in fields.items() if name not in used}
    kept |= {"phrase": " ".join(phrase.split()), "boxes": [rounded(box) for box in boxes]}
    if unit != "pixels":
        kept |= {"boxes": [[round(v, 6) for v in box] for box in boxes], "box_unit": unit}
    if fields.get("class") not in (None, ""):
        kept["class"] = str(fields["class"])
    if (several := fields.get("several")) not in (None, ""):
        kept["several"] = str(several).lower() not in ("0", "false", "no")
    return kept


def common(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether phrases ask for all that they name: the same for all samples, so that it tells no sample's number."""
    return {"several": True} if any(len(record["boxes"]) > 1 for record in records) else {}


def _given(fields: Mapping[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """The boxes as the data has them, and the four columns that they were made of."""
    for name in ("boxes", "box", "bbox"):
        if fields.get(name) not in (None, "", []):
            return fields[name], ()
    for names in (*_CORNERS, *_SIDES):
        if all(fields.get(name) not in (None, "") for name in names):
            return [fields[name] for name in names], names
    raise ValueError(NO_BOX)


def _format(given: Any, default: str) -> tuple[str, str]:
    """Unit and order of the boxes, of a ``box_format``."""
    text = str(given or default).lower().replace("-", "_")
    unit, _, order = text.rpartition("_")
    if text in UNITS:
        unit, order = text, default
    unit = unit or "pixels"
    if unit not in UNITS or order not in FORMATS:
        raise ValueError(f"box_format is none of {', '.join(FORMATS)}, or these behind {', '.join(UNITS)}")
    return unit, order


def _each(given: Any) -> list[Any]:
    """The boxes of a value: one, a list of them, or either as text."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            given = [one for one in re.split(r"[,;\s]+", given.strip(" \t\n[](){}<>")) if one]
    if isinstance(given, Mapping):
        return [given]
    if not isinstance(given, list | tuple):
        raise ValueError(BAD_BOX)
    nested = any(isinstance(one, list | tuple | Mapping) for one in given)
    return list(given) if nested else [given] if given else []


def _one(one: Any, order: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of one box; an object names its numbers itself."""
    if isinstance(one, Mapping):
        one, columns = _given(one)
        order = "xywh" if columns in _SIDES else "xyxy" if columns else order
    return _corners(_numbers(one), order)


def _numbers(one: Any) -> tuple[float, float, float, float]:
    try:
        if isinstance(one, str) or any(isinstance(v, bool) for v in one):
            raise ValueError
        a, b, c, d = map(float, one)
    except (TypeError, ValueError):
        raise ValueError(BAD_BOX) from None
    if not all(map(math.isfinite, (a, b, c, d))):
        raise ValueError(BAD_BOX)
    return a, b, c, d


def _corners(values: tuple[float, float, float, float], order: str) -> tuple[float, float, float, float]:
    a, b, c, d = values
    if order == "xywh":
        return a, b, a + c, b + d
    if order == "cxcywh":
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return (b, a, d, c) if order == "yxyx" else (a, b, c, d)


def pictured(fields: Mapping[str, Any], images: Sequence[Image.Image]) -> dict[str, Any]:
    """Boxes in pixels of the upright picture, its size, and ``tile`` where the data names none.

    Raises:
        ValueError: the boxes are of another picture, or of this one as it is stored.
    """
    (width, height), told = images[0].size, _told_size(fields)
    if told and told != (width, height):
        raise ValueError(TURNED if told == (height, width) else OTHER_SIZE)
    whole = UNITS[str(fields.get("box_unit", "pixels"))]
    scale = (width / whole, height / whole) if whole else (1.0, 1.0)
    boxes = []
    for x0, y0, x1, y1 in fields["boxes"]:
        if not whole and max(x0, y0, x1, y1) <= 1:
            raise ValueError(SHARES)
        box = x0 * scale[0], y0 * scale[1], x1 * scale[0], y1 * scale[1]
        if min(box[0] / width, box[1] / height) < -_BEYOND or max(box[2] / width, box[3] / height) > 1 + _BEYOND:
            raise ValueError(BEYOND)
        cut = max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height)
        if area(cut) <= 0:
            raise ValueError(EMPTY_BOX)
        boxes.append(rounded(cut))
    found: dict[str, Any] = {"boxes": boxes, "width": width, "height": height}
    if whole:
        found["box_unit"] = "pixels"
    if fields.get(GROUP) in (None, ""):
        found[GROUP] = hashlib.sha256(images[0].tobytes()).hexdigest()[:16]
    return found


def _told_size(fields: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of the picture as the data has them; None where it does not."""
    try:
        width, height = int(fields["width"]), int(fields["height"])
    except (KeyError, TypeError, ValueError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question."""
    size = int(sample.get("width", 0)), int(sample.get("height", 0))
    return (BoxPart(text=str(sample["phrase"]), size=size, several=bool(sample.get("several"))),)


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    width, height = float(sample.get("width", 0)), float(sample.get("height", 0))
    boxes = [tuple(map(float, box)) for box in sample["boxes"]]
    whole = [tuple(round(v) for v in box) for box in boxes]
    shares = (
        [(x0 / width, y0 / height, x1 / width, y1 / height) for x0, y0, x1, y1 in boxes] if width and height else []
    )
    thousand = [tuple(round(v * 1000) for v in box) for box in shares]
    found: dict[str, Any] = {name: sample.get(name) for name in SHOWN}
    for ending, values in (("", whole), ("_thousand", thousand), ("_unit", shares)):
        one: Sequence[Any] = values[0] if len(values) == 1 else (None,) * 4
        found |= {f"{name}{ending}": value for name, value in zip(("x0", "y0", "x1", "y1"), one, strict=True)}
    loc = ["".join(f"<loc{round(v * 1023):04d}>" for v in (y0, x0, y1, x1)) for x0, y0, x1, y1 in shares]
    return found | {
        "boxes": json.dumps(whole),
        "boxes_thousand": json.dumps(thousand) if shares else None,
        "detections": json.dumps([{"box": box, "score": 1.0} for box in whole]),
        "loc": " ; ".join(loc) or None,
    }


_LEFT_RIGHT = re.compile(r"\b(left|right)(?=(?:-?most|wards?|-?hand)?\b)", re.IGNORECASE)
_OTHER_SIDES = re.compile(
    r"\b(?:top|bottom|upper|lower|above|below|beneath|under|north|south|horizontal|vertical|clockwise)\w*",
    re.IGNORECASE,
)
_EAST_WEST = re.compile(r"\b(?:(?:north|south)-?)?(?:east|west)(?:ern|ward|wards|ernmost)?\b", re.IGNORECASE)
_PLACE = re.compile(r"\b(?:middle|cent(?:er|re)|central|corners?|edges?|borders?|halves|half)\b", re.IGNORECASE)
_OPPOSITE = {"left": "right", "right": "left"}


class PictureChange(Protocol):
    """What training does to the geometry of a picture."""

    mirrored: bool
    turns: int

    @property
    def new_size(self) -> tuple[int, int]:
        """Width and height in pixels afterwards."""

    @property
    def cropped(self) -> bool:
        """Whether a part was cut out."""

    def box(self, box: Sequence[float]) -> tuple[float, float, float, float] | None:
        """A box afterwards; None where too little of it is left."""


def augmented(fields: Mapping[str, Any], change: PictureChange) -> dict[str, Any] | None:
    """Boxes, size and phrase on a changed picture: mirrored, ``left`` and ``right`` of a phrase change places.

    None where a box is lost, or where the phrase names a place that holds no more: a corner of a picture that is cut,
    ``top`` of one that is turned.
    """
    boxes = [change.box(box) for box in fields["boxes"]]
    phrase = _moved(str(fields["phrase"]), change)
    if phrase is None or any(box is None for box in boxes):
        return None
    width, height = change.new_size
    kept = [rounded(box) for box in boxes if box is not None]
    return {"boxes": kept, "width": width, "height": height, "phrase": phrase}


def _moved(phrase: str, change: PictureChange) -> str | None:
    """A phrase as it holds for a changed picture; None where it does not."""
    sides = bool(_LEFT_RIGHT.search(phrase))
    others = bool(_OTHER_SIDES.search(phrase))
    if change.cropped and (sides or others or _PLACE.search(phrase)):
        return None
    if (change.turns % 4 and (sides or others or _EAST_WEST.search(phrase))) or (
        change.mirrored and _EAST_WEST.search(phrase)
    ):
        return None

    def other(match: re.Match[str]) -> str:
        word = _OPPOSITE[match[0].lower()]
        return word.upper() if match[0].isupper() else word.capitalize() if match[0][0].isupper() else word

    return _LEFT_RIGHT.sub(other, phrase) if change.mirrored else phrase
