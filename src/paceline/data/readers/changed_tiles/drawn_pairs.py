"""Two pictures of one crop of a tile, with drawn roofs that come, go or break between them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

    from paceline.data.readers.changed_tiles import Options

CLASSES = ("built", "removed", "damaged")
TRIES = 40  # of a place for a roof
CROPS, MOST_BLACK = 10, 0.02
APART = 3  # pixels between two roofs
ROOFS = ((168, 84, 66), (150, 150, 148), (96, 92, 90), (196, 188, 176), (120, 70, 58), (214, 214, 210))
"""Colours of tiles, slate, metal and flat roofs, as red, green and blue."""
Box = tuple[int, int, int, int]


class Pair:
    """Two pictures of one crop.

    Args:
        tile: uint8 (height, width, 3).
        options: of the reader.
        name: of the pair; with the seed it decides all that is drawn.
    """

    def __init__(self, tile: np.ndarray, options: Options, name: str) -> None:
        digest = hashlib.sha256(f"{options.seed}:{name}".encode()).digest()
        # The streams of this generator are the same in every version.
        self._random = np.random.RandomState(int.from_bytes(digest[:4], "big"))
        self._side, self._margin = options.pixels, options.shift
        self.counts = dict.fromkeys(CLASSES, 0)
        self.places: list[dict[str, Any]] = []
        whole = self._side + 2 * self._margin
        ground = self._ground(tile, whole)
        before, after = ground, ground.copy()
        changed = self._random.random_sample() >= options.unchanged
        wanted = {name: int(self._random.randint(0, options.most + 1)) if changed else 0 for name in CLASSES}
        if changed and not any(wanted.values()):
            wanted[CLASSES[int(self._random.randint(len(CLASSES)))]] = 1
        order = [name for name, count in wanted.items() for _ in range(count)]
        order += ["same"] * int(self._random.randint(0, options.most + 1))
        dx, dy = (int(self._random.randint(-self._margin, self._margin + 1)) for _ in range(2))
        taken: list[Box] = []
        for what in order:
            box = self._place(taken)
            if box is None:
                continue  # a crop that is full has fewer; what is counted is what is drawn
            taken.append(box)
            self._draw(before, after, box, what)
            if what in self.counts:
                self.counts[what] += 1
                self.places.append(self._placed(box, what, dx, dy))
        self.before = self._shown(before, 0, 0)
        self.after = self._shown(after, dx, dy)

    def _ground(self, tile: np.ndarray, side: int) -> np.ndarray:
        """A crop of the tile, float64 (side, side, 3): of some the first with few black pixels, which have no data."""
        for _ in range(CROPS):
            top, left = (int(self._random.randint(0, size - side + 1)) for size in tile.shape[:2])
            ground = tile[top : top + side, left : left + side]
            if (ground.max(axis=2) == 0).mean() <= MOST_BLACK:
                break
        return ground.astype(np.float64)

    def _place(self, taken: Sequence[Box]) -> Box | None:
        """Where a roof fits that touches no other, in pixels of the ground; None where it finds no room."""
        low, high = max(8, self._side // 12), max(12, self._side // 6)
        edge = 2 * self._margin + 1
        for _ in range(TRIES):
            width, height = (int(self._random.randint(low, high + 1)) for _ in range(2))
            left = int(self._random.randint(edge, self._side + 2 * self._margin - edge - width))
            top = int(self._random.randint(edge, self._side + 2 * self._margin - edge - height))
            box = (left, top, left + width, top + height)
            if all(_apart(box, other) for other in taken):
                return box
        return None

    def _draw(self, before: np.ndarray, after: np.ndarray, box: Box, name: str) -> None:
        left, top, right, bottom = box
        height, width = bottom - top, right - left
        roof = self._roof(height, width)
        spot = (slice(top, bottom), slice(left, right))
        if name != "built":
            before[spot] = _over(before[spot], roof)
        if name == "damaged":
            after[spot] = self._broken(_over(after[spot], roof), after[spot])
        elif name != "removed":
            after[spot] = _over(after[spot], roof)

    def _roof(self, height: int, width: int) -> np.ndarray:
        """A roof's pixels, float64 (height, width, 3); NaN where the ground shows."""
        colour = np.array(ROOFS[int(self._random.randint(len(ROOFS)))], dtype=np.float64)
        colour = colour * (0.85 + 0.3 * self._random.random_sample())
        pixels = np.full((height, width, 3), np.nan)
        pixels[2:, 2:] = 30.0  # the shadow, to the south-east
        body = pixels[: height - 2, : width - 2]
        body[:] = colour
        lit, along = 0.82 + 0.1 * self._random.random_sample(), bool(self._random.randint(2))
        if along:
            body[body.shape[0] // 2 :] *= lit
            body[body.shape[0] // 2] *= 0.7
        else:
            body[:, body.shape[1] // 2 :] *= lit
            body[:, body.shape[1] // 2] *= 0.7
        return pixels

    def _broken(self, roof: np.ndarray, ground: np.ndarray) -> np.ndarray:
        """A roof of which two fifths to four fifths lie in rubble: dark holes, bright pieces, and bare ground."""
        height, width, _ = roof.shape
        coarse = self._random.random_sample(((height + 2) // 3, (width + 2) // 3))
        spread = np.repeat(np.repeat(coarse, 3, axis=0), 3, axis=1)[:height, :width]
        upto = 0.4 + 0.4 * self._random.random_sample()
        kinds = self._random.random_sample((height, width))
        broken = spread < upto
        damaged = roof.copy()
        damaged[broken & (kinds < 0.45)] = 25.0
        damaged[broken & (kinds >= 0.45) & (kinds < 0.75)] = 175.0
        bare = broken & (kinds >= 0.75)
        damaged[bare] = ground[bare]
        return damaged

    def _shown(self, ground: np.ndarray, dx: int, dy: int) -> Image.Image:
        """What is seen of the ground, with a light and a noise of its own."""
        from PIL import Image

        top, left = self._margin + dy, self._margin + dx
        seen = ground[top : top + self._side, left : left + self._side]
        contrast, light = 0.85 + 0.3 * self._random.random_sample(), 24 * self._random.random_sample() - 12
        noise = self._random.randint(-4, 5, seen.shape)
        pixels = np.clip(np.rint((seen - 128) * contrast + 128 + light + noise), 0, 255)
        return Image.fromarray(pixels.astype(np.uint8))

    def _placed(self, box: Box, name: str, dx: int, dy: int) -> dict[str, Any]:
        """A roof's box in shares of the picture on which it is a change: before, where it was removed."""
        right, down = (self._margin, self._margin) if name == "removed" else (self._margin + dx, self._margin + dy)
        left, top, end, bottom = box
        shares = [(left - right) / self._side, (top - down) / self._side]
        shares += [(end - right) / self._side, (bottom - down) / self._side]
        at = "before" if name == "removed" else "after"
        return {"class": name, "at": at, "box": [round(share, 4) for share in shares]}


def _apart(box: Box, other: Box) -> bool:
    left, top, right, bottom = box
    return (
        left >= other[2] + APART or right + APART <= other[0] or top >= other[3] + APART or bottom + APART <= other[1]
    )


def _over(ground: np.ndarray, roof: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(roof), ground, roof)
