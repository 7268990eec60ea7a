"""What a tuning that ran out of memory is run with next. Only its placement changes: what it computes does not.

Downward, one rung at a time: half the micro-batch with twice the accumulation, activation checkpointing, weights and
states split over the ranks (ZeRO-2, ZeRO-3), states on the host, a larger card. ``batch = ranks × micro-batch ×
accumulation`` holds on every rung, and the order of the samples does not depend on them (``training.stream.order``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from paceline.config.checks import share_out
from paceline.config.gpus import Card
from paceline.config.schema import Config, DeepSpeedSpec
from paceline.gpu_memory import choose
from paceline.gpu_memory.choose import Verdict
from paceline.gpu_memory.zero import zero_of


@dataclass(frozen=True)
class Way:
    """A way down.

    Attributes:
        config: with the placement of the rung that it ends on; None where no rung is left.
        passed: rungs on the way that the plan rules out, each with the reason.
    """

    config: Config | None
    passed: list[str]


def lower(config: Config) -> Config | None:
    """The next rung that a process can take by itself, and on which any checkpoint can be taken up; None at the last.

    Raises:
        UserError: the effective batch can't be shared out.
    """
    placement = config.placement
    micro, accumulation = share_out(config.train, placement, _world(config))
    share = micro * accumulation
    # Of an odd one there is no half: the next smaller that shares the batch out whole.
    if half := max((m for m in range(1, micro // 2 + 1) if share % m == 0), default=0):
        return dataclasses.replace(config, placement=dataclasses.replace(placement, micro_batch=half))
    if not placement.activation_checkpointing:
        return dataclasses.replace(config, placement=dataclasses.replace(placement, activation_checkpointing=True))
    return None


def rungs(config: Config, presets: Mapping[str, DeepSpeedSpec], cards: Sequence[Card]) -> Iterator[Config]:
    """Every rung below a finetune cell's placement, the next one first.

    Args:
        config: the cell's, with the placement to go down from.
        presets: ways to split memory; empty where a checkpoint binds the cell to the one it has.
        cards: that its cluster may give and that are larger than the one it ran on, the smallest first.
    """
    while (below := lower(config) or _split(config, presets)) is not None:
        yield below
        config = below
    for card in cards:
        # A card's own name asks for its type and for the feature that tells its size.
        yield dataclasses.replace(config, cluster=dataclasses.replace(config.cluster, gpu=card.name, constraint=""))


def climb(below: Iterator[Config], judge: Callable[[Config], Verdict | None]) -> Way:
    """The way to the first rung that the plan does not rule out.

    Args:
        below: rungs, the next one first.
        judge: the plan, corrected by what was measured; None where there is none, or the user trusts none.
    """
    passed: list[str] = []
    for config in below:
        verdict = judge(config)
        if verdict is None or verdict.fits:
            return Way(config, passed)
        why = verdict.why or f"would take {verdict.needed:.1f} of {verdict.card.gib:.1f} GiB"
        passed.append(f"{words(config)} {why}")
    return Way(None, passed)


def at_least(failed: Verdict) -> float:
    """By what a plan is too low, at the least, where a card ran out: it took more than there is."""
    # A hair more, so that what failed does not fit by the plan that it corrects.
    return max(1.0, (1 + 1e-6) * failed.card.gib / failed.memory.needed)


def _world(config: Config) -> int:
    return config.placement.nodes * config.placement.ranks


def _split(config: Config, presets: Mapping[str, DeepSpeedSpec]) -> Config | None:
    """The quickest preset that puts no part of the state back on the card, and takes one off it; None without one."""
    here = _spared(config.deepspeed, _world(config))
    candidates = []
    for preset in presets.values():
        spared = _spared(preset, _world(config))
        candidate = dataclasses.replace(config, deepspeed=preset)
        if (
            here != spared
            and all(a <= b for a, b in zip(here, spared, strict=True))
            and choose.holds(candidate, "finetune")
        ):
            candidates.append((candidate, (choose.slowdown(candidate), -sum(spared), preset.name)))
    return min(candidates, key=lambda entry: entry[1])[0] if candidates else None


def _spared(spec: DeepSpeedSpec, world: int) -> tuple[int, int, int]:
    """What of the state a card is spared: the stage, the optimiser, the weights."""
    zero = zero_of(spec, 1)
    # One rank has no other to share with.
    return zero.stage if world > 1 else 0, int(zero.optimizer), int(zero.weights)


def changed(before: Config, after: Config) -> str:
    """What differs between two rungs, for messages; empty where nothing does."""
    changes = []
    old, new = (share_out(c.train, c.placement, _world(c))[0] for c in (before, after))
    changes += [f"micro-batch {old} → {new}"] if old != new else []
    if before.placement.activation_checkpointing != after.placement.activation_checkpointing:
        changes.append(f"{'' if after.placement.activation_checkpointing else 'no '}activation checkpointing")
    if before.deepspeed.config != after.deepspeed.config:
        changes.append(f"deepspeed {before.deepspeed.name or 'none'} → {after.deepspeed.name or 'none'}")
    if before.cluster.gpu != after.cluster.gpu:
        changes.append(f"card {before.cluster.gpu or 'any'} → {after.cluster.gpu or 'any'}")
    return ", ".join(changes)


def words(config: Config) -> str:
    """A rung, for messages."""
    micro, accumulation = share_out(config.train, config.placement, _world(config))
    text = f"micro-batch {micro} × {accumulation} accumulated"
    text += ", activation checkpointing" if config.placement.activation_checkpointing else ""
    text += f", deepspeed={config.deepspeed.name}" if config.deepspeed.config else ""
    return text + (f", {config.cluster.gpu}" if config.cluster.gpu else "")
