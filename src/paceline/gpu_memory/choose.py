"""Which settings fit a card, and the cheapest of them.

Cheap is what holds little for a short time: GPUs × GiB of a card × expected slowdown. The factors of the slowdown are
ours, from how often something is computed or moved, and not measured: they order settings, they don't foretell times.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paceline.config import conflicts
from paceline.config.cell_kinds import kind_of
from paceline.config.declared import Kind
from paceline.config.gpus import CARDS, Card
from paceline.config.identity import as_loaded
from paceline.config.schema import Config, DeepSpeedSpec
from paceline.errors import UserError
from paceline.gpu_memory import assumptions
from paceline.gpu_memory.answering import evaluating
from paceline.gpu_memory.parts import Memory, Sample
from paceline.gpu_memory.shapes import Shape
from paceline.gpu_memory.tuning import training
from paceline.gpu_memory.zero import zero_of

# One more forward pass beside a forward and a backward of twice its work (Chen et al. 2016).
CHECKPOINTING = 4 / 3
# Weights are gathered twice a step, half as much again of what is communicated (ZeRO, section 7.2).
STAGE3 = 1.5
DEEPSPEED = 1.05
# States and weights go over PCIe, some 25 GB/s against 1,500 and more on the card.
OFFLOADED_OPTIMISER = 2.0
OFFLOADED_WEIGHTS = 4.0
# What a forward pass costs whatever its size, against one sample of it.
LAUNCHES = 0.15
# Tokens of an entry of background facts, at most; the shipped ones have up to a hundred.
FACT_TOKENS = 150


@dataclass(frozen=True)
class Verdict:
    """One setting on one card.

    Attributes:
        config: with the placement that was looked at.
        gpus: ranks, one GPU each.
        memory: of one of them.
        factor: what measured peaks were of planned ones, by which the plan is corrected; 1 where none were.
        why: why the card can't run it whatever its memory; empty where it can.
    """

    config: Config
    card: Card
    gpus: int
    memory: Memory
    factor: float = 1.0
    why: str = ""

    @property
    def needed(self) -> float:
        """GiB on the card, corrected."""
        return self.memory.needed * self.factor

    @property
    def fits(self) -> bool:
        """Whether it runs."""
        return not self.why and self.needed <= self.card.gib

    @property
    def cost(self) -> float:
        """GPUs × GiB × slowdown."""
        return self.gpus * self.card.gib * slowdown(self.config)

    @property
    def words(self) -> str:
        """The placement as overrides of the command line, with the host memory where the model takes most of it."""
        processes, *others = self.memory.hosted
        much = sum(p.gib for p in others) > processes.gib
        if not much:
            return overrides(self.config)
        return f"{overrides(self.config)} {_host_memory(self.config, self.memory)}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        memory = self.memory
        return {
            "card": self.card.name,
            "card_gib": self.card.gib,
            "gpus": self.gpus,
            "fits": self.fits,
            "why": self.why,
            "needed_gib": round(self.needed, 2),
            "corrected_by": round(self.factor, 3),
            "moment": memory.moment,
            "parts": [dataclasses.asdict(p) for p in (*memory.parts, *memory.moments[memory.moment], *memory.outside)],
            "host_gib": round(memory.host, 1),
            "host_parts": [dataclasses.asdict(p) for p in memory.hosted],
            "mapped_gib": round(memory.mapped, 1),
            "checkpoint_gib": round(memory.disk, 2),
            "assumed": memory.assumed,
            "setting": self.words,
        }

    def told_of_host(self) -> str:
        """What a node's host memory holds, in one line."""
        memory = self.memory
        parts = ", ".join(f"{p.name} {p.gib:.1f}" for p in memory.hosted)
        return (
            f"{memory.host:.1f} GiB of host memory a node ({parts}), and {memory.mapped:.1f} of mapped weights' files, "
            "which the kernel drops where it wants room"
        )

    def told(self) -> str:
        """Where the memory goes, and what was assumed, in one line."""
        memory = self.memory
        if self.why:
            return self.why
        parts = sorted((*memory.parts, *memory.moments[memory.moment], *memory.outside), key=lambda p: -p.gib)
        listed = ", ".join(f"{p.name} {p.gib:.1f}" for p in parts if p.gib >= 0.05)
        assumed = memory.assumed
        into = f" in {assumed['cut']}" if assumed["cut"] else ""
        image = f", {assumed['patches']} patches{into} ({assumed['image']} picture)" if assumed["patches"] else ""
        answer = f" ({assumed['answer']} of the answer)" if "answer" in assumed else ""
        return (
            f"{self.needed:.1f} GiB {memory.moment} ({listed}), and {self.card.name} has {self.card.gib:.1f}; assumed: "
            f"micro-batch {assumed['micro_batch']}, {assumed['tokens']} tokens{answer}{image}, "
            f"{assumed['attention']} attention"
            f"{', checkpointing' if assumed['checkpointing'] else ''}, deepspeed={assumed['deepspeed']}, "
            f"{self.gpus} GPU{'s' if self.gpus > 1 else ''}"
        )


