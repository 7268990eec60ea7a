"""Pictures of what a kind shows, drawn by Pillow for trackers: images with boxes, two numbers against each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from paceline.data.images import load_image
from paceline.errors import DataError
from paceline.tasks.panels import CellScatter, Mark, MarkedImage, Measure, Scatter

SIDE = 448  # pixels of the longest side of an image with boxes
TRUTH, ANSWER, DASH = "#56B4E9", "#E69F00", 6  # Okabe and Ito's, distinguishable by all; the answer's boxes are dashed
GAP = 8

PLOT, LEFT, RIGHT, TOP, BOTTOM = 560, 76, 20, 16, 52
HEIGHT = PLOT - LEFT - RIGHT + TOP + BOTTOM  # the frame is a square
DOT = "#0072B2"


def marked(
    paths: Sequence[str | Path], images: Sequence[MarkedImage], digests: Sequence[str] = ()
) -> Image.Image | None:
    """The images of a sample side by side, with their boxes and names; None where none is there as it was prepared."""
    drawn = []
    for one in images:
        digest = digests[one.at] if one.at < len(digests) else ""
        opened = read(paths[one.at], SIDE, digest) if one.at < len(paths) else None
        if opened is not None:
            boxed = _boxed(opened, one.marks)
            if one.name:
                text(ImageDraw.Draw(boxed), (4, boxed.height - 19), one.name, "white", outlined=True)
            drawn.append(boxed)
    return side_by_side(drawn)


def read(path: str | Path, side: int, sha256: str = "") -> Image.Image | None:
    """An image file as RGB, rotated by its EXIF tag, not larger than requested.

    None where it can't be read, or is not the one of a digest: shown beside an answer, another picture would mislead.
    """
    try:
        small = load_image(path, side, sha256)
    except DataError:
        return None
    small.thumbnail((side, side))
    return small


def side_by_side(images: Sequence[Image.Image]) -> Image.Image | None:
    """Images in a row; None of none."""
    if len(images) < 2:
        return images[0] if images else None
    width = sum(image.width for image in images) + GAP * (len(images) - 1)
    row = Image.new("RGB", (width, max(image.height for image in images)), "white")
    left = 0
    for image in images:
        row.paste(image, (left, 0))
        left += image.width + GAP
    return row


def padded(image: Image.Image, width: int, height: int) -> Image.Image:
    """An image on white, at its top left corner."""
    if image.size == (width, height):
        return image
    whole = Image.new("RGB", (width, height), "white")
    whole.paste(image, (0, 0))
    return whole


def _boxed(image: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    draw = ImageDraw.Draw(image)
    width, height = image.size
    for mark in sorted(marks, key=lambda m: not m.truth):
        ends = (mark.left, mark.top, mark.right, mark.bottom)
        if not all(map(math.isfinite, ends)):
            continue
        left, top, right, bottom = (min(max(float(v), 0.0), 1.0) for v in ends)
        if right <= left or bottom <= top:
            continue
        x0, y0, x1, y1 = left * (width - 1), top * (height - 1), right * (width - 1), bottom * (height - 1)
        colour = TRUTH if mark.truth else ANSWER
        draw.rectangle((x0, y0, x1, y1), outline="black", width=3)
        for line in ((x0, y0, x1, y0), (x1, y0, x1, y1), (x0, y1, x1, y1), (x0, y0, x0, y1)):
            for part in [line] if mark.truth else _dashes(*line):
                draw.line(part, fill=colour, width=2)
        if mark.label:
            above, below = (y0 - 16, y0 + 2), (y1 + 2, y1 - 17)
            y = above[y0 < 18] if mark.truth else below[y1 > height - 18]
            x, anchor = (x1 - 2, "ra") if left + right > 1.2 else (x0 + 2, "la")
            text(draw, (x, y), mark.label, colour, anchor, outlined=True)
    return image


def _dashes(x0: float, y0: float, x1: float, y1: float) -> Iterable[tuple[float, float, float, float]]:
    length = math.hypot(x1 - x0, y1 - y0)
    for start in np.arange(0.0, length, 2 * DASH):
        a, b = start / length, min(start + DASH, length) / length
        yield x0 + (x1 - x0) * a, y0 + (y1 - y0) * a, x0 + (x1 - x0) * b, y0 + (y1 - y0) * b


def text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    caption: str,
    fill: str,
    anchor: str = "la",
    outlined: bool = False,
) -> None:
    """A small text; outlined in black it can be read on any image."""
    outline = {"stroke_width": 2, "stroke_fill": "black"} if outlined else {}
    draw.text(at, caption, fill=fill, font=ImageFont.load_default(13), anchor=anchor, **outline)  # type: ignore[arg-type]


class Axis:
    """Values to pixels: logarithmic over the positive values, else linear from 0 or from below the least value."""

    def __init__(self, values: np.ndarray, log: bool, start: float, end: float) -> None:
        self.log = log and bool((values > 0).any())
        self._start, self._end = start, end
        if self.log:
            positive = values[values > 0]
            self._low, self._high = math.log10(positive.min() * 0.9), math.log10(positive.max() * 1.1)
            return
        low, high = float(values.min()), float(values.max())
        far = 0 < high - low < low
        self._step = _round_step(((high - low) if far else max(high, 0.0) - min(low, 0.0)) / 5 or 1.0)
        self._low = self._step * math.floor((low if far else min(low, 0.0)) / self._step)
        self._high = max(self._step * math.ceil((high if far else max(high, 0.0)) / self._step), self._low + self._step)

    def __call__(self, value: float) -> float:
        """The pixel of a value, kept inside the plot."""
        at = (math.log10(value) if value > 0 else self._low) if self.log else value
        share = (min(max(at, self._low), self._high) - self._low) / (self._high - self._low)
        return self._start + (self._end - self._start) * share

    def ticks(self) -> list[float]:
        """Round values inside the plot."""
        if not self.log:
            count = round((self._high - self._low) / self._step)
            return [self._low + i * self._step for i in range(count + 1)]
        decades = range(math.floor(self._low), math.ceil(self._high) + 1)
        steps = (1, 2, 5) if len(decades) <= 3 else (1,)
        return [v for d in decades for m in steps if self._low <= math.log10(v := m * 10.0**d) <= self._high]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)


def scatter(panel: Scatter, cell: CellScatter) -> Image.Image | None:
    """A cell's points, with the line of equal numbers where those are wanted; None where no point has both."""
    known = np.isfinite(cell.x) & np.isfinite(cell.y)
    if not known.any():
        return None
    xs, ys = cell.x[known], cell.y[known]
    log_x, log_y = panel.x.log, panel.y.log
    across, upward = xs, ys
    if panel.diagonal:
        across = upward = np.concatenate([xs, ys])
        log_x = log_y = log_x and log_y
    x, y = Axis(across, log_x, LEFT, PLOT - RIGHT), Axis(upward, log_y, HEIGHT - BOTTOM, TOP)
    picture = Image.new("RGB", (PLOT, HEIGHT), "white")
    _axes(picture, panel.x, panel.y, x, y)
    layer = Image.new("RGBA", picture.size)
    draw = ImageDraw.Draw(layer)
    if panel.diagonal:
        for part in _dashes(LEFT, HEIGHT - BOTTOM, PLOT - RIGHT, TOP):
            draw.line(part, fill="#767676", width=1)
    picture.paste(layer, mask=layer)
    dot = Image.new("L", (8, 8))
    ImageDraw.Draw(dot).ellipse((0, 0, 7, 7), fill=120)
    for a, b in zip(xs.tolist(), ys.tolist(), strict=True):
        picture.paste(DOT, (round(x(a)) - 4, round(y(b)) - 4), dot)
    text(ImageDraw.Draw(picture), (PLOT - RIGHT - 4, HEIGHT - BOTTOM - 5), f"n = {int(known.sum()):,}", "#5a666f", "rd")
    return picture


