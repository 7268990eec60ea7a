"""The largest batch, tried before the first step: a card that is too small shows at once, and not in the night.

The trial is a forward and a backward pass as training makes them, next to as much memory as the optimiser's states
will take. It leaves no trace: weights, buffers and random numbers are those from before, and so is every bit of the
run.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import convert_to_fp32

from paceline.attempts import ranks
from paceline.attempts.run import Run
from paceline.config.checks import share_out
from paceline.config.identity import as_loaded
from paceline.config.schema import Config
from paceline.gpu_memory import ladder
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.store.files import SCHEMA, append_jsonl
from paceline.training.stream import Conversations, Plan, Stream

# Samples whose sizes are looked at: reading a picture's header takes a shared file system milliseconds.
LOOKED_AT = 512
# Of the largest by their sizes, so many are made into tensors, to see which are largest to the model.
MADE = 8
# AdamW's two moments, in the format of the weights.
MOMENTS = 2


def wanted(config: Config, engine: str) -> bool:
    """Whether a run begins with a trial.

    Not under DeepSpeed, which holds weights, gradients and states in a form of its own from its first step on: there
    the first attempt is the trial.
    """
    asked = config.placement.probe
    return engine == "torch" and (asked == "always" or (asked == "auto" and torch.cuda.is_available()))


def settle(run: Run, family: Family, stream: Stream, planned: Plan) -> Plan:
    """Go down the ladder until the largest batch fits, before anything is computed; all ranks go together.

    Only as far as a process can by itself, micro-batch and checkpointing; the next submit takes the rungs below. The
    rung is recorded with the attempt, and ``run.config`` stands on it afterwards.

    Returns:
        The plan on that rung, of the same batches.

    Raises:
        OutOfMemoryError: torch's: not even the last of these rungs fits.
    """
    batch = largest(family, stream.samples, stream.indices.tolist(), planned.micro_batch)
    dtype, began = as_loaded(run.config).dtype, time.monotonic()
    while not runs(
        family,
        batch[: planned.micro_batch],
        dtype=dtype,
        checkpointing=run.config.placement.activation_checkpointing,
        accumulated=planned.accumulation > 1,
        world=run.world,
    ):
        peak = _peak(run)
        below = ladder.lower(run.config)
        recomputes = below is not None and below.placement.activation_checkpointing
        if below is None or (recomputes and not family.bare_model().supports_gradient_checkpointing):
            raise torch.OutOfMemoryError(f"the largest batch does not fit with {ladder.words(run.config)}{peak}")
        _record_rung(run, below, peak)
        run.config = below
        micro, accumulation = share_out(below.train, below.placement, run.world)
        planned = replace(planned, micro_batch=micro, accumulation=accumulation)
    if run.rank == 0:
        run.note(f"the largest batch fits, found out in {time.monotonic() - began:.1f} s{_peak(run, reset=False)}")
    return planned


def _record_rung(run: Run, below: Config, peak: str) -> None:
    """Note a rung that a process takes by itself, in its log and beside its ``start.json``."""
    if run.rank != 0:
        return
    change = f"{ladder.changed(run.config, below)} after CUDA out of memory{peak}"
    run.note(change)
    placement = below.placement
    changed = {
        "micro_batch": placement.micro_batch,
        "activation_checkpointing": placement.activation_checkpointing,
    }
    append_jsonl(run.attempt.rungs, [{"schema": SCHEMA, "time": time.time(), "change": change, "placement": changed}])


def _peak(run: Run, *, reset: bool = True) -> str:
    """The most that was allocated since the last time, for people; empty without a GPU.

    Args:
        reset: count anew, because what ran out is not what the run will take.
    """
    if not torch.cuda.is_available():
        return ""
    run.peaks["cuda_gib"] = torch.cuda.max_memory_allocated() / 2**30
    if reset:
        torch.cuda.reset_peak_memory_stats()
    return f" (peak {run.peaks['cuda_gib']:.1f} GiB)"


def largest(family: Family, samples: Conversations, indices: Sequence[int], count: int) -> list[Conversation]:
    """The largest of the samples that a run will meet, the largest first: no batch of so many takes more.

    Tokens count first and pixels second. They are measured where a sample is among the largest by its letters or by
    its pixels; of more than ``LOOKED_AT`` samples an even selection is looked at.

    Args:
        family: makes tensors of them.
        samples: of the train split.
        indices: those that the run will meet, in any order.
        count: how many are wanted; samples repeat where there are fewer.
    """
    met = sorted({int(i) for i in indices})
    looked_at = met[:: -(-len(met) // LOOKED_AT)]
    extents = {index: samples.extent(index) for index in looked_at}
    most = max(count, MADE)
    candidates = {index for axis in (0, 1) for index in sorted(looked_at, key=lambda i: (-extents[i][axis], i))[:most]}
    sized = []
    for index in sorted(candidates):
        lesson = samples[index]
        tensors = family.training_batch([lesson])
        size = (int(family.tokens_read(tensors).sum()), sum(t.numel() for t in tensors.values()))
        sized.append((size, -index, lesson))
    found = [lesson for *_, lesson in sorted(sized, key=lambda entry: entry[:2], reverse=True)]
    return [found[i % len(found)] for i in range(count)]


def runs(
    family: Family, batch: Sequence[Conversation], *, dtype: str, checkpointing: bool, accumulated: bool, world: int
) -> bool:
    """Whether a batch can be trained on, on every rank. Every rank calls it; all get the same answer.

    Args:
        family: loaded for training, with what is trained marked as such.
        batch: conversations with their answers.
        dtype: number format to compute in.
        checkpointing: activations are recomputed.
        accumulated: gradients of another micro-batch are there already.
        world: ranks; several hold gradients a second time, in buckets.
    """
    with _undisturbed(family.model):
        fits = _tried(family, batch, dtype, checkpointing, 1 + accumulated, MOMENTS + (world > 1))
    # What a failed pass held lives on in cycles and in the allocator, and would be missing from the next.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return not ranks.any_rank(not fits)


def _tried(
    family: Family, batch: Sequence[Conversation], dtype: str, checkpointing: bool, passes: int, copies: int
) -> bool:
    model, device = family.model, ranks.device()
    try:
        inputs = {name: tensor.to(device) for name, tensor in family.training_batch(list(batch)).items()}
        trained = [p for p in model.parameters() if p.requires_grad]
        room = [torch.empty_like(p) for p in trained for _ in range(copies)]
        with _recomputing(model, checkpointing):
            for _ in range(passes):
                with ranks.autocast(dtype):
                    output = model(**inputs)
                # As Accelerate hands it to the trainer.
                loss = convert_to_fp32(output)["loss"]
                if not loss.requires_grad:  # the trainer says what is wrong
                    return True
                loss.backward()
                del output, loss
        del room
    except torch.OutOfMemoryError:
        return False
    return True


@contextlib.contextmanager
def _undisturbed(model: torch.nn.Module) -> Iterator[None]:
    """Random numbers and buffers are those from before afterwards, and there are no gradients."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


@contextlib.contextmanager
def _recomputing(model: Any, on: bool) -> Iterator[None]:
    """Activation checkpointing as a run has it (``StepLoop.on_train_begin``), off again afterwards."""
    if not on:
        yield
        return
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    model.disable_input_require_grads()
    try:
        yield
    finally:
        model.activation_checkpointing_disable()
