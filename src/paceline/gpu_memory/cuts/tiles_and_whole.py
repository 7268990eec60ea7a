"""InternVL: up to ``tiles`` squares of ``size`` pixels, and where they are several one more of the whole.

``merge`` × ``merge`` patches are one token. Two marks stand around the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paceline.gpu_memory.image_tokens import Seen, Size


def see(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    least, most = _bounds(image, processor)
    tiles = _tiles(size, image["size"], least, most) if size else most
    squares = tiles + (tiles > 1)
    line = image["size"] // image["patch"]
    sequence = line**2 + 1
    tokens = squares * (line // image["merge"]) ** 2 + 2
    return Seen(tokens, squares * sequence, sequence, pixels=squares * 3 * image["size"] ** 2)


def describe(image: Mapping[str, Any], processor: Mapping[str, Any]) -> str:
    """Such as ``at most 12 tiles``."""
    most = _bounds(image, processor)[1]
    return f"at most {most} tiles" if most > 1 else "1 tile"


def _bounds(image: Mapping[str, Any], processor: Mapping[str, Any]) -> tuple[int, int]:
    if not processor.get("crop_to_patches", True):
        return 1, 1
    return int(processor.get("min_patches") or 1), int(processor.get("max_patches") or image["tiles"])


def _tiles(size: Size, edge: int, least: int, most: int) -> int:
    """Tiles of the grid whose shape is nearest; of two as near, the larger one for a picture of more than half its
    area (get_optimal_tiled_canvas of GotOcr2ImageProcessor).
    """
    width, height = size
    grids = [(a, d) for a in range(1, most + 1) for d in range(1, most + 1) if least <= a * d <= most]
    best, nearest = (1, 1), float("inf")
    for across, down in sorted(grids, key=lambda grid: grid[0] * grid[1]):
        apart = abs(width / height - across / down)
        if apart < nearest or (apart == nearest and width * height > 0.5 * edge**2 * across * down):
            best, nearest = (across, down), apart
    return best[0] * best[1]
