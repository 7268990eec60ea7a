"""The memory of a cell on one GPU, part by part, each with its formula. GiB are 2³⁰ bytes.

What is always there (weights, optimiser) and what a moment adds make the peak: after the forward pass, while a layer is
recomputed, in the frozen tower, in the optimiser's step. Model states follow Rajbhandari et al. 2020 (ZeRO,
arXiv:1910.02054, section 3); differences in this project's training are noted in comments.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from paceline.config.checks import share_out
from paceline.config.schema import Config, MethodSpec
from paceline.gpu_memory import activations
from paceline.gpu_memory.activations import Pass
from paceline.gpu_memory.assumptions import (
    CONTEXT_GIB,
    FRAGMENTATION,
    NCCL_GIB,
    assumed,
    base_bytes,
    frozen_tower,
    processes,
    step_of,
)
from paceline.gpu_memory.parts import GIB, Memory, Part, Sample, total_gib
from paceline.gpu_memory.shapes import Linear, Shape, adapted, trainable
from paceline.gpu_memory.zero import Zero, zero_of


@dataclass(frozen=True)
class _Run:
    """Everything the parts are computed from."""

    config: Config
    shape: Shape
    zero: Zero
    world: int
    micro: int
    accumulation: int
    step: Pass
    answer: int
    trainable: int
    layers: list[Linear]

    @property
    def width(self) -> int:
        return self.step.width

    @property
    def method(self) -> MethodSpec:
        return self.config.method


def training(config: Config, shape: Shape, sample: Sample) -> Memory:
    """Memory of one rank of a finetune cell.

    Raises:
        UserError: the effective batch can't be shared out, or an adapter's names match nothing.
    """
    world = config.placement.nodes * config.placement.ranks
    micro, accumulation = share_out(config.train, config.placement, world)
    zero = zero_of(config.deepspeed, shape.hidden)
    method = config.method
    layers = adapted(shape, method) if method.trains == "adapter" else []
    run = _Run(
        config, shape, zero, world, micro, accumulation,
        step_of(config, shape, sample, micro), min(sample.answer, sample.text),
        sum(trainable(shape, method).values()), layers,
    )  # fmt: skip
    weights = _weights(run)
    gradients, states = _gradients(run), _states(run)
    always = [weights, *([] if zero.optimizer else states), *_buckets(run)]
    return Memory(
        parts=[p for p in always if p.gib],
        moments=_moments(run, gradients),
        outside=_outside(run, always, gradients),
        hosted=[p for p in (processes(config.placement.ranks), _offloaded(run, states), _saved(run)) if p.gib],
        mapped=shape.total * run.width / GIB,
        disk=run.trainable * (4 if not zero.used else 2 + 4) / GIB + run.trainable * 8 / GIB,
        assumed={**assumed(config, shape, sample, micro, world), "answer": run.answer},
    )


# -- weights


def _weights(run: _Run) -> Part:
    """Weights on the card.

    Without DeepSpeed, weights that are trained are float32 (they are their own masters: ``training.finetune.train``),
    and an adapter's always are (PEFT). DeepSpeed casts everything to the compute format, and splits it from stage 3 on.
    """
    width, shape, method = run.width, run.shape, run.method
    masters = 4 if not run.zero.used else width
    if method.trains == "all":
        size = float(run.trainable * masters) + (shape.total - run.trainable) * width
        text = f"{run.trainable:,} × {masters} B trained + {shape.total - run.trainable:,} × {width} B frozen"
    else:
        size = base_bytes(shape, method, width) + run.trainable * masters
        text = f"{shape.total:,} numbers, {method.quantise if method.quantise != 'none' else f'{width} B each'}"
        text += f"; adapter {run.trainable:,} × {masters} B"
    split = run.zero.shared(3, run.world)
    if split > 1:
        text = f"({text}) / {split} ranks"
    on_card = 0.0 if run.zero.weights else size / split
    return Part("weights", on_card / GIB, text)


def _gradients(run: _Run) -> Part:
    """Gradients, in the format of the weights; split from stage 2 on. Data parallelism holds them in buckets too."""
    each = 4 if not run.zero.used else run.width
    buckets = 2 if not run.zero.used and run.world > 1 else 1
    split = run.zero.shared(2, run.world)
    # With the optimiser on the host, stages 2 and 3 send them there bucket by bucket.
    size = 0.0 if run.zero.optimizer and run.zero.stage >= 2 else run.trainable * each * buckets / split
    twice = " × 2 (and in buckets)" if buckets == 2 else ""
    return Part("gradients", size / GIB, f"{run.trainable:,} × {each} B{twice}" + (f" / {split}" if split > 1 else ""))


def _states(run: _Run) -> list[Part]:
    """AdamW's two moments, float32; under DeepSpeed with a float32 master of every number, split from stage 1 on."""
    split = run.zero.shared(1, run.world)
    over = f" / {split}" if split > 1 else ""
    parts = [Part("optimiser", run.trainable * 8 / split / GIB, f"{run.trainable:,} × 8 B (Adam){over}")]
    if run.zero.used and run.width < 4:
        parts.append(Part("masters", run.trainable * 4 / split / GIB, f"{run.trainable:,} × 4 B{over}"))
    return parts


