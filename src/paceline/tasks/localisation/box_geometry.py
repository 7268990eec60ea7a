"""Boxes as plain numbers: left, top, right and bottom in pixels of the upright picture, from its upper left corner."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]
DECIMALS = 2
"""Of a box that is kept."""
SMALL, MEDIUM = 32**2, 96**2
"""Areas in pixels up to which an object is small or medium, as COCO has them; such an area belongs to the larger."""
SIZES = ("small", "medium", "large")


def area(box: Sequence[float]) -> float:
    """Pixels that a box covers."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def shared(a: Sequence[float], b: Sequence[float]) -> float:
    """Pixels that two boxes share."""
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union, from 0 to 1; 0 where both have no area."""
    common = shared(a, b)
    union = area(a) + area(b) - common
    return common / union if union > 0 else 0.0


def size_of(box: Sequence[float]) -> str:
    """Small, medium or large."""
    covered = area(box)
    return SIZES[0] if covered < SMALL else SIZES[1] if covered < MEDIUM else SIZES[2]


def rounded(box: Sequence[float]) -> list[float]:
    """A box as it is kept; whole numbers stay so in JSON."""
    return [int(v) if float(v).is_integer() else round(float(v), DECIMALS) for v in box]


def matched(answered: Sequence[Sequence[float]], true: Sequence[Sequence[float]]) -> list[tuple[int, int, float]]:
    """Pairs of answered and true boxes, each box once, whose IoUs have the largest sum; those that touch alone.

    Returns:
        Place of the answered box, place of the true one, and their IoU, above 0.
    """
    if len(answered) == len(true) == 1:
        pairs = [(0, 0)]
    else:
        import numpy as np
        from scipy.optimize import linear_sum_assignment

        table = np.array([[iou(a, t) for t in true] for a in answered]).reshape(len(answered), len(true))
        pairs = list(zip(*(places.tolist() for places in linear_sum_assignment(table, maximize=True)), strict=True))
    found = [(i, j, iou(answered[i], true[j])) for i, j in pairs]
    return [one for one in found if one[2] > 0]
