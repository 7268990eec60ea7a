"""One square of ``size`` pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paceline.gpu_memory.image_tokens import Seen, Size


def see(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    patches = (image["size"] // image["patch"]) ** 2 + 1
    return Seen(image["tokens"] or patches, patches, patches, image["states"], pixels=3 * image["size"] ** 2)
