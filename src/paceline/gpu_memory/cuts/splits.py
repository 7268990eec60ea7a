"""Idefics3 and SmolVLM: tiles of ``size`` pixels and a view of the whole, each ``tokens`` tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from paceline.gpu_memory.image_tokens import Seen, Size

# Absolute bound of the processors on an edge after scaling.
_LARGEST = 4096


def see(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    down, across = _tiles(image, processor, size)
    tiles = down * across + 1
    patches = (image["size"] // image["patch"]) ** 2
    # A mark and its place stand before each tile and a line break behind each row of them; the whole stands between
    # two marks, behind its own name and a break.
    breaks = down + 1 if down else 0
    tokens = tiles * (image["tokens"] + 2) + 1 + breaks
    return Seen(tokens, tiles * patches, patches, pixels=tiles * 3 * image["size"] ** 2)


def describe(image: Mapping[str, Any], processor: Mapping[str, Any]) -> str:
    """Such as ``at most 17 tiles``."""
    down, across = _tiles(image, processor, None)
    return f"at most {down * across + 1} tiles" if down else "1 tile"


def _tiles(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> tuple[int, int]:
    """Tiles down and across; none where the whole alone is shown."""
    if processor.get("do_image_splitting") is False:
        return 0, 0
    edge = image["size"]
    bound = processor.get("size") or {}
    longest = int(bound.get("longest_edge") or image["longest"])
    if "height" in bound and "width" in bound:
        width, height = int(bound["width"]), int(bound["height"])
    elif processor.get("do_resize") is False:
        width, height = size or (longest, longest)
    else:
        width, height = _scaled(size or (longest, longest), longest)
    # resize_for_vision_encoder of Idefics3ImageProcessor: the longer edge first, then the other by the same ratio.
    ratio = width / height
    if width >= height:
        width = math.ceil(width / edge) * edge
        height = int(width / ratio)
    else:
        height = math.ceil(height / edge) * edge
        width = int(height * ratio)
    down, across = math.ceil(height / edge), math.ceil(width / edge)
    return (down, across) if max(down, across) > 1 else (0, 0)


def _scaled(size: Size, longest: int) -> Size:
    """Width and height after scaling up or down to the longest edge, the other made even."""
    width, height = size
    ratio = width / height
    if width >= height:
        width, height = longest, max(1, _even(int(longest / ratio)))
    else:
        width, height = max(1, _even(int(longest * ratio))), longest
    if max(width, height) > _LARGEST:
        ratio = width / height
        if width >= height:
            return _LARGEST, max(1, int(_LARGEST / ratio))
        return max(1, int(_LARGEST * ratio)), _LARGEST
    return width, height


def _even(n: int) -> int:
    return n + n % 2
