"""A table of results: figures as they were printed, and the sentences, cases and truths around them.

A figure keeps how precisely it was printed, because a check may only object to what no rounding explains.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from paceline import plugins
from paceline.errors import UserError

if TYPE_CHECKING:
    from paceline.tasks.kind import Kind

Severity = Literal["impossible", "suspicious"]
Relation = Literal["=", "<=", ">="]

STATISTICS = ("min", "mean", "median", "max", "std")
NUMBER = r"[~≈]?\s*[-+−–]?\s*[~≈]?\s*\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?"
_FIGURE = re.compile(rf"({NUMBER})\s*(%|[A-Za-z]+)?\s*(?:\(\s*({NUMBER})\s*(?:%|[A-Za-z]+)?\s*\))?")
_COUNT = re.compile(rf"(\d+)\s+of\s+(\d+)\s*(?:\(\s*({NUMBER})\s*%\s*\))?")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(?!\d)")
_RELATIONS: dict[str, Relation] = {"<=": "<=", "≤": "<=", "<": "<=", ">=": ">=", "≥": ">=", ">": ">="}
_UNREAD = ("unread", "refused", "malformed", "out_of_range", "echoed", "swapped")


@dataclass(frozen=True)
class Figure:
    """One number of a table."""

    value: float
    """In ``unit``; a share from 0 to 1."""
    unit: str
    """``share``, what the metric's name implies, or what the table states; empty where it states none."""
    printed: str
    slack: float = 0.0
    """How far the true value may be from ``value``: half a unit of the last digit printed."""
    change: float | None = None
    """Against the base, in the same unit: points of a share as parts of 1."""
    change_slack: float = 0.0
    n: int | None = None
    """Samples in the denominator, where they are known."""
    percent: Figure | None = None
    """The percentage printed beside a count ``k of n``."""

    @property
    def low(self) -> float:
        """The least value that rounds to what was printed."""
        return self.value - self.slack

    @property
    def high(self) -> float:
        """The greatest such value."""
        return self.value + self.slack


@dataclass(frozen=True)
class Row:
    """The figures of one model, method and prompt."""

    model: str
    method: str = ""
    prompt: str = ""
    test: str = ""
    """What was answered, such as a task and its split; empty where the table has one test set."""
    tuned: bool = False
    figures: Mapping[str, Figure] = field(default_factory=dict)
    predictions: str = ""
    """sha256 of the answers' file; empty where it is not known."""
    weights: str = ""
    """The key by which weights differ; model and method where it is empty."""

    @property
    def label(self) -> str:
        """The row's name for display."""
        return " · ".join(filter(None, (self.model, self.method, self.prompt, self.test)))


@dataclass(frozen=True)
class Case:
    """One model's answer to one image."""

    model: str
    image: str
    error: Figure
    """How far off the answer was."""
    rows: tuple[Row, ...]
    """The rows that the answer may belong to."""


@dataclass(frozen=True)
class Quoted:
    """A sentence that gives a figure which the table has too."""

    text: str
    row: str
    figure: str
    table: Figure
    said: Figure
    relation: Relation = "="


@dataclass(frozen=True)
class Better:
    """A sentence that calls one row better than another."""

    text: str
    row: Row
    than: Row
    metric: str


@dataclass(frozen=True)
class Improved:
    """A sentence that claims that tuning improved models."""

    text: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class ResultTable:
    """A table of results with the statements about it."""

    title: str
    rows: tuple[Row, ...]
    cases: tuple[Case, ...] = ()
    truths: tuple[Any, ...] = ()
    """Truths that are printed, each as its kind reads it."""
    statements: tuple[Quoted | Better | Improved, ...] = ()


@dataclass(frozen=True)
class Finding:
    """Something that can't be, or hardly can."""

    check: str
    severity: Severity
    row: str
    figure: str
    numbers: Mapping[str, str]
    """What the finding rests on: name -> number as printed."""
    why: str

    @property
    def told(self) -> str:
        """The numbers in one line."""
        return ", ".join(f"{name} {number}" for name, number in self.numbers.items())


@dataclass(frozen=True)
class Bound:
    """Between what values of a unit lie."""

    low: float
    high: float
    why: str
    why_spread: str
    """The same of their standard deviation."""


RowCheck = Callable[[Row], Iterator[Finding]]


