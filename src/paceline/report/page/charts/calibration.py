"""Calibration diagrams: the share that was right, by stated confidence, with the number of answers below."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from paceline.report import wording
from paceline.report.page.charts import style
from paceline.tasks.panels import Calibration, CellCalibration

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BARS, BOTTOM = 310, 340, 46, 16, 10, 54, 26


def charts(panel: Calibration) -> list[dict[str, Any]]:
    """For each cell a row of diagrams, one a level."""
    rows = []
    for _, levels in groupby(panel.cells, key=lambda one: one.id):
        of_cell = list(levels)
        rows.append({"name": of_cell[0].name, "panels": [_panel(one) for one in of_cell]})
    return rows


def _panel(one: CellCalibration) -> dict[str, Any]:
    x = style.Scale(0.0, 1.0, False, LEFT, WIDTH - RIGHT)
    foot = HEIGHT - BOTTOM - BARS - 28
    y = style.Scale(0.0, 1.0, False, foot, TOP)
    most = max(b.right.n for b in one.bins)
    base = HEIGHT - BOTTOM
    marks = []
    for b in one.bins:
        title = f"stated {wording.number(b.low, 'share')} to {wording.number(b.high, 'share')} %, mean "
        title += f"{wording.number(b.confidence, 'share')} %: right {wording.with_interval_of(b.right, 'share')} %"
        title += f", n = {b.right.n:,}"
        low, high = b.right.low or 0.0, b.right.high or 0.0
        bar = {
            "left": x(b.low) + 1,
            "width": round(x(b.high) - x(b.low) - 2, 1),
            "height": round(BARS * b.right.n / most, 1),
        }
        place = {"x": x(b.confidence), "y": y(b.right.value or 0.0), "low": y(low), "high": y(high)}
        marks.append({**place, "bar": bar, "told": title, "n": b.right.n})
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    return {
        "level": one.level,
        "criterion": one.criterion,
        "n": one.n,
        "asked": one.asked,
        "confidence": wording.number(one.confidence, "share"),
        "right": wording.with_interval_of(one.right, "share"),
        "error": wording.number(one.error, "share"),
        "width": WIDTH,
        "height": HEIGHT,
        "frame": (LEFT, WIDTH - RIGHT, foot, TOP),
        "base": base,
        "most": f"{most:,}",
        "bars": BARS,
        "x": [{"x": x(v), "text": f"{100 * v:.0f}"} for v in shares],
        "y": [{"y": y(v), "text": f"{100 * v:.0f}"} for v in shares],
        "marks": marks,
    }
