"""The scored answers of one cell as columns: a thousand cells of thousands of samples fit in memory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paceline.store import canonical, read_jsonl

OUTCOMES = ("parsed", "refused", "malformed", "out_of_range", "echoed")


@dataclass(frozen=True)
class Answers:
    """Columns of ``scores.jsonl``, one entry a sample."""

    samples: tuple[str, ...]
    outcomes: tuple[str, ...]
    scores: dict[str, np.ndarray]
    """Score name -> float64 (n,): truth values as 0 and 1, NaN where the sample has none."""
    value: np.ndarray
    """The place answered, degrees north and east (n, 2); NaN where none was read or the task has no places."""
    truth: np.ndarray
    """The true place, degrees north and east (n, 2)."""
    labels: tuple[str, ...] = ()
    """What was answered where the task has no places, as canonical JSON; empty text where nothing was read."""
    classes: tuple[str, ...] = ()
    """The true class where the task has classes; empty text where it has none."""
    countries: tuple[str, ...] = ()
    """The true country, ISO 3166-1 alpha-2, where it is known; else empty text."""

    def take(self, indices: Sequence[int]) -> Answers:
        """Those at these positions, in this order."""
        at = np.asarray(indices, dtype=int)
        return Answers(
            tuple(self.samples[i] for i in indices),
            tuple(self.outcomes[i] for i in indices),
            {name: values[at] for name, values in self.scores.items()},
            self.value[at],
            self.truth[at],
            *(
                tuple(texts[i] for i in indices) if texts else ()
                for texts in (self.labels, self.classes, self.countries)
            ),
        )

    @property
    def has_places(self) -> bool:
        """Whether the task asks for places and their distance."""
        return "distance_km" in self.scores and bool(np.isfinite(self.truth).any())


def read_answers(path: Path) -> Answers:
    """Read a cell's ``scores.jsonl``; the first record of a sample wins."""
    records = {r["sample"]: r for r in reversed(list(read_jsonl(path)))}
    kept = list(reversed(records.values()))
    names = dict.fromkeys(name for r in kept for name, v in r["scores"].items() if isinstance(v, int | float | None))
    scores = {name: np.array([_number(r["scores"].get(name)) for r in kept]) for name in names}
    return Answers(
        tuple(sys.intern(r["sample"]) for r in kept),
        tuple(sys.intern(r["outcome"]) for r in kept),
        scores,
        np.array([_pair(r.get("value")) for r in kept]).reshape(-1, 2),
        np.array([_pair(r.get("truth")) for r in kept]).reshape(-1, 2),
        tuple(sys.intern(_label(r.get("value"))) for r in kept),
        tuple(sys.intern(_class(r.get("truth"))) for r in kept),
        tuple(sys.intern(_country(r.get("truth"))) for r in kept),
    )


def _label(value: object) -> str:
    return "" if value is None or np.isfinite(_pair(value)).all() else canonical(value)


def _class(truth: object) -> str:
    return canonical(truth) if isinstance(truth, str | int) else ""


def _country(truth: object) -> str:
    return str(truth.get("country") or "") if isinstance(truth, dict) else ""


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _pair(value: object) -> tuple[float, float]:
    """Latitude and longitude of an answer ``[lat, lon]`` or a truth ``{latitude, longitude, …}``."""
    if isinstance(value, dict):
        value = [value.get("latitude"), value.get("longitude")]
    if isinstance(value, list) and len(value) == 2:
        return _number(value[0]), _number(value[1])
    return float("nan"), float("nan")
