"""What the trainer has measured and the step loop reads: neither needs to hold the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class StepRecord:
    """The last optimiser step and the last save, on this rank. The trainer writes it, the step loop reads it.

    Attributes:
        loss: this rank's share of the step's loss; stays on the device until it is read.
        tokens: tokens that this rank has read in the step; stays on the device too.
        norm: the norm of the gradient, as the library gives it.
        assembled: whether the checkpoint that training resumes from was put together for another number of ranks. The
            step loop clears it when every rank has read that checkpoint.
        save_began: when the last save began, by the monotonic clock.
    """

    loss: torch.Tensor | None = None
    tokens: torch.Tensor | None = None
    norm: Any = None
    assembled: bool = False
    save_began: float = 0.0

    def add(self, loss: torch.Tensor, tokens: torch.Tensor) -> None:
        """Add a micro-batch to the step, without waiting for the device."""
        self.loss = loss.clone() if self.loss is None else self.loss + loss
        self.tokens = tokens if self.tokens is None else self.tokens + tokens

    def begin(self) -> None:
        """Forget the sums of the last step. The norm is overwritten by the next step."""
        self.loss = self.tokens = None
