"""Which samples a tuning takes, in what order, and in what batches.

What it takes is identity: a seeded order, cut into steps of the effective batch. How a step is shared out among ranks
and micro-batches is placement, and changes sums in their order alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from paceline.config.checks import optimiser_steps, share_out
from paceline.config.schema import Config
from paceline.errors import DataError, UserError
from paceline.models.conversation import Conversation


class Conversations(Protocol):
    """Samples to train on, made on demand, because making one decodes an image."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Conversation: ...
    def pictured(self, index: int) -> bool: ...
    def extent(self, index: int) -> tuple[int, int]: ...
    def worded(self, index: int) -> Conversation: ...


@dataclass(frozen=True)
class Plan:
    """The arithmetic of a run: ``batch = world × micro_batch × accumulation``, ``steps`` times.

    Attributes:
        validate: steps after which it validates.
    """

    batch: int
    world: int
    micro_batch: int
    accumulation: int
    steps: int
    validate: frozenset[int]

    @property
    def together(self) -> int:
        """How many consecutive samples may change places: those of a step, if they are shared out at all.

        One sample at a time on one rank has nothing to be like, nor has the only micro-batch of a step.
        """
        return 1 if self.world == 1 and 1 in (self.micro_batch, self.accumulation) else self.batch


def plan(config: Config, world: int, samples: int) -> Plan:
    """Derive accumulation and steps from the config.

    Raises:
        UserError: the effective batch can't be shared out, or settings contradict each other.
        DataError: there is nothing to train on.
    """
    train, placement = config.train, config.placement
    if config.method.trains == "nothing":
        raise UserError(
            f"method '{config.method.name}' trains nothing, so there is nothing to tune; choose full or lora"
        )
    if samples == 0:
        raise DataError(f"task '{config.task.name}' has no samples in its split '{config.task.train}'")
    micro, accumulation = share_out(train, placement, world)
    steps = optimiser_steps(train, samples)
    if train.keep == "best" and not train.validations:
        raise UserError("train.keep=best needs validations to choose by; set train.validations")
    validate = frozenset(math.ceil(steps * i / train.validations) for i in range(1, train.validations + 1))
    return Plan(train.batch, world, micro, accumulation, steps, validate)


def order(samples: int, length: int, seed: int) -> np.ndarray:
    """Indices of the samples in the order in which they are trained on; shape (length,), int64.

    Shuffled epochs end to end, cut at ``length``: every optimiser step has a whole batch, and step k takes places
    ``k × batch`` to ``(k + 1) × batch`` whatever the number of ranks. ``RandomState`` is the generator whose output
    numpy never changes (NEP 19).
    """
    epochs = math.ceil(length / samples)
    shuffled = [np.random.RandomState([seed, epoch]).permutation(samples) for epoch in range(epochs)]
    return np.concatenate(shuffled)[:length].astype(np.int64)


def visits(indices: np.ndarray) -> np.ndarray:
    """How often each was met before, shape (length,), int64: in whole epochs the number of the epoch."""
    by_index = np.argsort(indices, kind="stable")
    ordered = indices[by_index]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    counts = np.diff(begins, append=len(ordered))
    before = np.arange(len(ordered)) - np.repeat(begins, counts)
    met = np.empty(len(indices), np.int64)
    met[by_index] = before
    return met


class Stream(torch.utils.data.Dataset):
    """Conversations in a given order.

    Args:
        samples: to take them from; by ``visited(index, visit)`` where they have it.
        indices: which, in what order; shape (length,).
        together: so many consecutive ones change places, the largest first: samples of like size then share a
            micro-batch, which is padded to its longest, and ranks that wait for one another have alike to do. An
            optimiser step that takes them all sums the same, in another order.
    """

    def __init__(self, samples: Conversations, indices: np.ndarray, together: int = 1) -> None:
        self.samples = samples
        self.indices = indices
        self.together = together
        self._block: tuple[int, list[tuple[int, int]]] = (-1, [])
        # Of samples that are shown otherwise at every visit.
        self._visited = getattr(samples, "visited", None)
        self._visits = visits(indices) if self._visited else np.zeros(len(indices), np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Conversation:
        block, place = divmod(position, self.together)
        if block != self._block[0]:
            taken = slice(block * self.together, (block + 1) * self.together)
            members = list(zip(self.indices[taken].tolist(), self._visits[taken].tolist(), strict=True))
            if self.together > 1:
                members.sort(key=lambda m: -_size(self.samples.extent(m[0])))  # stable: equal ones stay in their order
            self._block = block, members
        index, visit = self._block[1][place]
        return self._visited(index, visit) if self._visited else self.samples[index]


def _size(extent: tuple[int, int]) -> float:
    """Roughly the tokens of a sample of so many letters and pixels; told from a picture's header alone."""
    letters, pixels = extent
    return letters / 4 + pixels / 28**2
