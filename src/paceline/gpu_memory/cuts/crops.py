"""Phi-3.5: up to ``crops`` squares of ``size`` pixels and one of the whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from paceline.gpu_memory.image_tokens import Seen, Size


def see(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    edge = image["size"] // image["patch"]
    most = _most(image, processor)
    grids = [(d, a) for d in range(1, most + 1) for a in range(1, most // d + 1)]
    line = edge // image["merge"]

    def tokens(grid: Size) -> int:
        # token_count of paceline.models.families.phi35_vision.modeling.
        return (grid[0] * grid[1] + 1) * line**2 + 1 + (grid[0] + 1) * line

    grid = _cut(size, most) if size else max(grids, key=tokens)
    crops = grid[0] * grid[1] + 1
    return Seen(tokens(grid), crops * (edge**2 + 1), edge**2 + 1, pixels=crops * 3 * image["size"] ** 2)


def describe(image: Mapping[str, Any], processor: Mapping[str, Any]) -> str:
    """Such as ``at most 16 crops``."""
    return f"at most {_most(image, processor)} crops"


def _most(image: Mapping[str, Any], processor: Mapping[str, Any]) -> int:
    return int(processor.get("num_crops") or image["crops"])


def _cut(size: Size, most: int) -> Size:
    """Crops down and across, as ``Phi3VImageProcessor`` scales: as many columns as fit with the rows of the shape."""
    long, short = max(size), min(size)
    ratio = long / short
    across = 1
    while (across + 1) * math.ceil((across + 1) / ratio) <= most:
        across += 1
    # Filled up to whole crops: in pixels of a crop's edge, as the processor rounds them.
    down = math.ceil(across / ratio)
    return (across, down) if size[0] < size[1] else (down, across)
