"""From YAML and Hydra's override grammar to the points of a sweep. The only module that imports Hydra.

Hydra composes one point in 100–400 ms. Here every group file is read once and plain dictionaries are merged in the
order that Hydra would use (config.yaml, groups, experiment, command line); ``tests/unit/sweep/test_compose.py`` holds
the result equal to Hydra's own for every point of every experiment.
"""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from paceline import plugins
from paceline.config import conflicts
from paceline.config.build import build, field_types, plain
from paceline.config.checks import share_out
from paceline.config.gpus import cards_of
from paceline.config.identity import with_placement
from paceline.config.schema import GROUPS, PLACEMENT_GROUPS, SCALARS, Config, DeepSpeedSpec, Kind, PlacementSpec
from paceline.data import readers, samples
from paceline.errors import UserError, nearest
from paceline.gpu_memory import choose
from paceline.gpu_memory.shapes import shape_of
from paceline.store.code import shipped
from paceline.store.root import resolve_root

# What config.yaml may say beside the groups and the scalars: the shape of the sweep, not of a cell.
SWEEP_KEYS = ("name", "root", "axes", "exclude", "only", "adjust", "place")
REQUIRED = ("model", "task", "prompt")


def conf_folders(extra: str | None) -> list[Path]:
    """Where configs are looked for, first match wins: ``--conf``, ``$PACELINE_CONF``, the shipped ones."""
    return [*plugins.folders(extra), shipped("conf")]


class ConfTree:
    """The config files, read at most once each."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = list(folders)
        self._files: dict[tuple[str, str], dict[str, Any]] = {}

    def choices(self, group: str) -> list[str]:
        """Names of a group's files."""
        return sorted({p.stem for folder in self.folders for p in (folder / group).glob("*.yaml")})

    def load(self, group: str, choice: str) -> dict[str, Any]:
        """The content of one choice, with what its own ``defaults`` list inherits from its group.

        Raises:
            UserError: no such choice (with the nearest), or the file is no YAML mapping.
        """
        if (group, choice) not in self._files:
            self._files[group, choice] = self._load(group, choice, ())
        return self._files[group, choice]

    def _load(self, group: str, choice: str, above: tuple[str, ...]) -> dict[str, Any]:
        path = next((p for f in self.folders if (p := f / group / f"{choice}.yaml").is_file()), None)
        if path is None:
            place = f" (inherited by {' -> '.join(above)})" if above else ""
            raise UserError(f"no {group} '{choice}'{place}: {nearest(choice, self.choices(group))}")
        if choice in above:
            raise UserError(f"{path}: inherits from itself by {' -> '.join(above)}")
        own = read_yaml(path)
        merged: dict[str, Any] = {}
        inherited = own.pop("defaults", [])
        for entry in inherited if "_self_" in inherited else [*inherited, "_self_"]:
            if entry == "_self_":
                merged = merge(merged, own)
            elif isinstance(entry, str):
                merged = merge(merged, self._load(group, entry, (*above, choice)))
            else:
                raise UserError(f"{path}: defaults may name files of {group}/ and _self_, not {entry!r}")
        return merged

    def presets(self) -> dict[str, DeepSpeedSpec]:
        """Every way to split memory that there is a file for."""
        named = {name: {**self.load("deepspeed", name), "name": name} for name in self.choices("deepspeed")}
        return {name: build(DeepSpeedSpec, values, f"deepspeed/{name}") for name, values in named.items()}

    def config(self) -> tuple[dict[str, Any], dict[str, str]]:
        """``config.yaml`` of the first folder that has one: its values, and the group choices it starts from."""
        path = next((p for f in self.folders if (p := f / "config.yaml").is_file()), None)
        if path is None:
            raise UserError(f"no config.yaml in {', '.join(map(str, self.folders))}")
        values = read_yaml(path)
        choices = {}
        for entry in values.pop("defaults", []):
            if isinstance(entry, dict):
                choices.update(entry)
        return values, choices


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping as Hydra reads it (``1e-4`` is a number, a repeated key an error)."""
    try:
        value = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OmegaConfBaseException, YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a mapping of keys to values")
    _refuse_interpolation(value, str(path))
    return {str(k): v for k, v in value.items()}


def merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """``top`` over ``base``: mappings merge, everything else is replaced."""
    result = dict(base)
    for key, value in top.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def nested(key: str, value: Any) -> dict[str, Any]:
    """``a.b=1`` as ``{a: {b: 1}}``."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _without(values: dict[str, Any], key: str) -> dict[str, Any]:
    head, _, rest = key.partition(".")
    if not rest:
        return {k: v for k, v in values.items() if k != head}
    if isinstance(values.get(head), dict):
        return {**values, head: _without(values[head], rest)}
    return values


