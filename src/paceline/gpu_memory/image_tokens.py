"""How many tokens an image becomes, by the way in which a family's processor cuts it.

Formulas of the published processors, held to them by ``tests/models/gpu_memory/test_shapes.py``. A shape's ``image``
names the way by its ``kind``, a module of :mod:`paceline.gpu_memory.cuts`.
"""

from __future__ import annotations

import importlib
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
    return _way(image).see(image, processor, size) if image else Seen()


def cut(image: Mapping[str, Any], processor: Mapping[str, Any]) -> str:
    """Into what an image is cut, for messages; empty for the families that don't cut."""
    describe = getattr(_way(image), "describe", None) if image else None
    return str(describe(image, processor)) if describe else ""


def takes(image: Mapping[str, Any], processor: Mapping[str, Any], size: Size) -> bool:
    """Whether a family's processor can take a picture of that size; ``see`` has the arguments."""
    takes_it = getattr(_way(image), "takes", None) if image else None
    return bool(takes_it(image, processor, size)) if takes_it else True


def narrowest(image: Mapping[str, Any], processor: Mapping[str, Any]) -> int | None:
    """The longest edge to which a family scales, where that can make a narrow picture's shorter side nothing; else
    None. Pictures of more than 1 : 200 are never prepared.
    """
    bound = getattr(_way(image), "narrowest", None) if image else None
    return bound(image, processor) if bound else None


def _way(image: Mapping[str, Any]) -> Any:
    """The module of the way in which images are cut."""
    return importlib.import_module(f"paceline.gpu_memory.cuts.{image['kind']}")
