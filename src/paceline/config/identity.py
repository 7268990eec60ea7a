"""What of a config makes a cell the one that it is, and what only places it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from paceline.config.build import build, defaults, plain
from paceline.config.declared import Kind
from paceline.config.frozen_layers import active
from paceline.config.joined_parts import PARTS, with_part
from paceline.config.schema import (
    GROUPS,
    PLACEMENT_GROUPS,
    Config,
    GenerationSpec,
    LoraSpec,
    MaskedImageSpec,
    MethodSpec,
    ModelSpec,
    PromptSpec,
    ServiceSpec,
    ShotsSpec,
    TaskSpec,
)
from paceline.models.registry import says

GENERATED_TEXT = ("new_tokens", "min_new_tokens", "temperature", "top_p", "beams", "repetition_penalty")
"""Generation settings of text; where choices are scored they change nothing."""


def identity_of(spec: Any, kind: Kind) -> dict[str, Any]:
    """The identity of a spec for one kind of cell: declared identity, of that kind, and not the default."""
    identity: dict[str, Any] = {}
    for name, default in _identity_fields(type(spec), kind):  # type: ignore[arg-type]  # likewise
        value = getattr(spec, name)
        if dataclasses.is_dataclass(default):
            if inner := identity_of(value, kind):
                identity[name] = inner
        elif value != default:
            identity[name] = value
    return identity


@cache
def _identity_fields(cls: type, kind: Kind) -> list[tuple[str, Any]]:
    """Name and default of the fields that are identity for a kind of cell."""
    fields: Any = dataclasses.fields(cls)
    names = [f.name for f in fields if f.metadata["part"] == "identity" and f.metadata["only"] in (None, kind)]
    return [(name, defaults(cls)[name]) for name in names]


def clear_inactive(config: Config, kind: Kind) -> Config:
    """Put the settings of inactive branches back to their defaults, so that they fold away in a sweep."""
    method, generation, seed, model = config.method, config.generation, config.seed, config.model
    train = config.train
    if train.augment != (augment := sorted(set(train.augment))):  # no order, and nothing twice
        train = dataclasses.replace(train, augment=augment)
    if method.trains != "adapter":
        method = dataclasses.replace(method, lora=LoraSpec())
    if method.trains != "all":
        method = dataclasses.replace(method, frozen=[])
    if method.frozen_layers and method.frozen_layers != active(method):
        method = dataclasses.replace(method, frozen_layers=active(method))
    if kind == "evaluate" and method.trains != "nothing":
        # The name is what was learned. How, and on what form of the weights, is recorded by the finetune cell that
        # the identity points at.
        method = MethodSpec(name=method.name, trains=method.trains)
    if not train.masked_image.epochs and train.masked_image != MaskedImageSpec():
        train = dataclasses.replace(train, masked_image=MaskedImageSpec())
    if generation.answer == "likelihood":
        text = {name: getattr(GenerationSpec, name) for name in GENERATED_TEXT}
        generation = dataclasses.replace(generation, **text)
    else:
        generation = dataclasses.replace(generation, choose_by=GenerationSpec.choose_by)
    if generation.temperature == 0:
        generation = dataclasses.replace(generation, top_p=GenerationSpec.top_p)
        if kind == "evaluate":
            seed = Config.seed
    if model.served:  # each answer is a request of its own
        generation = dataclasses.replace(generation, batch=GenerationSpec.batch)
    if kind == "evaluate" and says(model.family, "how", "generates") == "classifies":
        # One pass gives a score for each label: nothing is generated, and nothing drawn.
        generation, seed = GenerationSpec(name=NOT_GENERATED, batch=generation.batch), Config.seed
    if {"image", "images"} <= set(model.inputs):  # that it could be shown more images changes no answer
        model = dataclasses.replace(model, inputs=[name for name in model.inputs if name != "images"])
    prompt = with_settled_shots(asked_of(config.prompt, model.inputs), config.task)
    return dataclasses.replace(
        config, model=model, prompt=prompt, method=method, train=train, generation=generation, seed=seed
    )


def asked_of(prompt: PromptSpec, inputs: Sequence[str]) -> PromptSpec:
    """What a model that reads ``inputs`` gets of a prompt: a captioner takes no question, and at most a beginning."""
    prefix = prompt.prefix if "prefix" in inputs else ""
    if "text" in inputs:
        return prompt if prompt.prefix == prefix else dataclasses.replace(prompt, prefix=prefix)
    return PromptSpec(name=prompt.name if prefix else NO_PROMPT, prefix=prefix)


READ_OF_SHOTS = {
    "fixed": ("seed", "split", "answer"),
    "per_class": ("field", "seed", "split", "answer"),
    "nearest": ("split", "answer", "embedder", "revision"),
    "file": ("split", "file"),
}
"""How shots are chosen -> the settings that this reads, beside their count."""


def with_settled_shots(prompt: PromptSpec, task: TaskSpec) -> PromptSpec:
    """A prompt whose shots say in full what they take of the task, and nothing that is not read.

    The task's own split and target are settings of training, which no cell that answers holds.
    """
    shots = prompt.shots
    if not shots.count:
        settled = ShotsSpec()
    else:
        full = dataclasses.replace(shots, split=shots.split or task.train, answer=shots.answer or task.target)
        read = {name: getattr(full, name) for name in READ_OF_SHOTS[shots.how]}
        settled = ShotsSpec(count=shots.count, how=shots.how, **read)
    return prompt if settled == shots else dataclasses.replace(prompt, shots=settled)


NO_PROMPT = "no_prompt"
"""Name of the prompt of a cell whose model takes no question."""
NOT_GENERATED = "none"
"""Name of the generation settings of a cell whose model classifies."""


def as_loaded(config: Config) -> ModelSpec:
    """The model as its weights are read: in the number format that the method names, if it names one."""
    return dataclasses.replace(config.model, dtype=config.method.dtype or config.model.dtype)


def read_config(identity_values: Mapping[str, Any], where: str) -> Config:
    """The config that an identity in a cell file stands for, with the defaults filled in again."""
    names = {f.name for f in dataclasses.fields(Config)}
    return build(Config, {k: v for k, v in identity_values.items() if k in names}, where)


def placement_of(config: Config) -> dict[str, Any]:
    """The placement of a config as JSON values: what a submission records of each cell."""
    placed = {group: recorded(getattr(config, group)) for group in PLACEMENT_GROUPS}
    # Of another group, and left out where they are empty, as they nearly always are.
    model = model_placement(config.model)
    return placed | ({"model": model} if model else {})


FOLDERS = ("folder", *(f"parts.{name}.folder" for name in PARTS))
"""Names of a model's folders of weights, where they lie at the moment."""


