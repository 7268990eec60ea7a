"""Qwen2-VL: patches of the whole image, ``merge`` × ``merge`` of them one token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from paceline.gpu_memory.image_tokens import Seen, Size


def see(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    unit = image["patch"] * image["merge"]
    bound = processor.get("size") or {}
    least = int(processor.get("min_pixels") or bound.get("shortest_edge") or image["min_pixels"])
    most = int(processor.get("max_pixels") or bound.get("longest_edge") or image["max_pixels"])
    width, height = size or (_root(most), _root(most))
    # smart_resize of Qwen2VLImageProcessor.
    across, down = (max(1, round(edge / unit)) for edge in (width, height))
    if across * down * unit**2 > most:
        scale = math.sqrt(width * height / most)
        across, down = (max(1, math.floor(edge / scale / unit)) for edge in (width, height))
    elif across * down * unit**2 < least:
        scale = math.sqrt(least / (width * height))
        across, down = (math.ceil(edge * scale / unit) for edge in (width, height))
    tokens = across * down if size else most // unit**2
    patches = tokens * image["merge"] ** 2
    # Two marks stand around the image; a patch is two frames of three colours.
    return Seen(tokens + 2, patches, patches, pixels=patches * 6 * image["patch"] ** 2)


def _root(pixels: int) -> int:
    return math.isqrt(pixels)