def _buckets(run: _Run) -> list[Part]:
    """DeepSpeed's buckets: gradients on their way, two where reducing overlaps; stage 3's weights gathered ahead.

    Stage 3 holds the layer that is computed with and ``stage3_prefetch_bucket_size`` numbers of the next.
    """
    zero, width = run.zero, run.width
    if not zero.used or (run.world == 1 and zero.stage < 2):
        return []
    trained = min(zero.reduce, run.trainable) * width * (2 if zero.overlap else 1)
    parts = [
        Part(
            "gradient buckets",
            trained / GIB,
            f"{min(zero.reduce, run.trainable):,} × {width} B" + (" × 2" if zero.overlap else ""),
        )
    ]
    if zero.stage == 3:
        largest = _largest(run)
        gathered = (largest + zero.gather) * width
        parts.append(Part("gathered weights", gathered / GIB, f"({largest:,} + {zero.gather:,}) × {width} B"))
    return parts


def _largest(run: _Run) -> int:
    """Numbers of the largest thing that stage 3 gathers at once: a layer, or the embedding."""
    shape = run.shape
    per_layer = [
        sum(n.inputs * n.outputs for n in shape.linears if n.name in {f"{b.layer}.{m}" for m in b.linears})
        for b in shape.blocks
    ]
    return max([shape.embedding, *per_layer])


# -- moments


def _moments(run: _Run, gradients: Part) -> dict[str, list[Part]]:
    """What is on the card at the moments that can be the peak, beside what is always there."""
    shape, step = run.shape, run.step
    checkpointing = run.config.placement.activation_checkpointing
    kept = Part(
        "activations",
        activations.total(shape, step, checkpointing) / GIB,
        f"{step.batch} × {step.tokens} tokens"
        + (f", {step.batch} × {step.seen.patches} patches" if step.seen.patches else ""),
    )
    copies, working = _copies(run), _working(run)
    carried = [gradients] if run.accumulation > 1 else []
    moments = {
        "after the forward pass": [kept, copies, *carried, _logits(run)],
        "in the last layer's forward": [kept, copies, *carried, *working],
        "as the backward pass ends": [gradients, _last_gradients(run), _backward(run)],
        "in the optimiser's step": [gradients, _stepping(run)],
    }
    split = run.zero.shared(3, run.world)
    if run.method.quantise != "none" and (split > 1 or run.zero.weights):
        # transformers 5.23 offers nothing else: each rank reads all, and keeps its share (``training.finetune.load``).
        rest = base_bytes(shape, run.method, run.width) * (1 if run.zero.weights else 1 - 1 / split)
        moments["while weights are read"] = [Part("weights to be split", rest / GIB, "quantised weights come whole")]
    if checkpointing:
        again = Part("a layer recomputed", activations.recomputed(shape, step) / GIB, "the largest layer, whole")
        moments["while a layer is recomputed"] = [kept, *carried, again, *working, _backward(run)]
    else:
        moments["in the backward pass"] = [kept, *carried, *working, _backward(run)]
    if step.reached(shape, "vision"):
        moments["when gradients reach the tower"] = [*_tower(run, gradients, checkpointing), _backward(run)]
    if step.seen.patches and not step.reached(shape, "vision"):
        moments["in the frozen tower"] = [*carried, frozen_tower(run.shape, step)]
    return {name: [p for p in parts if p.gib] for name, parts in moments.items()}