def _axes(picture: Image.Image, of_x: Measure, of_y: Measure, x: Axis, y: Axis) -> None:
    draw = ImageDraw.Draw(picture)
    right, foot = PLOT - RIGHT, HEIGHT - BOTTOM
    for value in x.ticks():
        draw.line((x(value), TOP, x(value), foot), fill="#dfe4e8")
        text(draw, (x(value), foot + 6), _tick(value, of_x), "#5a666f", "ma")
    for value in y.ticks():
        draw.line((LEFT, y(value), right, y(value)), fill="#dfe4e8")
        text(draw, (LEFT - 7, y(value)), _tick(value, of_y), "#5a666f", "rm")
    draw.line((LEFT, TOP, LEFT, foot, right, foot), fill="#8a959d")
    text(draw, ((LEFT + right) / 2, HEIGHT - 22), of_x.axis, "black", "ma")
    turned = Image.new("L", (foot - TOP, 18))
    ImageDraw.Draw(turned).text(
        (turned.width / 2, 0), of_y.axis, fill=255, font=ImageFont.load_default(13), anchor="ma"
    )
    turned = turned.rotate(90, expand=True)
    picture.paste("black", (4, TOP), turned)


def _tick(value: float, measure: Measure) -> str:
    return f"{100 * value:.4g}" if measure.unit == "share" else f"{value:,.10g}"
