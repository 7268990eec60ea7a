"""What the choice of the prompt does: the mean and the spread over prompts, and whether models agree on the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paceline import stats
from paceline.report.compare import per_sample

if TYPE_CHECKING:
    from paceline.report.results import Group, Report, Row

# Values drawn for one interval: 1,000 cells of 100 samples take all resamples, 1,000 of 2,000 samples a tenth.
MOST_DRAWN = 200_000_000
FEWEST_RESAMPLES = 100


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
class Agreement:
    """Kendall's W of the prompts' ranks over models and methods: 1 all agree, 0 none do."""

    w: float
    low: float | None
    """95 % interval over samples, see :func:`agreement_interval`; None where there is none."""
    high: float | None
    judges: int
    """Models and methods that answered every prompt."""


@dataclass(frozen=True)
class Sensitivity:
    """What the choice of the prompt does in one group, for one metric."""

    metric: str
    unit: str
    by_model: tuple[PromptSummary, ...]
    by_prompt: tuple[PromptSummary, ...]
    agreement: Agreement | None
    """None without meaning: below two judges, or where none tells any two prompts apart."""


def prompt_sensitivity(report: Report, group: Group, metric: str) -> Sensitivity | None:
    """Mean, spread and rank stability over prompts; None where no model was asked with two prompts."""
    table: dict[str, dict[str, tuple[Row, float]]] = {}
    for row in group.rows:
        if (found := group.metric(row, metric)) and found.value is not None:
            table.setdefault(f"{row.model} {row.label}", {}).setdefault(row.prompt, (row, found.value))
    table = {name: values for name, values in table.items() if len(values) > 1}
    if not table:
        return None
    prompts = list(dict.fromkeys(prompt for values in table.values() for prompt in values))
    complete = [[values[p] for p in prompts] for values in table.values() if len(values) == len(prompts)]
    sign = 1 if metric in group.lower_is_better else -1
    ranks = [[1 + sum(sign * v < sign * value for _, v in values) for _, value in values] for values in complete]
    return Sensitivity(
        metric,
        group.unit(metric),
        tuple(_summary(name, [v for _, v in values.values()]) for name, values in table.items()),
        tuple(
            _summary(p, [v[p][1] for v in table.values() if p in v], tuple(r[i] for r in ranks))
            for i, p in enumerate(prompts)
        ),
        _agreement(report, group, metric, complete),
    )


def _summary(name: str, values: list[float], ranks: tuple[int, ...] = ()) -> PromptSummary:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return PromptSummary(name, len(values), float(np.mean(values)), spread, min(values), max(values), ranks)


def _agreement(
    report: Report, group: Group, metric: str, complete: Sequence[Sequence[tuple[Row, float]]]
) -> Agreement | None:
    values = np.array([[value for _, value in judge] for judge in complete])
    if values.ndim < 2 or (w := kendall_w(values)) is None:
        return None
    answers = [[report.chosen(row, group.split) for row, _ in judge] for judge in complete]
    interval = None
    if len({a.samples for judge in answers for a in judge}) == 1:
        each = [[per_sample(a, metric) for a in judge] for judge in answers]
        # A median has no resampling that is quick for a thousand cells at once, so its W stands alone.
        if all(s is not None and s.statistic == "mean" for judge in each for s in judge):
            interval = agreement_interval(np.array([[s.values for s in judge if s] for judge in each]))
    low, high = interval or (None, None)
    return Agreement(w, low, high, len(complete))


def agreement_interval(values: np.ndarray, *, seed: int = stats.SEED) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of Kendall's W over samples.

    All cells keep the same draw of samples, as they answered the same ones. Models and prompts are taken as given: the
    interval says how W would vary with other samples, not with other models. Noise adds to noise in a resample, so
    that the interval of a W near 1 reaches lower than it should.

    Args:
        values: float64 (judges, prompts, samples), whose means over samples are ranked; NaN has no value.

    Returns:
        Low and high end; None where most resamples tell no two prompts apart, or there are fewer than two samples.
    """
    m, k, n = values.shape
    if n < 2:
        return None
    resamples = min(stats.RESAMPLES, max(FEWEST_RESAMPLES, MOST_DRAWN // values.size))
    rng = np.random.default_rng(seed)
    often = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
    known = np.isfinite(values).reshape(m * k, n)
    sums = often @ np.where(known, values.reshape(m * k, n), 0.0).T
    counts = often @ known.T.astype(np.float64)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    # Sums of the same values in another order differ in the last digit, and would break a tie.
    drawn = [kendall_w(table) for table in np.round(means, 12).reshape(resamples, m, k) if np.isfinite(table).all()]
    found = [w for w in drawn if w is not None]
    if len(found) <= resamples / 2:
        return None
    low, high = np.quantile(found, [(1 - stats.LEVEL) / 2, (1 + stats.LEVEL) / 2])
    return float(low), float(high)


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