def _tower(run: _Run, gradients: Part, checkpointing: bool) -> list[Part]:
    """When the language model's backward pass is over: its gradients are there, and the tower's activations still."""
    shape, step = run.shape, run.step
    size = 0.0
    for block in (b for b in activations.stacks(shape, step) if b.component == "vision"):
        rows = step.batch * step.seen.patches
        short = activations.residual(step, block) * rows * block.width
        size += block.count * (short if checkpointing and block.checkpointed else activations.kept(shape, step, block))
    share = 1 - trainable(shape, run.method).get("vision", 0) / run.trainable
    remaining = dataclasses.replace(gradients, gib=gradients.gib * share)
    return [remaining, Part("activations of the tower", size / GIB, f"{step.batch} × {step.seen.patches} patches")]


def _logits(run: _Run) -> Part:
    """Logits of the answers' tokens (``models.tensors.answers_alone``), and the loss: 12 bytes for each number of them.

    In the compute format, in float32, and the log-softmax: 10 bytes; when the gradient is made, the log-softmax, its
    gradient and the logits', all in float32: 12 (``ForCausalLMLoss`` of transformers 5.23).
    """
    size = 12.0 * run.step.batch * run.answer * run.shape.vocabulary
    return Part("logits and loss", size / GIB, f"12 B × {run.step.batch} × {run.answer} × {run.shape.vocabulary:,}")


def _copies(run: _Run) -> Part:
    """Copies that autocast makes of float32 weights and keeps until the forward pass is over."""
    shape, method = run.shape, run.method
    if not run.step.autocast:
        return Part("copies of weights", 0.0, "")
    if method.trains == "adapter":
        numbers = run.trainable
    else:
        numbers = sum(n.weights for n in shape.linears if n.component in run.step.trained) + shape.head
        numbers -= sum(
            n.weights for n in shape.linears if not n.adaptable and n.outputs == shape.vocabulary and shape.head
        )
    return Part("copies of weights", numbers * run.width / GIB, f"autocast: {numbers:,} × {run.width} B")


def _working(run: _Run) -> list[Part]:
    """Temporary tensors inside one linear layer: quantised weights made whole, and DoRA's norms.

    DoRA multiplies the adapter's matrices by putting an identity of ``in × in`` through them (``get_lora_weight``, PEFT
    0.21): of Llama's ``down_proj`` 14,336², 392 MiB in 16 bits, which is what the study's run could not get any more.
    """
    width = run.width
    parts = []
    if run.method.quantise != "none":
        largest = max((n.inputs * n.outputs for n in run.shape.linears if n.quantised), default=0)
        parts.append(Part("a weight made whole", largest * width / GIB, f"{largest:,} × {width} B"))
    if run.step.dora:
        size, layer = max((_dora(run, n), n.name) for n in run.layers)
        parts.append(Part("DoRA's norm", size / GIB, f"identity and weights of {layer}"))
    return parts


