"""What several cells answer together: the geometric median of places on the sphere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.geolocation.score import distances_km

COMBINED = "geometric median"
COMBINED_NOTE = "the geometric median on the sphere of the places they answered, a vote on other answers"
ITERATIONS = 200
CLOSE = 1e-9  # radians: 6 mm on the ground


def combine(ensembles: Sequence[Sequence[Answers]]) -> list[Answers]:
    """The medians of all ensembles at once, since most of the time is numpy's calls.

    A member that was not read has no voice; where none was read, neither is the ensemble.
    """
    most = max(map(len, ensembles), default=0)
    if not most:
        return []
    stacked = [_padded([np.asarray(a.columns["answer"]) for a in members], most) for members in ensembles]
    medians = geometric_median(np.concatenate(stacked, axis=1))
    joint, at = [], 0
    for members in ensembles:
        n = len(members[0].samples)
        joint.append(_placed(members, medians[at : at + n]))
        at += n
    return joint


def _padded(values: Sequence[np.ndarray], most: int) -> np.ndarray:
    return np.stack([*values, *[np.full_like(values[0], np.nan)] * (most - len(values))])


def _placed(members: Sequence[Answers], places: np.ndarray) -> Answers:
    """The answers of an ensemble at these places, with their distances in km; other scores it has none."""
    truth = np.asarray(members[0].columns["truth"])
    read = np.isfinite(places).all(axis=1) & np.isfinite(truth).all(axis=1)
    km = np.full(len(places), np.nan)
    km[read] = distances_km(places[read].tolist(), truth[read].tolist())
    outcomes = tuple("parsed" if ok else first for ok, first in zip(read, members[0].outcomes, strict=True))
    columns = {**members[0].columns, "answer": places}
    return Answers(members[0].samples, outcomes, {"distance_km": km}, columns, members[0].group_names, members[0].ids)


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
    medians = np.full((places.shape[1], 2), np.nan)
    if some.any():
        medians[some] = _degrees(_median(points[:, some], known[:, some]))
    return medians


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
