"""Write docs/memory.md from the planner and the operator counts in tests/: python docs/memory.py"""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from paceline.config.build import build
from paceline.config.gpus import CARDS, by_name
from paceline.config.schema import Config, MethodSpec, ModelSpec, PlacementSpec, TrainSpec
from paceline.gpu_memory import assumptions, choose, tuning
from paceline.gpu_memory.parts import Memory, Sample
from paceline.gpu_memory.shapes import Shape, shape_of
from paceline.store.code import shipped
from paceline.sweep.config_files import ConfTree

PATH = Path(__file__).with_name("memory.md")
TESTS = PATH.parents[1] / "tests"
TREE = ConfTree([shipped("conf")])
PRESETS = TREE.presets()
LLAMA, PIXTRAL = "llama32_11b_vision_instruct", "pixtral_12b"
METHODS = ("full", "full_frozen_vision", "lora", "dora", "qlora", "lora_8bit")
PICTURE = (1280, 720)

HEAD = """# Memory

Written by `make docs` from the planner; a test compares them. Figures are in GiB (2³⁰ bytes) unless marked GB (10⁹).

```console
$ paceline fit model=llama32_11b_vision method=lora,qlora                        # what fits which card, in a second
$ paceline fit model=pixtral_12b method=lora --image 1280x720 --tokens 300       # for samples such as yours
$ paceline fit model=llama32_11b_vision method=full deepspeed=zero3 cluster.gpu=a100_40   # every part
$ paceline plan … cluster.gpu=a100_40                                            # for each cell, its own prompts
$ paceline submit … placement=auto                                               # the fastest setting that fits
```

`submit` refuses cells that can't fit their GPU; the message lists the assumptions and what would fit.
`placement.fit=ignore` submits them anyway.

**Nothing here was measured on a GPU.** The plan is computed; the tests compare it with operator counts of the full-size
networks on the CPU ([accuracy](#accuracy)). `benchmarks/gpu_memory.py` measures on a card.
"""

FITS = """
## What fits

The largest micro-batch of an effective batch of 32, with pictures of {picture} and 256 tokens of text. `c`: with
activation checkpointing. –: nothing fits. V100 and RTX 6000 have no bfloat16; their columns use
`method.dtype=float16`.
"""

LADDER = """
## When memory runs out

A fine-tuning on a GPU tries its largest batch before the first step (`placement.probe`): forward and backward, beside
as much memory as the optimiser will take. If that runs out, it takes the next rung of this ladder at once. If memory
runs out later, or under DeepSpeed, the next `submit` or `resume` takes the next rung:

1. half the micro-batch, twice the accumulation, down to one sample;
2. activation checkpointing;
3. weights and states split over the ranks: ZeRO-2, then ZeRO-3;
4. optimiser, then weights, in host memory;
5. a larger card, where `cluster.gpu` names a type of several sizes.

The rungs change placement only: the effective batch and the order of the samples stay the same.

- Rungs that the plan rules out are skipped. For this the plan is corrected by the peaks of similar cells and by the
  card that was just filled. `placement.fit=ignore` tries all rungs.
- Once a checkpoint exists, only the first two rungs are taken, because another stage could not read it.
- `status`, the log and `show` report the rung and its reason, and the next submit keeps it. A different request on
  the command line takes precedence.
- After the last rung the cell is failed. The message lists what was tried and what would fit.
- If host memory runs out beside a GPU, there is no rung; request more with `cluster.memory_gib`.

The probe is tested on the CPU with a simulated card; it has not run on a GPU yet.
"""

ASSUMED = """
## Assumptions

**Samples.** `plan` takes the largest of the first 64 prepared pictures of each split, else the largest picture that the
model's processor makes. Text counts as one token per three characters.

**Shapes.** A model's *shape* (`src/paceline/gpu_memory/shapes/`) is counted from its config on torch's meta device,
without weights. `paceline prepare model=NAME` counts it for a new model, `python -m paceline.gpu_memory.count_shape
--ship` for the shipped ones. Each part and its formula is a function of `gpu_memory/tuning.py` and
`gpu_memory/activations.py`.

**On the card.** Assumed, and unproven until measured: {context} GiB of CUDA context, {nccl} GiB for NCCL with several
ranks, {fragments:.0%} of what is allocated for fragmentation, and DeepSpeed's temporary tensors. 8-bit products and
their saved inputs follow bitsandbytes' source. Finished attempts record their peak. `fit` shows each peak beside its
plan, and multiplies a plan by the highest ratio of its model and method, where that is over 1.

**Host memory** of a node is the sum of:

- {host:g} GiB for the process of each rank (assumed);
- what is offloaded;
- one copy of the weights by the rank that writes them: a checkpoint's in float32 without DeepSpeed, else what is
  published.

Weight files that are read are mapped and do not count: the kernel includes them in resident memory (`peaks.host_gib`
too) but frees them when needed (`tests/models/gpu_memory/test_host_memory.py`). Each rank reads quantised weights whole
onto its card before ZeRO-3 splits them; the card's plan counts this. Not counted is DeepSpeed's conversion of a
checkpoint for another number of ranks: four processes that each hold a rank's share.

**Cost.** *Cheapest* is the least GPUs × GiB of the card × expected slowdown. The slowdown is a guess that only orders
settings: checkpointing × {checkpointing:.2f}, DeepSpeed × {deepspeed}, stage 3 × {stage3},
optimiser on the host × {optimiser:g}, weights on the host × {weights:g} more, and 1 + {launches} / micro-batch.
"""

