"""Which differences are real: each tuned cell against its untuned model, and each cell against the best.

Both cells answered the same samples, so differences are paired: a paired bootstrap for the interval (95 %), and for
hits McNemar's exact test, Holm-corrected over the whole sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from paceline import stats
from paceline.report.analysis import contamination
from paceline.report.marking import marked_cells
from paceline.tasks.answers import Answers
from paceline.tasks.metrics import PARSED, READ_SHARE, per_sample, too_few
from paceline.tasks.panels import CellResult, Panel, Results

if TYPE_CHECKING:
    from paceline.report.read.sweep_results import Group, Report, Row
    from paceline.tasks.kind import Kind

LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """One metric of a tuned cell minus that of its untuned model, on the same samples."""

    model: str
    task: str
    split: str
    prompt: str
    method: str
    before: str
    """Id of the untuned cell."""
    after: str
    """Id of the tuned cell."""
    metric: str
    unit: str
    value_before: float
    value_after: float
    difference: float
    low: float
    high: float
    n: int
    """Samples compared: those for which both cells have a value."""
    p: float | None
    """Holm-corrected McNemar p; None for metrics that are no hits."""
    verdict: str
    """``better``, ``worse``, ``can't be told apart``, or what the two tests disagree on."""


@dataclass(frozen=True)
class Measured:
    """What one metric of b is against that of a, on the samples that both have a value for."""

    value_before: float
    value_after: float
    difference: float
    low: float
    high: float
    n: int
    p: float | None
    """McNemar's exact p, not corrected; None for metrics that are no hits, or are not tested."""


def measure(kind: Kind, a: Answers, b: Answers, metric: str, tested: bool = False) -> Measured | None:
    """The paired bootstrap of the difference and, if it is to be tested, McNemar's test.

    A statistic of the set is computed anew on every resample, for both cells on the same draws. Where samples come in
    groups, groups are drawn; then McNemar's test, which takes samples for independent, is left out.

    Returns:
        None below two samples that both have a value for, or where the metric has no value per sample, or no interval
        of so few groups.
    """
    spec = kind.metric(metric)
    if spec.statistic == "set":
        return _measure_set(kind, a, b, metric)
    of_a, of_b = per_sample(a, spec), per_sample(b, spec)
    if of_a is None or of_b is None:
        return None
    at_a, at_b = _common(a, b)
    both = np.isfinite(of_a.values[at_a]) & np.isfinite(of_b.values[at_b])
    x, y = of_a.values[at_a][both], of_b.values[at_b][both]
    if len(x) < 2 or too_few(a.groups[at_a][both], spec):
        return None
    if a.grouped:
        change = stats.grouped_change(x, y, a.groups[at_a][both], of_a.statistic)
    else:
        change = stats.paired_bootstrap(x, y, of_a.statistic)
    statistic = np.median if of_a.statistic == "median" else np.mean
    p = stats.mcnemar_exact(x > 0, y > 0) if tested and of_a.hits and not a.grouped else None
    return Measured(float(statistic(x)), float(statistic(y)), change.value, change.low, change.high, len(x), p)


