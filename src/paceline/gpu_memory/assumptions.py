"""What training and answering share: sizes that are assumed, and the pass that a sample makes."""

from __future__ import annotations

import math
from typing import Any

from paceline.config.frozen_layers import active
from paceline.config.identity import as_loaded
from paceline.config.schema import Config, MethodSpec
from paceline.gpu_memory import activations
from paceline.gpu_memory.activations import Pass
from paceline.gpu_memory.image_tokens import Seen, cut, see
from paceline.gpu_memory.parts import GIB, WIDTHS, Part, Sample
from paceline.gpu_memory.shapes import Shape, adapted

# bitsandbytes' own: a scale for 64 weights, itself 8 bits, with a float32 scale for 256 of them (Dettmers et al. 2023,
# arXiv:2305.14314, section 3).
BLOCK, NESTED = 64, 256
# What a process takes of a card before its first tensor: context, kernels, cuBLAS workspaces (PyTorch's own is 32 MiB
# on Hopper, 8 MiB before). Reports go from 0.3 to 0.7 GiB; not measured by us.
CONTEXT_GIB = 0.6
NCCL_GIB = 0.4
# What the allocator holds and can't use: blocks of other sizes. Not measured by us; what was reported at the study's
# failure (0.36 of 36.98 GiB reserved and not allocated) is less.
FRAGMENTATION = 0.04
# A process with torch, transformers and CUDA, on the host. Not measured on a GPU.
HOST_GIB = 4.0


def step_of(config: Config, shape: Shape, sample: Sample, micro: int) -> Pass:
    """How one micro-batch runs through the network."""
    model, method = as_loaded(config), config.method
    seen = many(see(shape.image, config.model.processor, sample.image), sample.images)
    adapter = method.trains == "adapter"
    trains_all = frozenset(shape.parameters) - set(method.frozen) if method.trains == "all" else frozenset()
    return Pass(
        width=WIDTHS[model.dtype],
        autocast=model.dtype != "float32" and not config.deepspeed.config,
        attention=model.attention,
        batch=micro,
        tokens=sample.text + seen.tokens,
        seen=seen,
        padded=micro > 1,  # rows of one length are luck
        trained=trains_all,
        adapted=frozenset(n.name for n in adapted(shape, method)) if adapter else frozenset(),
        rank=method.lora.r if adapter else 0,
        dropout=adapter and method.lora.dropout > 0,
        dora=adapter and method.lora.dora,
        quantised=method.quantise,
        held=active(method),
    )


def many(seen: Seen, images: int) -> Seen:
    """What several images of a sample are together."""
    if images == 1:
        return seen
    return Seen(
        seen.tokens * images, seen.patches * images, seen.sequence * (images if seen.packed else 1),
        seen.states * images, seen.masked, seen.packed, seen.pixels * images,
    )  # fmt: skip


def base_bytes(shape: Shape, method: MethodSpec, width: int) -> float:
    """Bytes of frozen weights: ``width`` each; of quantised layers less, with their constants.

    NF4: half a byte, and of every 64 weights a scale of one byte, and of every 256 scales four bytes: 0.516 bytes.
    LLM.int8(): a byte, and four for each output's scale (Dettmers et al. 2022, arXiv:2208.07339).
    """
    if method.quantise == "none":
        return float(shape.total * width)
    quantised = [n for n in shape.linears if n.quantised]
    numbers = sum(n.weights for n in quantised)
    if method.quantise == "nf4":
        small = numbers * (0.5 + 1 / BLOCK + 4 / (BLOCK * NESTED))
    else:
        small = numbers + sum(4 * n.count * n.outputs for n in quantised)
    return small + (shape.total - numbers) * width


def frozen_tower(shape: Shape, step: Pass) -> Part:
    """One layer of a tower that nothing is kept of, the outputs that it hands out, and its pixels."""
    size = activations.moment(shape, step, "vision") + activations.gathered(shape, step)
    size += 2 * step.width * step.batch * step.seen.pixels
    return Part("vision tower", size / GIB, "one layer, and the outputs that it hands out")


def processes(ranks: int) -> Part:
    """What ranks take before they hold any number of the model.

    Reading adds nothing that stays: safetensors 0.8.0 maps the files, and transformers 5.23.0 sends each tensor from
    there to the card, or under ZeRO-3 lets the first rank hand it to all
    (``tests/models/gpu_memory/test_host_memory.py``).
    """
    return Part("processes", HOST_GIB * ranks, f"{ranks} × {HOST_GIB:g} GiB; assumed")


def assumed(config: Config, shape: Shape, sample: Sample, micro: int, world: int) -> dict[str, Any]:
    """The assumptions of a figure, as a refusal prints them."""
    seen = many(see(shape.image, config.model.processor, sample.image), sample.images)
    return {
        "micro_batch": micro,
        "ranks": world,
        "tokens": sample.text + seen.tokens,
        "patches": seen.patches,
        "cut": cut(shape.image, config.model.processor),
        "image": "×".join(map(str, sample.image)) if sample.image else "the largest",
        "attention": config.model.attention,
        "checkpointing": config.placement.activation_checkpointing,
        "deepspeed": config.deepspeed.name or "none",
    }


def text_tokens(texts: list[str]) -> int:
    """Tokens of some texts together, from above: a token for three characters, and 48 of turns.

    English takes four characters a token, numbers and other languages fewer; the tokenizer is not read here.
    """
    return math.ceil(sum(map(len, texts)) / 3) + 48
