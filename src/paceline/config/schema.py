"""The schema: what a cell can say. Every field is declared identity (what is computed) or placement (how it is run).

YAML states only what differs from the defaults below. Identity leaves out defaults, so a default here never changes
once a cell was published with it: a new meaning gets a new field (see ``docs/decisions/0002-identity.md``).
"""

from __future__ import annotations

import dataclasses
import math
import operator
import re
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Union, Unpack

from paceline.errors import UserError, nearest

Kind = Literal["finetune", "evaluate"]
Quantise = Literal["none", "nf4", "int8"]
T = TypeVar("T")


class Bounds(TypedDict, total=False):
    """The range of a number. ``low`` and ``high`` belong to it, ``above`` and ``below`` don't."""

    low: float
    high: float
    above: float
    below: float


def _declare(part: str, default: Any, doc: str, only: Kind | None, bounds: Bounds) -> Any:
    metadata = {"part": part, "doc": doc, "only": only, **bounds}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def identity_field(default: Any, doc: str, only: Kind | None = None, **bounds: Unpack[Bounds]) -> Any:
    """A field that may change a result. ``only`` names the one kind of cell that it matters to."""
    return _declare("identity", default, doc, only, bounds)


def placement_field(default: Any, doc: str, **bounds: Unpack[Bounds]) -> Any:
    """A field that says how a cell is run; it is recorded per attempt and never changes a cell's id."""
    return _declare("placement", default, doc, None, bounds)


def allowed(metadata: Mapping[str, Any]) -> str:
    """The range that a field declares, in words; empty where any value goes."""
    words = {"low": "at least", "above": "above", "high": "at most", "below": "below"}
    return " and ".join(f"{said} {metadata[name]}" for name, said in words.items() if name in metadata)


@dataclass(frozen=True)
class ModelSpec:
    """A model: a family module, and where its weights come from."""

    name: str = identity_field("", "the file's name in conf/model/")
    family: str = identity_field("", "module in paceline/models/families/ that loads and drives it")
    weights: str = identity_field("", "hub id or folder of the weights; empty builds a twin from `config`")
    revision: str = identity_field("", "commit of the hub repository, 40 hex digits; a hub model needs one")
    inputs: list[str] = identity_field(
        ["image", "text"], "what the model can read: image (one a question), images (several too), text"
    )
    tunable: bool = identity_field(True, "whether its weights can be tuned here; false where its own code answers")
    dtype: Literal["float32", "bfloat16", "float16"] = identity_field("bfloat16", "number format of the weights")
    attention: Literal["sdpa", "eager", "flash_attention_2"] = identity_field("sdpa", "attention implementation")
    remote_code: bool = identity_field(False, "run code shipped with the weights; needs a pinned revision")
    transformers: str = identity_field("", "versions of transformers that the code runs on, such as >=4.43,<4.49")
    environment: str = placement_field(
        "", "folder of the Python environment (venv, conda) that runs the cells, $VARIABLES expanded; empty: this one"
    )
    config: dict[str, Any] = identity_field({}, "twins: arguments of the family's real config classes")
    processor: dict[str, Any] = identity_field({}, "arguments of the image processor, such as max_pixels")


@dataclass(frozen=True)
class TaskSpec:
    """A task: a dataset, what is asked of it, and the kind that scores it."""

    name: str = identity_field("", "the file's name in conf/task/")
    kind: str = identity_field("", "module in paceline/tasks/: the fields of a sample and the scorer")
    needs: list[str] = identity_field(
        ["image", "text"], "what a model must be able to read; where it is not set, what the kind asks"
    )
    reader: str = identity_field("", "module in paceline/data/readers/ that makes the prepared data")
    options: dict[str, Any] = identity_field({}, "options of the reader")
    target: str = identity_field("", "the answer trained on, with {fields} of the sample", only="finetune")
    prompt: str = identity_field("", "the prompt trained on where train.prompt is not set", only="finetune")
    train: str = identity_field("train", "split to train on", only="finetune")
    validation: str = identity_field("validation", "split to validate on", only="finetune")
    evaluate: list[str] = identity_field(["test"], "splits to answer and score", only="evaluate")


