"""Write docs/memory.md from the planner, and what was measured without a GPU: python docs/memory.py"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from paceline.cards import CARDS, by_name
from paceline.compose import ConfTree
from paceline.planner import choose, memory
from paceline.planner.memory import Memory, Sample
from paceline.planner.shapes import Shape, shape_of
from paceline.snapshot import shipped
from paceline.spec import Config, MethodSpec, ModelSpec, PlacementSpec, TrainSpec, build

PATH = Path(__file__).with_name("memory.md")
TESTS = PATH.parents[1] / "tests"
TREE = ConfTree([shipped("conf")])
PRESETS = TREE.presets()
LLAMA, PIXTRAL = "llama32_11b_vision_instruct", "pixtral_12b"
METHODS = ("full", "full_frozen_vision", "lora", "dora", "qlora", "lora_8bit")
PICTURE = (1280, 720)

HEAD = """# Memory

Written by `make docs` from the planner; a test holds it equal. All in GiB (2³⁰ bytes) but where GB (10⁹) is said.

```console
$ paceline fit model=llama32_11b_vision method=lora,qlora                        # what fits which card, in a second
$ paceline fit model=pixtral_12b method=lora --image 1280x720 --tokens 300       # for samples such as yours
$ paceline fit model=llama32_11b_vision method=full deepspeed=zero3 cluster.gpu=a100_40   # every part
$ paceline plan … cluster.gpu=a100_40                                            # for each cell, its own prompts
$ paceline submit … placement=auto                                               # the quickest setting that fits
```

`submit` refuses cells that can't fit their GPU, with what was assumed and what would fit; `placement.fit=ignore`
submits them all the same. `plan` takes the largest of the first 64 prepared pictures of each split, where there are
any, else the largest that the model's processor makes; text is counted as a token for three characters.

## What it is computed from

A model's *shape*, in `src/paceline/planner/shapes/`, is counted on torch's meta device from its config, without
weights; `paceline prepare model=NAME` counts it for a new model, `python -m paceline.shapes --ship` for the shipped
ones. Each part and its formula is a function of `planner/memory.py` and `planner/activations.py`.

**Nothing here was measured on a GPU.** Activations are held to what autograd keeps of the full-size networks,
counted operator by operator (below). Assumed, and unproven until `benchmarks/gpu_memory.py` has run on a card:
{context} GiB of CUDA context, {nccl} GiB for NCCL where ranks are several, {fragments:.0%} of what is allocated for
fragments, and DeepSpeed's own temporary tensors. 8-bit products and their saved inputs follow bitsandbytes' source.
Finished attempts tell their peak: `fit` shows each beside its plan, and multiplies a plan by the highest ratio of
its model and method, where that is over 1.

**Host memory** of a node is {host:g} GiB for the process of each rank (assumed), what is offloaded, and one copy of
the weights by the rank that writes them: a checkpoint's in float32 without DeepSpeed, else what is published. Reading
adds nothing that stays: the weights' files are mapped, which the kernel counts (`peaks.host_gib` too) and takes back
where it wants room; so measured on a twin under ZeRO-3 (`tests/models/test_host_memory.py`), where the first rank alone
maps them. Quantised weights each rank reads whole onto its card before ZeRO-3 splits them, which the plan of the card
counts. Not counted: DeepSpeed's own program that puts a state together for another number of ranks, in four processes
that each hold a rank's share.

*Cheapest* is the least GPUs × GiB of the card × expected slowdown. The slowdown is a guess that only orders
settings: checkpointing × {checkpointing:.2f}, DeepSpeed × {deepspeed}, stage 3 × {stage3}, optimiser on the host ×
{optimiser:g}, weights on the host × {weights:g} more, and 1 + {launches} / micro-batch.
"""

LADDER = """
## When it runs out all the same

A tuning on a GPU tries its largest batch before the first step (`placement.probe`): forward and backward, beside as
much memory as the optimiser will take. Where that runs out it goes down the ladder at once. What runs out later, or
under DeepSpeed, goes down at the next `submit` or `resume`, one rung at a time:

1. half the micro-batch, twice the accumulation, down to one sample;
2. activation checkpointing;
3. weights and states split over the ranks: ZeRO-2, then ZeRO-3;
4. optimiser, then weights, in host memory;
5. a larger card, where `cluster.gpu` names a type of several sizes.

