"""What training may do to the geometry of a picture, and how a kind's truth follows it.

A kind names what its truth survives in ``AUGMENTED_BY``, and turns fields that follow in ``augmented``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

GEOMETRIC = ("flip", "rotate90", "crop")
"""Words of ``train.augment`` that move what is in a picture; ``colour`` moves nothing, and every kind bears it."""
LEAST_VISIBLE = 0.5
"""Of a box: the share that has to be left inside of a crop."""
_SIDES = re.compile(
    r"\b(left|right|top|bottom|upper|lower|above|below|beneath|under|underneath|upside|horizontal|vertical|clockwise"
    r"|(left|right|top|bottom)-?(most|hand|side)|(north|south)-?(east|west)?(ern)?|(east|west)(ern)?)(ly|ward|wards)?\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Change:
    """What is done to a picture, in this order: a part is cut out and scaled back to the size, mirrored, turned.

    Attributes:
        size: width and height in pixels before.
        crop: left, top, right and bottom of the part, in pixels before.
        mirrored: left to right.
        turns: quarter turns counterclockwise, 0 to 3.
    """

    size: tuple[int, int]
    crop: tuple[float, float, float, float]
    mirrored: bool = False
    turns: int = 0

    @property
    def new_size(self) -> tuple[int, int]:
        """Width and height in pixels afterwards."""
        width, height = self.size
        return (height, width) if self.turns % 2 else (width, height)

    @property
    def cropped(self) -> bool:
        """Whether a part is cut out."""
        return self.crop != (0, 0, *self.size)

    @property
    def moves_sides(self) -> bool:
        """Whether left, right, top or bottom are others afterwards."""
        return self.mirrored or self.turns % 4 != 0

    def image(self, image: Image.Image) -> Image.Image:
        """A picture of that size, changed."""
        from PIL.Image import Resampling, Transpose

        if self.cropped:
            image = image.resize(self.size, Resampling.BICUBIC, box=self.crop)
        if self.mirrored:
            image = image.transpose(Transpose.FLIP_LEFT_RIGHT)
        turn = {1: Transpose.ROTATE_90, 2: Transpose.ROTATE_180, 3: Transpose.ROTATE_270}.get(self.turns % 4)
        return image if turn is None else image.transpose(turn)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture lies afterwards, in pixels from its upper left corner; perhaps outside."""
        width, height = self.size
        left, top, right, bottom = self.crop
        x, y = (x - left) * width / (right - left), (y - top) * height / (bottom - top)
        if self.mirrored:
            x = width - x
        for _ in range(self.turns % 4):
            x, y, width, height = y, width - x, height, width
        return x, y

    def box(self, box: Sequence[float], least: float = LEAST_VISIBLE) -> tuple[float, float, float, float] | None:
        """A box afterwards, cut off at the edges: left, top, right, bottom in pixels.

        Args:
            box: likewise, before.
            least: the share of its area that has to be left.

        Returns:
            None where less is left.
        """
        (x, y), (other_x, other_y) = self.point(box[0], box[1]), self.point(box[2], box[3])
        left, right, top, bottom = min(x, other_x), max(x, other_x), min(y, other_y), max(y, other_y)
        width, height = self.new_size
        inside = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
        whole = (right - left) * (bottom - top)
        kept = max(inside[2] - inside[0], 0.0) * max(inside[3] - inside[1], 0.0)
        return inside if kept > 0 and kept >= least * whole else None


def bears_by_words(texts: Iterable[object], change: Change) -> bool:
    """Whether a truth in English words holds afterwards: not where sides moved and it names one (``left``, ``top``).

    ``right`` is taken for a side wherever it stands: a sample is then only left as it is.
    """
    return not (change.moves_sides and any(isinstance(text, str) and _SIDES.search(text) for text in texts))
