"""The weights as a cell publishes them: by their names in memory, whole, in the model's number format."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from paceline.attempts import ranks
from paceline.models.family import Family


def save_weights(family: Family, model: Any, folder: Path, *, everything: bool, writes: bool) -> None:
    """Write the weights as they would be published, in the model's number format. Every rank calls it.

    Args:
        family: writes the files.
        model: what is trained, without the wrappers of DDP and DeepSpeed.
        folder: to write to.
        everything: all weights; else only those that are trained, such as an adapter's.
        writes: whether this rank is the one that writes.
    """
    state = _whole_state(family, model, everything, writes)
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
        family.save(model, folder, state)
    ranks.barrier()


def _whole_state(family: Family, model: Any, everything: bool, writes: bool) -> dict[str, torch.Tensor]:
    """What is published, by its names in memory: an adapter's weights, or all. Whole on the rank that writes."""
    dtype = getattr(torch, family.spec.dtype)
    state: dict[str, torch.Tensor] = {}
    # Each tied weight once: a copy is no longer seen to be tied, and would be written twice.
    for name, parameter in model.named_parameters():
        if everything or parameter.requires_grad:
            with _gathered(parameter):
                if writes:
                    # Copied, because DeepSpeed lays weights out in one storage, which the library takes for ties.
                    state[name] = parameter.detach().to("cpu", dtype if everything else None, copy=True)
    if everything:
        buffers = dict(model.named_buffers())
        state |= {name: buffers[name] for name in model.state_dict() if name in buffers}
    return state


@contextlib.contextmanager
def _gathered(parameter: torch.nn.Parameter) -> Iterator[None]:
    """Make a weight whole for a moment, where ZeRO-3 has split it. Every rank must come here."""
    if not hasattr(parameter, "ds_id"):
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters([parameter]):
        yield
