"""What an answer about an image takes: seconds, and the peak of memory, of each evaluate cell.

Measured by the attempts themselves (:mod:`paceline.inference.stopwatch`). Of a cell's attempts the one tells that
answered the most samples: figures of several machines are not mixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from paceline.report.read import attempt_records

if TYPE_CHECKING:
    from paceline.report.read.sweep_results import Report, Row

NOTE = (
    "Seconds are of answering alone, without the loading of weights: a batch's, divided by what it asks; an image of "
    "several questions has all of theirs. Memory is the most that the process held while it answered the cell, its "
    "weights included. Both are of the attempt that answered the most samples, which are counted."
)


@dataclass(frozen=True)
class PerImage:
    """What one cell took."""

    samples: int
    of: str
    """What the seconds are of: ``image``, or ``sample`` where none is shown."""
    seconds: float
    """Mean."""
    median_seconds: float
    batch: int
    """The most conversations that were answered together."""
    host_gib: float | None
    cuda_gib: float | None
    """None where no GPU was used."""


@cache
def of_cells(report: Report) -> dict[str, PerImage]:
    """Evaluate cell -> what it took; cells whose attempts measured nothing, and those of a service, are missing."""
    tried = attempt_records.of_sweep(report)
    found = {}
    for row in report.rows:
        measured = [t for t in tried.get(row.id, ()) if t.answering]
        if measured:
            most = max(measured, key=lambda t: t.answering["samples"])
            told = {name: most.answering[name] for name in ("samples", "of", "seconds", "median_seconds", "batch")}
            found[row.id] = PerImage(**told, host_gib=most.peaks.get("host_gib"), cuda_gib=most.peaks.get("cuda_gib"))
    return found


def slowest_first(report: Report) -> list[tuple[Row, PerImage]]:
    """The cells that were measured, the slowest first."""
    found = of_cells(report)
    pairs = [(row, found[row.id]) for row in report.rows if row.id in found]
    return sorted(pairs, key=lambda pair: -pair[1].seconds)