def _host_memory(config: Config, memory: Memory) -> str:
    return config.cluster.memory_words(memory.host, config.placement.ranks)


def overrides(config: Config) -> str:
    """A placement as command-line overrides."""
    placement = config.placement
    assignments = [f"placement.micro_batch={placement.micro_batch}"] if placement.micro_batch else []
    assignments += ["placement.activation_checkpointing=true"] if placement.activation_checkpointing else []
    assignments += [f"deepspeed={config.deepspeed.name}"] if config.deepspeed.config else []
    return " ".join(assignments) or "as it is"


def slowdown(config: Config) -> float:
    """Expected time of a step against plain data parallelism with the whole batch in one forward."""
    placement, zero = config.placement, zero_of(config.deepspeed, 1)
    factor = CHECKPOINTING if placement.activation_checkpointing else 1.0
    factor *= DEEPSPEED if zero.used else 1.0
    factor *= STAGE3 if zero.stage == 3 else 1.0
    factor *= OFFLOADED_OPTIMISER if zero.optimizer else 1.0
    factor *= OFFLOADED_WEIGHTS if zero.weights else 1.0
    return factor * (1 + LAUNCHES / (placement.micro_batch or config.train.batch))


def judge(config: Config, kind: Kind, shape: Shape, sample: Sample, card: Card, factor: float = 1.0) -> Verdict:
    """Whether a cell fits a card as its placement stands.

    Raises:
        UserError: its batch can't be shared out, or an adapter's names match nothing.
    """
    gpus = config.placement.nodes * config.placement.ranks
    memory = needs(config, kind, shape, sample)
    why = ""
    if as_loaded(config).dtype == "bfloat16" and not card.bfloat16:
        why = f"{card.name} does not compute in bfloat16; give method.dtype=float16"
    elif 0 < config.cluster.node_memory_gib(config.placement.ranks) < memory.host:
        why = f"it takes {memory.host:.0f} GiB of host memory; give {_host_memory(config, memory)}"
    return Verdict(config, card, gpus, memory, factor, why)


def settings(config: Config, kind: Kind, presets: Mapping[str, DeepSpeedSpec]) -> Iterator[Config]:
    """Placements of the same cell on the same ranks, those that hold together, the quickest first."""
    if not kind_of(kind).trains:
        yield config
        return
    world = config.placement.nodes * config.placement.ranks
    share = config.train.batch // world if config.train.batch % world == 0 else 0
    candidates = []
    for preset in presets.values():
        for micro in (m for m in range(1, share + 1) if share % m == 0):
            for checkpointing in (False, True):
                placement = dataclasses.replace(
                    config.placement, micro_batch=micro, activation_checkpointing=checkpointing
                )
                candidate = dataclasses.replace(config, placement=placement, deepspeed=preset)
                if holds(candidate, kind):
                    candidates.append(candidate)
    yield from sorted(candidates, key=slowdown)


def holds(config: Config, kind: Kind) -> bool:
    """Whether settings work together on a GPU; what the card itself lacks is :func:`judge`'s affair."""
    anywhere = dataclasses.replace(config, cluster=dataclasses.replace(config.cluster, gpu=""))
    try:
        conflicts.check(anywhere, kind, gpu=True)
    except UserError:
        return False
    return True


def cheapest(
    config: Config,
    kind: Kind,
    shape: Shape,
    sample: Sample,
    card: Card,
    presets: Mapping[str, DeepSpeedSpec],
    factor: float = 1.0,
) -> Verdict | None:
    """The quickest setting of a cell that fits a card, on the ranks that it has; None where none does."""  # fmt: skip
    for setting in settings(config, kind, presets):
        verdict = judge(setting, kind, shape, sample, card, factor)
        if verdict.fits:
            return verdict
    return None


def elsewhere(
    config: Config,
    kind: Kind,
    shape: Shape,
    sample: Sample,
    presets: Mapping[str, DeepSpeedSpec],
    cards: Sequence[Card] = CARDS,
    counts: Sequence[int] = (1, 2, 4, 8),
    factor: float = 1.0,
) -> Verdict | None:
    """The cheapest setting over cards and numbers of GPUs on one node; None where none fits."""  # fmt: skip
    fitting = []
    for gpus in counts if kind_of(kind).trains else (1,):
        placement = dataclasses.replace(config.placement, nodes=1, ranks=gpus)
        candidate = dataclasses.replace(config, placement=placement)
        verdicts = (cheapest(candidate, kind, shape, sample, card, presets, factor) for card in cards)
        fitting += [v for v in verdicts if v is not None]
    return min(fitting, key=lambda v: v.cost, default=None)


