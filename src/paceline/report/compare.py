"""Which differences are real: each tuned cell against its untuned model, and each cell against the best.

Both cells answered the same samples, so differences are paired: a paired bootstrap for the interval (95 %), and for
hits McNemar's exact test, Holm-corrected over the whole sweep.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from paceline import stats
from paceline.report.answers import Answers

if TYPE_CHECKING:
    from paceline.report.results import Group, Report, Row

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
    """Samples compared: of a distance those that both read, else all."""
    p: float | None
    """Holm-corrected McNemar p; None for metrics that are no hits."""
    verdict: str
    """``better``, ``worse``, ``can't be told apart``, or what the two tests disagree on."""


@dataclass(frozen=True)
class Judged:
    """A metric per sample."""

    values: np.ndarray
    """float64 (n,): NaN where an unread answer has no value, and 0 where it is a miss."""
    statistic: Literal["mean", "median"]
    hits: bool


def per_sample(answers: Answers, metric: str) -> Judged | None:
    """A metric's values sample by sample; None for an aggregate that has none (a minimum, a spread)."""
    scores = answers.scores
    if metric in ("median_km", "mean_km") and "distance_km" in scores:
        return Judged(scores["distance_km"], "median" if metric == "median_km" else "mean", hits=False)
    if (found := re.fullmatch(r"within_(\d+)_?km", metric)) and "distance_km" in scores:
        near = np.nan_to_num(scores["distance_km"], nan=np.inf) <= float(found[1])
        return Judged(near.astype(float), "mean", hits=True)
    if metric == "parsed_share":
        return Judged(np.array([o == "parsed" for o in answers.outcomes], dtype=float), "mean", hits=True)
    if (name := metric.removesuffix("_accuracy")) in scores:
        values = scores[name]
        return Judged(values, "mean", hits=name != metric)
    return None


def paired(a: Answers, b: Answers, metric: str) -> tuple[np.ndarray, np.ndarray, Judged] | None:
    """One metric of two cells on the samples that both have a value for, in the same order.

    Returns:
        The values of a and of b, float64 (n,), and how to judge them; None below two samples, or where the metric
        has no value per sample.
    """
    of_a, of_b = per_sample(a, metric), per_sample(b, metric)
    if of_a is None or of_b is None:
        return None
    if a.samples == b.samples:
        x, y = of_a.values, of_b.values
    else:
        position = {sample: i for i, sample in enumerate(b.samples)}
        common = [(i, position[s]) for i, s in enumerate(a.samples) if s in position]
        x, y = of_a.values[[i for i, _ in common]], of_b.values[[j for _, j in common]]
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 2:
        return None
    return x[both], y[both], of_a


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


def measure(a: Answers, b: Answers, metric: str, tested: bool = False) -> Measured | None:
    """The paired bootstrap of the difference and, if it is to be tested, McNemar's test; None as :func:`paired`."""
    pair = paired(a, b, metric)
    if pair is None:
        return None
    x, y, judged = pair
    change = stats.paired_bootstrap(x, y, judged.statistic)
    statistic = np.median if judged.statistic == "median" else np.mean
    p = stats.mcnemar_exact(x > 0, y > 0) if tested and judged.hits else None
    return Measured(float(statistic(x)), float(statistic(y)), change.value, change.low, change.high, len(x), p)


@cache
def differences(report: Report) -> tuple[Difference, ...]:
    """Every tuned cell against its untuned model, by split and headline metric, in sweep order. Worked out once."""
    lower = {group.task: group.lower_is_better for group in report.groups}
    return with_verdicts(_differences(report), lower)


def with_verdicts(
    differences: Iterable[Difference], lower_is_better: Mapping[str, Collection[str]]
) -> tuple[Difference, ...]:
    """Differences with their verdicts, the p values of all of them together Holm-corrected.

    Args:
        differences: with raw p values, and no verdict yet.
        lower_is_better: task -> the metrics of which less is better.
    """
    found = list(differences)
    tested = [i for i, d in enumerate(found) if d.p is not None]
    corrected = stats.holm([float(found[i].p or 0.0) for i in tested])
    for i, p in zip(tested, corrected, strict=True):
        found[i] = replace(found[i], p=float(p))
    return tuple(replace(d, verdict=verdict(d, d.metric in lower_is_better[d.task])) for d in found)


def _differences(report: Report) -> Iterator[Difference]:
    for group in report.groups:
        untuned: dict[str, dict[str, Row]] = {}
        for row in group.rows:
            if not row.tuned:
                untuned.setdefault(row.pairing, {})[row.form] = row
        for row in group.rows:
            forms = untuned.get(row.pairing)
            if not row.tuned or not forms:
                continue
            # Of a model that was asked whole and in four bits, the one that the adapter stands on.
            before = forms.get(row.form) or next(iter(forms.values()))
            for metric in group.headline:
                if difference := _difference(report, group, before, row, metric):
                    yield difference


def tested_metric(group: Group) -> str | None:
    """The one metric that is tested: of the headline's distances the middle one, else its first accuracy.

    One test a pair keeps Holm's correction mild. The smallest distances are hit by nobody while a task is hard, the
    largest by everybody once it is easy.
    """
    within = [m for m in group.headline if m.startswith("within")]
    hits = within[len(within) // 2 :] or [m for m in group.headline if m.endswith("_accuracy")]
    return hits[0] if hits else None


def leading(group: Group) -> list[str]:
    """The metrics in which the smaller sections are told: the tested one and the median, else the first two."""
    tested = tested_metric(group)
    return [m for m in group.headline if m == tested or m.startswith("median")] or list(group.headline[:2])


def best_rows(report: Report, group: Group, most: int = 12) -> list[Row]:
    """The best cell of each model, untuned and tuned, by the leading metric, of those of which anything was read.

    For figures that are drawn cell by cell: of many cells these are the ones that a reader asks for.
    """
    found: dict[tuple[str, bool], Row] = {}
    for row in group.rank(next(iter(leading(group)), "")):
        key = (row.model, bool(row.tuned))
        if key not in found and "parsed" in report.chosen(row, group.split).outcomes:
            found[key] = row
    return list(found.values())[:most]


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
    found = measure(*answers, metric, tested=metric == tested_metric(group))
    if found is None:
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
        **asdict(found),
    )


def verdict(d: Difference | Measured, lower_is_better: bool) -> str:
    """What an interval, and a corrected p where there is one, say of a difference."""
    if d.low <= 0 <= d.high:
        return "can't be told apart"
    word = "better" if (d.difference < 0) == lower_is_better else "worse"
    # The interval looks at one comparison; p pays for all that the sweep makes.
    return word if d.p is None or d.p <= LEVEL else f"{word} alone, not among so many tests"


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
    for row in others:
        if not _overlap(group, best, row, metric):
            continue
        pair = paired(report.chosen(best, group.split), report.chosen(row, group.split), metric)
        if pair is None:
            continue
        change = stats.paired_bootstrap(pair[0], pair[1], pair[2].statistic)
        if change.low <= 0 <= change.high:
            tied.add(row.id)
    if len(tied) == len(others):
        return Standing(None, frozenset({best.id, *tied}))
    return Standing(best.id, frozenset(tied))


def _overlap(group: Group, best: Row, row: Row, metric: str) -> bool:
    """Whether the cells' own intervals meet; where they don't, the difference needs no test (and is soon told)."""
    a, b = group.metric(best, metric), group.metric(row, metric)
    if a is None or b is None or None in (a.low, a.high, b.low, b.high):
        return True
    return bool(a.low <= b.high and b.low <= a.high)  # type: ignore[operator]
