"""When a sweep will be through and what it takes: from what its attempts took so far, never from a promise."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paceline.config.cell_kinds import kind_of
from paceline.config.declared import Kind
from paceline.config.identity import clear_inactive, identity_of
from paceline.config.schema import Config
from paceline.errors import PacelineError
from paceline.store.cell_folder import Attempt, CellFolder
from paceline.store.files import digest
from paceline.store.root import Store
from paceline.sweep.cells import PlannedCell, Sweep, slug_parts
from paceline.sweep.status import CellState

# A cell that takes this many times as long as its siblings is flagged: a faulty node, a disk that is full.
SLOW = 3.0
# With fewer siblings a median is not meaningful.
SIBLINGS = 3
# Before a sweep is submitted, so many cells of others are read at most, and so many that are like one are enough.
MOST_READ, ENOUGH = 60, 5


@dataclass(frozen=True)
class Spent:
    """What the attempts of a cell took, all of them together.

    Attributes:
        seconds: of the wall clock.
        gpu_seconds: GPUs held × seconds.
    """

    seconds: float = 0.0
    gpu_seconds: float = 0.0


@dataclass
class Forecast:
    """What is known of a sweep's time and cost.

    Attributes:
        left: cell -> seconds that it will still run; cells of which nothing is known are missing.
        slow: cell -> how many times as long as its siblings it takes.
        seconds: until the sweep is through at the present number of cells at a time; None where it is not known.
        gpu_hours: used so far.
        estimated_gpu_hours: for the whole sweep, as its cells take them; for cells without a sibling that is done, at
            most what their walltime allows.
        at_most: whether a walltime is in the estimate.
    """

    left: dict[str, float] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    gpu_hours: float = 0.0
    estimated_gpu_hours: float = 0.0
    at_most: bool = False


def spent(folder: CellFolder) -> Spent:
    """What the attempts of a cell took."""
    took = [taken(attempt) for attempt in folder.attempts()]
    return Spent(sum(t.seconds for t in took), sum(t.gpu_seconds for t in took))


def taken(attempt: Attempt) -> Spent:
    """What an attempt took; one that runs or was killed, up to its last sign of life."""
    if (end := attempt.end()) is not None:
        return Spent(float(end.get("seconds", 0.0)), float(end.get("gpu_seconds", 0.0)))
    start, beat = attempt.start(), attempt.progress()
    cluster = (start or {}).get("placement", {}).get("cluster")
    if start is None or beat is None or cluster is None:
        return Spent()
    seconds = max(0.0, float(beat["time"]) - float(start["time"]))
    return Spent(seconds, seconds * (cluster["gpus"] * start["world"] if cluster["executor"] == "slurm" else 0))


def forecast(store: Store, sweep: Sweep, states: Mapping[str, CellState]) -> Forecast:
    """Estimate the remaining time and cost from what finished cells took.

    Cells are like each other, siblings, when they do the same with another prompt, seed or learning rate.
    """
    took = {c.id: spent(store.cell(c.id)) for c in sweep.cells}
    like = {c.id: _kin(c.cell.kind, c.config) for c in sweep.cells}
    done: dict[str, list[Spent]] = defaultdict(list)
    for cell, state in states.items():
        if state.state == "done":
            done[like[cell]].append(took[cell])
    estimate = Forecast(gpu_hours=sum(s.gpu_seconds for s in took.values()) / 3600)
    estimated = 0.0
    for planned in sweep.cells:
        state, cell_spent, siblings = states[planned.id], took[planned.id], done[like[planned.id]]
        typical = statistics.median(s.seconds for s in siblings) if siblings else None
        if len(siblings) >= SIBLINGS and typical and cell_spent.seconds > SLOW * typical:
            estimate.slow[planned.id] = cell_spent.seconds / typical
        if state.state == "done":
            estimated += cell_spent.gpu_seconds
            continue
        if (left := _left(state.progress, cell_spent, typical)) is not None:
            estimate.left[planned.id] = left
        cluster, placement = planned.config.cluster, planned.config.placement
        gpus = cluster.gpus * placement.nodes * placement.ranks if cluster.executor == "slurm" else 0
        if left is not None:
            estimated += cell_spent.gpu_seconds + left * gpus
        else:
            share = cluster.cells_per_element if kind_of(planned.cell.kind).shares_element else 1
            estimated += cell_spent.gpu_seconds + cluster.minutes * 60 * gpus / share
            estimate.at_most = estimate.at_most or gpus > 0
    estimate.estimated_gpu_hours = estimated / 3600
    unfinished = [c for c, s in states.items() if s.state not in ("done", "failed")]
    at_a_time = sum(1 for s in states.values() if s.state == "running")
    if at_a_time and all(c in estimate.left for c in unfinished):
        # No sooner than the longest, and no sooner than all of them shared out.
        estimate.seconds = max(*estimate.left.values(), sum(estimate.left[c] for c in unfinished) / at_a_time)
    return estimate


def _left(progress: Mapping[str, Any] | None, cell_spent: Spent, typical: float | None) -> float | None:
    """Seconds that a cell will still take: at its own rate over all its attempts, else as its siblings took."""
    if progress and progress.get("done") and progress.get("total") and cell_spent.seconds:
        return cell_spent.seconds * max(0, progress["total"] - progress["done"]) / progress["done"]
    return typical


def _kin(kind: Kind, config: Config) -> str:
    """What cells that should take about as long have in common."""
    config = clear_inactive(config, kind)
    groups = [g for g in ("model", "task", "method", "generation") if g not in kind_of(kind).unused]
    parts = [identity_of(getattr(config, group), kind) for group in groups]
    train = config.train
    trained = [train.batch, train.max_steps, train.epochs, train.validations] if kind_of(kind).trains else []
    if kind_of(kind).trains:  # augmented pictures are looked at anew at every visit
        trained += [train.masked_image.epochs, bool(train.augment)]
    return digest([kind, parts, trained, config.limit])


def measured(store: Store, cells: Iterable[PlannedCell]) -> dict[str, float]:
    """Cell -> seconds, as its like took that are done, of any sweep under the root, on as many GPUs of the same type.

    Cells of which no like has ended are missing.
    """
    try:
        names = sorted(path.name for path in (store.root / "cells").iterdir())
    except OSError:
        return {}
    known: dict[tuple[Any, ...], float | None] = {}
    found = {}
    for planned in cells:
        placed = {"cluster": vars(planned.config.cluster), "placement": vars(planned.config.placement)}
        key = (_kin(planned.cell.kind, planned.config), *_hardware(placed))
        if key not in known:
            known[key] = _typical(store, names, planned, key)
        if (seconds := known[key]) is not None:
            found[planned.id] = seconds
    return found


def _typical(store: Store, names: Sequence[str], planned: PlannedCell, key: tuple[Any, ...]) -> float | None:
    """The median of the first few cells that are like one, of those whose ids bear the same names."""
    model, task, _, method = slug_parts(planned.cell.identity)
    begin, end = f"{planned.cell.kind}-{model}-{task}-", f"-{method}"
    seconds: list[float] = []
    alike = [n for n in names if n.startswith(begin) and n.rpartition("-")[0].endswith(end)]
    for name in alike[:MOST_READ]:
        folder = store.cell(name)
        with contextlib.suppress(PacelineError, OSError, KeyError, TypeError, ValueError):  # of another version
            if not folder.done() or not (attempts := folder.attempts()):
                continue
            cell = folder.read()
            if (_kin(cell.kind, cell.config), *_hardware(attempts[-1].placement() or {})) == key:
                seconds.append(spent(folder).seconds)
        if len(seconds) >= ENOUGH:
            break
    return statistics.median(seconds) if seconds else None


def _hardware(placed: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of a placement decides how fast a cell is, for the most part."""
    cluster, placement = placed.get("cluster", {}), placed.get("placement", {})
    ranks = (placement.get("nodes", 1), placement.get("ranks", 1))
    return (cluster.get("executor") == "slurm", str(cluster.get("gpu", "")).lower(), cluster.get("gpus", 0), *ranks)


def duration(seconds: float) -> str:
    """Seconds for people: ``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 4 h``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def asked_ago(asked_at: float) -> str:
    """The age of Slurm's answer; empty where it is fresh, or Slurm was not queried."""
    age = time.time() - asked_at
    return f"Slurm was asked {age:.0f} s ago" if asked_at and age >= 1.0 else ""
