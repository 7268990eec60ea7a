"""Whether several cells together answer better than the best of them: over the prompts of a model, and over models.

Of places an ensemble answers with the spherical geometric median of what its members answered, of all else with the
answer that most of them gave. A member that was not read has no voice; where none was read, neither is the ensemble.

The best member is the one with the best metric *on the same samples*, so its own figure is flattered by the choice
while the ensemble's is not: the gain is understated, the more so the more members are alike. An interval above
zero can be believed; one around zero does not say that an ensemble is of no use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from paceline.report import compare
from paceline.report.answers import Answers

if TYPE_CHECKING:
    from paceline.report.results import Group, Report, Row

Over = Literal["prompts", "models"]
Naming = Callable[["Row"], tuple[str, str]]
"""What a cell shares with the others of an ensemble, and what it is called among them."""

FEWEST_MEMBERS = 3
"""Of two places every point between them is a median, and two votes that differ are a tie."""
MOST_ENSEMBLES = 24
"""Worked out of each kind in a group: those whose best member leads."""
ITERATIONS = 200
CLOSE = 1e-9  # radians: 6 mm on the ground


@dataclass(frozen=True)
class Gain:
    """One metric of an ensemble against its best member, on the samples that both have a value for."""

    metric: str
    unit: str
    best: str
    """Id of the member that is best in this metric."""
    best_name: str
    value_best: float
    value_ensemble: float
    difference: float
    low: float
    high: float
    n: int
    verdict: str


@dataclass(frozen=True)
class Ensemble:
    """Cells that answered the same samples, and what they gain together."""

    task: str
    split: str
    over: Over
    name: str
    """What the members share: the model and the method, or the prompt and the method."""
    members: tuple[str, ...]
    """Ids of the cells."""
    rule: Literal["geometric median", "vote"]
    gains: tuple[Gain, ...]


@dataclass(frozen=True)
class Ensembles:
    """The ensembles of a group, and how many more there would be."""

    found: tuple[Ensemble, ...]
    left_out: int

    def in_metric(self, metric: str) -> list[tuple[Ensemble, Gain]]:
        """Those that were judged in a metric, with what they gain there."""
        return [(ensemble, gain) for ensemble in self.found for gain in ensemble.gains if gain.metric == metric]


@cache
def ensembles(report: Report) -> dict[tuple[str, str], Ensembles]:
    """Task and split -> the ensembles that can be made there; worked out once."""
    return {(group.task, group.split): _of_group(report, group) for group in report.groups}


def _of_group(report: Report, group: Group) -> Ensembles:
    """The ensembles of a group, in each of the leading metrics.

    An ensemble has three members or more that answered the same samples. Of more than :data:`MOST_ENSEMBLES` over
    prompts, or over models, those whose best member leads are worked out.
    """
    metrics = compare.leading(group)
    kinds: dict[Over, Naming] = {
        "prompts": lambda row: (f"{row.model} · {row.label}", row.prompt),
        "models": lambda row: (f"{row.prompt} · {row.label}", row.model),
    }
    found: list[Ensemble] = []
    left_out = 0
    for over, names in kinds.items():
        possible = list(_possible(report, group, names)) if metrics else []
        places = {row.id: i for i, row in enumerate(group.rank(metrics[0]))} if metrics else {}
        possible.sort(key=lambda one: min(places.get(row.id, len(places)) for row in one[1]))
        left_out += len(possible[MOST_ENSEMBLES:])
        chosen = possible[:MOST_ENSEMBLES]
        together = _together([[report.chosen(row, group.split) for row in rows] for _, rows in chosen])
        for (name, rows), (answers, rule) in zip(chosen, together, strict=True):
            gains = [_gain(report, group, rows, answers, metric, names) for metric in metrics]
            if told := tuple(gain for gain in gains if gain):
                found.append(Ensemble(group.task, group.split, over, name, tuple(r.id for r in rows), rule, told))
    return Ensembles(tuple(found), left_out)


def _possible(report: Report, group: Group, names: Naming) -> Iterator[tuple[str, list[Row]]]:
    """Cells that share a name and differ in the other, of those that answered the same samples the most."""
    sharing: dict[str, dict[tuple[str, ...], dict[str, Row]]] = {}
    for row in group.rows:
        shared, own = names(row)
        samples = report.chosen(row, group.split).samples
        if samples:
            sharing.setdefault(shared, {}).setdefault(samples, {}).setdefault(own, row)
    for shared, by_samples in sharing.items():
        rows = list(max(by_samples.values(), key=len).values())
        if len(rows) >= FEWEST_MEMBERS:
            yield shared, rows


def _gain(
    report: Report, group: Group, rows: Sequence[Row], answers: Answers, metric: str, names: Naming
) -> Gain | None:
    members = {row.id for row in rows}
    ranked = [row for row in group.rank(metric) if row.id in members]
    if not ranked:
        return None
    best = ranked[0]
    found = compare.measure(report.chosen(best, group.split), answers, metric)
    if found is None:
        return None
    return Gain(
        metric=metric,
        unit=group.unit(metric),
        best=best.id,
        best_name=names(best)[1],
        value_best=found.value_before,
        value_ensemble=found.value_after,
        difference=found.difference,
        low=found.low,
        high=found.high,
        n=found.n,
        verdict=compare.verdict(found, metric in group.lower_is_better),
    )


def _together(
    ensembles: Sequence[Sequence[Answers]],
) -> Iterator[tuple[Answers, Literal["geometric median", "vote"]]]:
    """What each ensemble answers. The medians of all are found at once, since most of the time is numpy's calls."""
    of_places = [members for members in ensembles if members[0].has_places]
    most = max(map(len, of_places), default=0)
    stacked = [_padded([a.value for a in members], most) for members in of_places]
    medians = geometric_median(np.concatenate(stacked, axis=1)) if stacked else np.empty((0, 2))
    at = 0
    for members in ensembles:
        if members[0].has_places:
            n = len(members[0].samples)
            yield _placed(members, medians[at : at + n]), "geometric median"
            at += n
        else:
            yield vote(members), "vote"


