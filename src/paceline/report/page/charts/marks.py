"""Boxes on images: of the truth and of the answer, in per cent of the image, so that they hold at every size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from paceline.tasks.panels import Mark

TRUTH, ANSWER = "#56B4E9", "#E69F00"
"""Okabe and Ito's sky blue and orange: distinguishable in every colour vision, and light enough for dark images."""
DASH = "6 4"
MOST_LABELS = 10
"""Of more boxes on one image the labels would hide it; they stay in the boxes' titles."""
EDGE = 7.0  # per cent of the height that a label needs


def boxes(marks: Sequence[Mark]) -> list[dict[str, Any]]:
    """Boxes cut to the image, those of the answer on top; a label stands above a true box, below an answered one."""
    drawn = []
    few = len(marks) <= MOST_LABELS
    for mark in sorted(marks, key=lambda m: not m.truth):
        ends = inside(mark)
        if ends is None:
            continue
        left, top, right, bottom = (round(100 * v, 2) for v in ends)
        whose = "truth" if mark.truth else "answer"
        drawn.append(
            {
                "x": left,
                "y": top,
                "width": round(right - left, 2),
                "height": round(bottom - top, 2),
                "colour": TRUTH if mark.truth else ANSWER,
                "dash": "" if mark.truth else DASH,
                "told": f"{whose}: {mark.label}" if mark.label else whose,
                "label": _label(mark, left, top, right, bottom) if few and mark.label else None,
            }
        )
    return drawn


def inside(mark: Mark) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom, cut to the image; None where nothing of the box is on it."""
    edges = (mark.left, mark.top, mark.right, mark.bottom)
    if not all(map(math.isfinite, edges)):
        return None
    left, top, right, bottom = (min(max(float(v), 0.0), 1.0) for v in edges)
    return (left, top, right, bottom) if right > left and bottom > top else None


def _label(mark: Mark, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    # At the image's edge the label goes inside the box.
    if mark.truth:
        y, below = top, top < EDGE
    else:
        y, below = bottom, bottom <= 100 - EDGE
    end = (left + right) / 2 > 60
    return {"text": mark.label, "x": right if end else left, "y": y, "dy": 14 if below else -5, "end": end}
