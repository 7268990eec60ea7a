"""Which differences are real: each tuned cell against its untuned model, and each cell against the best.

Both cells answered the same samples, so differences are paired: a paired bootstrap for the interval (95 %), and for
hits McNemar's exact test, Holm-corrected over the whole sweep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
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


def _paired(
    report: Report, before: Row, after: Row, split: str, metric: str
) -> tuple[np.ndarray, np.ndarray, Judged] | None:
    """One metric of two cells on the samples that both have a value for, in the same order."""
    a, b = report.chosen(before, split), report.chosen(after, split)
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


@cache
def differences(report: Report) -> tuple[Difference, ...]:
    """Every tuned cell against its untuned model, by split and headline metric, in sweep order. Worked out once."""
    found = list(_differences(report))
    tested = [i for i, d in enumerate(found) if d.p is not None]
    if tested:
        corrected = stats.holm([float(found[i].p or 0.0) for i in tested])
        for i, p in zip(tested, corrected, strict=True):
            found[i] = replace(found[i], p=float(p))
    lower = {group.task: group.lower_is_better for group in report.groups}
    return tuple(replace(d, verdict=_verdict(d, d.metric in lower[d.task])) for d in found)


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


def _difference(report: Report, group: Group, before: Row, after: Row, metric: str) -> Difference | None:
    pair = _paired(report, before, after, group.split, metric)
    shown = group.metric(after, metric)
    if pair is None or shown is None:
        return None
    x, y, judged = pair
    change = stats.paired_bootstrap(x, y, judged.statistic)
    statistic = np.median if judged.statistic == "median" else np.mean
    return Difference(
        model=after.model,
        task=group.task,
        split=group.split,
        prompt=after.prompt,
        method=after.label,
        before=before.id,
        after=after.id,
        metric=metric,
        unit=shown.unit,
        value_before=float(statistic(x)),
        value_after=float(statistic(y)),
        difference=change.value,
        low=change.low,
        high=change.high,
        n=len(x),
        p=stats.mcnemar_exact(x > 0, y > 0) if metric == tested_metric(group) else None,
        verdict="",
    )


def _verdict(d: Difference, lower_is_better: bool) -> str:
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


def standing(report: Report, group: Group, metric: str) -> Standing:
    """Which cell is best in a metric, and which can't be told apart from it."""
    ranked = group.rank(metric)
    if len(ranked) < 2:
        return Standing(None, frozenset())
    best, *others = ranked
    tied = set()
    for row in others:
        pair = _paired(report, best, row, group.split, metric) if _overlap(group, best, row, metric) else None
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


@dataclass(frozen=True)
class PromptSummary:
    """How much one model, tuned one way, depends on the prompt; or one prompt over the models."""

    name: str
    n: int
    mean: float
    spread: float
    """Standard deviation over the prompts (or the models)."""
    low: float
    high: float
    ranks: tuple[int, ...]
    """A prompt's rank, 1 the best, in each model and method that answered all prompts."""


@dataclass(frozen=True)
class Sensitivity:
    """What the choice of the prompt does in one group, for one metric."""

    metric: str
    unit: str
    by_model: tuple[PromptSummary, ...]
    by_prompt: tuple[PromptSummary, ...]
    agreement: float | None
    """Kendall's W of the prompts' ranks over models and methods: 1 all agree, 0 none do; None without meaning."""


def prompt_sensitivity(group: Group, metric: str) -> Sensitivity | None:
    """Mean, spread and rank stability over prompts; None where no model was asked with two prompts."""
    table: dict[str, dict[str, float]] = {}
    unit = ""
    for row in group.rows:
        if (found := group.metric(row, metric)) and found.value is not None:
            table.setdefault(f"{row.model} {row.label}", {}).setdefault(row.prompt, found.value)
            unit = found.unit
    table = {name: values for name, values in table.items() if len(values) > 1}
    if not table:
        return None
    prompts = list(dict.fromkeys(prompt for values in table.values() for prompt in values))
    complete = [values for values in table.values() if len(values) == len(prompts)]
    sign = 1 if metric in group.lower_is_better else -1
    ranks = [[1 + sum(sign * v < sign * values[p] for v in values.values()) for p in prompts] for values in complete]
    return Sensitivity(
        metric,
        unit,
        tuple(_summary(name, list(values.values())) for name, values in table.items()),
        tuple(
            _summary(p, [v[p] for v in table.values() if p in v], tuple(r[i] for r in ranks))
            for i, p in enumerate(prompts)
        ),
        kendall_w(np.array([[values[p] for p in prompts] for values in complete]).reshape(-1, len(prompts))),
    )


def _summary(name: str, values: list[float], ranks: tuple[int, ...] = ()) -> PromptSummary:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return PromptSummary(name, len(values), float(np.mean(values)), spread, min(values), max(values), ranks)


def kendall_w(table: np.ndarray) -> float | None:
    """Kendall's coefficient of concordance, corrected for ties (Siegel and Castellan 1988, ch. 9).

    Args:
        table: values of m judges (rows) for k things (columns); only their order within a row counts.

    Returns:
        From 0, no agreement, to 1, the same order everywhere; None below two judges, or where no judge tells any
        two things apart.
    """
    m, k = table.shape
    if m < 2:
        return None
    below = (table[:, :, None] > table[:, None, :]).sum(axis=2)
    equal = (table[:, :, None] == table[:, None, :]).sum(axis=2)
    totals = (below + (equal + 1) / 2).sum(axis=0)
    # Every member of a tie of t counts t**2 - 1, which sums to t**3 - t.
    possible = m**2 * (k**3 - k) - m * float((equal**2 - 1).sum())
    return float(12 * ((totals - totals.mean()) ** 2).sum() / possible) if possible > 0 else None