def model_placement(model: ModelSpec) -> dict[str, Any]:
    """The placement fields of a model that say something."""
    fields = {"environment": model.environment, "folder": model.folder, "service": recorded(model.service)}
    fields |= {f"parts.{name}.folder": getattr(model.parts, name).folder for name in PARTS}
    return {name: value for name, value in fields.items() if value}


def recorded(spec: Any) -> dict[str, Any]:
    """A placement group as JSON values, as far as its fields are recorded."""
    values, default = plain(spec), defaults(type(spec))
    for field in dataclasses.fields(spec):
        how = field.metadata["recorded"]
        if how == "never" or (how == "where set" and values[field.name] == default[field.name]):
            del values[field.name]
    return dict(values)


def with_placement(config: Config, recorded: Mapping[str, Any]) -> Config:
    """A config with the placement that :func:`placement_of` recorded."""
    groups: dict[str, Any] = {g: build(GROUPS[g], recorded[g], g) for g in PLACEMENT_GROUPS if g in recorded}
    model = recorded.get("model", {})
    if model != model_placement(config.model):
        groups["model"] = _with_model_placement(config.model, model)
    return dataclasses.replace(config, **groups)


def _with_model_placement(model: ModelSpec, recorded: Mapping[str, Any]) -> ModelSpec:
    parts = model.parts
    for name in PARTS:
        given = dataclasses.replace(getattr(parts, name), folder=recorded.get(f"parts.{name}.folder", ""))
        parts = with_part(parts, name, given)
    return dataclasses.replace(
        model,
        environment=recorded.get("environment", ""),
        folder=recorded.get("folder", ""),
        service=build(ServiceSpec, recorded.get("service", {}), "model.service"),
        parts=parts,
    )


def rung_of(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recorded placement decides how much memory a cell takes and has; equal ones are one rung."""
    placement, cluster = recorded.get("placement", {}), recorded.get("cluster", {})
    return {
        **{name: placement.get(name) for name in ("nodes", "ranks", "micro_batch", "activation_checkpointing")},
        **{name: cluster.get(name) for name in ("name", "gpu", "gpus", "constraint", "memory_gib")},
        **{name: cluster[name] for name in ("memory_per_cpu_gib",) if name in cluster},
        "deepspeed": recorded.get("deepspeed", {}).get("config", {}),
    }