@cache
def dotted_keys() -> tuple[str, ...]:
    """Every key that an override may set, such as ``train.learning_rate``."""

    def walk(cls: type, prefix: str) -> Iterator[str]:
        for name, hint in field_types(cls).items():
            if dataclasses.is_dataclass(hint):
                yield from walk(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
            elif name != "name":
                yield prefix + name

    return (*GROUPS, *SWEEP_KEYS, "experiment", *walk(Config, ""))


@dataclass(frozen=True)
class Axis:
    """One dimension of the product."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Point:
    """One combination of the product: the choice in every group, and the values that axes set."""

    choices: dict[str, str]
    values: dict[str, Any]
    config: Config

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
    _specs: dict[Any, Any] = field(default_factory=dict)

    def spec(self, group: str, choice: str | None, values: Mapping[str, Any]) -> Any:
        """The spec of one group: its file, the experiment's words, the command line's, then ``values``."""
        key = (group, choice, repr(sorted(values.items())) if values else "")
        if key not in self._specs:
            raw = merge(self.base.get(group, {}), self.tree.load(group, choice) if choice else {})
            raw = merge(raw, self.fixed.get(group, {}))
            for name, value in values.items():
                raw = merge(raw, nested(name.partition(".")[2], value))
            for name in self.removed:
                if name.startswith(group + "."):
                    raw = _without(raw, name.partition(".")[2])
            if "name" in raw:
                raise UserError(f"{group}.name can't be set: it is the file's name")
            if group == "task" and isinstance(raw.get("options"), dict) and raw.get("reader") in readers.names():
                # Before anything is digested: the same relative path means other photos in another folder.
                raw["options"] = readers.with_absolute_paths(raw["reader"], raw["options"])
            self._specs[key] = build(GROUPS[group], {**raw, "name": choice or ""}, group)
        return self._specs[key]

    def prompt(self, name: str) -> Any:
        """A prompt by its name, for training."""
        key = ("prompt of training", name)
        if key not in self._specs:
            content = {**self.tree.load("prompt", name), "name": name}
            self._specs[key] = build(GROUPS["prompt"], content, f"prompt/{name}")
        return self._specs[key]

    def config(self, choices: Mapping[str, str], values: Mapping[str, Any]) -> Config:
        """The config of one point. Points that say the same of a group share its spec: one object, built once."""
        own: dict[str, dict[str, Any]] = {}
        for key, value in values.items():
            own.setdefault(key.partition(".")[0], {})[key] = value
        groups = {group: self.spec(group, choices.get(group), own.get(group, {})) for group in GROUPS}
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
                own = merge(plain(getattr(config, group)), self.fixed[group])
                config = dataclasses.replace(config, **{group: build(GROUPS[group], own, group)})
        # Of a sweep over many models, those that have an environment, or run on other versions, are meant.
        if "model.environment" in named and (config.model.environment or config.model.transformers):
            config = with_placement(config, {"model": self.fixed["model"]})
        config = self._settled(_on_one_rank(config) if kind == "evaluate" else config, kind)
        if kind == "finetune" and config.placement != placement:
            share_out(config.train, config.placement, config.placement.nodes * config.placement.ranks)
        conflicts.check(config, kind)
        return config

    def points(self) -> Iterator[Point]:
        """The product, the first axis outermost, after ``only`` and ``exclude``."""
        for group in REQUIRED:
            if self.choices.get(group) is None and all(a.key != group for a in self.axes):
                raise UserError(f"{group} is not chosen: give {group}=NAME; {nearest('', self.tree.choices(group))}")
        for combination in itertools.product(*(axis.values for axis in self.axes)):
            choices, values = dict(self.choices), {}
            for axis, value in zip(self.axes, combination, strict=True):
                if axis.key in GROUPS:
                    choices[axis.key] = value
                else:
                    values[axis.key] = value
            point = Point(choices, values, self.config(choices, values))
            if self.only and not any(matches(rule, choices, point.config) for rule in self.only):
                continue
            if not any(matches(rule, choices, point.config) for rule in self.exclude):
                yield self._adjusted(point)

    def _adjusted(self, point: Point) -> Point:
        """The point with the ``adjust`` rules that match it applied, the later over the earlier.

        What the command line says of a key, or of the group that it is in, holds for every point.
        """
        if not self.adjust:
            return point
        named = {o.lstrip("+~").partition("=")[0] for o in self.overrides}
        choices, values = dict(point.choices), dict(point.values)
        for rule in self.adjust:
            if matches(rule["match"], point.choices, point.config):
                for key, value in rule["set"].items():
                    if key not in named and key.partition(".")[0] not in named:
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
                own = {k: v for k, v in values.items() if k.startswith(group + ".")}
                if group in rule["set"] or own:
                    config = dataclasses.replace(config, **{group: self.spec(group, names[group] or None, own)})
        return self._settled(_on_one_rank(config) if kind == "evaluate" else config, kind)

    def _settled(self, config: Config, kind: Kind) -> Config:
        """The config with what ``placement=auto`` stands for. Cells that differ in their prompt alone share it.

        Raises:
            UserError: nothing fits the cluster's GPU.
        """
        if not config.placement.auto:
            return config
        root = Path(resolve_root(self.root, config.cluster.root))
        parts = (config.model, config.method, config.task, config.train, config.placement, config.deepspeed)
        key = ("settled", kind, *map(repr, parts), repr(config.cluster), len(config.prompt.text))
        if key not in self._specs:
            picture = ("picture", config.task.name, repr(config.task.options))
            if picture not in self._specs:
                shown = samples.largest_picture(root, config.task), samples.images_per_sample(root, config.task)
                self._specs[picture] = shown
            self._specs[key] = choose.settle(
                config,
                kind,
                self.tree.presets(),
                cards_of(config.cluster),
                shape_of(config.model, root),
                *self._specs[picture],
            )
        chosen: Config = self._specs[key]
        return dataclasses.replace(config, placement=chosen.placement, deepspeed=chosen.deepspeed)


_WITHOUT_DEEPSPEED = DeepSpeedSpec(name="none")


def _on_one_rank(config: Config) -> Config:
    # Answers are not shared out over ranks (yet): each rank would answer every sample, at its own cost.
    return dataclasses.replace(config, placement=_one_rank(config.placement), deepspeed=_WITHOUT_DEEPSPEED)


@cache
def _one_rank(placement: PlacementSpec) -> PlacementSpec:
    return dataclasses.replace(placement, nodes=1, ranks=1)


def matches(rule: Mapping[str, Any], choices: Mapping[str, str], config: Config) -> bool:
    """Whether every key of a filter fits a point: group names by pattern, dotted keys by equality.

    Raises:
        UserError: a key below a free mapping, such as model.config, that this point does not have.
    """
    # Names first, so that a rule may ask for a key that only some models have.
    for key, wanted in sorted(rule.items(), key=lambda item: item[0] not in GROUPS):
        actual: Any = config
        if key in GROUPS:
            actual = choices.get(key)
        else:
            for part in key.split("."):
                if dataclasses.is_dataclass(actual):
                    actual = getattr(actual, part)
                elif isinstance(actual, Mapping) and part in actual:
                    actual = actual[part]
                else:
                    group = key.partition(".")[0]
                    known = nearest(part, map(str, actual)) if isinstance(actual, Mapping) else f"it holds {actual}"
                    raise UserError(
                        f"can't filter by {key}, which {group} '{getattr(config, group).name}' does not say ({known}); "
                        f"mend the key, or name in the same rule the {group} that has it"
                    )
        options = wanted if isinstance(wanted, list) else [wanted]
        if not any(fnmatch.fnmatchcase(str(actual), str(o)) for o in options):
            return False
    return True


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
    parsed = _parse(overrides)
    experiment = _experiment(parsed, tree)
    body = tree.load("experiment", experiment) if experiment else {}
    settings = dict.fromkeys(SWEEP_KEYS) | {k: v for k, v in merge(base, body).items() if k in SWEEP_KEYS}
    for key in body:
        _check_key(key, f"experiment/{experiment}")
    axes: dict[str, Axis] = {}
    if not isinstance(settings["axes"] or {}, dict):
        raise UserError(f"experiment/{experiment}: axes: expected a mapping of keys to values, not {settings['axes']}")
    for key, value in {str(k): v for k, v in (settings["axes"] or {}).items()}.items():
        _check_key(key, f"experiment/{experiment}: axes")
        _add_axis(axes, key, _axis_values(key, value, tree), choices)
    fixed = {k: v for k, v in body.items() if k in GROUPS or k in SCALARS}
    removed: list[str] = []
    for override in parsed:
        key = override.key_or_group
        if key == "experiment":
            continue
        _check_key(key, f"override '{override.input_line}'")
        if override.package is not None:
            raise UserError(f"override '{override.input_line}': packages (@) have no meaning here; write {key}=…")
        if override.type == OverrideType.DEL:
            removed += _remove(key, override, axes, choices, start)
            continue
        values = _override_values(override, tree)
        if key in SWEEP_KEYS:
            if len(values) > 1:
                raise UserError(f"override '{override.input_line}': {key} takes one value")
            if key == "axes":
                raise UserError(f"override '{override.input_line}': axes are an experiment's; here write KEY=a,b")
            settings[key] = values[0]
            continue
        # The command line replaces an experiment's axis and its value alike.
        replaced = axes.get(key)
        _add_axis(axes, key, values, choices)
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
        exclude=_rules(settings["exclude"] or [], "exclude", tree),
        only=_rules(settings["only"] or [], "only", tree),
        adjust=_adjust_rules(settings["adjust"] or [], tree),
        place=_place_rules(settings["place"] or [], tree),
        base=base,
        fixed=fixed,
        removed=removed,
    )
    for group, choice in chosen.items():
        tree.load(group, choice)
    return composition


def _parse(overrides: Sequence[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        if text in ("-m", "--multirun"):  # Hydra's habit: here every command line is a sweep already
            continue
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"can't read '{text}' ({reason}); write KEY=VALUE, and quote values with spaces") from None
        if override.key_or_group.partition(".")[0] == "hydra":
            raise UserError(f"'{text}': Hydra's own settings have no meaning here; see `paceline plan --help`")
        parsed.append(override)
    return parsed


def _experiment(parsed: Sequence[Override], tree: ConfTree) -> str | None:
    found = None
    for override in parsed:
        if override.key_or_group == "experiment":
            if override.is_sweep_override():
                raise UserError("one experiment at a time: each is a sweep of its own")
            value = None if override.type == OverrideType.DEL else override.value()
            found = None if value in (None, "null") else str(value)
    return found


def _check_key(key: str, where: str) -> None:
    if key in GROUPS or key in SWEEP_KEYS or key in dotted_keys():
        return
    parts = key.split(".")
    cls: Any = Config
    for i, part in enumerate(parts):
        hint = field_types(cls).get(part) if isinstance(cls, type) and dataclasses.is_dataclass(cls) else None
        if hint is None:
            break
        if not dataclasses.is_dataclass(hint):
            # Below a free mapping such as model.config every key is the family's business.
            if i == len(parts) - 1 or str(hint).startswith("dict"):
                return
            break
        cls = hint
    else:
        return
    raise UserError(f"{where}: unknown key '{key}': {nearest(key, dotted_keys())}")


def _refuse_interpolation(value: Any, where: str) -> None:
    if isinstance(value, str) and "${" in value:
        raise UserError(f"{where}: interpolation ({value}) is not resolved here; write the value")
    if isinstance(value, Mapping):
        for inner in value.values():
            _refuse_interpolation(inner, where)
    if isinstance(value, list):
        for inner in value:
            _refuse_interpolation(inner, where)


def _axis_values(key: str, value: Any, tree: ConfTree) -> list[Any]:
    if isinstance(value, list):
        return [_choice(key, v, tree) for v in value]
    if isinstance(value, str):
        return _override_values(_parse([f"{key}={value}"])[0], tree)
    return [_choice(key, value, tree)]


def _override_values(override: Override, tree: ConfTree) -> list[Any]:
    key = override.key_or_group
    if not override.is_sweep_override():
        value = override.value()
        if key in GROUPS and isinstance(value, list | dict):
            raise UserError(f"override '{override.input_line}': {key} takes names; for a sweep write {key}=a,b")
        return [_choice(key, value, tree)]
    if override.is_interval_sweep():
        raise UserError(f"override '{override.input_line}': an interval has no points; write range(…) or values")
    raw = override.value()
    if isinstance(raw, Glob):
        if key not in GROUPS:
            raise UserError(f"override '{override.input_line}': glob() chooses files, and {key} is no group")
        found = raw.filter(tree.choices(key))
        if not found:
            raise UserError(f"override '{override.input_line}' matches none: {nearest('', tree.choices(key))}")
        return list(found)
    return [_choice(key, v, tree) for v in override.sweep_iterator()]


def _choice(key: str, value: Any, tree: ConfTree) -> Any:
    if key in GROUPS:
        tree.load(key, str(value))
        return str(value)
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]  # sweep_iterator keeps the quotes of a quoted string
    return value


def _add_axis(axes: dict[str, Axis], key: str, values: list[Any], choices: dict[str, str]) -> None:
    unique = tuple(dict.fromkeys(values)) if all(not isinstance(v, list | dict) for v in values) else tuple(values)
    if len(unique) == 1:
        if key in GROUPS:
            axes.pop(key, None)
            choices[key] = unique[0]
        elif key in axes:
            axes[key] = Axis(key, unique)
        return
    if key.partition(".")[0] in PLACEMENT_GROUPS:
        raise UserError(
            f"{key} says how cells run, not what they compute, so it can't be an axis; "
            f"give one value, or a rule: place=[{{match: {{…}}, set: {{{key}: …}}}}]"
        )
    axes[key] = Axis(key, unique)


def _remove(
    key: str, override: Override, axes: dict[str, Axis], choices: dict[str, str], start: Mapping[str, str]
) -> list[str]:
    if axes.pop(key, None) is not None:
        return []
    if key in GROUPS and key not in REQUIRED and choices.get(key) != start.get(key):
        choices[key] = start[key]  # an experiment's axis of one value is a choice by now
        return []
    if key in GROUPS or key in SWEEP_KEYS:
        raise UserError(f"override '{override.input_line}': {key} can't be removed; give {key}=…")
    return [key]


def _rules(rules: Any, where: str, tree: ConfTree) -> list[dict[str, Any]]:
    if not isinstance(rules, list) or not all(isinstance(r, dict) for r in rules):
        raise UserError(f"{where}: expected a list of mappings such as [{{model: a, task: b}}], got {rules!r}")
    for rule in rules:
        for key, value in rule.items():
            _check_key(str(key), where)
            if key in SWEEP_KEYS or key in ("experiment", "kind"):
                raise UserError(f"{where}: '{key}' can't be filtered by; use a group or a key such as method.lora.r")
            if key in GROUPS:
                _known_pattern(where, key, value, tree)
    return rules


def _known_pattern(where: str, group: str, value: Any, tree: ConfTree) -> None:
    for pattern in value if isinstance(value, list) else [value]:
        if not fnmatch.filter(tree.choices(group), str(pattern)):
            raise UserError(f"{where}: no {group} '{pattern}': {nearest(str(pattern), tree.choices(group))}")


def _matched_rules(rules: Any, name: str, tree: ConfTree) -> list[dict[str, Any]]:
    """Rules ``{match: {…}, set: {…}}``, their keys and patterns checked."""
    if not isinstance(rules, list) or not all(isinstance(r, dict) and set(r) == {"match", "set"} for r in rules):
        raise UserError(f"{name}: expected a list of {{match: {{…}}, set: {{…}}}}")
    for rule in rules:
        for part in ("match", "set"):
            if not isinstance(rule[part], dict):
                raise UserError(f"{name}: {part}: expected a mapping of keys to values, got {rule[part]!r}")
        match = dict(rule["match"])
        if name == "place" and match.pop("kind", "finetune") not in ("finetune", "evaluate"):
            raise UserError(f"place: kind is finetune or evaluate, not '{rule['match']['kind']}'")
        _rules([match], f"{name}: match", tree)
        for key, value in rule["set"].items():
            _check_key(str(key), f"{name}: set")
            if key in GROUPS:
                tree.load(key, str(value))
    return rules


def _place_rules(rules: Any, tree: ConfTree) -> list[dict[str, Any]]:
    for rule in _matched_rules(rules, "place", tree):
        for key in rule["set"]:
            if key.partition(".")[0] not in PLACEMENT_GROUPS:
                raise UserError(f"place: set: {key} is identity, what is computed; put it in the axes or in `adjust`")
    return rules


def _adjust_rules(rules: Any, tree: ConfTree) -> list[dict[str, Any]]:
    for rule in _matched_rules(rules, "adjust", tree):
        for key in rule["set"]:
            if key.partition(".")[0] in PLACEMENT_GROUPS:
                raise UserError(f"adjust: set: {key} says how cells run; put it in `place`")
            if key in (*REQUIRED, "method", *SWEEP_KEYS, "experiment"):
                raise UserError(f"adjust: set: {key} is what points are told apart by; choose it by `axes` and `only`")
    return rules