The effective batch and the order of the samples stay as they are: the rungs are placement. Those that the plan rules
out are passed over, corrected by peaks of its like and by the card that was just filled; `placement.fit=ignore` tries
them too. Once there is a checkpoint, only the first two are taken: another stage could not read it. `status`, the log
and `show` tell the rung and its reason, the next submit keeps it, and what a command line asks for otherwise is done
as asked. At the end the cell is failed, with what was tried and what would fit.

Host memory that runs out beside a GPU has no rungs; `cluster.memory_gib` asks for more. The probe is tested on the
CPU, with a simulated card; on a GPU it has not run yet.
"""

STATES = """
## Model states

Weights, gradients and optimiser of each GPU, in GB, without activations and buckets; beside them the figures that
are public (bf16 weights and gradients, float32 masters and Adam).
"""

ACTIVATIONS = """
## What autograd keeps

Measured on the published architectures at full size under `FakeTensorMode` (`tests/models/live_memory.py`):
storages that live after one forward pass, logits' softmax included, weights excluded; and the most that live in a
forward and backward pass, gradients included. *Ratio* is planned by measured. On the CPU's operators, with two
differences of CUDA's put in: layer norms in float32 under autocast, dropout masks of one byte.

| model | method | engine | batch × text | picture | attention | kept | ratio | peak | ratio |
|---|---|---|---|---|---|---|---|---|---|
"""

LESSONS = """
- Mllama's vision tower is not recomputed by activation checkpointing (its layers are no
  `GradientCheckpointingLayer`), and always runs on all four tiles. An adapter on it keeps its activations whole:
  most of the study's memory.
- DoRA with dropout multiplies with the weight itself: from a quantised base, or under autocast, a 16-bit copy of
  every adapted weight is kept until the backward pass. Without dropout it is not.
- The library's checkpointing asks for gradients of every input embedding, a frozen tower's too, which then is
  back-propagated. The figures with checkpointing are without that (`disable_input_require_grads`).
- The frozen tower of Mllama holds the outputs of all its layers at once: at micro-batches from about 4 with
  checkpointing, the peak of the whole step.
"""


def model(name: str) -> ModelSpec:
    """A shipped model."""
    return build(ModelSpec, {**TREE.load("model", name), "name": name}, name)


def shape(name: str) -> Shape:
    """Its shape."""
    found = shape_of(model(name))
    assert found is not None, name
    return found


def config(name: str, method: str, preset: str = "none", ranks: int = 1, **placed: object) -> Config:
    """A cell's config, as far as memory is concerned."""
    placement = PlacementSpec(ranks=ranks, **placed)  # type: ignore[arg-type]
    how = build(MethodSpec, {**TREE.load("method", method), "name": method}, method)
    return Config(
        model=model(name), method=how, train=TrainSpec(batch=32), placement=placement, deepspeed=PRESETS[preset]
    )


def states(found: Memory) -> float:
    """Weights, gradients, optimiser and masters in GB."""
    gradients = [p for p in found.moments["in the optimiser's step"] if p.name == "gradients"]
    wanted = [p for p in (*found.parts, *gradients) if p.name in ("weights", "gradients", "optimiser", "masters")]
    return sum(p.gib for p in wanted) * 2**30 / 1e9


def states_table() -> Iterator[str]:
    """Ours beside the public figures."""
    public = {
        LLAMA: ["58.7", "42.7", "40.0", "21.3", "170.7", "21.3", "5.3", "7.1–8.4"],
        PIXTRAL: ["69.8", "50.7", "47.6", "25.4", "202.9", "25.4", "6.3", "8.5–9.2"],
    }
    columns = [
        "full, ZeRO-2 ×4",
        "full, ZeRO-3 ×4",
        "ZeRO-2 ×8",
        "ZeRO-3 ×8",
        "one GPU",
        "LoRA base",
        "base, ZeRO-3 ×4",
        "NF4 base",
    ]
    yield f"| | {' | '.join(columns)} |"
    yield "|---|" + "---|" * len(columns)
    for name, said in public.items():
        runs = (("zero2", 4), ("zero3", 4), ("zero2", 8), ("zero3", 8), ("zero2", 1))
        found = [states(memory.training(config(name, "full", p, n), shape(name), Sample())) for p, n in runs]
        base = memory.base_bytes(shape(name), config(name, "lora").method, 2) / 1e9
        four_bits = memory.base_bytes(shape(name), config(name, "qlora").method, 2) / 1e9
        ours = [*found, base, base / 4, four_bits]
        yield f"| {name} | {' | '.join(f'{v:.1f}' for v in ours)} |"
        yield f"| public | {' | '.join(said)} |"


