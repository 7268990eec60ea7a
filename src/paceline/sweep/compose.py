"""From YAML and Hydra's override grammar to the points of a sweep. The only module that imports Hydra.

Hydra composes one point in 100–400 ms. Here every group file is read once and plain dictionaries are merged in the
order that Hydra would use (config.yaml, groups, experiment, command line); ``tests/unit/sweep/test_compose.py`` holds
the result equal to Hydra's own for every point of every experiment.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import OverrideType

from paceline import plugins
from paceline.config import conflicts
from paceline.config.build import build, plain
from paceline.config.cell_kinds import kind_of
from paceline.config.checks import share_out, unpinned
from paceline.config.declared import Kind
from paceline.config.gpus import cards_of
from paceline.config.identity import FOLDERS, model_placement, with_placement
from paceline.config.joined_parts import sources, with_sources
from paceline.config.schema import GROUPS, PLACEMENT_GROUPS, SCALARS, Config, DeepSpeedSpec, PlacementSpec, TaskSpec
from paceline.data import readers, samples
from paceline.data.text_lengths import own_letters
from paceline.errors import UserError, nearest
from paceline.gpu_memory import choose
from paceline.gpu_memory.shapes import shape_of
from paceline.models.revision_pins import Pins
from paceline.store.code import shipped
from paceline.store.root import resolve_root
from paceline.sweep.config_files import ConfTree, merge, nested, without
from paceline.sweep.overrides import (
    REQUIRED,
    SWEEP_KEYS,
    Axis,
    add_axis,
    axis_values,
    check_key,
    experiment_of,
    override_values,
    parse_overrides,
    remove_key,
)
from paceline.sweep.rules import adjust_rules, filter_rules, matches, named, place_rules


@dataclass(frozen=True)
class Point:
    """One combination of the product: the choice in every group, and the values that axes set."""

    choices: dict[str, str]
    values: dict[str, Any]
    config: Config
    tuned: Config | None = None
    """The config of its tuning, if it has one, where ``train.task`` names another task than the evaluated one."""

    def label(self) -> dict[str, str]:
        """The four names by which people know a point."""
        return {g: self.choices[g] for g in ("model", "task", "prompt", "method")}


@dataclass
class Composition:
    """What the user asked for, read but not yet expanded."""

    tree: ConfTree
    overrides: tuple[str, ...]
    experiment: str | None
    name: str | None
    root: str | None
    choices: dict[str, str]
    axes: list[Axis]
    exclude: list[dict[str, Any]]
    only: list[dict[str, Any]]
    adjust: list[dict[str, Any]]
    place: list[dict[str, Any]]
    base: dict[str, Any]
    fixed: dict[str, Any]
    removed: list[str]
    pinned: bool = True
    """Whether hub models whose files give no revision have the pinned one."""
    _specs: dict[Any, Any] = field(default_factory=dict)

    def spec(self, group: str, choice: str | None, values: Mapping[str, Any]) -> Any:
        """The spec of one group: its file, the experiment's settings, the command line's, then ``values``."""
        key = (group, choice, repr(sorted(values.items())) if values else "")
        if key not in self._specs:
            raw = merge(self.base.get(group, {}), self.tree.load(group, choice) if choice else {})
            raw = merge(raw, self.fixed.get(group, {}))
            for name, value in values.items():
                raw = merge(raw, nested(name.partition(".")[2], value))
            for name in self.removed:
                if name.startswith(group + "."):
                    raw = without(raw, name.partition(".")[2])
            if "name" in raw:
                raise UserError(f"{group}.name can't be set: it is the file's name")
            if group == "task" and isinstance(raw.get("options"), dict) and raw.get("reader") in readers.names():
                # Before anything is digested: the same relative path means other photos in another folder.
                raw["options"] = readers.with_absolute_paths(raw["reader"], raw["options"])
                if options := getattr(
                    readers.load(raw["reader"]), "Options", None
                ):  # a lab's may lack it, as told later
                    build(options, raw["options"], "task.options")
            try:
                spec: Any = build(GROUPS[group], {**raw, "name": choice or ""}, group)
            except UserError as error:
                raise self._of_file(error, group, choice) from None
            if group == "model" and self.pinned and any(map(unpinned, places := sources(spec))):
                spec = with_sources(
                    spec, [self.pins().applied(place) if unpinned(place) else place for place in places]
                )
            self._specs[key] = spec
        return self._specs[key]

    def pins(self) -> Pins:
        """Where revisions of hub models are pinned: in the lab's own folders, then in the root."""
        key = ("pins",)
        if key not in self._specs:
            root = resolve_root(self.root, self.spec("cluster", self.choices.get("cluster"), {}).root)
            self._specs[key] = Pins([*(f for f in self.tree.folders if f != shipped("conf")), root])
        pins: Pins = self._specs[key]
        return pins

    def _of_file(self, error: UserError, group: str, choice: str | None) -> UserError:
        """The same error with the file that alone is wrong, of the many that a sweep may name."""
        try:
            build(GROUPS[group], {**(self.tree.load(group, choice) if choice else {}), "name": choice or ""}, group)
        except UserError as of_file:
            if str(of_file) == str(error):
                return UserError(f"{self.tree.path(group, str(choice))}: {error}")
        return error

    def prompt(self, name: str) -> Any:
        """A prompt by its name, for training."""
        key = ("prompt of training", name)
        if key not in self._specs:
            content = {**self.tree.load("prompt", name), "name": name}
            self._specs[key] = build(GROUPS["prompt"], content, f"prompt/{name}")
        return self._specs[key]

    def config(self, choices: Mapping[str, str], values: Mapping[str, Any]) -> Config:
        """The config of one point. Points with the same settings of a group share its spec: one object, built once."""
        by_group: dict[str, dict[str, Any]] = {}
        for key, value in values.items():
            by_group.setdefault(key.partition(".")[0], {})[key] = value
        groups = {group: self.spec(group, choices.get(group), by_group.get(group, {})) for group in GROUPS}
        return Config(**groups, **self._scalars(values))

    def _scalars(self, values: Mapping[str, Any]) -> dict[str, Any]:
        raw = {n: values.get(n, self.fixed.get(n, self.base.get(n, 0))) for n in SCALARS}
        key = ("scalars", repr(raw))
        if key not in self._specs:
            built = build(Config, raw, "")
            self._specs[key] = {n: getattr(built, n) for n in SCALARS}
        return dict(self._specs[key])

    def replaced(self, config: Config, kind: Kind) -> Config:
        """A recorded cell's config with the placement that this command line names, and nothing else changed.

        Raises:
            UserError: a key is removed rather than set, the effective batch can't be shared out so, or the cell
                can't run on what is named.
        """
        if self.removed:
            key = self.removed[0]
            raise UserError(f"'~{key}': nothing can be removed from a recorded cell; give a value: {key}=…")
        placement = config.placement
        named = {o.lstrip("+").partition("=")[0] for o in self.overrides}
        for group in PLACEMENT_GROUPS:
            if group in named:
                config = dataclasses.replace(config, **{group: self.spec(group, self.choices[group], {})})
            elif any(n.startswith(group + ".") for n in named):
                settings = merge(plain(getattr(config, group)), self.fixed[group])
                config = dataclasses.replace(config, **{group: build(GROUPS[group], settings, group)})
        # Of a sweep over many models, those that have an environment, or run on other versions, are meant.
        if "model.environment" in named and (config.model.environment or config.model.transformers):
            config = _with_model(config, {"environment": self.fixed["model"]["environment"]})
        for key in FOLDERS:
            if f"model.{key}" in named and model_placement(config.model).get(key):
                folder = reduce(getitem, key.split("."), self.fixed["model"])
                config = _with_model(config, {key: str(Path(folder).expanduser().absolute())})
        if any(n.startswith("model.service.") for n in named) and config.model.served:
            service = merge(plain(config.model.service), self.fixed["model"]["service"])
            config = _with_model(config, {"service": service})
        config = self._settled(config if kind_of(kind).trains else self._on_one_rank(config), kind)
        if kind_of(kind).trains and config.placement != placement:
            share_out(config.train, config.placement, config.placement.nodes * config.placement.ranks)
        conflicts.check(config, kind)
        return config

    def points(self, required: Sequence[str] = REQUIRED) -> Iterator[Point]:
        """The product, the first axis outermost, after ``only`` and ``exclude``.

        Args:
            required: groups without which there is no point; what only concerns tasks needs no model.
        """
        for group in required:
            if self.choices.get(group) is None and all(a.key != group for a in self.axes):
                raise UserError(f"{group} is not chosen: give {group}=NAME; {nearest('', self.tree.choices(group))}")
        for combination in itertools.product(*(axis.values for axis in self.axes)):
            choices, values = dict(self.choices), {}
            for axis, value in zip(self.axes, combination, strict=True):
                if axis.key in GROUPS:
                    choices[axis.key] = value
                else:
                    values[axis.key] = value
            # By names alone first: most of a large product is none of the sweep, and each point costs a config.
            if self.only and not any(named(rule, choices) for rule in self.only):
                continue
            point = Point(choices, values, self.config(choices, values))
            if self.only and not any(matches(rule, choices, point.config) for rule in self.only):
                continue
            if not any(matches(rule, choices, point.config) for rule in self.exclude):
                adjusted = self._adjusted(point)
                yield dataclasses.replace(adjusted, tuned=self._tuned(point, adjusted.config))

    def _tuned(self, point: Point, config: Config) -> Config | None:
        """The config of a point's tuning on another task: that of the point which evaluates that task.

        So weights tuned on a task are one cell, whatever they are evaluated on.

        Args:
            point: before it was adjusted, because rules are asked anew for the task trained on.
            config: the same point's, adjusted.

        Raises:
            UserError: no such task, or rules that give the model other settings there.
        """
        name = config.train.task
        if not name or name == config.task.name:
            return None
        if name not in self.tree.choices("task"):
            raise UserError(f"train.task: no task '{name}': {nearest(name, self.tree.choices('task'))}")
        trained = self if name in self._evaluated() else self._without_settings_of_the_evaluated()
        choices = {**point.choices, "task": name}
        values = {key: value for key, value in point.values.items() if trained is self or _of_training(key)}
        tuned = trained._adjusted(Point(choices, values, trained.config(choices, values))).config
        if config.method.trains != "nothing" and tuned.model != config.model:
            raise UserError(
                f"train.task={name}: `adjust` gives model '{config.model.name}' other settings for task '{name}' than "
                f"for '{config.task.name}', so it would be tuned as one model and evaluated as another; match by model "
                "alone"
            )
        return tuned

    def _evaluated(self) -> set[str]:
        """The tasks that are evaluated: the choice, or those of the axis."""
        axes = [axis.values for axis in self.axes if axis.key == "task"]
        return set(axes[0]) if axes else {self.choices.get("task", "")}

    def _without_settings_of_the_evaluated(self) -> Composition:
        """The same for a task that is trained on alone: without settings of ``task`` that are not about training.

        Where the data of the evaluated task lies, and how it is read, says nothing of another task.
        """
        key = ("composition", "trained on alone")
        if key not in self._specs:
            task = {k: v for k, v in self.fixed.get("task", {}).items() if _of_training(f"task.{k}")}
            self._specs[key] = dataclasses.replace(
                self,
                overrides=tuple(o for o in self.overrides if _of_training(o.lstrip("+~").partition("=")[0])),
                fixed={**self.fixed, "task": task},
                removed=[name for name in self.removed if _of_training(name)],
                _specs={},
            )
        composition: Composition = self._specs[key]
        return composition

    def _adjusted(self, point: Point) -> Point:
        """The point with the ``adjust`` rules that match it applied, the later over the earlier.

        What the command line sets of a key, or of the group that it is in, holds for every point. A rule that matches
        a choice of the group is about that choice, whether an experiment made it or the command line.
        """
        if not self.adjust:
            return point
        named = {o.lstrip("+~").partition("=")[0] for o in self.overrides}
        choices, values = dict(point.choices), dict(point.values)
        for rule in self.adjust:
            if matches(rule["match"], point.choices, point.config):
                for key, value in rule["set"].items():
                    if key not in named and key.partition(".")[0] not in named - rule["match"].keys():
                        (choices if key in GROUPS else values)[key] = value
        if (choices, values) == (point.choices, point.values):
            return point
        return Point(choices, values, self.config(choices, values))

    def placed(self, config: Config, kind: Kind) -> Config:
        """The config with the ``place`` rules that match it applied, the later over the earlier."""
        names = {g: getattr(config, g).name for g in GROUPS}
        for rule in self.place:
            match = {k: v for k, v in rule["match"].items() if k != "kind"}
            if rule["match"].get("kind", kind) != kind or not matches(match, names, config):
                continue
            values = {k: v for k, v in rule["set"].items() if k not in GROUPS}
            for group in PLACEMENT_GROUPS:
                names[group] = rule["set"].get(group, names[group])
                settings = {k: v for k, v in values.items() if k.startswith(group + ".")}
                if group in rule["set"] or settings:
                    config = dataclasses.replace(config, **{group: self.spec(group, names[group] or None, settings)})
        return self._settled(config if kind_of(kind).trains else self._on_one_rank(config), kind)

    def _on_one_rank(self, config: Config) -> Config:
        # Answers are not shared out over ranks (yet): each rank would answer every sample, at its own cost.
        config = dataclasses.replace(config, placement=_one_rank(config.placement), deepspeed=_WITHOUT_DEEPSPEED)
        if not config.model.served or not (config.cluster.gpus or config.cluster.gpu):
            return config
        # A service answers: a GPU, and the node that has it, would wait for the network.
        key = ("without a GPU", repr(config.cluster))
        if key not in self._specs:
            self._specs[key] = dataclasses.replace(config.cluster, gpus=0, gpu="", constraint="")
        return dataclasses.replace(config, cluster=self._specs[key])

    def _settled(self, config: Config, kind: Kind) -> Config:
        """The config with what ``placement=auto`` stands for. Cells that differ in their prompt alone share it.

        Raises:
            UserError: nothing fits the cluster's GPU.
        """
        if not config.placement.auto:
            return config
        root = Path(resolve_root(self.root, config.cluster.root))
        parts = (config.model, config.method, config.task, config.train, config.placement, config.deepspeed)
        letters = self._own_letters(config, kind, root)
        key = ("settled", kind, *map(repr, parts), repr(config.cluster), len(config.prompt.text), letters)
        if key not in self._specs:
            picture = ("picture", config.task.name, repr(config.task.options))
            if picture not in self._specs:
                shown = samples.largest_picture(root, config.task), samples.images_per_sample(root, config.task)
                self._specs[picture] = shown
            size, images = self._specs[picture]
            cards, shape = cards_of(config.cluster), shape_of(config.model, root)
            self._specs[key] = choose.settle(config, kind, self.tree.presets(), cards, shape, size, images, letters)
        chosen: Config = self._specs[key]
        return dataclasses.replace(config, placement=chosen.placement, deepspeed=chosen.deepspeed)

    def _own_letters(self, config: Config, kind: Kind, root: Path) -> int:
        key = ("letters", kind, repr(config.task), config.prompt.text, config.prompt.system)
        if key not in self._specs:
            self._specs[key] = own_letters(config, kind, root)
        letters: int = self._specs[key]
        return letters


