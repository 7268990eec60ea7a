"""Lines on the world map, from the truth to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from paceline.tasks.panels import Points

MOST_LINES = 150  # answers on a map
BUDGET = 24_000  # answers in the whole page
FEWEST_LINES = 30


def views(panels: Sequence[tuple[str, Points]]) -> tuple[list[dict[str, Any]], int]:
    """Truth and answer of every cell of some panels, and the number of cells left out.

    Each line is ``[north, east, north, east, error]`` from truth to answer, in degrees and the panel's unit. Of many,
    some are kept, spread evenly over the data's order.

    Args:
        panels: the title of a test set, and its panel.
    """
    shown = [(title, panel, cell) for title, panel in panels for cell in panel.cells]
    kept = shown[: BUDGET // FEWEST_LINES]
    most = max(FEWEST_LINES, min(MOST_LINES, BUDGET // max(1, len(kept))))
    drawn = []
    for title, panel, cell in kept:
        read = np.flatnonzero(np.isfinite(cell.error) & np.isfinite(cell.answer).all(axis=1))
        picked = read if len(read) <= most else read[np.linspace(0, len(read) - 1, most).astype(int)]
        lines = [
            [*(round(float(v), 2) for v in (*cell.truth[i], *cell.answer[i])), round(float(cell.error[i]), 1)]
            for i in picked
        ]
        view = {"group": title, "name": cell.name, "lines": lines, "n": len(cell.error), "read": len(read)}
        drawn.append({**view, "best": cell.best, "unit": panel.unit, "unread": panel.unread})
    return drawn, len(shown) - len(kept)
