"""Gemma 3 and PaliGemma: one square of ``size`` pixels, ``tokens`` tokens; with pan and scan, crops behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from paceline.gpu_memory.image_tokens import Seen, Size


def see(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    squares = 1 + _crops(image, processor, size)
    patches = (image["size"] // image["patch"]) ** 2
    # Words stand between the whole and its crops.
    words = 32 if squares > 1 else 0
    return Seen(squares * image["tokens"] + words, squares * patches, patches, pixels=squares * 3 * image["size"] ** 2)


def describe(image: Mapping[str, Any], processor: Mapping[str, Any]) -> str:
    """Such as ``at most 4 crops``."""
    crops = _crops(image, processor, None)
    return f"at most {crops} crops" if crops else ""


def _crops(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> int:
    """As pan_and_scan_batched of Gemma3ImageProcessor, with the defaults of its processor."""
    if not processor.get("do_pan_and_scan"):
        return 0
    most = int(processor.get("pan_and_scan_max_num_crops") or image["crops"])
    if size is None:
        return most
    least = int(processor.get("pan_and_scan_min_crop_size") or 256)
    long, short = max(size), min(size)
    if long / short < float(processor.get("pan_and_scan_min_ratio_to_activate") or 1.2):
        return 0
    crops = min(most, max(2, min(long // least, math.floor(long / short + 0.5))))
    return crops if min(math.ceil(long / crops), short) >= least else 0