@dataclass(frozen=True)
class PromptSpec:
    """A prompt: a versioned template. ``{field}`` is replaced by the sample's field of that name."""

    name: str = identity_field("", "the file's name in conf/prompt/")
    version: int = identity_field(1, "raised when the text changes", low=0)
    text: str = identity_field("", "the user's turn")
    system: str = identity_field("", "the system's turn, for models that have one")
    example: str = identity_field("", "the answer of the worked example inside the text: echoing it is a miss")


@dataclass(frozen=True)
class LoraSpec:
    """Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685)."""

    r: int = identity_field(16, "rank", low=1)
    alpha: float = identity_field(32.0, "scale; the update is multiplied by alpha / r", above=0)
    dropout: float = identity_field(0.0, "dropout before the low-rank matrices", low=0, below=1)
    targets: list[str] = identity_field([], "names of the linear layers; empty takes all of the components")
    components: list[str] = identity_field(["language"], "parts of the model to adapt: vision, connector, language")
    dora: bool = identity_field(False, "learn the length of each weight apart from its direction (DoRA)")
    init: Literal["default", "gaussian"] = identity_field(
        "default", "how the first low-rank matrix is drawn: uniform as PEFT does, or gaussian with deviation 1 / r"
    )
    allow_partial_targets: bool = identity_field(
        False, "adapt even where most linear layers of the language model are left out"
    )


@dataclass(frozen=True)
class MethodSpec:
    """A method: what is learned, and on what form of the weights."""

    name: str = identity_field("", "the file's name in conf/method/")
    trains: Literal["nothing", "all", "adapter"] = identity_field("nothing", "which weights change")
    frozen: list[str] = identity_field([], "components that stay as they are: vision, connector, language", "finetune")
    lora: LoraSpec = identity_field(LoraSpec, "the adapter, where trains=adapter", only="finetune")
    quantise: Quantise = identity_field(
        "none", "frozen weights in few bits: nf4 with double quantisation, int8 with outliers above 6.0 left whole"
    )
    dtype: Literal["", "float32", "bfloat16", "float16"] = identity_field(
        "", "number format to compute in, and of weights that are not quantised; empty: the model's"
    )


@dataclass(frozen=True)
class TrainSpec:
    """How a method is trained."""

    name: str = identity_field("", "the file's name in conf/train/")
    prompt: str = identity_field("", "prompt trained on: a name, or `same` for the evaluated one; empty: the task's")
    epochs: float = identity_field(1.0, "passes over the train split", low=0)
    max_steps: int = identity_field(0, "optimiser steps; 0 leaves it to epochs", low=0)
    learning_rate: float = identity_field(2e-5, "peak learning rate", low=0)
    schedule: Literal["cosine", "linear", "constant"] = identity_field("cosine", "decay after the warm-up")
    warmup: float = identity_field(0.03, "share of the steps that warm up", low=0, high=1)
    batch: int = identity_field(
        32, "effective batch: samples per optimiser step, over all ranks and accumulation", low=1
    )
    weight_decay: float = identity_field(0.0, "AdamW weight decay", low=0)
    beta2: float = identity_field(0.999, "AdamW second-moment decay", low=0, below=1)
    max_grad_norm: float = identity_field(1.0, "gradient clipping; 0 switches it off", low=0)
    validations: int = identity_field(0, "validations over the run, evenly spaced; 0 skips validation", low=0)
    keep: Literal["last", "best"] = identity_field("last", "weights published: the last, or the best validated")
    kernels: Literal["torch", "liger"] = identity_field(
        "torch", "liger: norms, rotary positions and activations of liger-kernel, on a GPU; they round otherwise"
    )


@dataclass(frozen=True)
class GenerationSpec:
    """How answers are generated. At temperature 0 (greedy or beams) top_p and the seed change nothing."""

    name: str = identity_field("", "the file's name in conf/generation/")
    new_tokens: int = identity_field(128, "most tokens of an answer", low=1)
    min_new_tokens: int = identity_field(0, "fewest tokens of an answer; it can't end before", low=0)
    temperature: float = identity_field(0.0, "0 takes the likeliest token; above it tokens are sampled", low=0)
    top_p: float = identity_field(1.0, "nucleus sampling: smallest set of tokens with this mass", above=0, high=1)
    beams: int = identity_field(1, "beam search width", low=1)
    repetition_penalty: float = identity_field(1.0, "1 is none", above=0)
    batch: int = identity_field(16, "answers generated together", low=1)
    engine: Literal["transformers"] = identity_field("transformers", "library that generates")


