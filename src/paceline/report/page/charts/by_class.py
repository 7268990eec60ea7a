"""Figures by class: two measures side by side, one line a class."""

from __future__ import annotations

from typing import Any

from paceline.report import wording
from paceline.report.page.charts import style
from paceline.tasks.panels import CellClasses, Measure, PerClass

LABELS, COUNT, GAP, RIGHT = 225, 60, 44, 14
TOP, ROW, HEAD, BOTTOM = 26, 19, 8, 44


def charts(panel: PerClass) -> list[dict[str, Any]]:
    """A chart for each cell of the panel."""
    return [_chart(panel, cell) for cell in panel.cells]


def _chart(panel: PerClass, cell: CellClasses) -> dict[str, Any]:
    """Panels that share their lines, one a measure."""
    n = len(panel.measures)
    width = (style.WIDTH - LABELS - COUNT - GAP * (n - 1) - RIGHT) / n
    ends = [(LABELS + COUNT + k * (width + GAP), LABELS + COUNT + k * (width + GAP) + width) for k in range(n)]
    scales = [_scale(cell, k, measure, ends[k]) for k, measure in enumerate(panel.measures)]
    y, lines = TOP, list[dict[str, Any]]()
    for one in cell.classes:
        y += HEAD if not one.part and lines else 0
        lines.append({"y": y + ROW / 2, "name": one.name, "whole": not one.part, "n": f"{one.n:,}", "marks": []})
        for scale, interval, measure in zip(scales, one.figures, panel.measures, strict=True):
            if interval.value is not None:
                low, high = (end if end is not None else interval.value for end in (interval.low, interval.high))
                shown = f"{wording.with_interval_of(interval, measure.unit)} {wording.unit_name(measure.unit)}"
                place = {"x": scale(interval.value), "low": scale(low), "high": scale(high)}
                lines[-1]["marks"].append({**place, "told": f"{one.name}: {shown}, n = {interval.n:,}"})
        y += ROW
    return {
        "name": cell.name,
        "width": style.WIDTH,
        "labels": LABELS + 8,
        "height": y + BOTTOM,
        "bottom": y + 4,
        "top": TOP - 6,
        "count": LABELS + COUNT - 16,
        "lines": lines,
        "panels": [
            {"ends": place, "ticks": scale.ticks(measure.unit), "axis": measure.axis}
            for place, scale, measure in zip(ends, scales, panel.measures, strict=True)
        ],
    }


def _scale(cell: CellClasses, k: int, measure: Measure, ends: tuple[float, float]) -> style.Scale:
    figures = [one.figures[k] for one in cell.classes]
    if measure.log:
        values = [v for f in figures for v in (f.value, f.low, f.high) if v]
        return style.log_scale(values or [100.0, 10_000.0], *ends)
    return style.scale([v for f in figures for v in (f.value, f.high) if v is not None] or [1.0], measure.unit, *ends)
