"""Pixtral: patches of the whole image, one token each and one more per row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from paceline.gpu_memory.image_tokens import Seen, Size


def see(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    patch = image["patch"]
    width, height = _row_size(image, processor, size)
    across, down = math.ceil(width / patch), math.ceil(height / patch)
    patches = across * down
    return Seen(down * (across + 1), patches, patches, masked=True, packed=True, pixels=3 * patches * patch**2)


def _row_size(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Size:
    """Width and height after scaling, as get_resize_output_image_size of PixtralImageProcessor has them."""
    bound = processor.get("size") or {}
    longest = int(bound.get("longest_edge") or image["longest"])
    most = (
        (longest, longest) if "longest_edge" in bound else (bound.get("width", longest), bound.get("height", longest))
    )
    width, height = size or most
    ratio = max(width / most[0], height / most[1])
    return (math.floor(width / ratio), math.floor(height / ratio)) if ratio > 1 else (width, height)


def takes(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size) -> bool:
    """Not a picture so narrow that its shorter side would be scaled to nothing."""
    return min(_row_size(image, processor, size)) > 0


def narrowest(image: Mapping[str, Any], processor: Mapping[str, Any]) -> int | None:
    """The longest edge, where it is below 200: pictures of more than 1 : 200 are never prepared."""
    longest = max(_row_size(image, processor, None))
    return longest if longest < 200 else None
