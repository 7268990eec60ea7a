"""What ended early, and why: every attempt, also of a cell that succeeded later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paceline.report.analysis import cost
from paceline.report.read import attempt_records

if TYPE_CHECKING:
    from paceline.report.read.sweep_results import Report

REMEDIES: Mapping[str, str] = {
    "timeout": "resume goes on from the last checkpoint or batch; where it gets nowhere, raise cluster.minutes or "
    "lower placement.checkpoint_minutes",
    "preempted": "resume goes on from the last checkpoint or batch; a QOS that is not preempted costs more",
    "node failure": "resume tries again on another node",
    "out of host memory": "resume takes the next rung of the ladder; or raise cluster.memory_gib, or "
    "cluster.memory_per_cpu_gib where that is set",
    "CUDA out of memory": "resume takes the next rung of the ladder; paceline fit tells what would hold it",
    "code bug": "mend it, then resume with --retry-failed --code=current; the attempt's log has the traceback",
    "bad data": "mend what the message names, then resume with --retry-failed; a setting: submit again with --mend",
    "NaN loss": "lower train.learning_rate or raise train.warmup (another cell), or resume with --retry-failed",
    "cancelled": "resume goes on where it stopped",
    "disk full": "free space (paceline clean) or give another root, then resume",
    "service unavailable": "look whether the service runs, and at its quota; resume goes on behind the answers that it "
    "gave",
    "unknown": "killed without a word; the log's end and the node's log may tell; resume tries again",
}


@dataclass(frozen=True)
class Failure:
    """All attempts of a sweep that ended early with one cause."""

    cause: str
    attempts: int
    cells: int
    recovered: int
    """Cells of them that are done since."""
    lost_gpu_hours: float
    lost_node_hours: float
    example: str
    """Id of the cell of the attempt that is shown as an example."""
    attempt: int
    message: str
    remedy: str


def of_sweep(report: Report) -> tuple[Failure, ...]:
    """Cause by cause, the most frequent first."""
    by_cause: dict[str, list[attempt_records.Tried]] = {}
    done: set[str] = set()
    for cell, tried in attempt_records.of_sweep(report).items():
        for one in tried:
            if one.cause == "done":
                done.add(cell)
            elif one.cause != attempt_records.RUNNING:
                by_cause.setdefault(one.cause, []).append(one)
    done -= {absent.id for absent in report.missing if absent.state != "unscored"}
    causes = [_failure(cause, tried, done) for cause, tried in by_cause.items()]
    return tuple(sorted(causes, key=lambda f: -f.attempts))


def _failure(cause: str, tried: list[attempt_records.Tried], done: set[str]) -> Failure:
    shown = max(tried, key=lambda t: bool(t.message))  # the first with a message
    took = cost.total(tried)
    cells = {t.cell for t in tried}
    return Failure(
        cause=cause,
        attempts=len(tried),
        cells=len(cells),
        recovered=len(cells & done),
        lost_gpu_hours=took.lost_gpu_hours,
        lost_node_hours=took.lost_node_hours,
        example=shown.cell,
        attempt=shown.n,
        message=shown.message,
        remedy=REMEDIES.get(cause, "see the attempt's log"),
    )
