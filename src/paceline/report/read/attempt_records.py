"""The attempts behind a sweep's cells, those that failed too: how they ended and what they took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from paceline.attempts.attempt import lives
from paceline.errors import UserError
from paceline.store.cell_folder import Attempt
from paceline.store.files import read_jsonl
from paceline.sweep import forecast, status

if TYPE_CHECKING:
    from paceline.report.read.sweep_results import Report

RUNNING = "running"


@dataclass(frozen=True)
class Tried:
    """One attempt, read from its files."""

    cell: str
    n: int
    cause: str
    """One of :data:`paceline.store.causes.CAUSES`, or ``running`` while its process runs."""
    message: str
    seconds: float
    gpu_seconds: float
    nodes: int
    gpu_hour_usd: float
    """What an hour of a GPU costs, by its cluster's file at submission; 0 where that has no price."""
    service_usd: float = 0.0
    """What the answers that a service gave cost, by the prices at submission; 0 where there are none."""
    answering: Mapping[str, Any] = field(default_factory=dict)
    """Seconds per image, as :meth:`paceline.inference.stopwatch.Stopwatch.as_json` tells; empty where not measured."""
    peaks: Mapping[str, float] = field(default_factory=dict)
    """The most memory that it held: ``host_gib``, ``cuda_gib``."""


@cache
def of_sweep(report: Report) -> dict[str, tuple[Tried, ...]]:
    """Cell -> its attempts, oldest first: of the sweep's cells, and of cells elsewhere that these need.

    Read once, without a query to Slurm: of a cell without a result the last cause is the one reported for it, and
    of an earlier attempt that recorded no cause, ``unknown``.
    """
    reported = {m.id: (m.cause, m.message) for m in report.missing if m.cause}
    ids = [t.id for t in (*report.tunings, *report.unscored)]
    ids += [i for row in report.rows for i in (*row.needed, row.id)]
    by_cell: dict[str, tuple[Tried, ...]] = {}
    for cell in dict.fromkeys(ids):
        attempts = report.store.cell(cell).attempts()
        tried = [_tried(cell, attempt) for attempt in attempts[:-1]]
        tried += [_tried(cell, attempt, last=True) for attempt in attempts[-1:]]
        if tried and cell in reported and tried[-1].cause not in (RUNNING, "done"):
            cause, message = reported[cell]
            tried[-1] = replace(tried[-1], cause=cause, message=message)
        by_cell[cell] = tuple(tried)
    return by_cell


def _tried(cell: str, attempt: Attempt, last: bool = False) -> Tried:
    try:
        cause, message = status.attempt_end(attempt)
        if last and attempt.end() is None and lives(attempt):
            cause, message = RUNNING, ""
        placed = (attempt.start() or {}).get("placement", {})
        took, ended = forecast.taken(attempt), attempt.end() or {}
    except UserError as error:  # a damaged file is no reason to hold a report back
        cause, message, placed, took = "unknown", str(error), {}, forecast.Spent()
        ended = {}
    nodes = int(placed.get("placement", {}).get("nodes", 1))
    rate = float(placed.get("cluster", {}).get("gpu_hour_usd", 0.0))
    paid = _paid(attempt, placed.get("model", {}).get("service", {}))
    measured = ended.get("answering", {}), ended.get("peaks", {})
    return Tried(cell, attempt.n, cause, message, took.seconds, took.gpu_seconds, nodes, rate, paid, *measured)


def _paid(attempt: Attempt, service: Mapping[str, Any]) -> float:
    """Dollars for the tokens of the answers that an attempt kept."""
    read, written = (float(service.get(name, 0.0)) for name in ("read_usd", "written_usd"))
    if not (read or written):
        return 0.0
    # The parts of an answer to all of them have its tokens each.
    answers = {record["batch"]: record for record in read_jsonl(attempt.predictions)}.values()
    return sum(a["prompt_tokens"] * read + a["new_tokens"] * written for a in answers) / 1e6
