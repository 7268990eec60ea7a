"""A map of relevance drawn over its image, with words below, as one PNG. Torch-free."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

EDGE = 480  # pixels of the longer side of the image, and of its overlay
GAP, SCALE, TEXT, LINE = 12, 14, 13, 18
CHARACTERS = 6.3  # width of an average one at TEXT pixels
INK = "#222222"
OPACITY = 0.6


def spread(boxes: np.ndarray, relevance: np.ndarray, width: int, height: int) -> np.ndarray:
    """Relevance per pixel: that of each state, evenly over its box, summed where boxes overlap.

    What lies on the image keeps its sum, whatever the sizes of boxes: a state that stands for the whole image adds
    little to each pixel.

    Args:
        boxes: (states, 4), left, top, right, bottom in fractions of the image; beyond 0 or 1, or NaN, is not drawn.
        relevance: (states,).
        width, height: of the map in pixels.

    Returns:
        (height, width).
    """
    placed = ~np.isnan(boxes).any(axis=1)
    x0, y0, x1, y1 = (boxes[placed] * [width, height, width, height]).T[..., None].astype(np.float64)
    density = relevance[placed][:, None] / ((x1 - x0) * (y1 - y0))
    return (_covered(y0, y1, height) * density).T @ _covered(x0, x1, width)


def _covered(begin: np.ndarray, end: np.ndarray, pixels: int) -> np.ndarray:
    """How much of each pixel of a line lies between two points, from 0 to 1: (states, pixels)."""
    first = np.arange(pixels)
    return np.clip(np.minimum(end, first + 1) - np.maximum(begin, first), 0.0, None)


def coloured(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1 in cividis' colours, (…, 3) of uint8.

    Made for all kinds of colour vision (Nuñez, Anderton and Renslow 2018, PLOS ONE 13:e0199239); the polynomials are
    those of d3-scale-chromatic.
    """
    powers = (
        (-4.54, -35.34, 2381.73, -6402.7, 7024.72, -2710.57),
        (32.49, 170.73, 52.82, -131.46, 176.58, -67.37),
        (81.24, 442.36, -2482.43, 6167.24, -6614.94, 2475.67),
    )
    channels = [np.polynomial.polynomial.polyval(values, p) for p in powers]
    return np.clip(np.round(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)


def size_of(image: Image.Image) -> tuple[int, int]:
    """Width and height at which an image is drawn: its own aspect, the longer side ``EDGE`` pixels."""
    scale = EDGE / max(image.size)
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def png(image: Image.Image, density: np.ndarray, words: Sequence[str], facts: Mapping[str, str]) -> bytes:
    """The image, and beside it the image in grey under the map, whose largest value has the brightest colour.

    Args:
        image: the picture.
        density: relevance per pixel, not negative, of the size that :func:`size_of` tells.
        words: lines below; long ones are broken.
        facts: keyword -> text, kept in the file's text chunks.
    """
    from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

    width, height = size_of(image)
    drawn = image.resize((width, height), Image.Resampling.LANCZOS)
    colours = Image.fromarray(coloured(density / density.max() if density.max() > 0 else density))
    overlay = Image.blend(drawn.convert("L").convert("RGB"), colours, OPACITY)
    side_by_side = max(2 * width + GAP, EDGE + GAP)
    broken = [
        part
        for line in words
        for part in textwrap.wrap(line, int(side_by_side / CHARACTERS), subsequent_indent="   ") or [""]
    ]
    below = GAP + height + GAP
    page = Image.new("RGB", (side_by_side + 2 * GAP, below + SCALE + GAP + LINE * len(broken) + GAP), "white")
    page.paste(drawn, (GAP, GAP))
    page.paste(overlay, (2 * GAP + width, GAP))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(TEXT)
    bar = Image.fromarray(np.repeat(coloured(np.linspace(0, 1, EDGE // 3))[None], SCALE, axis=0))
    label = "none or against"
    at = GAP + pen.textlength(label, font) + GAP / 2
    pen.text((GAP, below - 1), label, INK, font)
    page.paste(bar, (round(at), below))
    pen.text((at + bar.width + GAP / 2, below - 1), "most", INK, font)
    for n, line in enumerate(broken):
        pen.text((GAP, below + SCALE + GAP + n * LINE), line, INK, font)
    info = PngImagePlugin.PngInfo()
    for name, text in facts.items():
        info.add_itxt(name, text)
    stream = io.BytesIO()
    page.save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def facts_of(path: Any) -> dict[str, str]:
    """The facts that :func:`png` put into a file."""
    from PIL import Image

    with Image.open(path) as opened:
        opened.load()
        return dict(opened.text)  # type: ignore[attr-defined]
