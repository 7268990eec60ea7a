"""How answers are judged: outcomes, metrics, and what a cell's metrics are made of.

Part of every scorer's digest, as is :mod:`paceline.stats`: a change here makes stored metrics count as old.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from paceline import stats
from paceline.stats import Interval

if TYPE_CHECKING:
    from paceline.tasks.answers import Answers

Statistic = Literal["mean", "median", "min", "max", "std", "set"]


@dataclass(frozen=True)
class Outcome:
    """What became of an answer."""

    name: str
    """As ``scores.jsonl`` stores it; a name that was stored once keeps its meaning."""
    label: str
    """For people."""
    read: bool = False
    """Whether the answer was read. One outcome of a kind is; the others are misses."""


PARSED = Outcome("parsed", "read", read=True)
REFUSED = Outcome("refused", "refused")
MALFORMED = Outcome("malformed", "malformed")
OUT_OF_RANGE = Outcome("out_of_range", "out of range")
ECHOED = Outcome("echoed", "echoed")
CONTENT_FILTER = Outcome("content_filter", "stopped by a content filter")
ERROR = Outcome("error", "no answer: the service failed")

READ_SHARE = f"{PARSED.name}_share"
"""The metric that counts the answers read; compact tables give it a column of its own."""

KNOWN_OUTCOMES = (PARSED, REFUSED, MALFORMED, OUT_OF_RANGE, ECHOED, CONTENT_FILTER, ERROR)


@dataclass(frozen=True)
class Reading:
    """What an answer says, read without the truth."""

    outcome: str
    value: Any = None
    """A JSON value; None where nothing was read."""
    span: tuple[int, int] | None = None
    """The characters of the answer that were judged, as a half-open range; None where they are not known."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What ``score`` needs besides the value."""


@dataclass(frozen=True)
class Judged:
    """An answer held to the truth."""

    truth: Any
    """A JSON value, as ``scores.jsonl`` keeps it."""
    scores: Mapping[str, float | bool | None]
    """Score name -> number, or true or false; None where there is nothing to judge."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What a score was made of, such as the words that count against an answer: JSON values that panels show."""


class Unit(str):
    """What numbers count, with how many decimals they are shown; a plain unit leaves those to their size."""

    decimals: int | None

    def __new__(cls, unit: str, decimals: int | None = None) -> Self:
        """A unit, such as ``Unit("", 2)`` for a score without one."""
        made = super().__new__(cls, unit)
        made.decimals = decimals
        return made


@dataclass(frozen=True)
class Metric:
    """One figure over the answers of a cell to a split.

    Attributes:
        name: as ``metrics.json`` stores it.
        title: as a heading; the name with spaces where it is empty.
        lead: a word of the title that several metrics share, which a heading sets above the rest, such as ``within``.
        unit: ``share`` for parts of 1, or what the numbers count.
        lower_is_better: which way is better.
        leads: whether the smaller sections of a report show it; of those whose hits can be tested, the first is tested.
        score: the score per sample that it is made of; empty for a statistic of the set.
        statistic: how it is made of them. ``set`` means that ``resample`` of the kind computes it.
        at_most: the metric is the share of all samples whose score is at most this; an unread answer is a miss.
        hits: whether the score is true or false for each sample: then pairs are tested by McNemar's test.
        log: whether axes of it are logarithmic.
        decimals: how many are shown, of a share those of its per cent; None leaves them to the size of the value.
        optional: whether a cell goes without it where the data has nothing that it could be made of: no answer has its
            score, not even as None.
        skewed: whether a few values far above the rest make up the mean, as of a count that is mostly zero: its
            interval is then a bootstrap-t (:func:`paceline.stats.studentised_interval`).
        fewest_groups: groups of samples (a document's questions are one) below which it has no interval, and is not
            compared between cells: so few do not tell how groups differ.
    """

    name: str
    title: str = ""
    lead: str = ""
    unit: str = "share"
    lower_is_better: bool = False
    leads: bool = False
    score: str = ""
    statistic: Statistic = "mean"
    at_most: float | None = None
    hits: bool = False
    log: bool = False
    optional: bool = False
    redundant: bool = False
    """Whether it adds little to the leading ones, so that a narrow table leaves it out."""
    outcome: str = ""
    """The metric is the share of answers with this outcome."""
    decimals: int | None = None
    skewed: bool = False
    fewest_groups: int = 0

    @property
    def tested(self) -> bool:
        """Whether each sample is a hit or a miss."""
        return self.hits or self.at_most is not None or bool(self.outcome)

    @property
    def heading(self) -> str:
        """The title, for people."""
        return self.title or self.name.replace("_", " ")


def outcome_shares(outcomes: Sequence[Outcome]) -> tuple[Metric, ...]:
    """The share of each outcome; that of the answers that were read comes first."""
    return tuple(Metric(f"{o.name}_share", lower_is_better=not o.read, outcome=o.name, hits=True) for o in outcomes)


@dataclass(frozen=True)
class PerSample:
    """A metric per sample."""

    values: np.ndarray
    """float64 (n,): NaN where an unread answer has no value, and 0 where it is a miss."""
    statistic: Literal["mean", "median", "std"]
    hits: bool