def _common(a: Answers, b: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Positions in both of the samples that both answered, in the order of the first."""
    if a.samples == b.samples:
        at = np.arange(len(a.samples))
        return at, at
    position = {sample: i for i, sample in enumerate(b.samples)}
    common = [(i, position[s]) for i, s in enumerate(a.samples) if s in position]
    return np.array([i for i, _ in common], dtype=int), np.array([j for _, j in common], dtype=int)


def _measure_set(kind: Kind, a: Answers, b: Answers, metric: str) -> Measured | None:
    at_a, at_b = _common(a, b)
    if len(at_a) < 2:
        return None
    if len(at_a) < max(len(a.samples), len(b.samples)):
        a, b = a.take(at_a.tolist()), b.take(at_b.tolist())
    (value_a, drawn_a), (value_b, drawn_b) = ((kind.statistics(one)[metric]) for one in (a, b))
    if not np.isfinite(value_a) or not np.isfinite(value_b):
        return None
    change = stats.change_of(value_b - value_a, drawn_b - drawn_a, len(a.samples))
    if not np.isfinite(change.low):
        return None  # of too few samples for an interval, as the kind says
    return Measured(value_a, value_b, change.value, change.low, change.high, change.n, None)


@cache
def differences(report: Report) -> tuple[Difference, ...]:
    """Every tuned cell against its untuned model, by split and headline metric, in sweep order. Worked out once."""
    kinds = {group.task: group.kind for group in report.groups}
    return with_verdicts(_differences(report), kinds)


def with_verdicts(differences: Iterable[Difference], kinds: Mapping[str, Kind]) -> tuple[Difference, ...]:
    """Differences with their verdicts, the p values of all of them together Holm-corrected.

    Args:
        differences: with raw p values, and no verdict yet.
        kinds: task -> its kind, which says which way is better.
    """
    listed = list(differences)
    tested = [i for i, d in enumerate(listed) if d.p is not None]
    corrected = stats.holm([float(listed[i].p or 0.0) for i in tested])
    for i, p in zip(tested, corrected, strict=True):
        listed[i] = replace(listed[i], p=float(p))
    return tuple(replace(d, verdict=verdict(d, kinds[d.task].metric(d.metric).lower_is_better)) for d in listed)


def _differences(report: Report) -> Iterator[Difference]:
    for group in report.groups:
        untuned = untuned_of(group)
        for row in group.rows:
            if before := untuned.get(row.id):
                for metric in group.headline:
                    if difference := _difference(report, group, before, row, metric):
                        yield difference


def untuned_of(group: Group) -> dict[str, Row]:
    """Id of a tuned cell -> the cell that answered the same samples in the same way with untuned weights."""
    untuned: dict[str, dict[str, Row]] = {}
    for row in group.rows:
        if not row.tuned:
            untuned.setdefault(row.pairing, {})[row.form] = row
    found = {}
    for row in group.rows:
        if row.tuned and (forms := untuned.get(row.pairing)):
            # Of a model that was evaluated both unquantised and in four bits, the one that the adapter was trained on.
            found[row.id] = forms.get(row.form) or next(iter(forms.values()))
    return found


def tested_metric(group: Group) -> str | None:
    """The one metric that is tested: of the headline the first that leads and is of hits, else the first of hits.

    One test a pair keeps Holm's correction mild.
    """
    hits = [m for m in group.headline if group.kind.metric(m).tested and m != READ_SHARE]
    return next((m for m in hits if group.kind.metric(m).leads), hits[0] if hits else None)


def leading(group: Group) -> list[str]:
    """The metrics of the smaller sections: those that the kind names, else the first two."""
    return [m for m in group.headline if group.kind.metric(m).leads] or list(group.headline[:2])


def best_rows(report: Report, group: Group, most: int = 12) -> list[Row]:
    """The best cell of each model, untuned and tuned, by the leading metric, of those of which anything was read.

    For figures that are drawn cell by cell and have no room for every cell.
    """
    metric = next(iter(leading(group)), "")
    best: dict[tuple[str, bool], Row] = {}
    # Last, in sweep order, those that have no such figure, as a captioner that can't be asked for colours.
    for row in (*group.rank(metric), *(row for row in group.rows if metric and not group.metric(row, metric))):
        key = (row.model, bool(row.tuned))
        if key not in best and PARSED.name in report.chosen(row, group.split).outcomes:
            best[key] = row
    return list(best.values())[:most]


@cache
def _panels(report: Report) -> dict[tuple[str, str], list[Panel]]:
    return {(group.task, group.split): _of_group(report, group) for group in report.groups}


def _of_group(report: Report, group: Group) -> list[Panel]:
    further = (marked_cells.panel(report, group), contamination.panel(report, group, leading(group)))
    return [*group.kind.panels(_results(report, group)), *filter(None, further)]


def panels(report: Report, group: Group) -> list[Panel]:
    """What the kind shows of a group, what people marked, and its figures without samples that are trained on too."""
    return _panels(report)[group.task, group.split]


def _results(report: Report, group: Group) -> Results:
    def cell(row: Row) -> CellResult:
        name = f"{row.model} · {row.prompt} · {row.label}"
        named = {"model": row.model, "prompt": row.prompt, "method": row.label}
        return CellResult(row.id, name, lambda: report.chosen(row, group.split), **named)

    cells = {row.id: cell(row) for row in group.rows}
    tested = tested_metric(group)
    return Results(
        report.tasks[group.task],
        group.split,
        list(cells.values()),
        [cells[row.id] for row in best_rows(report, group)],
        group.kind.metric(tested) if tested else None,
        report.samples[group.task],
        lambda metric: [row.id for row in group.rank(metric)],
    )


def shortened(group: Group, metric: str, most: int) -> Group:
    """The group, or of a large one the rows that are best in a metric, in sweep order still."""
    if len(group.rows) <= most or not metric:
        return group
    best = {row.id for row in group.rank(metric)[:most]}
    return replace(group, rows=tuple(row for row in group.rows if row.id in best))


def _difference(report: Report, group: Group, before: Row, after: Row, metric: str) -> Difference | None:
    if group.metric(after, metric) is None:
        return None
    return difference(group, metric, (report, before), (report, after))


def difference(group: Group, metric: str, before: tuple[Report, Row], after: tuple[Report, Row]) -> Difference | None:
    """One metric of two cells, named as the second is; None where they have too few samples in common.

    ``p`` is not corrected yet, and there only for the metric that is tested; :func:`with_verdicts` gives the verdict.
    """
    row = after[1]
    answers = before[0].chosen(before[1], group.split), after[0].chosen(row, group.split)
    measured = measure(group.kind, *answers, metric, tested=metric == tested_metric(group))
    if measured is None:
        return None
    return Difference(
        model=row.model,
        task=group.task,
        split=group.split,
        prompt=row.prompt,
        method=row.label,
        before=before[1].id,
        after=row.id,
        metric=metric,
        unit=group.unit(metric),
        verdict="",
        **asdict(measured),
    )


def verdict(d: Difference | Measured, lower_is_better: bool) -> str:
    """What an interval, and a corrected p where there is one, say of a difference."""
    if d.low <= 0 <= d.high:
        return "can't be told apart"
    direction = "better" if (d.difference < 0) == lower_is_better else "worse"
    # The interval looks at one comparison; p pays for all that the sweep makes.
    return direction if d.p is None or d.p <= LEVEL else f"{direction} alone, not among so many tests"


@dataclass(frozen=True)
class Standing:
    """How the cells of a group stand in one metric."""

    best: str | None
    """Id of the best cell; None where no other cell can be told apart from it, or there is none."""
    tied: frozenset[str]
    """Ids of the cells that can't be told apart from the best: the paired 95 % interval of the difference holds 0."""

    def mark(self, row: Row, best: str = "*", tied: str = "≈") -> str:
        """The mark of a row, or nothing."""
        return best if row.id == self.best else tied if row.id in self.tied else ""


@cache
def _standings(report: Report) -> dict[tuple[str, ...], Standing]:
    return {}


def standing(report: Report, group: Group, metric: str) -> Standing:
    """Which cell is best in a metric, and which can't be told apart from it; worked out once."""
    known = _standings(report)
    key = (group.task, group.split, metric, *(row.id for row in group.rows))
    if key not in known:
        known[key] = _standing(report, group, metric)
    return known[key]


def _standing(report: Report, group: Group, metric: str) -> Standing:
    ranked = group.rank(metric)
    if len(ranked) < 2:
        return Standing(None, frozenset())
    best, *others = ranked
    tied = set()
    spec = group.kind.metric(metric)
    for row in others:
        if not _overlap(group, best, row, metric):
            continue
        change = measure(group.kind, report.chosen(best, group.split), report.chosen(row, group.split), metric)
        if change is None and (spec.statistic == "set" or spec.fewest_groups):
            return Standing(None, frozenset())  # nothing tells the best from another
        if change is not None and change.low <= 0 <= change.high:
            tied.add(row.id)
    if len(tied) == len(others):
        return Standing(None, frozenset({best.id, *tied}))
    return Standing(best.id, frozenset(tied))


def _overlap(group: Group, best: Row, row: Row, metric: str) -> bool:
    """Whether the cells' own intervals meet; where they don't, the difference needs no test (which saves time)."""
    a, b = group.metric(best, metric), group.metric(row, metric)
    if a is None or b is None or None in (a.low, a.high, b.low, b.high):
        return True
    return bool(a.low <= b.high and b.low <= a.high)  # type: ignore[operator]