@dataclass(frozen=True)
class PlacementSpec:
    """How one cell is run on the hardware."""

    name: str = placement_field("", "the file's name in conf/placement/")
    nodes: int = placement_field(1, "nodes of a cell", low=1)
    ranks: int = placement_field(1, "processes per node, one per GPU", low=1)
    threads: int = placement_field(
        0,
        "CPU threads per rank; 0 takes one, because the number changes sums in the last bit",
        low=0,
    )
    micro_batch: int = placement_field(0, "samples per rank and forward; 0 takes batch / ranks", low=0)
    activation_checkpointing: bool = placement_field(False, "trade compute for activation memory")
    workers: int = placement_field(
        -1, "data-loader processes per rank; -1 takes the rank's spare CPUs, up to four, where there is a GPU", low=-1
    )
    feature_gib: float = placement_field(
        4.0, "most room under TMPDIR for what a frozen vision tower saw, kept from epoch to epoch; 0 keeps none", low=0
    )
    checkpoint_minutes: float = placement_field(10.0, "most minutes of training between checkpoints", low=0)
    checkpoint_steps: int = placement_field(0, "also checkpoint every N optimiser steps; 0: by time alone", low=0)
    keep_checkpoints: int = placement_field(2, "checkpoints kept per cell while it trains", low=1)
    auto: bool = placement_field(
        False, "let the planner choose micro_batch, activation_checkpointing and deepspeed for the cluster's GPU"
    )
    fit: Literal["check", "ignore"] = placement_field(
        "check", "refuse what the planner finds too large for the cluster's GPU, or submit it all the same"
    )
    probe: Literal["auto", "always", "never"] = placement_field(
        "auto", "try the largest batch before the first step, and go down the ladder until it fits; auto: on a GPU"
    )


@dataclass(frozen=True)
class DeepSpeedSpec:
    """How memory is split over ranks."""

    name: str = placement_field("", "the file's name in conf/deepspeed/")
    config: dict[str, Any] = placement_field({}, "passed to DeepSpeed as it is; empty runs without it")


@dataclass(frozen=True)
class ClusterSpec:
    """Where cells run."""

    name: str = placement_field("", "the file's name in conf/cluster/")
    executor: Literal["local", "debug", "slurm"] = placement_field("local", "how an element becomes a process")
    root: str = placement_field("", "storage root; root= and PACELINE_ROOT come first")
    slots: int = placement_field(0, "local: ranks that run at the same time; 0 takes the cores", low=0)
    cells_per_element: int = placement_field(16, "most evaluate cells answered by one loading of the weights", low=1)
    attempts: int = placement_field(
        5, "attempts in a row that end with one cause and get no further, before a cell is left to the user", low=1
    )
    attempts_per_cause: dict[str, int] = placement_field(
        {"CUDA out of memory": 2, "out of host memory": 2}, "the same for single causes, where it is another number"
    )
    account: str = placement_field("", "Slurm account that is charged; empty takes the user's own")
    qos: str = placement_field("", "Slurm quality of service; empty takes the account's own")
    partition: str = placement_field("", "Slurm partition; empty takes the cluster's own")
    constraint: str = placement_field("", "features that a node must have, such as A100-80GB")
    gpu: str = placement_field("", "type of GPU to ask for, such as A100; empty takes any")
    gpus: int = placement_field(0, "GPUs per rank; 0 runs on the CPU", low=0)
    cpus: int = placement_field(1, "CPU cores per rank", low=1)
    memory_gib: int = placement_field(0, "host memory per node; 0 leaves it to the cluster", low=0)
    minutes: int = placement_field(60, "walltime of an element", low=1)
    signal_seconds: int = placement_field(120, "how long before the walltime the cell is told to save", low=0)
    setup: list[str] = placement_field([], "shell lines before the job, such as module loads")
    parallel: int = placement_field(0, "most elements of an array at a time; 0 leaves it to the cluster", low=0)
    max_array: int = placement_field(1001, "MaxArraySize: the highest index of an array is one less", low=1)
    max_submit: int = placement_field(
        0, "jobs that a user may have submitted, array elements counted; 0: no limit", low=0
    )
    max_minutes: int = placement_field(0, "longest walltime; 0: no limit", low=0)
    max_gpu_hours: int = placement_field(0, "most GPUs × hours of one job; 0: no limit", low=0)
    gpu_hour_usd: float = placement_field(
        0.0, "what an hour of a GPU costs in US dollars, for the report's account; 0: not known", low=0
    )
    mail: str = placement_field("", "address that Slurm writes to at the end of each array and at failures")

    def attempts_after(self, cause: str) -> int:
        """How many attempts may end with a cause and get no further."""
        return self.attempts_per_cause.get(cause, self.attempts)


