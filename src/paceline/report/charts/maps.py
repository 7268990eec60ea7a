"""Lines on the world map, from the truth to the answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from paceline.report.results import Report

MOST_LINES = 150  # answers on a map
BUDGET = 24_000  # answers in the whole page
FEWEST_LINES = 30


def views(report: Report) -> tuple[list[dict[str, Any]], int]:
    """Truth and answer of every cell and split that has places, and the number of views left out.

    Each line is ``[lat, lon, lat, lon, km]`` from truth to answer. Of many, some are
    kept, spread evenly over the data's order.
    """
    shown = [(g, row) for g in report.groups for row in g.rows if report.chosen(row, g.split).has_places]
    kept = shown[: BUDGET // FEWEST_LINES]
    most = max(FEWEST_LINES, min(MOST_LINES, BUDGET // max(1, len(kept))))
    best = {(g.title, *(row.id for row in g.rank("median_km")[:1])) for g in report.groups}
    found = []
    for group, row in kept:
        answers = report.chosen(row, group.split)
        km = answers.scores["distance_km"]
        read = np.flatnonzero(np.isfinite(km) & np.isfinite(answers.value).all(axis=1))
        picked = read if len(read) <= most else read[np.linspace(0, len(read) - 1, most).astype(int)]
        lines = [
            [*(round(float(v), 2) for v in (*answers.truth[i], *answers.value[i])), round(float(km[i]), 1)]
            for i in picked
        ]
        view = {"group": group.title, "name": f"{row.model} · {row.prompt} · {row.label}", "lines": lines}
        found.append({**view, "n": len(km), "read": len(read), "best": (group.title, row.id) in best})
    return found, len(shown) - len(kept)
