"""When a sweep will be through and what it takes: from what its attempts took so far, never from a promise."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paceline.config.cell_kinds import kind_of
from paceline.config.identity import identity_of
from paceline.config.schema import Config, Kind
from paceline.store.cells import Attempt, CellFolder
from paceline.store.files import digest
from paceline.store.root import Store
from paceline.sweep.cells import Sweep
from paceline.sweep.status import CellState

# A cell that takes this many times as long as its like deserves a look: a sick node, a disk that is full.
SLOW = 3.0
# With fewer siblings a median tells nothing.
SIBLINGS = 3


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
        seconds: until the sweep is through at the present number of cells at a time; None where it can't be told.
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


def forecast(store: Store, sweep: Sweep, found: Mapping[str, CellState]) -> Forecast:
    """Look at what cells took, and conclude for those like them.

    Cells are like each other, siblings, when they do the same with another prompt, seed or learning rate.
    """
    took = {c.id: spent(store.cell(c.id)) for c in sweep.cells}
    like = {c.id: _kin(c.cell.kind, c.config) for c in sweep.cells}
    done: dict[str, list[Spent]] = defaultdict(list)
    for cell, state in found.items():
        if state.state == "done":
            done[like[cell]].append(took[cell])
    told = Forecast(gpu_hours=sum(s.gpu_seconds for s in took.values()) / 3600)
    estimated = 0.0
    for planned in sweep.cells:
        state, mine, siblings = found[planned.id], took[planned.id], done[like[planned.id]]
        typical = statistics.median(s.seconds for s in siblings) if siblings else None
        if len(siblings) >= SIBLINGS and typical and mine.seconds > SLOW * typical:
            told.slow[planned.id] = mine.seconds / typical
        if state.state == "done":
            estimated += mine.gpu_seconds
            continue
        if (left := _left(state.progress, mine, typical)) is not None:
            told.left[planned.id] = left
        cluster, placement = planned.config.cluster, planned.config.placement
        gpus = cluster.gpus * placement.nodes * placement.ranks if cluster.executor == "slurm" else 0
        if left is not None:
            estimated += mine.gpu_seconds + left * gpus
        else:
            share = cluster.cells_per_element if kind_of(planned.cell.kind).shares_element else 1
            estimated += mine.gpu_seconds + cluster.minutes * 60 * gpus / share
            told.at_most = told.at_most or gpus > 0
    told.estimated_gpu_hours = estimated / 3600
    unfinished = [c for c, s in found.items() if s.state not in ("done", "failed")]
    at_a_time = sum(1 for s in found.values() if s.state == "running")
    if at_a_time and all(c in told.left for c in unfinished):
        # No sooner than the longest, and no sooner than all of them shared out.
        told.seconds = max(*told.left.values(), sum(told.left[c] for c in unfinished) / at_a_time)
    return told


def _left(progress: Mapping[str, Any] | None, mine: Spent, typical: float | None) -> float | None:
    """Seconds that a cell will still take: at its own rate over all its attempts, else as its siblings took."""
    if progress and progress.get("done") and progress.get("total") and mine.seconds:
        return mine.seconds * max(0, progress["total"] - progress["done"]) / progress["done"]
    return typical


def _kin(kind: Kind, config: Config) -> str:
    """What cells that should take about as long have in common."""
    parts = [identity_of(part, kind) for part in (config.model, config.task, config.method, config.generation)]
    return digest([kind, parts, config.train.batch, config.train.max_steps, config.limit])


def duration(seconds: float) -> str:
    """Seconds for people: ``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 4 h``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def asked_ago(asked: float) -> str:
    """How old Slurm's word is; empty where it is fresh, or was not wanted."""
    age = time.time() - asked
    return f"Slurm was asked {age:.0f} s ago" if asked and age >= 1.0 else ""
