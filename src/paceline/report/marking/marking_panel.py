"""What people marked answers with, as data: a panel of every kind that names what its answers are marked by."""

from __future__ import annotations

from dataclasses import dataclass

from paceline.stats import Interval
from paceline.tasks.panels import Panel


@dataclass(frozen=True)
class MarkedShare:
    """How many answers of a cell hold a criterion, by the marks of people."""

    name: str
    """The criterion, or one of its choices; ``acceptable`` where an answer holds all criteria of yes or no."""
    metric: str
    """The same as tables of figures name it, such as ``acceptable_accuracy``."""
    hits: int
    share: Interval
    """Its n: the answers that count."""
    disputed: int = 0
    """Answers that do not count, because markers disagree on them."""


@dataclass(frozen=True)
class MarkedCell:
    """What one marker, or all together, say of one cell's answers."""

    id: str
    name: str
    marker: str
    """Empty where it is what all markers of the cell say together."""
    answers: int
    """Answers with a mark."""
    shares: tuple[MarkedShare, ...]
    """One a criterion of yes or no and one a choice, and the share of acceptable answers last."""
    outdated: int = 0
    """Marks of answers that the cell no longer gives; they do not count."""


@dataclass(frozen=True)
class MarkersAgreement:
    """How far two markers agree on the answers that both marked, over all cells."""

    first: str
    second: str
    name: str
    """The criterion."""
    n: int
    equal: int
    """Answers that both marked alike."""
    kappa: Interval
    """Cohen's kappa."""
    note: str
    """Why kappa or its interval has no value; empty where both have one."""


@dataclass(frozen=True)
class MarkedChange:
    """The acceptable answers of two cells to the same questions."""

    before: str
    after: str
    """Names of the cells."""
    before_id: str
    after_id: str
    n: int
    hits_before: int
    hits_after: int
    only_before: int
    """Questions whose answer is acceptable in the first alone."""
    only_after: int
    p: float
    """McNemar's exact test, Holm-corrected over the pairs of the panel."""


@dataclass(frozen=True)
class Marking(Panel):
    """What people marked answers with, how far they agree, and what sheet to give them."""

    criteria: tuple[tuple[str, str], ...]
    """Names, each with its question."""
    columns: tuple[tuple[str, str], ...]
    """Names of the shares, each with its meaning."""
    cells: tuple[MarkedCell, ...]
    agreement: tuple[MarkersAgreement, ...]
    changes: tuple[MarkedChange, ...]
    command: str
    """Writes a sheet."""
    caption: str
