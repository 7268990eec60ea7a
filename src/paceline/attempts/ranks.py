"""The ranks of one cell: how they find each other, and how they agree.

Ranks are given explicitly, by whoever launched them, and put into the variables that torch, Accelerate and
DeepSpeed read. Agreement runs over gloo on the CPU, beside whatever the gradients use, so that asking costs no wait
for the GPU.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from paceline.attempts import node_caches

# A rank may wait this long for another that reads data or saves; longer means that it is gone.
_PATIENCE = timedelta(minutes=30)
# All ranks are started together, so one that does not come to the meeting is gone: killed as it began, say.
_MEETING = timedelta(minutes=5)
_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

_agreement: Any = None


def set_up(
    *,
    rank: int = 0,
    local_rank: int = 0,
    world: int = 1,
    local_world: int = 1,
    address: str = "127.0.0.1",
    port: int = 29500,
    threads: int = 0,
    deepspeed: bool = False,
) -> None:
    """Join the ranks of a cell; returns once all have come. One rank without DeepSpeed makes no group.

    Args:
        rank, local_rank: this process among all, and among those of its node.
        world, local_world: how many there are, and on this node.
        address, port: where rank 0 listens.
        threads: CPU threads of this rank; 0 leaves torch's choice.
        deepspeed: DeepSpeed will run, which wants a group even for one rank.
    """
    global _agreement  # noqa: PLW0603 - a process is one rank of one cell at a time
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        torch.set_num_threads(threads)
    if not torch.cuda.is_available():
        os.environ.setdefault(
            "DS_ACCELERATOR", "cpu"
        )  # PEFT queries DeepSpeed too; where this is unset, it guesses and warns
    if deepspeed:
        _prepare_deepspeed()
    if world == 1 and not deepspeed:
        # Left over from Slurm or an earlier cell, they would make Accelerate look for other ranks.
        for name in _VARIABLES:
            os.environ.pop(name, None)
        return
    if torch.cuda.is_available():
        # Slurm may show every rank its own GPU alone, and then each of them is number 0.
        local_rank %= torch.cuda.device_count()
    values = (rank, local_rank, world, local_world, address, port)
    os.environ.update({name: str(value) for name, value in zip(_VARIABLES, values, strict=True)})
    store = dist.TCPStore(address, port, world, is_master=rank == 0, timeout=_MEETING)
    store.set_timeout(_PATIENCE)
    group: dict[str, Any] = {"store": store, "rank": rank, "world_size": world, "timeout": _PATIENCE}
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
        dist.init_process_group("nccl", device_id=torch.device("cuda", local_rank), **group)
        _agreement = dist.new_group(backend="gloo", timeout=_PATIENCE)
    else:
        dist.init_process_group("gloo", **group)
        _agreement = dist.group.WORLD


def tear_down() -> None:
    """Leave the ranks of a cell. Safe to call twice, and after a failure."""
    global _agreement  # noqa: PLW0603 - a process is one rank of one cell at a time
    _agreement = None
    if dist.is_available() and dist.is_initialized():
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


def _prepare_deepspeed() -> None:
    node_caches.place()  # of operators that it compiles
    import deepspeed.ops

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    if not torch.cuda.is_available():
        # Its shared-memory collectives would be compiled for most of a minute; gloo does.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def device() -> str:
    """Where this rank's weights go: its own GPU where there is one, else the CPU."""
    return f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"


def autocast(dtype: str) -> torch.autocast:
    """Mixed precision as the trainer computes in a number format; none in float32."""
    number = getattr(torch, dtype)
    return torch.autocast(torch.device(device()).type, number, enabled=number != torch.float32)


def backend() -> str | None:
    """What gradients go over: ``nccl`` or ``gloo``; None where there is one rank without a group."""
    return str(dist.get_backend()) if dist.is_initialized() else None


def agree(flags: Sequence[int]) -> list[int]:
    """The highest value of each flag over all ranks. Every rank must call it at the same point.

    A signal may reach one rank alone, and clocks differ: without agreement one rank would stop or save while the
    others wait for it for ever.
    """
    if _agreement is None:
        return list(flags)
    values = torch.tensor(flags, dtype=torch.int64)
    dist.all_reduce(values, op=dist.ReduceOp.MAX, group=_agreement)
    return [int(v) for v in values.tolist()]


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank."""
    return bool(agree([int(flag)])[0])


def total(values: torch.Tensor) -> torch.Tensor:
    """Sum of a tensor over all ranks, as float64 on the CPU; shape as given."""
    values = values.detach().to("cpu", torch.float64)
    if _agreement is not None:
        dist.all_reduce(values, group=_agreement)
    return values


def from_first(value: Any) -> Any:
    """Rank 0's value, on every rank. It must be picklable; the others' arguments are not looked at."""
    if _agreement is None:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, group=_agreement, device=torch.device("cpu"))
    return box[0]


def gather(value: Any) -> list[Any]:
    """Every rank's value, by rank, on every rank; they must be picklable."""
    if _agreement is None:
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value, group=_agreement)
    return values


def barrier() -> None:
    """Wait until every rank is here."""
    agree([0])