_WITHOUT_DEEPSPEED = DeepSpeedSpec(name="none")
_TRAINING = {f.name for f in dataclasses.fields(TaskSpec) if f.metadata["only"] and kind_of(f.metadata["only"]).trains}


def _of_training(key: str) -> bool:
    """Whether a dotted key says something of a task that is trained on and not evaluated."""
    group, _, name = key.partition(".")
    return group != "task" or name.partition(".")[0] in _TRAINING


def _with_model(config: Config, placed: dict[str, Any]) -> Config:
    return with_placement(config, {"model": {**model_placement(config.model), **placed}})


@cache
def _one_rank(placement: PlacementSpec) -> PlacementSpec:
    return dataclasses.replace(placement, nodes=1, ranks=1)


def compose(overrides: Sequence[str], folders: Sequence[Path]) -> Composition:
    """Read overrides in Hydra's grammar against the config files.

    Args:
        overrides: such as ``experiment=demo``, ``model=a,b``, ``prompt=glob(geo_*)``, ``+train.epochs=2``,
            ``~train.epochs``.
        folders: config folders, first match wins; a lab's own code beside its configs is found from now on.

    Raises:
        UserError: grammar, unknown key, group choice or value; the message names the nearest valid one.
    """
    plugins.use(folders)
    tree = ConfTree(folders)
    base, choices = tree.config()
    start = dict(choices)
    parsed = parse_overrides(overrides)
    experiment = experiment_of(parsed, tree)
    body = tree.load("experiment", experiment) if experiment else {}
    settings = dict.fromkeys(SWEEP_KEYS) | {k: v for k, v in merge(base, body).items() if k in SWEEP_KEYS}
    for key in body:
        check_key(key, f"experiment/{experiment}")
    axes: dict[str, Axis] = {}
    if not isinstance(settings["axes"] or {}, dict):
        raise UserError(f"experiment/{experiment}: axes: expected a mapping of keys to values, not {settings['axes']}")
    fixed = {k: v for k, v in body.items() if k in GROUPS or k in SCALARS}
    for key, value in {str(k): v for k, v in (settings["axes"] or {}).items()}.items():
        check_key(key, f"experiment/{experiment}: axes")
        values = axis_values(key, value, tree)
        add_axis(axes, key, values, choices)
        if key not in axes and key not in GROUPS:  # of one value
            fixed = merge(fixed, nested(key, values[0]))
    removed: list[str] = []
    for override in parsed:
        key = override.key_or_group
        if key == "experiment":
            continue
        check_key(key, f"override '{override.input_line}'")
        if override.package is not None:
            raise UserError(f"override '{override.input_line}': packages (@) have no meaning here; write {key}=…")
        if override.type == OverrideType.DEL:
            removed += remove_key(key, override, axes, choices, start)
            continue
        values = override_values(override, tree)
        if key in SWEEP_KEYS:
            if len(values) > 1:
                raise UserError(f"override '{override.input_line}': {key} takes one value")
            if key == "axes":
                raise UserError(f"override '{override.input_line}': axes are an experiment's; here write KEY=a,b")
            settings[key] = values[0]
            continue
        # The command line replaces an experiment's axis and its value alike.
        replaced = axes.get(key)
        add_axis(axes, key, values, choices)
        if key not in axes and key not in GROUPS:
            fixed = merge(fixed, nested(key, values[0]))
        if replaced and key not in axes and key in GROUPS:
            choices[key] = values[0]
    fixed = {k: v for k, v in fixed.items() if k not in removed}
    if not isinstance(settings["root"], str | None):
        raise UserError(f"root: expected a folder, got {settings['root']!r}; write root=./{settings['root']}")
    chosen = {k: v for k, v in choices.items() if v not in (None, "???") and k in GROUPS}
    composition = Composition(
        tree=tree,
        overrides=tuple(overrides),
        experiment=experiment,
        name=settings["name"],
        root=settings["root"],
        choices=chosen,
        axes=list(axes.values()),
        exclude=filter_rules(settings["exclude"] or [], "exclude", tree),
        only=filter_rules(settings["only"] or [], "only", tree),
        adjust=adjust_rules(settings["adjust"] or [], tree),
        place=place_rules(settings["place"] or [], tree),
        base=base,
        fixed=fixed,
        removed=removed,
    )
    for group, choice in chosen.items():
        tree.load(group, choice)
    return composition
