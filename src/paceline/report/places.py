"""Where answers go wrong: error by the region of the truth, and which region or class is answered instead of which.

Regions are those of the United Nations' M49 standard (https://unstats.un.org/unsd/methodology/m49), the Americas in
two; what it does not list stands with its neighbours: Taiwan in Eastern Asia, Kosovo in Southern Europe. A truth's
country is that of the data; an answer's is that of the city nearest to it.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import paceline
from paceline import stats
from paceline.report import compare
from paceline.report.answers import Answers
from paceline.stats import Interval

if TYPE_CHECKING:
    from paceline.report.results import Group, Report, Row

THRESHOLD_KM = 750.0
"""Where the group has no tested threshold: `country` in the literature since Im2GPS (Hays and Efros, 2008)."""
UNREAD = "not read"
MOST_CLASSES = 12


@functools.cache
def regions() -> dict[str, tuple[str, str]]:
    """ISO 3166-1 alpha-2 code -> its region and subregion, in the order of the table."""
    table = json.loads((Path(paceline.__file__).parent / "regions.json").read_text(encoding="utf-8"))
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


@dataclass(frozen=True)
class ByRegion:
    """Error by region of one cell."""

    task: str
    split: str
    id: str
    threshold_km: float
    regions: tuple[RegionError, ...]


@dataclass(frozen=True)
class Confusion:
    """What was answered to what, counted, for one cell."""

    task: str
    split: str
    id: str
    truths: tuple[str, ...]
    answers: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """A row per truth, a column per answer."""
    right: Interval
    """Share of all samples on the diagonal."""


def by_region(report: Report, group: Group) -> tuple[ByRegion, ...]:
    """Error by region of the best cells of a group; nothing where the data does not tell countries."""
    threshold = _threshold(group)
    found = []
    for row in compare.best_rows(report, group):
        answers = report.chosen(row, group.split)
        if answers.has_places and (told := tuple(_errors(answers, threshold))):
            found.append(ByRegion(group.task, group.split, row.id, threshold, told))
    return tuple(found)


def _threshold(group: Group) -> float:
    tested = compare.tested_metric(group) or ""
    digits = "".join(c for c in tested if c.isdigit())
    return float(digits) if tested.startswith("within") and digits else THRESHOLD_KM


def _errors(answers: Answers, threshold: float) -> list[RegionError]:
    known = regions()
    of = [known.get(code.upper()) for code in answers.countries]
    km = answers.scores["distance_km"]
    found = []
    order = dict.fromkeys(known.values())
    for region in dict.fromkeys(region for region, _ in order):
        inside = [subregion for r, subregion in order if r == region and (r, subregion) in of]
        parts = [("", {(region, s) for s in inside})] + [(s, {(region, s)}) for s in inside if len(inside) > 1]
        for name, members in parts if inside else []:
            own = km[[i for i, place in enumerate(of) if place in members]]
            near = int((np.nan_to_num(own, nan=np.inf) <= threshold).sum())
            median = stats.bootstrap_interval(own[np.isfinite(own)], "median")
            found.append(RegionError(region, name, len(own), median, stats.wilson_interval(near, len(own))))
    return found


def confusions(report: Report, group: Group) -> tuple[Confusion, ...]:
    """Confusion matrices of the best cells of a group: of regions where it has places, else of classes."""
    rows = compare.best_rows(report, group)
    made = (_confusion(report, group, row) for row in rows)
    return tuple(one for one in made if one is not None)


def _confusion(report: Report, group: Group, row: Row) -> Confusion | None:
    answers = report.chosen(row, group.split)
    if answers.has_places:
        known = regions()
        truth = [known[code.upper()][0] if code.upper() in known else "" for code in answers.countries]
        given = _answered_regions(answers.value)
        order = list(dict.fromkeys(region for region, _ in known.values()))
        order = [name for name in order if name in set(truth) | set(given)]
    else:
        truth, given = list(answers.classes), list(answers.labels)
        counts = Counter(filter(None, truth))
        order = [name for name, _ in counts.most_common(MOST_CLASSES)]
    pairs = [(t, g) for t, g in zip(truth, given, strict=True) if t] if any(truth) else []
    return _counted(group, row, pairs, order) if pairs else None


def _counted(group: Group, row: Row, pairs: Sequence[tuple[str, str]], order: Sequence[str]) -> Confusion:
    others = "other" if any(name not in order for pair in pairs for name in pair if name) else ""
    columns = [*order, *filter(None, [others]), UNREAD]
    truths = [name for name in columns[:-1] if any((t if t in order else others) == name for t, _ in pairs)]
    table = Counter((t if t in order else others, (g if g in order else others) if g else UNREAD) for t, g in pairs)
    counts = tuple(tuple(table[t, g] for g in columns) for t in truths)
    right = sum(t == g for t, g in pairs)
    shown = tuple(map(_plain, truths)), tuple(map(_plain, columns))
    return Confusion(group.task, group.split, row.id, *shown, counts, stats.wilson_interval(right, len(pairs)))


def _plain(name: str) -> str:
    """A class without the quotes that its canonical JSON has."""
    return str(json.loads(name)) if name.startswith('"') else name


def _answered_regions(places: np.ndarray) -> list[str]:
    """The region of each place (n, 2) in degrees; empty text where there is none."""
    from paceline.gazetteer import nearest_places

    read = np.flatnonzero(np.isfinite(places).all(axis=1))
    found = [""] * len(places)
    for i, place in zip(read, nearest_places([(float(a), float(b)) for a, b in places[read]]), strict=True):
        found[i] = regions().get(place.country, ("", ""))[0]
    return found
