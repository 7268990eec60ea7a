"""Where answers go wrong: error by the region of the truth, and which region is answered instead of which.

Regions are those of the United Nations' M49 standard (https://unstats.un.org/unsd/methodology/m49), the Americas in
two; what it does not list stands with its neighbours: Taiwan in Eastern Asia, Kosovo in Southern Europe. A truth's
country is that of the data; an answer's is that of the city nearest to it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paceline import stats
from paceline.stats import Interval
from paceline.tasks.answers import Answers
from paceline.tasks.geolocation.gazetteer import nearest_places
from paceline.tasks.labels import confusion_panel, matrix_of
from paceline.tasks.panels import CellClasses, ClassFigures, Matrix, Measure, PerClass, Results

THRESHOLD_KM = 750.0
"""Where the group has no tested threshold: `country` in the literature since Im2GPS (Hays and Efros, 2008)."""
CAPTION = (
    "By the country of the true place; regions of the United Nations' M49 standard, the Americas in two. Bars: 95 % "
    "intervals. A region without a mark on the left had no answer read. The best cell of each model, untuned and tuned."
)


@functools.cache
def regions() -> dict[str, tuple[str, str]]:
    """ISO 3166-1 alpha-2 code -> its region and subregion, in the order of the table."""
    table = json.loads((Path(__file__).parent / "regions.json").read_text(encoding="utf-8"))
    return {
        code: (region, subregion)
        for region, subregions in table.items()
        for subregion, codes in subregions.items()
        for code in codes.split()
    }


@dataclass(frozen=True)
class RegionError:
    """How one cell answers to images of one region."""

    region: str
    subregion: str
    """Empty for the region as a whole."""
    n: int
    """All images of the region."""
    median_km: Interval
    """Over read answers."""
    within: Interval
    """Share of all images, an unread answer counted as a miss."""


def error_by_region(results: Results) -> PerClass:
    """Error by region of the best cells; of no cell where the data has no countries."""
    threshold = float(results.tested.at_most or THRESHOLD_KM) if results.tested else THRESHOLD_KM
    cells, records = [], []
    for cell in results.best:
        if errors := region_errors(cell.answers, threshold):
            place = {"task": results.task.name, "split": results.split, "id": cell.id, "threshold_km": threshold}
            records.append({**place, "regions": errors})
            classes = (
                ClassFigures(e.subregion or e.region, bool(e.subregion), e.n, (e.median_km, e.within)) for e in errors
            )
            cells.append(CellClasses(cell.id, cell.name, tuple(classes)))
    return PerClass(
        "regions",
        "Error by region",
        "Regions",
        about="error by region of the true place",
        noun="region",
        counted="images",
        measures=(
            Measure("median\nkm", "median distance over read answers, km (logarithmic)", "km", log=True),
            Measure(f"within {threshold:,.0f} km\n%", f"within {threshold:,.0f} km of all images, %", "share"),
        ),
        cells=tuple(cells),
        caption=CAPTION,
        terminal_caption="The page has others, and smaller regions.",
        records=tuple(records),
    )


def region_errors(answers: Answers, threshold: float) -> list[RegionError]:
    """Every region of the truths with its figures, each followed by its subregions where it has several."""
    known = regions()
    of = [known.get(code.upper()) for code in answers.columns["country"]]
    km = answers.scores["distance_km"]
    errors = []
    order = dict.fromkeys(known.values())
    for region in dict.fromkeys(region for region, _ in order):
        inside = [subregion for r, subregion in order if r == region and (r, subregion) in of]
        parts = [("", {(region, s) for s in inside})] + [(s, {(region, s)}) for s in inside if len(inside) > 1]
        for name, members in parts if inside else []:
            region_km = km[[i for i, place in enumerate(of) if place in members]]
            near = int((np.nan_to_num(region_km, nan=np.inf) <= threshold).sum())
            median = stats.bootstrap_interval(region_km[np.isfinite(region_km)], "median")
            errors.append(
                RegionError(region, name, len(region_km), median, stats.wilson_interval(near, len(region_km)))
            )
    return errors


def region_confusion(results: Results) -> Matrix:
    """Which region is answered instead of which, of the best cells."""
    confusions = (_confusion(cell.answers) for cell in results.best)
    cells = [
        matrix_of(cell, *counted) for cell, counted in zip(results.best, confusions, strict=True) if counted is not None
    ]
    note = "The answer's region is that of the city nearest to it; an unread answer has none."
    return confusion_panel(results, cells, note)


def _confusion(answers: Answers) -> tuple[list[tuple[str, str]], list[str]] | None:
    known = regions()
    truth = [known[code.upper()][0] if code.upper() in known else "" for code in answers.columns["country"]]
    if not any(truth):
        return None
    answered = _answered_regions(answers.columns["answer"])
    order = list(dict.fromkeys(region for region, _ in known.values()))
    order = [name for name in order if name in set(truth) | set(answered)]
    return [(t, g) for t, g in zip(truth, answered, strict=True) if t], order


def _answered_regions(places: Sequence[Sequence[float]] | np.ndarray) -> list[str]:
    """The region of each place (n, 2) in degrees; empty text where there is none."""
    places = np.asarray(places)
    read = np.flatnonzero(np.isfinite(places).all(axis=1))
    names = [""] * len(places)
    for i, place in zip(read, nearest_places([(float(a), float(b)) for a, b in places[read]]), strict=True):
        names[i] = regions().get(place.country, ("", ""))[0]
    return names
