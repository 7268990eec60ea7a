"""Calibration of stated confidence: stated confidence against the share within a distance.

A level's answer counts as right within the distance that the literature since Im2GPS (Hays and Efros, 2008) takes for
that level: country 750 km, region 200 km, city 25 km. An unread answer that states a confidence is a miss.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from paceline import stats
from paceline.tasks.calibration_error import calibration_error
from paceline.tasks.panels import Calibration, CellCalibration, CellResult, Results

LEVELS_KM = {"country": 750.0, "region": 200.0, "city": 25.0}
FEWEST = 20
"""Fewer stated confidences are too few for a cell's calibration."""
MOST_CELLS = 12
CAPTION = (
    "On the dashed line a model is as right as it says; below it is too sure. Bars: Wilson's 95 % interval. ECE: the "
    "expected calibration error over ten bins, the mean distance from the line weighted by answers (Guo et al. 2017); "
    "few answers make it too large. An answer is right within the distance that the literature takes for its level; an "
    "unread one is a miss."
)


def stated_calibration(results: Results) -> Calibration:
    """Every level at which a cell states its confidence often enough; the cells that state most, sweep order else."""
    of_cells = [levels for cell in results.cells if (levels := _levels(cell))]
    of_cells.sort(key=lambda levels: -sum(one.n for one in levels))
    shown = tuple(one for levels in of_cells[:MOST_CELLS] for one in levels)
    records = tuple(_record(one, results) for one in shown)
    return Calibration("reliability", "Stated confidence", "Confidence", shown, CAPTION, "reliability", records)


def _levels(cell: CellResult) -> list[CellCalibration]:
    levels = []
    scores = cell.answers.scores
    for level, km in LEVELS_KM.items():
        stated = scores.get(f"confidence_{level}", np.array([]))
        with_confidence = np.flatnonzero(np.isfinite(stated))
        if len(with_confidence) >= FEWEST:
            hits = np.nan_to_num(scores["distance_km"][with_confidence], nan=np.inf) <= km
            error, bins = calibration_error(stated[with_confidence], hits)
            right = stats.wilson_interval(int(hits.sum()), len(with_confidence))
            place = (
                cell.id,
                cell.name,
                level,
                f"within {km:,.0f} km",
                f"{km:,.0f} km",
                len(with_confidence),
                len(stated),
            )
            levels.append(CellCalibration(*place, float(stated[with_confidence].mean()), right, error, bins))
    return levels


def _record(one: CellCalibration, results: Results) -> dict[str, Any]:
    return {
        "task": results.task.name,
        "split": results.split,
        "id": one.id,
        "level": one.level,
        "km": LEVELS_KM[one.level],
        "n": one.n,
        "asked": one.asked,
        "confidence": one.confidence,
        "right": one.right,
        "error": one.error,
        "bins": [dataclasses.asdict(b) for b in one.bins],
    }
