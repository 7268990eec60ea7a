"""The scored answers of one cell as columns: a thousand cells of thousands of samples fit in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from paceline.tasks.metrics import PARSED

Column = np.ndarray | tuple[Any, ...]


@dataclass(frozen=True)
class Answers:
    """Columns of ``scores.jsonl``, one entry a question."""

    samples: tuple[str, ...]
    """The id of the question: the sample's; of a kind with several questions a sample, ``<sample>/<part>``."""
    outcomes: tuple[str, ...]
    scores: dict[str, np.ndarray]
    """Score name -> float64 (n,): truth values as 0 and 1, NaN where the sample has none."""
    columns: Mapping[str, Column] = field(default_factory=dict)
    """What else the kind's own functions need, by name: arrays whose first axis is the questions, or tuples."""
    group_names: tuple[str, ...] = ()
    """What ties questions together, one a question; empty where nothing does."""
    ids: tuple[str, ...] = ()
    """The sample of each question; empty where it is ``samples`` itself."""
    kept: dict[str, tuple[float, np.ndarray]] = field(default_factory=dict, compare=False, repr=False)
    """Statistics of the set that were computed once (:func:`paceline.tasks.metrics.statistics`)."""

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, indices: Sequence[int]) -> Answers:
        """Those at these positions, in this order."""
        at = np.asarray(indices, dtype=int)

        def selected(column: Column) -> Column:
            return column[at] if isinstance(column, np.ndarray) else tuple(column[i] for i in indices)

        return Answers(
            tuple(self.samples[i] for i in indices),
            tuple(self.outcomes[i] for i in indices),
            {name: values[at] for name, values in self.scores.items()},
            {name: selected(column) for name, column in self.columns.items()},
            tuple(self.group_names[i] for i in indices) if self.group_names else (),
            tuple(self.ids[i] for i in indices) if self.ids else (),
        )

    def with_groups(self, group_of: Mapping[str, str]) -> Answers:
        """The same answers, tied together by a group for each sample."""
        return replace(self, group_names=tuple(group_of.get(s, s) for s in self.sample_ids), kept={})

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """The sample of each question."""
        return self.ids or self.samples

    @cached_property
    def groups(self) -> np.ndarray:
        """The number of each question's group, int (n,): a number of its own where nothing ties it to others."""
        if not self.group_names:
            return np.arange(len(self.samples))
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(name, len(numbers)) for name in self.group_names], dtype=int)

    @cached_property
    def grouped(self) -> bool:
        """Whether some group holds more than one question."""
        return bool(self.group_names) and len(set(self.group_names)) < len(self.group_names)

    @cached_property
    def parsed(self) -> np.ndarray:
        """Which answers were read, bool (n,)."""
        return np.array([outcome == PARSED.name for outcome in self.outcomes], dtype=bool)


def key_of(record: Mapping[str, Any]) -> str:
    """What a prediction or a score is of: the sample, and the part where the kind asks several questions."""
    part = record.get("part", "")
    return f"{record['sample']}/{part}" if part else str(record["sample"])


def first_of_each(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first record of each question, in order."""
    kept: dict[str, Mapping[str, Any]] = {}
    for record in records:
        kept.setdefault(key_of(record), record)
    return list(kept.values())


def from_records(records: Sequence[Mapping[str, Any]], columns: Mapping[str, Column] | None = None) -> Answers:
    """The columns of score records, one a question."""
    scores = [r.get("scores", {}) for r in records]
    names = dict.fromkeys(name for s in scores for name, value in s.items() if isinstance(value, int | float | None))
    parts = any(r.get("part") for r in records)
    return Answers(
        tuple(sys.intern(key_of(r)) for r in records),
        tuple(sys.intern(r["outcome"]) for r in records),
        {name: np.array([_number(s.get(name)) for s in scores]) for name in names},
        columns or {},
        ids=tuple(sys.intern(str(r["sample"])) for r in records) if parts else (),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