@dataclass(frozen=True)
class FigureChecks:
    """The checks of a kind of task on its printed figures.

    Attributes:
        unit_of: the unit that a metric's name implies; empty where the kind does not know the name.
        bounds: unit -> its bound.
        lower_is_better: units of which less is better.
        rows: checks of the figures of one row.
        tables: checks of a whole table.
        case_key: the key under which a published case gives how far off each model was; also its unit.
        case_name: name of that value in messages.
        truths_key: the key of a published table that lists truths.
        truth_keys: the keys of one truth.
        read_truth: a truth, from those keys and the place that an error names.
        truths_of: the truths to check of a sweep, from a task's name, its data's manifest and its samples by id.
    """

    unit_of: Callable[[str], str]
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    lower_is_better: frozenset[str] = frozenset()
    rows: tuple[RowCheck, ...] = ()
    tables: tuple[Callable[[ResultTable], Iterator[Finding]], ...] = ()
    case_key: str = ""
    case_name: str = ""
    truths_key: str = ""
    truth_keys: tuple[str, ...] = ()
    read_truth: Callable[[Mapping[str, str], str], Any] | None = None
    truths_of: Callable[[str, Mapping[str, Any], Mapping[str, Mapping[str, Any]]], Iterator[Any]] | None = None


@functools.cache
def known_checks() -> tuple[FigureChecks, ...]:
    """The checks of every kind; a lab's kind that can't be loaded is skipped, because it may not be the one in use."""
    return tuple(checks for kind in _loaded() if (checks := kind.get("figure_checks")) is not None)


def _loaded() -> Iterator[Kind]:
    from paceline import tasks

    for name in tasks.names():
        with contextlib.suppress(UserError):
            yield tasks.load(name)


@functools.cache
def _counting() -> tuple[Mapping[str, bool], ...]:
    """Of every kind: its metrics, and whether each is a share of samples that were counted."""
    return tuple({metric.name: metric.tested for metric in kind.metrics} for kind in _loaded())


def counts_samples(row: Row, name: str) -> bool:
    """Whether a share is a count of samples over n. BLEU and F1 are shares that count none, though they have an n.

    Several kinds may have a metric of that name: the one that has most of the row's figures tells. A name that no kind
    knows counts.
    """
    knowing = [(len(row.figures.keys() & metrics.keys()), metrics[name]) for metrics in _counting() if name in metrics]
    most = max((known for known, _ in knowing), default=0)
    return not knowing or any(counts for known, counts in knowing if known == most)


plugins.on_change(known_checks.cache_clear)
plugins.on_change(_counting.cache_clear)


