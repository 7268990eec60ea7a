"""How many tokens an image becomes, by the way in which a family's processor cuts it.

Formulas of the published processors, held to them by ``tests/models/gpu_memory/test_shapes.py``. A shape's ``image``
names the kind:

``tiles``   Mllama: up to ``tiles`` squares of ``size`` pixels; the tower always runs on all of them, padding included.
``grid``    Qwen2-VL: patches of the whole image, ``merge`` × ``merge`` of them one token.
``rows``    Pixtral: patches of the whole image, one token each and one more per row.
``crops``   Phi-3.5: up to ``crops`` squares of ``size`` pixels and one of the whole.
``whole``   one square of ``size`` pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Seen:
    """What one image is to a model.

    Attributes:
        tokens: places in the language model's sequence.
        patches: tokens that the vision tower reads, in all its tiles or crops.
        sequence: how many of them attend to each other.
        states: vectors that cross-attention layers look at; 0 where the image stands in the sequence.
        masked: whether the tower's attention has a mask.
        packed: whether the images of a batch are one sequence to the tower.
        pixels: numbers in ``pixel_values``.
    """

    tokens: int = 0
    patches: int = 0
    sequence: int = 0
    states: int = 0
    masked: bool = False
    packed: bool = False
    pixels: int = 0


def see(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    """What an image of some size is to a model.

    Args:
        image: a shape's ``image``.
        processor: ``model.processor`` of the model's file, which may bound pixels, tiles or crops.
        size: of the picture; None: the one that costs most, which the processor still makes.
    """
    return _KINDS[image["kind"]](image, processor, size) if image else Seen()


def tiles_of(image: Mapping[str, Any], processor: Mapping[str, Any]) -> int:
    """Squares that an image is cut into at most; 1 for the families that don't cut."""
    named = {"tiles": "max_image_tiles", "crops": "num_crops"}.get(image.get("kind", ""), "")
    return int(processor.get(named) or image.get(image.get("kind", ""), 1)) if named else 1


def cut(image: Mapping[str, Any], processor: Mapping[str, Any]) -> str:
    """Into what an image is cut, for messages; empty for the families that don't cut."""
    many = tiles_of(image, processor)
    return {"tiles": f"{many} tile{'s' if many > 1 else ''}", "crops": f"at most {many} crops"}.get(
        image.get("kind", ""), ""
    )


def _tiles(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    tiles = tiles_of(image, processor)
    patches = (image["size"] // image["patch"]) ** 2 + 1
    padded = math.ceil(patches / 8) * 8  # MllamaVisionModel.forward pads each tile's sequence to a multiple of 8
    pixels = tiles * 3 * image["size"] ** 2
    return Seen(1, tiles * padded, tiles * padded, tiles * patches, masked=True, pixels=pixels)


def _grid(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
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


def _rows(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
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
    """Whether a family's processor can take a picture of that size; ``see`` has the arguments."""
    return image.get("kind") != "rows" or min(_row_size(image, processor, size)) > 0


def narrowest(image: Mapping[str, Any], processor: Mapping[str, Any]) -> int | None:
    """The longest edge to which a family scales, where that can make a narrow picture's shorter side nothing; else
    None. Pictures of more than 1 : 200 are never prepared.
    """
    longest = max(_row_size(image, processor, None)) if image.get("kind") == "rows" else None
    return longest if longest is not None and longest < 200 else None


def _crops(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    edge = image["size"] // image["patch"]
    most = tiles_of(image, processor)
    grids = [(d, a) for d in range(1, most + 1) for a in range(1, most // d + 1)]
    line = edge // image["merge"]

    def tokens(grid: Size) -> int:
        # token_count of paceline.models.families.phi35_vision.modeling.
        return (grid[0] * grid[1] + 1) * line**2 + 1 + (grid[0] + 1) * line

    grid = _cut(size, most) if size else max(grids, key=tokens)
    crops = grid[0] * grid[1] + 1
    return Seen(tokens(grid), crops * (edge**2 + 1), edge**2 + 1, pixels=crops * 3 * image["size"] ** 2)


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


def _whole(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size | None) -> Seen:
    patches = (image["size"] // image["patch"]) ** 2 + 1
    return Seen(image["tokens"] or patches, patches, patches, image["states"], pixels=3 * image["size"] ** 2)


_KINDS = {"tiles": _tiles, "grid": _grid, "rows": _rows, "crops": _crops, "whole": _whole}
