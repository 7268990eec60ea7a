"""Mllama: up to ``tiles`` squares of ``size`` pixels; the tower always runs on all of them, padding included."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from paceline.gpu_memory.image_tokens import Seen, Size


def see(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    tiles = _most(image, processor)
    patches = (image["size"] // image["patch"]) ** 2 + 1
    padded = math.ceil(patches / 8) * 8  # MllamaVisionModel.forward pads each tile's sequence to a multiple of 8
    pixels = tiles * 3 * image["size"] ** 2
    return Seen(1, tiles * padded, tiles * padded, tiles * patches, masked=True, pixels=pixels)


def describe(image: Mapping[str, Any], processor: Mapping[str, Any]) -> str:
    """Such as ``4 tiles``."""
    tiles = _most(image, processor)
    return f"{tiles} tile{'s' if tiles > 1 else ''}"


def _most(image: Mapping[str, Any], processor: Mapping[str, Any]) -> int:
    return int(processor.get("max_image_tiles") or image["tiles"])