def largest(
    config: Config, kind: Kind, shape: Shape, sample: Sample, card: Card, factor: float = 1.0
) -> Verdict | None:
    """The largest micro-batch that fits under a placement's other settings; None where not even one sample does."""
    world = config.placement.nodes * config.placement.ranks
    if not kind_of(kind).trains or config.train.batch % world:
        verdict = judge(config, kind, shape, sample, card, factor)
        return verdict if verdict.fits else None
    share = config.train.batch // world
    # Memory grows with the micro-batch, so the first that fits from above is the largest.
    for micro in (m for m in range(share, 0, -1) if share % m == 0):
        placement = dataclasses.replace(config.placement, micro_batch=micro)
        verdict = judge(dataclasses.replace(config, placement=placement), kind, shape, sample, card, factor)
        if verdict.fits:
            return verdict
    return None


def sample_of(
    config: Config,
    picture: tuple[int, int] | None,
    images: int | None = None,
    shots: int = 0,
    earlier: int = 0,
    letters: int = 0,
) -> Sample:
    """What a cell's samples are assumed to be: its prompt and target, and the pictures that the task shows.

    Args:
        picture: the largest that is known of; None: the one that costs most.
        images: pictures of a sample; None: one where the task's file lists an image.
        shots: examples shown before the question, each taken to be as long as a sample with its target.
        earlier: tokens of what the prompt builds on, by :func:`earlier_tokens`.
        letters: characters that the samples' own texts, such as passages, add to the prompt.
    """
    texts = [config.prompt.system, config.prompt.text, config.task.target]
    if images is None:
        images = int("image" in config.task.needs)
    images = images if {"image", "images"} & set(config.model.inputs) else 0
    answer = config.prompt.shots.answer or config.task.target
    shown = shots * assumptions.text_tokens([config.prompt.text, answer])
    text = earlier + shown + assumptions.text_tokens([*texts, " " * letters])
    return Sample(text, picture, images * (shots + 1), assumptions.text_tokens([config.task.target]))


def earlier_tokens(config: Config) -> int:
    """Tokens that an earlier answer, at its longest, and background facts add to a prompt; tunings have none."""
    builds_on = config.prompt.builds_on
    return config.generation.new_tokens + builds_on.facts * FACT_TOKENS if builds_on.prompt else 0


def settle(
    config: Config,
    kind: Kind,
    presets: Mapping[str, DeepSpeedSpec],
    cards: Sequence[Card],
    shape: Shape | None,
    picture: tuple[int, int] | None,
    images: int | None = None,
    letters: int = 0,
) -> Config:
    """The placement that ``placement=auto`` stands for: the quickest that fits the smallest card that may be given.

    Without a GPU, or where model or card are not known here, it stays as it is: micro-batch and all by default.
    Pictures and texts of its samples are as :func:`sample_of` takes them.

    Raises:
        UserError: nothing fits; the message names a setting that would.
    """  # fmt: skip
    settled = dataclasses.replace(config, placement=dataclasses.replace(config.placement, auto=False))
    if not cards or shape is None or not kind_of(kind).trains:
        return settled
    sample = sample_of(config, picture, images, letters=letters)
    verdict = cheapest(settled, kind, shape, sample, cards[0], presets)
    if verdict is None:
        raise UserError(refusal(settled, kind, shape, sample, cards[0], presets))
    return verdict.config


def without_host_limit(config: Config) -> Config:
    """A config whose host memory is no limit: a remedy may need more, and names the amount as the site takes it."""
    per_cpu = math.inf if config.cluster.memory_per_cpu_gib else 0.0
    open_ended = dataclasses.replace(config.cluster, memory_gib=0, memory_per_cpu_gib=per_cpu)
    return dataclasses.replace(config, cluster=open_ended)


def refusal(
    config: Config, kind: Kind, shape: Shape, sample: Sample, card: Card, presets: Mapping[str, DeepSpeedSpec]
) -> str:
    """Why a cell does not fit, what was assumed, and the remedy."""
    verdict = judge(config, kind, shape, sample, card)
    config = without_host_limit(config)
    name = f"{config.model.name} {config.method.name}".strip()
    here = cheapest(config, kind, shape, sample, card, presets)
    remedies = [f"cheapest that fits: {here.words}"] if here and kind_of(kind).trains else []
    other = elsewhere(config, kind, shape, sample, presets) if not here else None
    if kind_of(kind).answers and not verdict.why:
        remedies.append("lower generation.batch (another cell)")
    if other is not None:
        ranks = f" placement.ranks={other.gpus}" if other.gpus != verdict.gpus else ""
        remedies.append(
            f"cheapest that fits: cluster.gpu={other.card.name}{ranks} {other.words}".removesuffix(" as it is")
        )
    if not remedies:
        remedies.append("no card known here holds it")
    takes = verdict.told() if verdict.why else f"takes {verdict.told()}"
    return f"{name} ({kind}): {takes}; {'; '.join(remedies)}; placement.fit=ignore submits it all the same"


def needs(config: Config, kind: Kind, shape: Shape, sample: Sample) -> Memory:
    """Memory of a cell."""
    return training(config, shape, sample) if kind_of(kind).trains else evaluating(config, shape, sample)
