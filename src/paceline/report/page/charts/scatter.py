"""Two numbers against each other, a point per sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from paceline.counted import counted
from paceline.report import wording
from paceline.report.page.charts import style
from paceline.tasks.panels import CellScatter, Measure, Scatter

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 520, 64, 18, 12, 46
HEIGHT = WIDTH - LEFT - RIGHT + TOP + BOTTOM  # the frame is a square
MOST_LINKED = 200  # points of a cell with a text and a link of their own
BUDGET = 60_000  # points in one panel
FEWEST = 200


def charts(panel: Scatter) -> list[dict[str, Any]]:
    """A chart for each cell with a point, all on one scale, so that cells can be compared."""
    known = [(cell, np.flatnonzero(np.isfinite(cell.x) & np.isfinite(cell.y))) for cell in panel.cells]
    shown = [(cell, at) for cell, at in known if at.size]
    if not shown:
        return []
    xs = np.concatenate([cell.x[at] for cell, at in shown])
    ys = np.concatenate([cell.y[at] for cell, at in shown])
    across, upward = (LEFT, WIDTH - RIGHT), (HEIGHT - BOTTOM, TOP)
    if panel.diagonal:
        both, log = np.concatenate([xs, ys]), panel.x.log and panel.y.log
        scales = _scale(both, panel.x, log, *across), _scale(both, panel.y, log, *upward)
    else:
        scales = _scale(xs, panel.x, panel.x.log, *across), _scale(ys, panel.y, panel.y.log, *upward)
    most = max(FEWEST, BUDGET // len(shown))
    return [_chart(panel, cell, at, scales, most) for cell, at in shown]


def _scale(values: np.ndarray, measure: Measure, log: bool, start: float, end: float) -> style.Scale:
    """Logarithmic over the positive values; linear from 0, or from below the least value where 0 is far off."""
    if log and (values > 0).any():
        return style.log_scale([float(v) for v in values[values > 0]], start, end)
    low, high = float(values.min()), float(values.max())
    if 0 < (high - low) < low:
        step = style.round_step((high - low) / 5)
        return style.Scale(step * math.floor(low / step), step * math.ceil(high / step), False, start, end)
    return style.scale([low, high], measure.unit, start, end)


def _chart(
    panel: Scatter, cell: CellScatter, at: np.ndarray, scales: tuple[style.Scale, style.Scale], most: int
) -> dict[str, Any]:
    x, y = scales
    kept = at if len(at) <= most else at[np.linspace(0, len(at) - 1, most).astype(int)]
    linked = _linked(panel, cell, kept)
    named = set(linked)
    dots = "".join(f"M{x(cell.x[i]):g} {y(cell.y[i]):g}h0" for i in kept if i not in named)
    return {
        "id": cell.id,
        "name": cell.name,
        "width": WIDTH,
        "height": HEIGHT,
        "frame": (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP),
        "x": x.ticks(panel.x.unit),
        "y": [{"y": t["x"], "text": t["text"]} for t in y.ticks(panel.y.unit)],
        "dots": dots,
        "points": [
            {"x": x(cell.x[i]), "y": y(cell.y[i]), "sample": cell.samples[i], "told": _title(panel, cell, int(i))}
            for i in linked
        ],
        "diagonal": [x(x.low), y(y.low), x(x.high), y(y.high)] if panel.diagonal else None,
        "told": _counted(panel, cell, at, len(kept), scales),
    }


def _linked(panel: Scatter, cell: CellScatter, kept: np.ndarray) -> Sequence[int]:
    """The points that lead to their sample: all of a few; of many those farthest from the diagonal, or some evenly."""
    if len(kept) <= MOST_LINKED:
        return [int(i) for i in kept]
    if panel.diagonal:
        off = np.abs(cell.x[kept] - cell.y[kept])
        return [int(i) for i in kept[np.argsort(-off, kind="stable")[:MOST_LINKED]]]
    return [int(i) for i in kept[np.linspace(0, len(kept) - 1, MOST_LINKED).astype(int)]]


def _title(panel: Scatter, cell: CellScatter, i: int) -> str:
    x = f"{wording.number(float(cell.x[i]), panel.x.unit)} {wording.unit_name(panel.x.unit)}".rstrip()
    y = f"{wording.number(float(cell.y[i]), panel.y.unit)} {wording.unit_name(panel.y.unit)}".rstrip()
    return f"{cell.samples[i]}: {panel.x.axis} {x}; {panel.y.axis} {y}"


def _counted(
    panel: Scatter, cell: CellScatter, at: np.ndarray, drawn: int, scales: tuple[style.Scale, style.Scale]
) -> str:
    """How many points there are, and what became of those that can't be drawn as they are."""
    parts = [f"{len(at):,} of {counted(len(cell.x), 'sample')} have both numbers"]
    if drawn < len(at):
        parts.append(f"{drawn:,} of them are drawn, spread evenly over the data's order")
    edge = np.zeros(len(at), dtype=bool)
    for values, scale in zip((cell.x[at], cell.y[at]), scales, strict=True):
        edge |= (values <= 0) if scale.log else False
    if edge.any():
        parts.append(f"{int(edge.sum()):,} of 0 or less stand at the edge of a logarithmic axis")
    if len(at) > MOST_LINKED:
        which = "farthest from the line" if panel.diagonal else "spread evenly"
        parts.append(f"{MOST_LINKED} lead to their sample, those {which}")
    return "; ".join(parts) + "."