@dataclass(frozen=True)
class TrackingSpec:
    """Where curves and tables go."""

    name: str = placement_field("", "the file's name in conf/tracking/")
    backend: Literal["wandb", "trackio", "none"] = placement_field("none", "tracking library")
    mode: Literal["offline", "online"] = placement_field(
        "offline", "offline keeps runs in the cell until they are synced"
    )
    project: str = placement_field("paceline", "project in W&B or Trackio")
    entity: str = placement_field("", "W&B team or user; empty takes the account's own")
    samples: int = placement_field(
        32, "predictions shown in a table with their images, spread evenly over the data", low=0, high=1000
    )


@dataclass(frozen=True)
class Config:
    """One point of a sweep: a choice from every group, and what crosses them."""

    model: ModelSpec = identity_field(ModelSpec, "conf/model/")
    task: TaskSpec = identity_field(TaskSpec, "conf/task/")
    prompt: PromptSpec = identity_field(PromptSpec, "conf/prompt/")
    method: MethodSpec = identity_field(MethodSpec, "conf/method/")
    train: TrainSpec = identity_field(TrainSpec, "conf/train/", only="finetune")
    generation: GenerationSpec = identity_field(GenerationSpec, "conf/generation/", only="evaluate")
    seed: int = identity_field(0, "seed of the weights drawn, the data order and the sampling", low=0, high=2**32 - 1)
    limit: int = identity_field(0, "samples used of each split, the first in the prepared order; 0 takes all", low=0)
    placement: PlacementSpec = placement_field(PlacementSpec, "conf/placement/")
    deepspeed: DeepSpeedSpec = placement_field(DeepSpeedSpec, "conf/deepspeed/")
    cluster: ClusterSpec = placement_field(ClusterSpec, "conf/cluster/")
    tracking: TrackingSpec = placement_field(TrackingSpec, "conf/tracking/")


GROUPS: dict[str, type] = {
    "model": ModelSpec,
    "task": TaskSpec,
    "prompt": PromptSpec,
    "method": MethodSpec,
    "train": TrainSpec,
    "generation": GenerationSpec,
    "placement": PlacementSpec,
    "deepspeed": DeepSpeedSpec,
    "cluster": ClusterSpec,
    "tracking": TrackingSpec,
}
PLACEMENT_GROUPS = ("placement", "deepspeed", "cluster", "tracking")
SCALARS = ("seed", "limit")


