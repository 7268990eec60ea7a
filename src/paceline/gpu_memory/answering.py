"""The memory of an evaluate cell on one GPU."""

from __future__ import annotations

import dataclasses

from paceline.config.schema import Config
from paceline.gpu_memory import activations
from paceline.gpu_memory.assumptions import (
    CONTEXT_GIB,
    FRAGMENTATION,
    assumed,
    base_bytes,
    frozen_tower,
    processes,
    step_of,
)
from paceline.gpu_memory.parts import GIB, Memory, Part, Sample, total_gib
from paceline.gpu_memory.shapes import Shape, trainable

CHOICE_TOKENS = 16
"""Tokens of the longest choice, where choices are scored: logits are made for each of them."""


def evaluating(config: Config, shape: Shape, sample: Sample) -> Memory:
    """Memory of an evaluate cell: weights, keys and values of every token, and the reading of the prompts."""
    generation = config.generation
    rows = generation.batch * generation.beams
    # Nothing is cast where nothing is trained.
    step = dataclasses.replace(step_of(config, shape, sample, generation.batch), autocast=False)
    width = step.width
    length = step.tokens + generation.new_tokens
    cache = 0.0
    for block in shape.blocks:
        if block.component != "vision":
            cache += (
                2.0 * width * block.count * block.kv_heads * block.head * (step.seen.states if block.cross else length)
            )
    reading = activations.moment(shape, step, "language")
    quantised = [n.inputs * n.outputs for n in shape.linears if n.quantised] if config.method.quantise != "none" else []
    whole = Part("a weight made whole", max(quantised, default=0) * width / GIB, "")
    adapter = sum(trainable(shape, config.method).values()) if config.method.trains == "adapter" else 0
    weights = base_bytes(shape, config.method, width) + 4 * adapter  # PEFT keeps adapters in float32
    parts = [
        Part("weights", weights / GIB, f"{shape.total:,} numbers, adapter {adapter:,} × 4 B"),
        Part("keys and values", cache * rows / GIB, f"{rows} × {length} tokens"),
    ]
    places = CHOICE_TOKENS if generation.answer == "likelihood" else 1
    shown = f"10 B × {rows * places} × {shape.vocabulary:,}"
    last = Part("logits", 10.0 * rows * places * shape.vocabulary / GIB, shown)
    moments = {
        "in the vision tower": [frozen_tower(shape, step)],
        "while prompts are read": [
            Part("a layer", reading / GIB, f"{generation.batch} × {step.tokens} tokens"),
            whole,
            last,
        ],
    }
    peak = total_gib(parts) + max(total_gib(p) for p in moments.values())
    outside = [
        Part("CUDA context", CONTEXT_GIB, "kernels and workspaces; assumed"),
        Part("fragments", peak * FRAGMENTATION, f"{FRAGMENTATION:.0%} of what is allocated; assumed"),
    ]
    assumptions = assumed(config, shape, sample, generation.batch, 1)
    return Memory(parts, moments, outside, [processes(1)], shape.total * width / GIB, 0.0, assumptions)