LESSONS = """
## What takes memory

- *Llama-3.2-Vision's tower* is not recomputed by activation checkpointing (its layers are no
  `GradientCheckpointingLayer`) and always runs on all four tiles. An adapter on it keeps all its activations. When it
  is frozen, it holds the outputs of all its layers at once: from a micro-batch of about 4, with checkpointing, that is
  the peak of the step.
- *DoRA with dropout* multiplies with the weight itself. From a quantised base, or under autocast, a 16-bit copy of
  every adapted weight is kept until the backward pass. Without dropout it is not.
- *Checkpointing* in the library asks for gradients of every input embedding, so a frozen tower is run backwards too.
  The figures with checkpointing are without that (`disable_input_require_grads`).
"""

STATES = """
## Accuracy

### Model states

Weights, gradients and optimiser of each GPU, in GB, without activations and buckets, beside public figures (bf16
weights and gradients, float32 masters and Adam).
"""

ACTIVATIONS = """
### Activations

Counted on the published architectures at full size under `FakeTensorMode` (`tests/models/live_memory.py`). *Kept*:
storages that live after one forward pass, with the softmax of the logits, without weights. *Peak*: the most that live
in a forward and backward pass, with gradients. *Ratio*: planned by counted. The operators are the CPU's, with two
differences of CUDA: layer norms in float32 under autocast, and dropout masks of one byte.

| model | method | engine | batch × text | picture | attention | kept | ratio | peak | ratio |
|---|---|---|---|---|---|---|---|---|---|
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
        found = [states(tuning.training(config(name, "full", p, n), shape(name), Sample())) for p, n in runs]
        base = assumptions.base_bytes(shape(name), config(name, "lora").method, 2) / 1e9
        four_bits = assumptions.base_bytes(shape(name), config(name, "qlora").method, 2) / 1e9
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


def filled(words: str, indent: str = "") -> str:
    """A paragraph or a list item in lines of at most 120 characters."""
    return textwrap.fill(words, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def study() -> Iterator[str]:
    """A setting that ran out of memory in a study: at which micro-batch and tiles it fits."""
    card = by_name("a100_40")
    yield "\n## Example: 8-bit DoRA of Llama-3.2-11B-Vision on 40 GB\n"
    yield filled(
        "A study ran out of memory with DoRA of rank 8 with dropout on an 8-bit base, activation checkpointing, on a "
        "card of 39.56 GiB: 36.62 GiB were allocated and 392 MiB more were requested in a linear layer's forward. "
        f"The study gives neither micro-batch, tiles nor length. The plan for a card that reports {card.gib} GiB:"
    )
    yield ""
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
    allocated = tuning.training(two, shape(name), Sample()).allocated
    yield "\n" + filled(
        f"With micro-batch 2 and four tiles the plan allocates {allocated:.1f} GiB, near the study's 36.62. Such a "
        "batch would explain the failure, and one sample at a time would have fitted. The study's batch is not known."
    )
    made = config(name, "dora_8bit_llama_study", micro_batch=1)
    best = choose.elsewhere(made, "finetune", shape(name), Sample(), PRESETS)
    assert best is not None
    yield f"\nThe cheapest setting that fits: {best.gpus} × {best.card.name}, {best.needed:.1f} GiB, with"
    yield f"`{best.words}`."


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
    """Public reports of memory running out, beside the plan."""
    yield "\n### Public reports\n"
    eager = config(LLAMA, "lora", micro_batch=1)
    spec = dataclasses.replace(eager.model, attention="eager")
    both = dataclasses.replace(
        eager.method, lora=dataclasses.replace(eager.method.lora, components=["vision", "language"])
    )
    made = dataclasses.replace(eager, model=spec, method=both)
    sdpa = dataclasses.replace(made, model=eager.model)
    found, other = (tuning.training(c, shape(LLAMA), Sample(512)) for c in (made, sdpa))
    yield filled(
        "- Llama-11B with LoRA ran out at 75.6 GiB on an 80 GB card with eager attention. The plan for adapters on "
        f"language model and tower, one sample of four tiles and 512 tokens: {found.needed:.0f} GiB with eager "
        f"attention, {other.needed:.0f} with SDPA. Each of the tower's 40 layers keeps 16 heads × 6,432² × 6 bytes.",
        "  ",
    )
    small = tuning.training(config(LLAMA, "qlora", micro_batch=1), shape(LLAMA), Sample(512))
    deep = dataclasses.replace(
        config(LLAMA, "qlora", micro_batch=1), method=dataclasses.replace(config(LLAMA, "qlora").method, lora=both.lora)
    )
    large = tuning.training(deep, shape(LLAMA), Sample(512))
    yield filled(
        f"- 4-bit Llama-11B ran out at 24 GB. The plan for one sample: {small.needed:.0f} GiB with adapters on the "
        f"language model only, {large.needed:.0f} with adapters on the tower too. The report gives neither batch nor "
        "targets.",
        "  ",
    )
    yield "- No reliable table of Pixtral under ZeRO is public; the figures above are computed."


def text() -> str:
    """The whole page."""
    assumed = ASSUMED.format(
        host=assumptions.HOST_GIB, context=assumptions.CONTEXT_GIB, nccl=assumptions.NCCL_GIB,
        fragments=assumptions.FRAGMENTATION,
        checkpointing=choose.CHECKPOINTING, deepspeed=choose.DEEPSPEED, stage3=choose.STAGE3,
        optimiser=choose.OFFLOADED_OPTIMISER, weights=choose.OFFLOADED_WEIGHTS, launches=choose.LAUNCHES,
    )  # fmt: skip
    lines = [HEAD + FITS.format(picture="×".join(map(str, PICTURE))), *fits_table(), LADDER.rstrip(), *study()]
    lines += [LESSONS.rstrip(), assumed.rstrip(), STATES, *states_table(), *public()]
    lines.append(ACTIVATIONS + "\n".join(measured()))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
