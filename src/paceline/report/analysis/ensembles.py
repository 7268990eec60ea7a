"""Whether several cells together answer better than the best of them: over the prompts of a model, over models, over
the seeds of a tuning (bagging, where each seed draws its samples again), and over rounds of boosting.

How answers are combined is for the kind of task to say (``combine``): a vote, a median. A kind whose answers can't be
combined has no ensembles.

Rounds of boosting have the say that AdaBoost gives them, where the kind has a rule for voices with weights
(``weighted``) and the answers to the training samples are there; else their voices are equal.

The best member is chosen on the validation split, where the cells answered it too, or, over seeds and rounds, by the
validation losses of their tunings. Where there is neither it is the one with the best metric *on the same samples*, so
its own figure is flattered by the choice while the ensemble's is not: the gain is understated, the more so the more
members are alike. An interval above zero is reliable then; one around zero does not show that an ensemble is of no use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from paceline.config.schema import TaskSpec
from paceline.counted import counted
from paceline.errors import PacelineError, UserError
from paceline.report.analysis import differences
from paceline.scoring import boosting
from paceline.store.files import read_json
from paceline.tasks.answers import Answers

if TYPE_CHECKING:
    from paceline.report.read.sweep_results import Group, Report, Row

Over = Literal["prompts", "models", "seeds", "rounds"]
Naming = Callable[["Row"], tuple[str, str]]
"""What a cell shares with the others of an ensemble, and what it is called among them."""

OF_TUNINGS: tuple[Over, ...] = ("seeds", "rounds")
"""Those whose members differ in how they were tuned alone, so that validation losses compare them."""
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
    """Id of the best member."""
    best_name: str
    chosen_on: str
    """What it was chosen by: a split, or ``validation loss``; empty where by this metric on the same samples."""
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
        "seeds": lambda row: (row.seedless, f"seed={row.seed}"),
        "rounds": lambda row: (row.roundless, f"boost={row.round}"),
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
        for (name, rows), equal in zip(chosen, together, strict=True):
            says = _says(report, group, rows) if over == "rounds" else []
            answers = group.kind.weighted([report.chosen(row, group.split) for row in rows], says) if says else equal
            gains = tuple(g for m in metrics if (g := _gain(report, group, rows, answers, m, over, names)))
            if gains:
                ids = tuple(row.id for row in rows)
                named = {"seeds": _of_seeds, "rounds": _of_rounds}.get(over)
                rule = f"weighted {group.kind.combined}" if says else group.kind.combined
                judged.append(Ensemble(group.task, group.split, over, named(rows) if named else name, ids, rule, gains))
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


def _of_seeds(rows: Sequence[Row]) -> str:
    """What the members of an ensemble over seeds share: their names and settings but the seed."""
    how = "bagging of " if rows[0].resampled else ""
    return f"{how}{counted(len(rows), 'seed')}: {_shared(rows[0], 'seed=', 'resample=')}"


def _of_rounds(rows: Sequence[Row]) -> str:
    """What the members of an ensemble over rounds of boosting share."""
    numbers = sorted(row.round for row in rows)
    whole = numbers == list(range(len(numbers)))
    which = f"of {counted(len(rows), 'round')}" if whole else f"by rounds {', '.join(map(str, numbers))}"
    return f"boosting {which}: {_shared(rows[0], 'boost=')}"


def _shared(one: Row, *but: str) -> str:
    """The names of a row and its settings, without those that begin so."""
    settings = " ".join(part for part in one.variant.split() if not part.startswith(but))
    method = f"{one.method} ({settings})" if settings else one.method
    return f"{one.model} · {one.prompt} · {method}"


def _says(report: Report, group: Group, rows: Sequence[Row]) -> list[float]:
    """The weights of the voices of rounds of boosting; empty where the kind weighs none, or they are not known."""
    last = max(rows, key=lambda row: row.round)
    answered = [report.store.cell(name) for name in last.weighed_by]
    if not group.kind.weighs_voices or len(answered) <= last.round:
        return []
    try:
        rounds = boosting.of_rounds(answered, report.store.root, f"the voices of {last.id} are weighed by").rounds
    except PacelineError:  # gone or damaged: the answers to the test are sound all the same
        return []
    says = [rounds[row.round].say for row in rows]
    return says if any(says) else []


def _best(report: Report, group: Group, rows: Sequence[Row], metric: str, over: Over) -> tuple[Row, str] | None:
    """The best member and what it was chosen by, as :class:`Gain` tells it; None where none has the metric."""
    members = {row.id: row for row in rows}

    def ranked(where: Group) -> list[Row]:
        return [members[row.id] for row in where.rank(metric) if row.id in members]

    here = ranked(group)
    if not here:
        return None
    tuned_on = report.trained.get(group.task)
    validation = tuned_on[0].validation if tuned_on else TaskSpec.validation
    for other in report.groups:
        if (other.task, other.split) == (group.task, validation) and other is not group:
            there = ranked(other)
            if len(there) == len(rows):
                return there[0], validation
    losses = [_validation_loss(report, row) for row in rows] if over in OF_TUNINGS else [None]
    known = [loss for loss in losses if loss is not None]
    if len(known) == len(rows):
        return rows[known.index(min(known))], "validation loss"
    return here[0], ""


def _validation_loss(report: Report, row: Row) -> float | None:
    """The validation loss of the weights that a row answered with; None where none was measured."""
    path = report.store.cell(row.tuned).weights / "training.json" if row.tuned else None
    try:
        loss = read_json(path).get("validation_loss") if path is not None and path.is_file() else None
    except UserError:  # damaged; the weights may be sound all the same
        return None
    return float(loss) if isinstance(loss, int | float) and math.isfinite(loss) else None


def _gain(
    report: Report, group: Group, rows: Sequence[Row], answers: Answers, metric: str, over: Over, names: Naming
) -> Gain | None:
    chosen = _best(report, group, rows, metric, over)
    if chosen is None:
        return None
    best, chosen_on = chosen
    measured = differences.measure(group.kind, report.chosen(best, group.split), answers, metric)
    if measured is None:
        return None
    return Gain(
        metric=metric,
        unit=group.unit(metric),
        best=best.id,
        best_name=names(best)[1],
        chosen_on=chosen_on,
        value_best=measured.value_before,
        value_ensemble=measured.value_after,
        difference=measured.difference,
        low=measured.low,
        high=measured.high,
        n=measured.n,
        verdict=differences.verdict(measured, group.lower_is_better(metric)),
    )