def fits_table() -> Iterator[str]:
    """The largest micro-batch of each method on each card."""
    sample = Sample(256, PICTURE)
    yield "| model | method | split | GPUs | " + " | ".join(f"{c.name} ({c.gib:.1f})" for c in CARDS) + " |"
    yield "|---|" + "---|" * (len(CARDS) + 3)
    for name in (LLAMA, PIXTRAL):
        for method in METHODS:
            for preset, ranks in (("none", 1), ("zero2", 4), ("zero3", 4), ("zero3", 8), ("zero2_offload", 1)):
                if preset != "none" and method not in ("full", "full_frozen_vision") and ranks == 8:
                    continue
                made = config(name, method, preset, ranks)
                if not choose.holds(made, "finetune"):
                    continue
                fields = [field(made, shape(name), sample, c.name) for c in CARDS]
                yield f"| {name} | {method} | {preset} | {ranks} | {' | '.join(fields)} |"


def field(made: Config, of: Shape, sample: Sample, card: str) -> str:
    """The largest micro-batch, and with checkpointing (c), where that is more."""
    sizes = []
    if not by_name(card).bfloat16:
        made = dataclasses.replace(made, method=dataclasses.replace(made.method, dtype="float16"))
    for checkpointing in (False, True):
        placement = dataclasses.replace(made.placement, activation_checkpointing=checkpointing)
        found = choose.largest(dataclasses.replace(made, placement=placement), "finetune", of, sample, by_name(card))
        sizes.append(found.memory.assumed["micro_batch"] if found else 0)
    if not any(sizes):
        return "–"
    return ", ".join(t for t in (str(sizes[0] or ""), f"{sizes[1]}c" if sizes[1] > sizes[0] else "") if t)


def study() -> Iterator[str]:
    """The study's failing setting, at which micro-batch and tiles it fits."""
    card = by_name("a100_40")
    yield "\n## The study's failing setting\n"
    yield (
        "Llama-3.2-11B-Vision, DoRA of rank 8 with dropout on an 8-bit base, activation checkpointing, a card of "
        "39.56 GiB: 36.62 GiB were allocated, and 392 MiB more were asked for in a linear layer's forward. 392 MiB is "
        "14,336² numbers of 16 bits: the identity that PEFT puts through the adapter of `down_proj` for DoRA's norm. "
        f"Micro-batch, tiles and length are not told. By the planner, on a card that reports {card.gib} GiB:\n"
    )
    yield "| micro-batch | tiles (`max_image_tiles`) | text tokens | attention | GiB | on the card | largest parts |"
    yield "|---|---|---|---|---|---|---|"
    name = "llama32_11b_vision"
    for micro, tiles, text, attention in (
        (1, 1, 256, "sdpa"), (1, 4, 256, "sdpa"), (1, 4, 2048, "sdpa"), (1, 4, 256, "eager"), (2, 1, 256, "sdpa"),
        (2, 4, 256, "sdpa"), (2, 4, 1024, "sdpa"), (4, 1, 256, "sdpa"), (4, 4, 256, "sdpa"),
    ):  # fmt: skip
        made = config(name, "dora_8bit_llama_study", micro_batch=micro, activation_checkpointing=True)
        own = dataclasses.replace(made.model, processor={"max_image_tiles": tiles}, attention=attention)
        found = choose.judge(dataclasses.replace(made, model=own), "finetune", shape(name), Sample(text), card)
        parts = sorted((*found.memory.parts, *found.memory.moments[found.memory.moment]), key=lambda p: -p.gib)[:3]
        said = ", ".join(f"{p.name} {p.gib:.1f}" for p in parts)
        ends = "fits" if found.fits else "does not fit"
        yield f"| {micro} | {tiles} | {text} | {attention} | {found.needed:.1f} | {ends} | {said} |"
    two = config(name, "dora_8bit_llama_study", micro_batch=2, activation_checkpointing=True)
    allocated = memory.training(two, shape(name), Sample()).allocated
    yield (
        f"\nAt micro-batch 2 and four tiles {allocated:.1f} GiB are to be allocated, near the study's "
        f"36.62: so large a "
        "batch explains its failure, and one sample at a time would have trained. That the study used it is a guess."
    )
    made = config(name, "dora_8bit_llama_study", micro_batch=1)
    best = choose.elsewhere(made, "finetune", shape(name), Sample(), PRESETS)
    assert best is not None
    yield f"\nThe cheapest that fits: {best.gpus} × {best.card.name} with `{best.words}`, {best.needed:.1f} GiB."


