"""What a report holds of single cells: a row for each that has a result, and what is known of the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """An aggregate over ``n`` samples with its 95 % interval, in ``unit``; None where it has no value."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str


@dataclass(frozen=True)
class Row:
    """One evaluate cell of the sweep."""

    id: str
    state: str
    """One of :data:`paceline.sweep.status.STATES`, or ``unscored``: answered, and no metrics yet."""
    model: str
    task: str
    prompt: str
    method: str
    variant: str
    """What tells this cell from others of the same model, task, prompt and method, such as ``lora.r=8``."""
    trained_on: str
    """Name of the prompt that the weights were trained on; empty for an untuned model."""
    trained_task: str
    """Name of the task that the weights were tuned on; empty for an untuned model."""
    other_text: bool
    """Whether the weights were trained on a prompt of the same name with another text."""
    tuned: str
    """Id of the finetune cell whose weights answer; empty for an untuned model."""
    built_on: str
    """Id of the evaluate cell whose answers the prompt builds on; empty where it builds on none."""
    splits: tuple[str, ...]
    samples: int
    parsed: int
    metrics: Mapping[str, Metric]
    """By the name in ``metrics.json``: with several splits it begins with ``<split>/``."""
    pairing: str
    """Equal for cells that answer the same samples in the same way with other weights."""
    recipe: str
    """Equal for cells that answer alike with weights tuned alike, on whatever task; empty for an untuned model."""
    seedless: str
    """Equal for cells that answer the same samples in the same way, with weights tuned alike, but for the seed."""
    seed: int
    """Of the tuning, or of an untuned model's sampling."""
    resampled: bool
    """Whether the weights were tuned on samples that were drawn again by the seed (bagging)."""
    round: int
    """Of boosting; 0 for weights that were tuned without."""
    roundless: str
    """Equal for cells that answer the same samples in the same way, with weights tuned alike, but for the round of
    boosting; empty for an untuned model."""
    weighed_by: tuple[str, ...]
    """Ids of the cells whose errors on the training samples weigh the voices of the rounds, up to this one's own;
    empty without boosting."""
    needed: tuple[str, ...]
    """Ids of all cells that it needs, and those that these need."""
    form: str
    """In what form the weights were read, such as four bits; under an adapter, that which it was tuned on."""

    @property
    def label(self) -> str:
        """Method with its variant."""
        return f"{self.method} ({self.variant})" if self.variant else self.method

    @property
    def other_prompt(self) -> bool:
        """Whether the weights were trained on another prompt than the evaluated one."""
        return self.other_text or self.trained_on not in ("", self.prompt)

    @property
    def asked(self) -> str:
        """The prompt, marked where it is another one than that trained on."""
        return f"{self.prompt} †" if self.other_prompt else self.prompt

    @property
    def trained_with(self) -> str:
        """The prompt that the weights were trained on, for people."""
        return f"{self.trained_on} with another text" if self.other_text else self.trained_on

    @property
    def transfer(self) -> bool:
        """Whether the weights were tuned on another task than the evaluated one."""
        return self.trained_task not in ("", self.task)

    def of(self, split: str) -> dict[str, Metric]:
        """The metrics of one split, by their plain name."""
        if len(self.splits) == 1:
            return dict(self.metrics)
        start = f"{split}/"
        return {name[len(start) :]: m for name, m in self.metrics.items() if name.startswith(start)}

    def as_json(self) -> dict[str, Any]:
        """Plain values, the metrics by their full name."""
        inner = {"pairing", "recipe", "seedless", "seed", "resampled", "form", "roundless", "weighed_by", "needed"}
        inner |= {name for name in ("built_on", "round") if not getattr(self, name)}
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in inner}
        metrics = {name: dataclasses.asdict(metric) for name, metric in self.metrics.items()}
        return {**fields, "splits": list(self.splits), "metrics": metrics}


@dataclass(frozen=True)
class Tuning:
    """One cell of the sweep that has no row of results, whatever its state: a tuning, or answers that aren't judged."""

    id: str
    model: str
    prompt: str
    method: str
    variant: str

    @property
    def label(self) -> str:
        """Method with its variant."""
        return f"{self.method} ({self.variant})" if self.variant else self.method


@dataclass(frozen=True)
class Absent:
    """A cell of the sweep, of either kind, without a result."""

    id: str
    kind: str
    state: str
    cause: str
    """One of :data:`paceline.store.causes.CAUSES`; empty before an attempt has ended."""
    message: str
    attempts: int
