"""Learning curves of the sweep's tunings, read from what their attempts wrote as they went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from paceline.store.cell_folder import CellFolder
from paceline.store.files import read_jsonl

if TYPE_CHECKING:
    from paceline.report.read.sweep_results import Report, Tuning

MOST_POINTS = 120


@dataclass(frozen=True)
class Curve:
    """The losses of one tuning by optimiser step, each step once."""

    tuning: Tuning
    loss: tuple[tuple[int, float], ...]
    """(step, mean loss over the step's batch, in nats a token)."""
    validation: tuple[tuple[int, float], ...]
    """(step, loss on the validation split)."""
    resumed: tuple[int, ...]
    """Steps at which a later attempt took up the work."""

    @property
    def last(self) -> float:
        """What the tuning came to: the last validation loss, else the mean of the last tenth of its steps."""
        if self.validation:
            return self.validation[-1][1]
        tail = [loss for _, loss in self.loss[-max(1, len(self.loss) // 10) :]]
        return sum(tail) / len(tail)


@cache
def curves(report: Report) -> tuple[Curve, ...]:
    """The curves of the sweep's tunings that have made a step, in sweep order; read once."""
    all_curves = (curve(report.store.cell(tuning.id), tuning) for tuning in report.tunings)
    return tuple(one for one in all_curves if one.loss or one.validation)


def curve(folder: CellFolder, tuning: Tuning) -> Curve:
    """One tuning's curve over all its attempts.

    A resumed attempt repeats the steps after its checkpoint. What an earlier attempt did from there on is no part of
    the weights any more, so its points are left out.
    """
    loss: dict[int, float] = {}
    validation: dict[int, float] = {}
    resumed = []
    for attempt in folder.attempts():
        records = list(read_jsonl(attempt.path / "history.jsonl"))
        steps = [int(r["step"]) for r in records if "step" in r]
        if not steps:
            continue
        first = min(steps)
        if loss or validation:
            resumed.append(first)
        for kept in (loss, validation):
            for step in [s for s in kept if s >= first]:
                del kept[step]
        for record in records:
            _take(record, "loss", loss)
            _take(record, "validation_loss", validation)
    return Curve(tuning, tuple(sorted(loss.items())), tuple(sorted(validation.items())), tuple(resumed))


def _take(record: dict[str, Any], name: str, into: dict[int, float]) -> None:
    if "step" in record and isinstance(record.get(name), int | float):
        into[int(record["step"])] = float(record[name])


def thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most :data:`MOST_POINTS` points: of more, means over as many steps in a row, at the middle of them."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return list(points)
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    return [(part[len(part) // 2][0], sum(v for _, v in part) / len(part)) for part in parts]


def as_json(training_curve: Curve) -> dict[str, Any]:
    """Plain values; a long loss as it is drawn."""
    return {
        "cell": training_curve.tuning.id,
        "loss": thinned(training_curve.loss),
        "validation_loss": training_curve.validation,
        "resumed": training_curve.resumed,
        "last": training_curve.last,
    }
