"""Checks across fields: settings of a config that must fit together."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

from paceline.config.cell_kinds import kind_of
from paceline.config.declared import Kind
from paceline.config.joined_parts import PARTS, Part, called, setting, sources
from paceline.config.schema import Config, GenerationSpec, ModelSpec, PictureSpec, PlacementSpec, TrainSpec
from paceline.counted import counted
from paceline.errors import UserError, nearest


def check(config: Config, kind: Kind, splits: Mapping[str, int] | None) -> None:
    """Refuse settings that are each well-formed and can't hold together, before a cell is frozen with them.

    Args:
        config: the cell's, with the placement that holds for it.
        kind: the cell's; settings of the other kind are not looked at.
        splits: split -> samples of the task's prepared data; None where they are not known (yet).

    Raises:
        UserError: the first contradiction, with the keys to change.
    """
    _require_weights(config.model)
    for source in sources(config.model):
        locate_weights(source)
    if kind_of(kind).answers:
        check_generation(config.generation)
        named = config.task.evaluate
        if not named:
            raise UserError("task.evaluate names no split; give for example task.evaluate=[test]")
        if twice := sorted({s for s in named if named.count(s) > 1}):
            raise UserError(f"task.evaluate names '{twice[0]}' twice, which would count its samples twice")
        _known_splits(config, {"task.evaluate": named}, splits)
        return
    train = config.train
    share_out(train, config.placement, config.placement.nodes * config.placement.ranks)
    _known_splits(config, {"task.train": [config.task.train]}, splits)
    if train.validations:
        _known_splits(config, {"task.validation": [config.task.validation]}, splits)
    if train.keep == "best" and not train.validations:
        raise UserError("train.keep=best needs validations to choose by; set train.validations")
    if splits is not None or train.max_steps:
        samples = (splits or {}).get(config.task.train, 0)
        optimiser_steps(train, min(samples, config.limit) if config.limit else samples)


def _require_weights(model: ModelSpec) -> None:
    """Refuse a model that gives neither weights nor a twin's shape: whatever was made of that would be random."""
    given = [name for name in PARTS if getattr(model.parts, name).weights]
    other = ["weights"] * bool(model.weights) + ["config"] * bool(model.config)
    if given and (other or len(given) < len(PARTS)):
        raise UserError(
            f"conf/model/{model.name}.yaml gives {' and '.join([f'parts.{name}' for name in given] + other)}: a model "
            "that is joined of parts has parts.vision.weights and parts.language.weights, without weights or config"
        )
    if model.family and not model.weights and not model.config and not given and not model.served:
        raise UserError(
            f"conf/model/{model.name}.yaml gives no weights: write weights: FOLDER or owner/name (a twin of random "
            "weights says its shape by config:)"
        )


def _known_splits(config: Config, named: Mapping[str, list[str]], splits: Mapping[str, int] | None) -> None:
    for key, split_names in named.items():
        for split in split_names:
            if splits is not None and split not in splits:
                raise UserError(f"{key}: task '{config.task.name}' has no split '{split}': {nearest(split, splits)}")


def check_generation(generation: GenerationSpec) -> None:
    """Refuse ways of answering that exclude each other."""
    if generation.min_new_tokens > generation.new_tokens:
        raise UserError(
            f"generation.min_new_tokens={generation.min_new_tokens} is more than "
            f"generation.new_tokens={generation.new_tokens}, the most; lower it"
        )
    if generation.temperature > 0 and generation.beams > 1:
        raise UserError(
            f"generation: beams={generation.beams} search for the likeliest answer, temperature="
            f"{generation.temperature} draws one; set temperature=0 or beams=1"
        )


def check_pictures(rule: PictureSpec) -> None:
    """Refuse a rule of showing pictures that contradicts itself.

    Raises:
        UserError: with the key to change.
    """
    low, high = rule.limits if len(rule.limits) == 2 else (0.0, 1.0)
    if len(rule.limits) not in (0, 2) or not -math.inf < low < high < math.inf:
        raise UserError(
            f"task.pictures.limits: expected two numbers, the smaller first, got {rule.limits}; for example [2, 98]"
        )
    if rule.limits and rule.scale not in ("percentiles", "range"):
        raise UserError(
            f"task.pictures.limits={rule.limits} is not read by task.pictures.scale={rule.scale}; "
            "set task.pictures.scale=range or percentiles"
        )
    if rule.scale == "range" and not rule.limits:
        raise UserError("task.pictures.scale=range needs task.pictures.limits: the two values, such as [0, 4095]")
    if rule.scale == "percentiles" and rule.limits and not 0 <= low < high <= 100:
        raise UserError(f"task.pictures.limits: percentiles lie between 0 and 100, got {rule.limits}")
    if rule.illumination == "none" and rule.illumination_epsilon != PictureSpec().illumination_epsilon:
        raise UserError(
            f"task.pictures.illumination_epsilon={rule.illumination_epsilon} is read by "
            "task.pictures.illumination=cosine alone; set that, or leave it out"
        )
    if len(rule.bands) not in (0, 1, 3) or any(band < 1 for band in rule.bands):
        raise UserError(
            f"task.pictures.bands: expected one band or three (red, green, blue), counted from 1, got {rule.bands}"
        )