def unit_of(metric: str) -> str:
    """The unit that a metric's name implies; empty where it implies none."""
    if metric.endswith(("_share", "_accuracy")):
        return "share"
    return next(filter(None, (checks.unit_of(metric) for checks in known_checks())), "")


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of a metric is the better one: errors, and shares of answers that were not read."""
    unit = unit_of(metric)
    return any(unit in checks.lower_is_better for checks in known_checks()) or metric.removesuffix("_share") in _UNREAD


def found(
    check: Callable[..., object],
    row: Row,
    figure: str,
    numbers: Mapping[str, Figure | str],
    why: str,
    suspicious: bool = False,
) -> Finding:
    """A finding of a check of one row."""
    printed = {name: number if isinstance(number, str) else number.printed for name, number in numbers.items()}
    severity: Severity = "suspicious" if suspicious else "impossible"
    return Finding(check.__name__, severity, row.label, figure, printed, why)


def read_share(row: Row) -> tuple[float, dict[str, Figure]]:
    """The least share of answers read that the row allows, and the figure that states it; (1, {}) where none does."""
    if parsed := row.figures.get("parsed_share"):
        return max(0.0, parsed.low), {"parsed_share": parsed}
    if unread := row.figures.get("unread_share"):
        return max(0.0, 1 - unread.high), {"unread_share": unread}
    return 1.0, {}


def above(a: Figure, b: Figure) -> bool:
    """Whether a is above b, however both were rounded."""
    return a.low > b.high


def below(a: Figure, b: Figure) -> bool:
    """Whether a is below b, however both were rounded."""
    return a.high < b.low


def exact(value: float, unit: str, n: int | None = None) -> Figure:
    """A figure that was worked out, not printed: its slack is that of floating-point sums."""
    shown = f"{100 * value:.6g} %" if unit == "share" else f"{value:.6g} {unit}".rstrip()
    return Figure(value, unit, shown, slack=1e-9 * max(1.0, abs(value)), n=n)


def parse_figure(text: str, metric: str, n: int | None = None) -> Figure:
    """A figure as a table prints it: ``7.6 % (+3.7)``, ``584.07 m``, ``~1000``, ``212 of 500 (42.4 %)``.

    Args:
        text: the number, with its unit where the metric's name does not imply it; a change in brackets; ``~`` marks a
            number that is only about right: it is trusted to half of its last digit that is not 0.
        metric: the metric's name, which implies the unit.
        n: samples in the denominator, where the table gives them elsewhere.

    Raises:
        ValueError: with what is wrong, for an error that names the place.
    """
    stripped = text.strip()
    if match := _COUNT.fullmatch(stripped):
        return _count(stripped, metric, int(match[1]), int(match[2]), match[3])
    match = _FIGURE.fullmatch(stripped)
    if not match:
        raise ValueError(f"'{text}' is no figure; write such as 7.6 % (+3.7), 584.07, ~1000 or 212 of 500")
    value, slack = _number(match[1])
    unit, scale = _unit(text, metric, value, match[2] or "")
    change, change_slack = _number(match[3]) if match[3] else (None, 0.0)
    return Figure(
        value=value * scale,
        unit=unit,
        printed=stripped,
        slack=_guarded(slack * scale, value * scale),
        change=None if change is None else change * scale,
        change_slack=_guarded(change_slack * scale, (change or 0.0) * scale),
        n=n,
    )


def parse_claim(text: str, metric: str) -> tuple[Relation, Figure]:
    """A figure of a sentence; ``<=`` or ``>=`` before it make it a bound. Errors as in :func:`parse_figure`."""
    stripped = text.strip()
    for sign, relation in _RELATIONS.items():
        if stripped.startswith(sign):
            return relation, replace(parse_figure(stripped.removeprefix(sign), metric), printed=stripped)
    return "=", parse_figure(stripped, metric)


def _count(text: str, metric: str, k: int, n: int, percent: str | None) -> Figure:
    if unit_of(metric) not in ("share", ""):
        raise ValueError(f"'{text}' is a count, and {metric} is in {unit_of(metric)}")
    if n == 0:
        raise ValueError(f"'{text}' counts out of nothing")
    beside = None
    if percent:
        value, slack = _number(percent)
        beside = Figure(value / 100, "share", f"{percent.strip()} %", _guarded(slack / 100, value / 100))
    return Figure(k / n, "share", text, slack=1e-9, n=n, percent=beside)


def _unit(text: str, metric: str, value: float, printed_unit: str) -> tuple[str, float]:
    """The figure's unit, and the factor that brings the number printed into it."""
    expected = unit_of(metric)
    if expected == "share":
        if printed_unit not in ("", "%"):
            raise ValueError(f"'{text}': {metric} is a share; write 7.6 % or 0.076")
        if printed_unit == "" and not -1 <= value <= 1:
            raise ValueError(f"'{text}': {metric} is a share; write {text.strip()} % or a number from 0 to 1")
        return "share", 0.01 if printed_unit == "%" else 1.0
    if printed_unit == "%":
        raise ValueError(f"'{text}': {metric} is no share; name it such as {metric}_share")
    if expected and printed_unit not in ("", expected):
        raise ValueError(f"'{text}': {metric} is in {expected}, not {printed_unit}")
    return expected or printed_unit, 1.0


def _number(text: str) -> tuple[float, float]:
    """A number as printed, and half a unit of its last digit."""
    rough = any(sign in text for sign in "~≈")
    plain = re.sub(r"[~≈\s]", "", text).replace("−", "-").replace("–", "-")
    if "," in plain:
        if not _THOUSANDS.match(plain.lstrip("+-")):
            raise ValueError(f"'{text.strip()}': write decimals with a point; commas part thousands")
        plain = plain.replace(",", "")
    mantissa, _, exponent = plain.lower().partition("e")
    whole, _, decimals = mantissa.partition(".")
    digit = -len(decimals)
    if rough and not decimals:
        digit = len(whole) - len(whole.rstrip("0"))
    return float(plain), 0.5 * 10.0 ** (digit + int(exponent or 0))


def _guarded(slack: float, value: float) -> float:
    """Room for what binary floats make of decimals."""
    return slack + 1e-9 * max(slack, abs(value))