def measured() -> Iterator[str]:
    """Golden figures beside the plan."""
    sys.path.insert(0, str(TESTS))
    from activation_cases import CASES, GOLDEN, planned

    golden = json.loads(GOLDEN.read_text())
    for case in CASES:
        took, said = golden[case.name], planned(case)
        how = case.attention + (", checkpointing" if case.checkpointing else "")
        figures = " | ".join(f"{took[k] / 2**30:.2f} | {said[k] / took[k]:.2f}" for k in ("kept", "peak"))
        picture = "×".join(map(str, case.image))
        names = f"{case.model} | {case.method} | {case.engine}"
        yield f"| {names} | {case.batch} × {case.text} | {picture} | {how} | {figures} |"


def public() -> Iterator[str]:
    """Reports of others, and what the planner says of them."""
    yield "\n## Reports of others\n"
    eager = config(LLAMA, "lora", micro_batch=1)
    spec = dataclasses.replace(eager.model, attention="eager")
    both = dataclasses.replace(
        eager.method, lora=dataclasses.replace(eager.method.lora, components=["vision", "language"])
    )
    made = dataclasses.replace(eager, model=spec, method=both)
    sdpa = dataclasses.replace(made, model=eager.model)
    found, other = (memory.training(c, shape(LLAMA), Sample(512)) for c in (made, sdpa))
    yield (
        f"- Llama-11B with LoRA ran out at 75.6 GiB on an 80 GB card with eager attention. An adapter on both the "
        f"language model and the tower, one sample of four tiles and 512 tokens: {found.needed:.0f} GiB "
        f"with eager attention, "
        f"{other.needed:.0f} with SDPA: 16 heads × 6,432² × 6 bytes are kept by each of the tower's 40 layers."
    )
    small = memory.training(config(LLAMA, "qlora", micro_batch=1), shape(LLAMA), Sample(512))
    deep = dataclasses.replace(
        config(LLAMA, "qlora", micro_batch=1), method=dataclasses.replace(config(LLAMA, "qlora").method, lora=both.lora)
    )
    large = memory.training(deep, shape(LLAMA), Sample(512))
    yield (
        f"- 4-bit Llama-11B ran out at 24 GB. One sample: {small.needed:.0f} GiB with adapters on the language model "
        f"alone, {large.needed:.0f} with adapters on the tower too. The report says neither batch nor targets."
    )
    yield "- No trustworthy table of Pixtral under ZeRO is public; ours above is computed, not measured."


def text() -> str:
    """The whole page."""
    head = HEAD.format(
        host=memory.HOST_GIB, context=memory.CONTEXT_GIB, nccl=memory.NCCL_GIB, fragments=memory.FRAGMENTATION,
        checkpointing=choose.CHECKPOINTING, deepspeed=choose.DEEPSPEED, stage3=choose.STAGE3,
        optimiser=choose.OFFLOADED_OPTIMISER, weights=choose.OFFLOADED_WEIGHTS, launches=choose.LAUNCHES,
    )  # fmt: skip
    picture = "×".join(map(str, PICTURE))
    lines = [head + LADDER + STATES, *states_table(), *public()]
    lines.append(
        f"\n## What fits\n\nThe largest micro-batch of an effective batch of 32, with pictures of {picture} "
        f"and 256 tokens "
        "of text; `c`: with activation checkpointing; –: nothing fits. V100 and RTX 6000, which have no bfloat16, with "
        "`method.dtype=float16`.\n"
    )
    lines += [*fits_table(), *study(), ACTIVATIONS + "\n".join(measured()), LESSONS.rstrip()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