def share_out(train: TrainSpec, placement: PlacementSpec, world: int) -> tuple[int, int]:
    """How ``batch = world × micro_batch × accumulation`` is met: the micro-batch and the accumulation.

    Raises:
        UserError: it can't be; the message names numbers that do.
    """
    if train.batch < 1 or train.batch % world:
        raise UserError(
            f"train.batch={train.batch} can't be shared by {counted(world, 'rank')}; "
            f"choose ranks that divide it, or train.batch={math.ceil(max(train.batch, 1) / world) * world}"
        )
    micro = placement.micro_batch or train.batch // world
    if micro < 1 or train.batch % (world * micro):
        valid = [m for m in range(1, train.batch // world + 1) if train.batch // world % m == 0]
        raise UserError(
            f"placement.micro_batch={micro} on {counted(world, 'rank')} does not divide train.batch={train.batch}; "
            f"choose one of {', '.join(map(str, valid))}"
        )
    return micro, train.batch // (world * micro)


def optimiser_steps(train: TrainSpec, samples: int) -> int:
    """Optimiser steps of a run over so many samples.

    Raises:
        UserError: there are none, or fewer than validations.
    """
    steps = train.max_steps or math.ceil(train.epochs * samples / train.batch)
    if steps < 1:
        raise UserError(f"train.epochs={train.epochs} makes no step; raise it or set train.max_steps")
    if train.validations > steps:
        raise UserError(
            f"train.validations={train.validations} is more than the {counted(steps, 'optimiser step')} of the run"
        )
    return steps


_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[^/.~][^/]*/[^/]+")
CONTENT = "sha256:"
"""Before the digest of a folder's content, which stands for the folder in a cell."""


def in_folder(model: ModelSpec) -> bool:
    """Whether a model's weights lie in a folder of the user's: neither a twin's nor the hub's."""
    return not model.served and (model.weights.startswith(CONTENT) or _folder(model) is not None)


def from_hub(model: ModelSpec) -> bool:
    """Whether a model's weights are named by a hub id, pinned or not."""
    return (
        not model.served
        and bool(_HUB_ID.fullmatch(model.weights))
        and model.weights[0] != "$"
        and _folder(model) is None
    )


def unpinned(model: ModelSpec) -> bool:
    """Whether a hub model gives no revision."""
    return not model.revision and from_hub(model)


def named_by_folder(model: ModelSpec) -> bool:
    """Whether a recorded cell names its weights by their folder alone, as earlier versions did: of what content, it
    does not say. A hub model has a revision, a twin no weights.
    """
    return bool(model.weights) and not model.revision and not model.served and not model.weights.startswith(CONTENT)


def _folder(model: ModelSpec) -> Path | None:
    # A pinned hub id is the hub's, though a folder of that name may lie where the command is typed.
    if not model.weights or (model.revision and _HUB_ID.fullmatch(model.weights)):
        return None
    expanded = Path(os.path.expandvars(model.weights))
    try:
        folder = expanded.expanduser()
    except RuntimeError:  # the home folder of somebody who is not known
        folder = expanded
    return folder if folder.is_dir() else None


def locate_weights(model: ModelSpec) -> tuple[str, str | None]:
    """Where a model's weights are: a folder and None, or a hub id and its revision; empty for a twin, for a model that
    a service answers for and, as its parts are asked about one by one (:func:`sources`), for a joined model.

    Raises:
        UserError: no such folder, or a hub id without a revision that stands still.
    """
    if not model.weights or model.served:
        return "", None
    if model.weights.startswith(CONTENT):
        if not model.folder or not Path(model.folder).is_dir():
            raise UserError(
                f"{called(model)}: the weights with {model.weights[: len(CONTENT) + 12]} lie in "
                f"{model.folder or 'a folder that is not named'}, which is not there; give "
                f"{setting(model)}.folder=FOLDER"
            )
        return model.folder, None
    if folder := _folder(model):
        return str(folder), None
    name = f"conf/model/{model.name}.yaml" + (f": parts.{model.part}" if isinstance(model, Part) else "")
    if unset := re.search(r"\$\w+|\$\{\w+\}", os.path.expandvars(model.weights)):
        raise UserError(f"{name}: weights: {model.weights} names {unset.group()}, which is not set here; export it")
    meant = os.path.expandvars(model.weights)
    named = model.weights if meant == model.weights else f"{model.weights}, here {meant},"
    if model.weights.startswith(("/", ".", "~", "$")) or model.weights.count("/") != 1:
        raise UserError(f"{name}: weights: {named} is neither a folder nor a hub id (owner/name)")
    if not model.revision:
        prepare = f"paceline prepare model={model.name}"
        remedy = (
            f"its code would run here, so read it at one commit, then pin that: {prepare} tells the newest, and how"
            if model.remote_code
            else f"run: {prepare}, which pins the hub's newest (or write a commit hash in quotes into `revision:`)"
        )
        raise UserError(
            f"{name}: {model.weights} has no revision, so tomorrow's weights could answer under today's cell id; "
            f"{remedy}"
        )
    if not _COMMIT.fullmatch(model.revision):
        raise UserError(
            f"{name}: revision: {model.revision} is no commit hash of 40 hex digits, and a branch or tag can move; "
            f"paceline prepare model={model.name} tells the hash that it stands for now, and without `revision:` pins "
            "the newest"
        )
    return model.weights, model.revision