def per_sample(answers: Answers, metric: Metric) -> PerSample | None:
    """A metric's values sample by sample; None for one that has none: a minimum, a spread, a statistic of the set."""
    if metric.outcome:
        return PerSample(np.array([o == metric.outcome for o in answers.outcomes], dtype=float), "mean", hits=True)
    if metric.score not in answers.scores or metric.statistic not in ("mean", "median"):
        return None
    values = answers.scores[metric.score]
    if metric.at_most is not None:
        return PerSample((np.nan_to_num(values, nan=np.inf) <= metric.at_most).astype(float), "mean", hits=True)
    return PerSample(values, "median" if metric.statistic == "median" else "mean", hits=metric.hits)


def too_few(groups: np.ndarray, metric: Metric) -> bool:
    """Whether samples of these groups, int (n,), are too few groups for an interval of a metric."""
    return len(np.unique(groups)) < metric.fewest_groups


Resample = Callable[["Answers", np.ndarray], Mapping[str, np.ndarray]]


def aggregate(answers: Answers, metrics: Sequence[Metric], resample: Resample | None = None) -> dict[str, Any]:
    """The metrics of a cell's answers to one split: name -> ``{value, low, high, n, unit}``.

    Shares have every sample with a value in the denominator, and Wilson intervals
    (:func:`paceline.stats.wilson_interval` gives the reason), as have means of parts of 1 that are all 0 or all 1.
    Other means, medians and deviations have percentile bootstrap intervals, over the samples that have a value; means
    that are marked as skewed have bootstrap-t intervals; extremes have none, because the bootstrap is not valid for
    them. Statistics of the set are computed anew on every resample. Where samples come in groups, groups are drawn and
    not samples, and Wilson's interval is that of as many samples as they are worth. How often each holds the truth is
    simulated by ``benchmarks/interval_coverage.py``.
    """
    metrics = [m for m in metrics if not m.optional or m.score in answers.scores]
    of_set = _of_set(answers, [m for m in metrics if m.statistic == "set"], resample)
    return {m.name: as_json(of_set[m.name] if m.statistic == "set" else _interval(answers, m), m.unit) for m in metrics}


def as_json(interval: Interval, unit: str) -> dict[str, Any]:
    """An interval as ``metrics.json`` keeps it."""
    return {"value": interval.value, "low": interval.low, "high": interval.high, "n": interval.n, "unit": unit}


def _interval(answers: Answers, metric: Metric) -> Interval:
    if metric.statistic in ("min", "max"):
        values = _finite(answers, metric.score)
        extreme = float(getattr(values, metric.statistic)()) if values.size else None
        return Interval(extreme, None, None, int(values.size))
    judged = per_sample(answers, metric)
    if metric.statistic == "std" and metric.score in answers.scores:
        judged = PerSample(answers.scores[metric.score], "std", hits=False)
    if judged is None:
        return Interval(None, None, None, 0)
    finite = np.isfinite(judged.values)
    values, groups = judged.values[finite], answers.groups[finite]
    if values.size and too_few(groups, metric):
        middle = np.median if judged.statistic == "median" else np.std if judged.statistic == "std" else np.mean
        return Interval(float(middle(values)), None, None, int(values.size))
    # Of parts of 1 that are all 0 or all 1 a bootstrap has one value to draw from, and would claim certainty.
    certain = metric.unit == "share" and judged.statistic == "mean" and set(np.unique(values)) in ({0.0}, {1.0})
    if judged.hits or certain:
        if answers.grouped:
            return stats.grouped_share(values, groups)
        return stats.wilson_interval(int(values.sum()), int(values.size))
    if metric.skewed and judged.statistic == "mean":
        return stats.studentised_interval(values, groups if answers.grouped else None)
    if answers.grouped:
        return stats.grouped_interval(values, groups, judged.statistic)
    return stats.bootstrap_interval(values, judged.statistic)


def _finite(answers: Answers, score: str) -> np.ndarray:
    values = answers.scores.get(score, np.array([]))
    return np.asarray(values[np.isfinite(values)])


def _of_set(answers: Answers, metrics: Sequence[Metric], resample: Resample | None) -> dict[str, Interval]:
    n = len(answers.samples)
    if not metrics or not n or resample is None:
        return {m.name: Interval(None, None, None, n) for m in metrics}
    intervals = {}
    for name, (value, drawn) in statistics(answers, resample).items():
        ends = stats.percentiles(drawn[np.isfinite(drawn)]) if np.isfinite(value) else None
        low, high = ends or (None, None)
        intervals[name] = Interval(value if np.isfinite(value) else None, low, high, n)
    return intervals


def statistics(answers: Answers, resample: Resample) -> dict[str, tuple[float, np.ndarray]]:
    """Every statistic of the set, with its values on each resample, float64 (resamples,); kept with the answers.

    The draws depend on the samples alone, so two cells that answered the same samples are compared draw by draw.
    """
    if not answers.kept:
        whole = resample(answers, np.ones((1, len(answers.samples))))
        of = answers.groups if answers.grouped else len(answers.samples)
        blocks = [resample(answers, often) for often in stats.draws(of)]
        for name, value in whole.items():
            answers.kept[name] = float(value[0]), np.concatenate([np.asarray(block[name]) for block in blocks])
    return answers.kept
