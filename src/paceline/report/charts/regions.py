"""Error by region: the median distance and the share within a distance, one line a region."""

from __future__ import annotations

from typing import Any

from paceline.report import wording
from paceline.report.charts import style
from paceline.report.places import ByRegion
from paceline.report.results import Group

LABELS, COUNT, GAP, RIGHT = 225, 60, 44, 14
TOP, ROW, HEAD, BOTTOM = 26, 19, 8, 44


def chart(group: Group, found: ByRegion) -> dict[str, Any]:
    """Two panels that share their lines: km to the left, per cent to the right."""
    row = next(row for row in group.rows if row.id == found.id)
    width = (style.WIDTH - LABELS - COUNT - GAP - RIGHT) / 2
    left = (LABELS + COUNT, LABELS + COUNT + width)
    right = (left[1] + GAP, style.WIDTH - RIGHT)
    distances = [v for r in found.regions for v in (r.median_km.value, r.median_km.low, r.median_km.high) if v]
    km = style.log_scale(distances or [100.0, 10_000.0], *left)
    shares = [v for r in found.regions for v in (r.within.value, r.within.high) if v is not None]
    within = style.scale(shares, "share", *right)
    y, lines = TOP, list[dict[str, Any]]()
    for region in found.regions:
        whole = not region.subregion
        y += HEAD if whole and lines else 0
        n = f"{region.n:,}"
        lines.append({"y": y + ROW / 2, "name": region.subregion or region.region, "whole": whole, "n": n, "marks": []})
        for scale, interval, unit in ((km, region.median_km, "km"), (within, region.within, "share")):
            if interval.value is not None and interval.low is not None and interval.high is not None:
                told = f"{lines[-1]['name']}: {wording.with_interval_of(interval, unit)} {wording.unit_name(unit)}"
                place = {"x": scale(interval.value), "low": scale(interval.low), "high": scale(interval.high)}
                lines[-1]["marks"].append({**place, "told": f"{told}, n = {interval.n:,}"})
        y += ROW
    return {
        "name": f"{row.model} · {row.prompt} · {row.label}",
        "width": style.WIDTH,
        "height": y + BOTTOM,
        "bottom": y + 4,
        "top": TOP - 6,
        "count": LABELS + COUNT - 16,
        "lines": lines,
        "panels": [
            {"ends": left, "ticks": km.ticks("km"), "axis": "median distance over read answers, km (logarithmic)"},
            {
                "ends": right,
                "ticks": within.ticks("share"),
                "axis": f"within {found.threshold_km:,.0f} km of all images, %",
            },
        ],
    }
