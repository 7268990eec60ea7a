"""Whether several cells together answer better than the best of them: over the prompts of a model, and over models.

How answers are combined is for the kind of task to say (``combine``): a vote, a median. A kind whose answers can't be
combined has no ensembles.

The best member is the one with the best metric *on the same samples*, so its own figure is flattered by the choice
while the ensemble's is not: the gain is understated, the more so the more members are alike. An interval above
zero is reliable; one around zero does not show that an ensemble is of no use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from paceline.report.analysis import differences
from paceline.tasks.answers import Answers

if TYPE_CHECKING:
    from paceline.report.read.sweep_results import Group, Report, Row

Over = Literal["prompts", "models"]
Naming = Callable[["Row"], tuple[str, str]]
"""What a cell shares with the others of an ensemble, and what it is called among them."""

FEWEST_MEMBERS = 3
"""Of two places every point between them is a median, and two votes that differ are a tie."""
MOST_ENSEMBLES = 24
"""Worked out of each kind in a group: those whose best member leads."""


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
    rule: str
    """How their answers are combined."""
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
    metrics = differences.leading(group)
    kinds: dict[Over, Naming] = {
        "prompts": lambda row: (f"{row.model} · {row.label}", row.prompt),
        "models": lambda row: (f"{row.prompt} · {row.label}", row.model),
    }
    judged: list[Ensemble] = []
    left_out = 0
    for over, names in kinds.items():
        possible = list(_possible(report, group, names)) if metrics else []
        places = {row.id: i for i, row in enumerate(group.rank(metrics[0]))} if metrics else {}
        possible.sort(key=lambda one: min(places.get(row.id, len(places)) for row in one[1]))
        left_out += len(possible[MOST_ENSEMBLES:])
        chosen = possible[:MOST_ENSEMBLES]
        together = group.kind.combine([[report.chosen(row, group.split) for row in rows] for _, rows in chosen])
        if together is None:
            return Ensembles((), 0)
        for (name, rows), answers in zip(chosen, together, strict=True):
            gains = tuple(g for m in metrics if (g := _gain(report, group, rows, answers, m, names)))
            if gains:
                ids = tuple(row.id for row in rows)
                judged.append(Ensemble(group.task, group.split, over, name, ids, group.kind.combined, gains))
    return Ensembles(tuple(judged), left_out)


def _possible(report: Report, group: Group, names: Naming) -> Iterator[tuple[str, list[Row]]]:
    """Cells that share a name and differ in the other, of those that answered the same samples the most."""
    sharing: dict[str, dict[tuple[str, ...], dict[str, Row]]] = {}
    for row in group.rows:
        shared, member = names(row)
        samples = report.chosen(row, group.split).samples
        if samples:
            sharing.setdefault(shared, {}).setdefault(samples, {}).setdefault(member, row)
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
    measured = differences.measure(group.kind, report.chosen(best, group.split), answers, metric)
    if measured is None:
        return None
    return Gain(
        metric=metric,
        unit=group.unit(metric),
        best=best.id,
        best_name=names(best)[1],
        value_best=measured.value_before,
        value_ensemble=measured.value_after,
        difference=measured.difference,
        low=measured.low,
        high=measured.high,
        n=measured.n,
        verdict=differences.verdict(measured, group.lower_is_better(metric)),
    )
