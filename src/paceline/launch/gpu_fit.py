"""Whether cells fit the GPUs that they ask for, found out before they wait in a queue for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paceline.config.cell_kinds import kind_of
from paceline.config.gpus import cards_of
from paceline.config.schema import Config, DeepSpeedSpec, ModelSpec, TaskSpec
from paceline.data import samples
from paceline.data.text_lengths import own_letters
from paceline.errors import UserError
from paceline.gpu_memory import choose
from paceline.gpu_memory.assumptions import text_tokens
from paceline.gpu_memory.choose import Verdict
from paceline.gpu_memory.image_tokens import Size
from paceline.gpu_memory.parts import GIB, WIDTHS
from paceline.gpu_memory.shapes import shape_of
from paceline.launch import storage
from paceline.models.registry import says
from paceline.store.root import Store
from paceline.sweep.cells import PlannedCell


@dataclass(frozen=True)
class Fit:
    """What is known of cells that load the same model in the same way.

    Attributes:
        fits: None where the model or the card is not known here, or the cluster may give a card that is too small.
        text: why, and the remedy.
        verdict: on the smallest card that may be given; None where none is known.
    """

    cells: tuple[str, ...]
    model: str
    method: str
    kind: str
    fits: bool | None
    text: str
    verdict: Verdict | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        verdict = self.verdict.as_json() if self.verdict else {}
        names = {"cells": list(self.cells), "model": self.model, "method": self.method, "kind": self.kind}
        return {**verdict, **names, "fits": self.fits, "text": self.text}


def look(cells: Sequence[PlannedCell], store: Store, presets: Mapping[str, DeepSpeedSpec]) -> list[Fit]:
    """One finding for each distinct model, method and placement of cells that ask for a GPU.

    Args:
        presets: ways to split memory that a remedy may name.
    """
    groups: dict[tuple[Any, ...], list[PlannedCell]] = {}
    texts: dict[int, str] = {}  # cells share their specs, so each is written out once
    for planned in cells:
        config = planned.config
        if on_gpu(config):
            parts = (config.model, config.method, config.placement, config.deepspeed, config.cluster)
            settings = (
                config.train.batch,
                config.generation.batch,
                config.generation.beams,
                config.task.name,
                _shots(planned),
            )
            for part in parts:
                if id(part) not in texts:
                    texts[id(part)] = repr(part)
            part_texts = (texts[id(part)] for part in parts)
            groups.setdefault((planned.cell.kind, *part_texts, *settings), []).append(planned)
    pictures: dict[str, tuple[Size | None, int]] = {}
    letters: dict[tuple[Any, ...], int] = {}
    return [_finding(members, store, presets, pictures, letters) for members in groups.values()]


def _finding(
    members: Sequence[PlannedCell],
    store: Store,
    presets: Mapping[str, DeepSpeedSpec],
    pictures: dict[str, tuple[Size | None, int]],
    letters: dict[tuple[Any, ...], int],
) -> Fit:
    # The longest prompt is the one that may not fit.
    own = {p.id: _own_letters(p, store, letters) for p in members}
    planned = max(members, key=lambda p: text_tokens([p.config.prompt.text, " " * own[p.id]]) + _earlier(p))
    config, kind = planned.config, planned.cell.kind
    named = (tuple(p.id for p in members), config.model.name, config.method.name, kind)
    cards, shape = cards_of(config.cluster), shape_of(config.model, store.root)
    if shape is None:
        return Fit(*named, None, uncounted(config.model), None)
    if not cards:
        gpu_name = config.cluster.gpu or "any GPU"
        return Fit(
            *named, None, f"the memory of {gpu_name} is not known here; name a card, such as cluster.gpu=a100_40", None
        )
    seen = _pictures(config.task, store, pictures)
    sample = choose.sample_of(config, *seen, _shots(planned), _earlier(planned), own[planned.id])
    try:
        small, large = (choose.judge(config, kind, shape, sample, card) for card in (cards[0], cards[-1]))
    except UserError as error:
        return Fit(*named, None, str(error), None)
    if small.fits:
        return Fit(*named, True, small.told(), small)
    if large.fits:
        message = f"{small.told()}; {large.card.name} has room: give cluster.gpu={large.card.name}"
        return Fit(*named, None, message, small)
    return Fit(*named, False, choose.refusal(config, kind, shape, sample, large.card, presets), large)


def _shots(planned: PlannedCell) -> int:
    """Examples before each question; tunings see none."""
    return planned.config.prompt.shots.count if kind_of(planned.cell.kind).answers else 0


def _earlier(planned: PlannedCell) -> int:
    """Tokens of what the prompt builds on; tunings see none."""
    return choose.earlier_tokens(planned.config) if kind_of(planned.cell.kind).answers else 0


def on_gpu(config: Config) -> bool:
    """Whether a cell is to run on a GPU, as far as its cluster's settings show."""
    if config.model.served:
        return False
    return bool(config.cluster.gpus or (config.cluster.gpu and config.cluster.executor != "slurm"))


def uncounted(model: ModelSpec) -> str:
    """Why the memory of a model without a shape is not planned, and what to do about it."""
    if model.served:
        return f"{model.name}: no memory: answered by a service ({model.endpoint})"
    if why := says(model.family, "unplanned", ""):
        return (
            f"family '{model.family}' of {model.name} {why}, so its memory can't be planned; try it on a few samples "
            "first: limit=8"
        )
    if not says(model.family, "own_call", False):
        return f"the shape of {model.name} is not known here; paceline prepare model={model.name} counts it"
    weights, alone = storage.weights_of(model), ""
    if not isinstance(weights, str):
        alone = f"; its weights alone take {weights.numbers * WIDTHS[model.dtype] / GIB:.1f} GiB"
    return (
        f"{model.name} runs by code of its own, which is not read here, so its memory can't be planned{alone}; give a "
        "cluster.gpu with room to spare, and try it on a few samples first: limit=8"
    )


def _pictures(task: TaskSpec, store: Store, pictures: dict[str, tuple[Size | None, int]]) -> tuple[Size | None, int]:
    """The size of a task's largest picture, and how many a sample shows."""
    if task.name not in pictures:
        pictures[task.name] = samples.largest_picture(store.root, task), samples.images_per_sample(store.root, task)
    return pictures[task.name]


def _own_letters(planned: PlannedCell, store: Store, known: dict[tuple[Any, ...], int]) -> int:
    """What the samples' own texts add to a cell's prompt; looked at once for cells that share their specs."""
    config, kind = planned.config, planned.cell.kind
    key = kind, id(config.task), id(config.prompt)
    if key not in known:
        known[key] = own_letters(config, kind, store.root)
    return known[key]


def refused(fits: Sequence[Fit], configs: Mapping[str, Config]) -> list[str]:
    """What stands in the way of a submit: cells that can't fit, unless their placement says to ignore it."""
    return [f.text for f in fits if f.fits is False and configs[f.cells[0]].placement.fit == "check"]