def _padded(values: Sequence[np.ndarray], most: int) -> np.ndarray:
    return np.stack([*values, *[np.full_like(values[0], np.nan)] * (most - len(values))])


def _placed(members: Sequence[Answers], places: np.ndarray) -> Answers:
    """The answers of an ensemble at these places, with their distances in km; other scores it has none."""
    from paceline.scorers.geolocation import distances_km

    truth = members[0].truth
    read = np.isfinite(places).all(axis=1) & np.isfinite(truth).all(axis=1)
    km = np.full(len(places), np.nan)
    km[read] = distances_km(places[read].tolist(), truth[read].tolist())
    outcomes = _outcomes(members, read)
    return Answers(members[0].samples, outcomes, {"distance_km": km}, places, truth)


def _outcomes(members: Sequence[Answers], read: np.ndarray) -> tuple[str, ...]:
    return tuple("parsed" if ok else first for ok, first in zip(read, members[0].outcomes, strict=True))


def vote(members: Sequence[Answers]) -> Answers:
    """The answer that most members gave to each sample; of equally many the one whose first giver stands first.

    Equal answers to one sample have equal scores, so the ensemble's are those of a member that gave the answer.
    """
    labels = [member.labels for member in members]
    givers = np.zeros(len(members[0].samples), dtype=int)
    for i, given in enumerate(zip(*labels, strict=True)):
        counts = Counter(label for label in given if label)
        if counts:
            givers[i] = given.index(counts.most_common(1)[0][0])
    at = np.arange(len(givers))
    scores = {name: np.stack([m.scores[name] for m in members])[givers, at] for name in _shared(members)}
    value = np.stack([m.value for m in members])[givers, at]
    outcomes = tuple(members[g].outcomes[i] for i, g in enumerate(givers))
    won = tuple(labels[g][i] for i, g in enumerate(givers))
    return Answers(members[0].samples, outcomes, scores, value, members[0].truth, won)


def _shared(members: Sequence[Answers]) -> list[str]:
    return [name for name in members[0].scores if all(name in m.scores for m in members)]


