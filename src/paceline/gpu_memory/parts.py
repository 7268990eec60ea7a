"""The memory of a cell as a sum of named parts, in GiB of 2³⁰ bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from paceline.gpu_memory.image_tokens import Size

GIB = 2**30
WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Sample:
    """What a sample is assumed to be.

    Attributes:
        text: tokens of prompt, answer and turns, images not counted.
        answer: of these, the answer's: training makes logits for them alone.
        image: size in pixels of the picture; None: the one that costs most.
        images: pictures of a sample.
    """

    text: int = 256
    image: Size | None = None
    images: int = 1
    answer: int = 64


@dataclass(frozen=True)
class Part:
    """One part of the memory: its name, its size, and what it is made of."""

    name: str
    gib: float
    formula: str


@dataclass(frozen=True)
class Memory:
    """What a cell takes.

    Attributes:
        parts: what is always on the card.
        moments: name of a moment -> what it adds; the largest counts.
        outside: what the allocator does not count: context, communication, fragments.
        hosted: what the processes of a node hold in its host memory, at the most.
        mapped: GiB of the weights' files. They are read through the page cache, once for all ranks of a node: the
            kernel counts them as memory of the processes (``peaks.host_gib`` too) and drops them where memory is short.
        disk: GiB of one checkpoint.
        assumed: what was assumed, for messages.
    """

    parts: list[Part]
    moments: dict[str, list[Part]]
    outside: list[Part]
    hosted: list[Part]
    mapped: float
    disk: float
    assumed: dict[str, Any] = field(default_factory=dict)

    @property
    def moment(self) -> str:
        """The moment that takes most."""
        return max(self.moments, key=lambda name: total_gib(self.moments[name]))

    @property
    def allocated(self) -> float:
        """GiB that the allocator hands out at the peak: what ``torch.cuda.max_memory_allocated`` measures."""
        return total_gib(self.parts) + total_gib(self.moments[self.moment])

    @property
    def needed(self) -> float:
        """GiB of the card."""
        return self.allocated + total_gib(self.outside)

    @property
    def host(self) -> float:
        """GiB of host memory per node."""
        return total_gib(self.hosted)


def total_gib(parts: list[Part]) -> float:
    return sum(p.gib for p in parts)
