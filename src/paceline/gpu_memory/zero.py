"""What a DeepSpeed config shards or moves to the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paceline.config.schema import DeepSpeedSpec


@dataclass(frozen=True)
class Zero:
    """How DeepSpeed splits the state; the values of its config, with its own defaults (deepspeed 0.19.8).

    Attributes:
        used: whether DeepSpeed runs at all.
        stage: 0 to 3.
        optimizer, weights: whether those lie in host memory.
        reduce, gather: numbers of a bucket of gradients, and of weights.
        overlap: whether gradients are reduced while the next bucket fills.
    """

    used: bool = False
    stage: int = 0
    optimizer: bool = False
    weights: bool = False
    reduce: int = 5 * 10**8
    gather: int = 5 * 10**8
    overlap: bool = False

    def shared(self, stage: int, world: int) -> int:
        """Over how many ranks something is split that is split from a stage on."""
        return world if self.stage >= stage else 1


def zero_of(spec: DeepSpeedSpec, hidden: int) -> Zero:
    """The settings of a DeepSpeed config that matter for memory.

    ``auto`` is the value that Transformers fills in: ``hidden²``, or 0.9 of it.
    """
    if not spec.config:
        return Zero()
    settings: Mapping[str, Any] = spec.config.get("zero_optimization", {})
    stage = int(settings.get("stage", 0))

    def number(name: str, default: float, automatic: float) -> int:
        value = settings.get(name, default)
        return int(automatic if value == "auto" else value)

    return Zero(
        used=True,
        stage=stage,
        optimizer=settings.get("offload_optimizer", {}).get("device", "none") != "none",
        weights=settings.get("offload_param", {}).get("device", "none") != "none",
        reduce=number("reduce_bucket_size", 5e8, hidden**2),
        gather=(
            number("stage3_prefetch_bucket_size", 5e7, 0.9 * hidden**2)
            if stage == 3
            else number("allgather_bucket_size", 5e8, 5e8)
        ),
        overlap=bool(settings.get("overlap_comm", stage == 3)),
    )
