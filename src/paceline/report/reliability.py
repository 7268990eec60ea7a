"""Whether models are as right as they say they are: stated confidence against the share within a distance.

A level's answer counts as right within the distance that the literature since Im2GPS (Hays and Efros, 2008) takes for
that level: country 750 km, region 200 km, city 25 km. An unread answer that states a confidence is a miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paceline import stats
from paceline.stats import Interval

if TYPE_CHECKING:
    from paceline.report.results import Group, Report

LEVELS_KM = {"country": 750.0, "region": 200.0, "city": 25.0}
BINS = 10
FEWEST = 20
"""Stated confidences below which a cell's reliability says nothing."""
MOST_CELLS = 12


@dataclass(frozen=True)
class Bin:
    """The answers whose stated confidence lies between two tenths."""

    low: float
    high: float
    confidence: float
    """Their mean stated confidence."""
    right: Interval
    """Share within the distance, with Wilson's interval."""


@dataclass(frozen=True)
class Reliability:
    """One level of one cell."""

    task: str
    split: str
    id: str
    level: str
    km: float
    n: int
    """Answers that state a confidence at this level."""
    asked: int
    confidence: float
    right: Interval
    error: float
    """Expected calibration error, from 0 to 1."""
    bins: tuple[Bin, ...]
    """Only those that hold an answer."""


def of_group(report: Report, group: Group) -> tuple[Reliability, ...]:
    """Every level at which a cell states its confidence often enough; the cells that state most, sweep order else."""
    found: list[tuple[int, list[Reliability]]] = []
    for row in group.rows:
        answers = report.chosen(row, group.split)
        if not answers.has_places:
            continue
        levels = []
        for level, km in LEVELS_KM.items():
            stated = answers.scores.get(f"confidence_{level}", np.array([]))
            given = np.flatnonzero(np.isfinite(stated))
            if len(given) >= FEWEST:
                hits = np.nan_to_num(answers.scores["distance_km"][given], nan=np.inf) <= km
                told = measure(stated[given], hits)
                mean = float(stated[given].mean())
                right = stats.wilson_interval(int(hits.sum()), len(given))
                place = (group.task, group.split, row.id, level, km, len(given), len(stated))
                levels.append(Reliability(*place, mean, right, *told))
        if levels:
            found.append((sum(one.n for one in levels), levels))
    found.sort(key=lambda pair: -pair[0])
    return tuple(one for _, levels in found[:MOST_CELLS] for one in levels)


def measure(stated: np.ndarray, hits: np.ndarray) -> tuple[float, tuple[Bin, ...]]:
    """The expected calibration error over ten bins of equal width, and the bins.

    The mean over answers of |share right − mean confidence| of their bin (Naeini, Cooper and Hauskrecht 2015, AAAI;
    Guo et al. 2017, arXiv:1706.04599). Few answers make it too large (Kumar, Liang and Ma 2019, arXiv:1909.10155).

    Args:
        stated: confidences from 0 to 1, shape (n,), n at least 1.
        hits: whether each was right, shape (n,).
    """
    at = np.minimum((stated * BINS + 1e-9).astype(int), BINS - 1)
    bins = []
    for k in np.unique(at):
        own = at == k
        right = stats.wilson_interval(int(hits[own].sum()), int(own.sum()))
        bins.append(Bin(k / BINS, (k + 1) / BINS, float(stated[own].mean()), right))
    error = sum(b.right.n * abs((b.right.value or 0.0) - b.confidence) for b in bins) / len(stated)
    return float(error), tuple(bins)