@cache
def field_types(cls: type) -> dict[str, Any]:
    """Name -> resolved type of every field of a spec class. Resolved once, because it takes longer than a build."""
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def build(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Make a spec from plain values, converting numbers and refusing what does not fit.

    Args:
        cls: a spec class of this module, or the options class of a reader.
        data: values as YAML or JSON hold them.
        where: what the user calls this place, such as ``model`` or ``conf/model/x.yaml``; opens every message.

    Raises:
        UserError: unknown key (with the nearest valid one), a value of the wrong type, or out of its range.
    """
    hints = field_types(cls)  # type: ignore[arg-type]  # a class is hashable
    unknown = [key for key in data if key not in hints]
    if unknown:
        key = str(unknown[0])
        raise UserError(f"{where}: unknown key '{key}': {nearest(key, [h for h in hints if h != 'name'])}")
    values = {key: _convert(hints[key], value, f"{where}.{key}".lstrip(".")) for key, value in data.items()}
    for f in dataclasses.fields(cls):  # type: ignore[arg-type]
        if f.name in values and not _within(values[f.name], f.metadata):
            key = f"{where}.{f.name}".lstrip(".")
            raise UserError(f"{key}: {values[f.name]} is out of range; give a number {allowed(f.metadata)}")
    return cls(**values)


def _within(value: Any, metadata: Mapping[str, Any]) -> bool:
    holds = {"low": operator.ge, "above": operator.gt, "high": operator.le, "below": operator.lt}
    return all(compare(value, metadata[name]) for name, compare in holds.items() if name in metadata)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: expected a mapping, got {value!r}")
        return build(typing.cast(type, hint), value, where)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(a for a in typing.get_args(hint) if a is not type(None)), value, where)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise UserError(f"{where}: {value!r} is not one of {', '.join(map(str, choices))}")
        return value
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}: expected a list, got {value!r}; write [{value}]")
        return [_convert(typing.get_args(hint)[0], v, f"{where}[{i}]") for i, v in enumerate(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: expected a mapping, got {value!r}")
        return {str(k): v for k, v in value.items()}
    return _convert_plain(hint, value, where)


def _convert_plain(hint: type, value: Any, where: str) -> Any:
    if hint is bool and isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int and number and (isinstance(value, int) or value.is_integer()):
        return int(value)
    # To a float, a whole number of more than 308 digits is infinite.
    if hint is float and number and abs(value) <= sys.float_info.max:
        return float(value)
    if hint is str and isinstance(value, str | int | float) and not isinstance(value, bool):
        # `revision: 123` is a number to YAML and a name to its author.
        return str(value)
    raise UserError(f"{where}: expected {hint.__name__}, got {value!r}")


def defaults(cls: type) -> dict[str, Any]:
    """Name -> default of every field, as values (a nested spec stays a spec)."""
    return {
        f.name: f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        for f in dataclasses.fields(cls)
    }


def plain(spec: Any) -> Any:
    """A spec as JSON values, defaults included."""
    return dataclasses.asdict(spec)


def identity_of(spec: Any, kind: Kind) -> dict[str, Any]:
    """The identity of a spec for one kind of cell: declared identity, of that kind, and not the default."""
    found: dict[str, Any] = {}
    for name, default in _identity_fields(type(spec), kind):  # type: ignore[arg-type]  # likewise
        value = getattr(spec, name)
        if dataclasses.is_dataclass(default):
            if inner := identity_of(value, kind):
                found[name] = inner
        elif value != default:
            found[name] = value
    return found


@cache
def _identity_fields(cls: type, kind: Kind) -> list[tuple[str, Any]]:
    """Name and default of the fields that are identity for a kind of cell."""
    fields: Any = dataclasses.fields(cls)
    mine = [f.name for f in fields if f.metadata["part"] == "identity" and f.metadata["only"] in (None, kind)]
    return [(name, defaults(cls)[name]) for name in mine]


def clear_inactive(config: Config, kind: Kind) -> Config:
    """Put the settings of inactive branches back to their defaults, so that they fold away in a sweep."""
    method, generation, seed = config.method, config.generation, config.seed
    if method.trains != "adapter":
        method = dataclasses.replace(method, lora=LoraSpec())
    if method.trains != "all":
        method = dataclasses.replace(method, frozen=[])
    if kind == "evaluate" and method.trains != "nothing":
        # The name tells what was learned; how, and on what form of the weights, is told by the finetune cell that the
        # identity points at.
        method = MethodSpec(name=method.name, trains=method.trains)
    if generation.temperature == 0:
        generation = dataclasses.replace(generation, top_p=GenerationSpec.top_p)
        if kind == "evaluate":
            seed = Config.seed
    return dataclasses.replace(config, method=method, generation=generation, seed=seed)


def as_loaded(config: Config) -> ModelSpec:
    """The model as its weights are read: in the number format that the method names, if it names one."""
    return dataclasses.replace(config.model, dtype=config.method.dtype or config.model.dtype)


def read_config(identity_values: Mapping[str, Any], where: str) -> Config:
    """The config that an identity in a cell file stands for, with the defaults filled in again."""
    names = {f.name for f in dataclasses.fields(Config)}
    return build(Config, {k: v for k, v in identity_values.items() if k in names}, where)


def placement_of(config: Config) -> dict[str, Any]:
    """The placement of a config as JSON values: what a submission records of each cell."""
    placed = {group: plain(getattr(config, group)) for group in PLACEMENT_GROUPS}
    # The one field of another group, and left out where it says nothing, as it does nearly always.
    return placed | ({"model": {"environment": config.model.environment}} if config.model.environment else {})


def with_placement(config: Config, recorded: Mapping[str, Any]) -> Config:
    """A config with the placement that :func:`placement_of` recorded."""
    groups: dict[str, Any] = {g: build(GROUPS[g], recorded[g], g) for g in PLACEMENT_GROUPS if g in recorded}
    environment = recorded.get("model", {}).get("environment", "")
    if environment != config.model.environment:
        groups["model"] = dataclasses.replace(config.model, environment=environment)
    return dataclasses.replace(config, **groups)


def rung_of(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recorded placement decides how much memory a cell takes and has; equal ones are one rung."""
    own, cluster = recorded.get("placement", {}), recorded.get("cluster", {})
    return {
        **{name: own.get(name) for name in ("nodes", "ranks", "micro_batch", "activation_checkpointing")},
        **{name: cluster.get(name) for name in ("name", "gpu", "gpus", "constraint", "memory_gib")},
        "deepspeed": recorded.get("deepspeed", {}).get("config", {}),
    }


def check(config: Config, kind: Kind, splits: Mapping[str, int] | None) -> None:
    """Refuse settings that are each well-formed and can't hold together, before a cell is frozen with them.

    Args:
        config: the cell's, with the placement that holds for it.
        kind: the cell's; settings of the other kind are not looked at.
        splits: split -> samples of the task's prepared data; None where they are not known (yet).

    Raises:
        UserError: the first contradiction, with the keys to change.
    """
    locate_weights(config.model)
    if kind == "evaluate":
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


def _known_splits(config: Config, named: Mapping[str, list[str]], splits: Mapping[str, int] | None) -> None:
    for key, wanted in named.items():
        for split in wanted:
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


def share_out(train: TrainSpec, placement: PlacementSpec, world: int) -> tuple[int, int]:
    """How ``batch = world × micro_batch × accumulation`` is met: the micro-batch and the accumulation.

    Raises:
        UserError: it can't be; the message names numbers that do.
    """
    if train.batch < 1 or train.batch % world:
        raise UserError(
            f"train.batch={train.batch} can't be shared by {world} ranks; "
            f"choose ranks that divide it, or train.batch={math.ceil(max(train.batch, 1) / world) * world}"
        )
    micro = placement.micro_batch or train.batch // world
    if micro < 1 or train.batch % (world * micro):
        valid = [m for m in range(1, train.batch // world + 1) if train.batch // world % m == 0]
        raise UserError(
            f"placement.micro_batch={micro} on {world} ranks does not divide train.batch={train.batch}; "
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
        raise UserError(f"train.validations={train.validations} is more than the {steps} optimiser steps of the run")
    return steps


_COMMIT = re.compile(r"[0-9a-f]{40}")


def locate_weights(model: ModelSpec) -> tuple[str, str | None]:
    """Where a model's weights are: a folder and None, or a hub id and its revision; empty for a twin.

    Raises:
        UserError: no such folder, or a hub id without a revision that stands still.
    """
    try:
        folder = Path(model.weights).expanduser()
    except RuntimeError:  # the home folder of somebody who is not known
        folder = Path(model.weights)
    if not model.weights or folder.is_dir():
        return (str(folder) if model.weights else ""), None
    name = f"conf/model/{model.name}.yaml"
    if model.weights.startswith(("/", ".", "~")) or model.weights.count("/") != 1:
        raise UserError(f"{name}: weights: {model.weights} is neither a folder nor a hub id (owner/name)")
    if not model.revision:
        raise UserError(
            f"{name}: {model.weights} has no revision, so tomorrow's weights could answer under today's cell id; "
            f"write its commit hash into `revision:` (paceline prepare model={model.name} tells the hub's newest)"
        )
    if not _COMMIT.fullmatch(model.revision):
        raise UserError(
            f"{name}: revision: {model.revision} is no commit hash of 40 hex digits, and a branch or tag can move; "
            f"paceline prepare model={model.name} tells the hash that it stands for now"
        )
    return model.weights, model.revision
