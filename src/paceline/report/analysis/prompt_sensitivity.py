"""What the choice of the prompt does: the mean and the spread over prompts, and whether models agree on the order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paceline import stats

if TYPE_CHECKING:
    from paceline.report.read.sweep_results import Group

FEWEST_JUDGES = 4
"""Below, leaving one out leaves too little to tell how much they vary."""


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
    """Whether models and methods put prompts in the same order: the mean of Kendall's tau-b over all pairs of them."""

    tau: float
    """1: all in the same order, 0: no more alike than by chance; below 0 they contradict each other."""
    low: float | None
    """95 % interval over models and methods; None below :data:`FEWEST_JUDGES` of them."""
    high: float | None
    judges: int
    """Models and methods that answered every prompt and tell at least two apart."""


@dataclass(frozen=True)
class Sensitivity:
    """What the choice of the prompt does in one group, for one metric."""

    metric: str
    unit: str
    by_model: tuple[PromptSummary, ...]
    by_prompt: tuple[PromptSummary, ...]
    agreement: Agreement | None
    """None below two models and methods that answered every prompt and tell two apart."""


def prompt_sensitivity(group: Group, metric: str) -> Sensitivity | None:
    """Mean, spread and rank stability over prompts; None where no model was asked with two prompts."""
    table: dict[str, dict[str, float]] = {}
    for row in group.rows:
        if (measured := group.metric(row, metric)) and measured.value is not None:
            table.setdefault(f"{row.model} {row.label}", {}).setdefault(row.prompt, measured.value)
    table = {name: values for name, values in table.items() if len(values) > 1}
    if not table:
        return None
    prompts = list(dict.fromkeys(prompt for values in table.values() for prompt in values))
    complete = [[values[p] for p in prompts] for values in table.values() if len(values) == len(prompts)]
    sign = 1 if group.lower_is_better(metric) else -1
    ranks = [[1 + sum(sign * v < sign * value for v in values) for value in values] for values in complete]
    return Sensitivity(
        metric,
        group.unit(metric),
        tuple(_summary(name, list(values.values())) for name, values in table.items()),
        tuple(
            _summary(p, [v[p] for v in table.values() if p in v], tuple(r[i] for r in ranks))
            for i, p in enumerate(prompts)
        ),
        agreement(np.array(complete).reshape(-1, len(prompts))),
    )


def _summary(name: str, values: list[float], ranks: tuple[int, ...] = ()) -> PromptSummary:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return PromptSummary(name, len(values), float(np.mean(values)), spread, min(values), max(values), ranks)


def agreement(table: np.ndarray) -> Agreement | None:
    """The mean Kendall tau-b over pairs of judges (Ehrenberg 1952, Biometrika 39; tau-b: Kendall 1945, Biometrika 33).

    The interval is the jackknife's for such means over pairs, with Student's t (Arvesen 1969, Annals of Mathematical
    Statistics 40): each judge is left out once. With 4 to 20 judges it holds the truth in 94 to 96 % of simulated
    sweeps, where a percentile bootstrap over judges holds it in 77 to 93 %; of three prompts alone, or at a tau near 1
    with few judges, less often. It says how other models like these would agree; that figures rest on a limited number
    of samples lowers tau itself.

    Args:
        table: values of m judges (rows) for k things (columns); only their order within a row counts.

    Returns:
        None below two judges that tell any two things apart.
    """
    first, second = np.triu_indices(table.shape[1], k=1)
    order = np.sign(table[:, first] - table[:, second])
    order = order[np.abs(order).sum(axis=1) > 0]
    m = len(order)
    if m < 2:
        return None
    # tau-b of two judges is the cosine of their signs over pairs of things.
    order /= np.linalg.norm(order, axis=1, keepdims=True)
    taus = order @ order.T
    np.fill_diagonal(taus, 0.0)
    tau = float(taus.sum() / (m * (m - 1)))
    if m < FEWEST_JUDGES:
        return Agreement(tau, None, None, m)
    without = (taus.sum() - 2 * taus.sum(axis=1)) / ((m - 1) * (m - 2))
    error = np.sqrt((m - 1) / m * ((without - without.mean()) ** 2).sum())
    half = float(_student(m - 1) * error)
    return Agreement(tau, max(-1.0, tau - half), min(1.0, tau + half), m)


def _student(freedom: int) -> float:
    """The quantile of Student's t for a two-sided 95 % interval."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + stats.LEVEL) / 2))
