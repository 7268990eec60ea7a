"""Overrides in Hydra's grammar: what an argument of the command line chooses, sets or sweeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType
from hydra.errors import HydraException

from paceline.config.build import field_types, unquoted
from paceline.config.schema import GROUPS, PLACEMENT_GROUPS, Config
from paceline.errors import UserError, nearest
from paceline.sweep.config_files import ConfTree

# What config.yaml may set beside the groups and the scalars: the shape of the sweep, not of a cell.
SWEEP_KEYS = ("name", "root", "axes", "exclude", "only", "adjust", "place")
REQUIRED = ("model", "task", "prompt")


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


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        if text in ("-m", "--multirun"):  # Hydra's habit: here every command line is a sweep already
            continue
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            remedy = "write KEY=VALUE, and quote values with spaces, commas or braces"
            raise UserError(f"can't read '{text}' ({reason}); {remedy}") from None
        if override.key_or_group.partition(".")[0] == "hydra":
            raise UserError(f"'{text}': Hydra's own settings have no meaning here; see `paceline plan --help`")
        parsed.append(override)
    return parsed


def experiment_of(parsed: Sequence[Override], tree: ConfTree) -> str | None:
    experiment = None
    for override in parsed:
        if override.key_or_group == "experiment":
            if override.is_sweep_override():
                raise UserError("one experiment at a time: each is a sweep of its own")
            value = None if override.type == OverrideType.DEL else override.value()
            experiment = None if value in (None, "null") else str(value)
    return experiment


def check_key(key: str, where: str) -> None:
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


def axis_values(key: str, value: Any, tree: ConfTree) -> list[Any]:
    if isinstance(value, list):
        return [choice_of(key, v, tree) for v in value]
    if isinstance(value, str):
        return override_values(parse_overrides([f"{key}={value}"])[0], tree)
    return [choice_of(key, value, tree)]


def override_values(override: Override, tree: ConfTree) -> list[Any]:
    key = override.key_or_group
    if not override.is_sweep_override():
        value = override.value()
        if key in GROUPS and isinstance(value, list | dict):
            raise UserError(f"override '{override.input_line}': {key} takes names; for a sweep write {key}=a,b")
        return [choice_of(key, value, tree)]
    if override.is_interval_sweep():
        raise UserError(f"override '{override.input_line}': an interval has no points; write range(…) or values")
    raw = override.value()
    if isinstance(raw, Glob):
        if key not in GROUPS:
            raise UserError(f"override '{override.input_line}': glob() chooses files, and {key} is no group")
        choices = raw.filter(tree.choices(key))
        if not choices:
            raise UserError(f"override '{override.input_line}' matches none: {nearest('', tree.choices(key))}")
        return list(choices)
    return [choice_of(key, v, tree) for v in override.sweep_iterator()]


def choice_of(key: str, value: Any, tree: ConfTree) -> Any:
    if key in GROUPS:
        if value is None or isinstance(value, bool | float):
            raise UserError(f"{key}: {unquoted(value)}: quote it")
        tree.load(key, str(value))
        return str(value)
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]  # sweep_iterator keeps the quotes of a quoted string
    return value


def add_axis(axes: dict[str, Axis], key: str, values: list[Any], choices: dict[str, str]) -> None:
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


def remove_key(
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