def geometric_median(places: np.ndarray) -> np.ndarray:
    """The point with the smallest sum of great-circle distances to the places, for many samples at once.

    Weiszfeld's iteration with the sphere's logarithm and exponential map (Fletcher, Venkatasubramanian and Joshi 2009,
    The geometric median on Riemannian manifolds, NeuroImage 45), with the step of Vardi and Zhang (2000, PNAS 97)
    where it stands on a place. A squared distance on the sphere curves by at most one, so no step makes the sum larger.

    The median is unique where the places lie within 45° of a point and not on one great circle. Elsewhere it is a
    local one, no worse than the best place itself: of two places that halfway, of antipodes the first.

    Args:
        places: degrees north and east (members, samples, 2); NaN where a member was not read.

    Returns:
        Degrees north and east (samples, 2); NaN where no member was read.
    """
    known = np.isfinite(places).all(axis=2)
    points = np.where(known[..., None], _vectors(np.where(known[..., None], places, 0.0)), 0.0)
    some = known.any(axis=0)
    found = np.full((places.shape[1], 2), np.nan)
    if some.any():
        found[some] = _degrees(_median(points[:, some], known[:, some]))
    return found


def _median(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The medians of unit vectors (k, n, 3), those that are known (k, n), as unit vectors (n, 3)."""
    median = _start(points, known)
    moving = np.arange(median.shape[0])
    for _ in range(ITERATIONS):
        now = _step(points[:, moving], known[:, moving], median[moving])
        far = _angle(now, median[moving]) > CLOSE
        median[moving] = now
        moving = moving[far]
        if not moving.size:
            break
    return median


def _start(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The mean direction, or the best of the places where that is the median already, or nearer to it."""
    sums = np.stack([(_angle(points, place) * known).sum(axis=0) for place in points])
    sums[~known] = np.inf
    at = np.arange(points.shape[1])
    best = points[sums.argmin(axis=0), at]
    mean = points.sum(axis=0)
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    mean = np.divide(mean, length, out=best.copy(), where=length > CLOSE)
    pull, standing, _ = _pull(points, known, best)
    settled = np.linalg.norm(pull, axis=1) < standing - CLOSE
    nearer = (_angle(points, mean) * known).sum(axis=0) <= sums.min(axis=0)
    return np.where((nearer & ~settled)[:, None], mean, best)


def _pull(points: np.ndarray, known: np.ndarray, median: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sum of unit tangents towards the places (n, 3), how many places stand here, the sum of 1 / distance."""
    angle = _angle(points, median)
    tangent = points - (points * median).sum(axis=2, keepdims=True) * median
    length = np.linalg.norm(tangent, axis=2, keepdims=True)
    # An antipode pulls nowhere: every direction leads to it.
    tangent = np.divide(tangent, length, out=np.zeros_like(tangent), where=length > CLOSE)
    here = known & (angle <= CLOSE)
    away = known & ~here
    pull = (tangent * away[..., None]).sum(axis=0)
    closeness = np.divide(1.0, angle, out=np.zeros_like(angle), where=away).sum(axis=0)
    return pull, here.sum(axis=0), closeness


def _step(points: np.ndarray, known: np.ndarray, median: np.ndarray) -> np.ndarray:
    pull, standing, closeness = _pull(points, known, median)
    strength = np.linalg.norm(pull, axis=1)
    kept = np.clip(1 - np.divide(standing, strength, out=np.ones_like(strength), where=strength > 0), 0, 1)
    length = np.divide(kept * strength, closeness, out=np.zeros_like(strength), where=closeness > 0)
    direction = np.divide(pull, strength[:, None], out=np.zeros_like(pull), where=strength[:, None] > 0)
    moved = np.cos(length)[:, None] * median + np.sin(length)[:, None] * direction
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True))


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Radians between unit vectors, exact for small and for large angles; of a zero vector π / 2."""
    return np.asarray(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(axis=-1)))


def _vectors(places: np.ndarray) -> np.ndarray:
    lat, lon = np.radians(places[..., 0]), np.radians(places[..., 1])
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _degrees(vectors: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.degrees(np.stack([np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)], axis=-1))
