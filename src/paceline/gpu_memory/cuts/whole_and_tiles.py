"""LLaVA-OneVision: the whole as a square of ``size`` pixels, then squares of one of ``grids`` (down, across).

A grid's tokens lie on the picture alone, and each row has an end. More than ``most`` squares of tokens are scaled down.
Counted as for a picture alone in its conversation; beside others it is one square.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from paceline.gpu_memory.image_tokens import Seen, Size


def see(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    line = image["size"] // image["patch"]
    grids = [(int(down), int(across)) for down, across in image["grids"]]
    if size:
        grids = [_nearest(size, grids, image["size"])]
    shown = [_unpadded(size, g, line) for g in grids] if size else [cut for g in grids for cut in _cuts(g, line)]
    tokens = max(_tokens(rows, columns, image["most"] * line**2) for rows, columns in shown)
    squares = max(down * across for down, across in grids) + 1
    patches = line**2
    return Seen(patches + tokens, squares * patches, patches, pixels=squares * 3 * image["size"] ** 2)


def describe(image: Mapping[str, Any], processor: Mapping[str, Any]) -> str:
    """Such as ``at most 36 tiles``."""
    return f"at most {max(down * across for down, across in image['grids'])} tiles"


def _nearest(size: Size, grids: list[Size], edge: int) -> Size:
    """The grid that keeps most of a picture's pixels, and of those the one with least to spare (as
    select_best_resolution).
    """
    width, height = size

    def kept(grid: Size) -> tuple[int, int]:
        down, across = grid[0] * edge, grid[1] * edge
        scale = min(across / width, down / height)
        drawn = min(int(width * scale) * int(height * scale), width * height)
        return drawn, drawn - down * across

    return max(grids, key=kept)


def _unpadded(size: Size, grid: Size, line: int) -> Size:
    """Rows and columns of a grid's tokens that lie on a picture (_get_unpadded_features of LlavaOnevisionProcessor)."""
    (width, height), (rows, columns) = size, (grid[0] * line, grid[1] * line)
    if width / height > columns / rows:
        return rows - (rows - int(round(height * (columns / width), 7))) // 2 * 2, columns
    return rows, columns - (columns - int(round(width * (rows / height), 7))) // 2 * 2


def _cuts(grid: Size, line: int) -> Iterator[Size]:
    """All that can lie on pictures of some shape."""
    rows, columns = grid[0] * line, grid[1] * line
    yield from ((less, columns) for less in range(rows, 0, -2))
    yield from ((rows, less) for less in range(columns, 0, -2))


def _tokens(rows: int, columns: int, most: int) -> int:
    """Tokens and ends of rows, scaled down where they are more than about ``most``."""
    ratio = math.sqrt(rows * columns / most)
    if ratio > 1.1:
        rows, columns = int(rows // ratio), int(columns // ratio)
    return rows * columns + rows