def _dora(run: _Run, layer: Linear) -> float:
    """The most that DoRA takes in one layer: while the identity is made, or while the norm is."""
    c = run.width
    identity, matrix = layer.inputs**2, layer.inputs * layer.outputs
    identity_bytes = identity * (4 + c if run.step.autocast else c)
    plain = not (run.method.quantise != "none" and layer.quantised)
    # Of a plain layer under autocast everything is float32: the input is, and the weight is cast to it.
    each = 4 if run.step.autocast and plain else c
    # The adapter's product, the weight, the scaled product, and their sum.
    norm = identity * c + matrix * (c + 4 * each if each != c else 4 * c)
    return float(max(identity_bytes, norm))


def _backward(run: _Run) -> Part:
    """Gradients of one layer's activations, the MLP's being the largest: four of its width, two of the stream's."""
    step = run.step
    size = 0.0
    for block in activations.stacks(run.shape, step):
        rows = step.batch * (step.seen.patches if block.component == "vision" else step.tokens)
        size = max(size, step.width * rows * (4.0 * block.mlp + 2 * block.width))
    return Part("gradients of activations", size / GIB, "4 of the MLP's width, 2 of the stream's")


def _last_gradients(run: _Run) -> Part:
    """What the first layer still has when all gradients are there; of a tied embedding, a second gradient to add."""
    shape, step = run.shape, run.step
    first = [b for b in activations.stacks(shape, step) if b.component == "vision"] or activations.stacks(shape, step)
    size = max((activations.kept(shape, step, b) for b in first), default=0.0)
    tied = not shape.head and "language" in step.trained
    size += shape.embedding * (4 if not run.zero.used else run.width) if tied else 0
    return Part(
        "the first layer", size / GIB, "its activations" + (", the embedding's second gradient" if tied else "")
    )


def _stepping(run: _Run) -> Part:
    """The optimiser's step: fused without DeepSpeed; under it float32 gradients of this rank's share, and torch's Adam
    makes a tensor of that size (``torch._foreach_sqrt``). Nothing where the optimiser lies on the host.
    """
    if not run.zero.used or run.zero.optimizer:
        return Part("optimiser's step", 0.0, "")
    split = run.zero.shared(1, run.world)
    return Part("optimiser's step", run.trainable * 8 / split / GIB, f"{run.trainable:,} × 8 B / {split}")


def _outside(run: _Run, always: list[Part], gradients: Part) -> list[Part]:
    moments = _moments(run, gradients)
    peak = max(total_gib(p) for p in moments.values()) + total_gib(always)
    parts = [Part("CUDA context", CONTEXT_GIB, "kernels and workspaces; assumed")]
    if run.world > 1:
        parts.append(Part("NCCL", NCCL_GIB, "channels between ranks; assumed"))
    parts.append(Part("fragments", peak * FRAGMENTATION, f"{FRAGMENTATION:.0%} of what is allocated; assumed"))
    return parts


# -- the host


def _offloaded(run: _Run, states: list[Part]) -> Part:
    """States and a float32 copy of their gradients; weights, where they are there too. Of all ranks of a node."""
    split = run.zero.shared(1, run.world)
    size = total_gib(states) + run.trainable * 4 / split / GIB if run.zero.optimizer else 0.0
    if run.zero.weights:
        size += base_bytes(run.shape, run.method, run.width) / run.world / GIB
    ranks = run.config.placement.ranks
    return Part("offloaded", size * ranks, f"states, float32 gradients and weights of {ranks} ranks")


def _saved(run: _Run) -> Part:
    """The copy of the weights that the rank which writes them makes, of a checkpoint's or of those to publish.

    Published is all of a model, in its own format, put together on that rank under ZeRO-3 too, or the adapter
    (``finetune``). A checkpoint without DeepSpeed holds what is trained, in float32, which safetensors 0.8.0 copies
    from the card all at once; DeepSpeed 0.19.8 copies no more than is published (``clone_tensors_for_torch_save``).
    """
    each = 4 if not run.zero.used else run.width
    published = run.shape.total * run.width if run.method.trains == "all" else run.trainable * each
    size = max(published, 0 if run.zero.used else run.trainable * 4)
    return Part("weights being saved", size / GIB, "published in the model's format, or a checkpoint's in float32")


# -- answering
