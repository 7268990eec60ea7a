"""The YAML files: where they lie, what they inherit, how they are merged."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from paceline import plugins
from paceline.config.build import build, unquoted
from paceline.config.schema import DeepSpeedSpec
from paceline.errors import UserError, nearest
from paceline.store.code import shipped


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

    def path(self, group: str, choice: str) -> Path | None:
        """The file of a choice; None where there is none."""
        return next((p for f in self.folders if (p := f / group / f"{choice}.yaml").is_file()), None)

    def _load(self, group: str, choice: str, above: tuple[str, ...]) -> dict[str, Any]:
        path = self.path(group, choice)
        if path is None:
            place = f" (inherited by {' -> '.join(above)})" if above else ""
            raise UserError(f"no {group} '{choice}'{place}: {nearest(choice, self.choices(group))}")
        if choice in above:
            raise UserError(f"{path}: inherits from itself by {' -> '.join(above)}")
        content = read_yaml(path)
        merged: dict[str, Any] = {}
        inherited = content.pop("defaults", [])
        if not isinstance(inherited, list):
            raise UserError(f"{path}: defaults: expected a list, got {inherited!r}; write [{inherited}]")
        for entry in inherited if "_self_" in inherited else [*inherited, "_self_"]:
            if entry == "_self_":
                merged = merge(merged, content)
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
    """A YAML mapping as Hydra reads it (``1e-4`` is a number, a repeated key an error).

    Raises:
        UserError: no such file, no mapping, or a word that YAML reads otherwise than it looks.
    """
    try:
        value = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        _refuse_old_numbers(path.read_text(encoding="utf-8"), path)
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, OSError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a mapping of keys to values")
    _refuse_unclear(value, str(path))
    return {str(k): v for k, v in value.items()}


# YAML 1.1: a leading zero is base 8, and colons are base 60.
_BASE_8 = re.compile(r"[-+]?0[0-7_]+")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_PERHAPS_OLD = re.compile(rf"(?<![\w.:])({_BASE_8.pattern}|{_BASE_60.pattern})(?![\w.])(?!:\S)")


def _refuse_old_numbers(text: str, path: Path) -> None:
    """Refuse ``010``, which is 8 to YAML, and ``1:30``, which is 90, in whatever field: nobody means these."""
    if not _PERHAPS_OLD.search(text):
        return
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if not isinstance(event, yaml.ScalarEvent) or not event.implicit[0] or event.start_mark is None:
            continue
        octal = _BASE_8.fullmatch(event.value)
        if not octal and not _BASE_60.fullmatch(event.value):
            continue
        number = yaml.safe_load(event.value)
        if isinstance(number, int | float):
            raise UserError(
                f"{path}, line {event.start_mark.line + 1}: {event.value} without quotes is the number {number} to "
                f'YAML (base {8 if octal else 60}): quote it ("{event.value}") where text is meant, else write '
                "the number without leading zeros and colons"
            )


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


def without(values: dict[str, Any], key: str) -> dict[str, Any]:
    head, _, rest = key.partition(".")
    if not rest:
        return {k: v for k, v in values.items() if k != head}
    if isinstance(values.get(head), dict):
        return {**values, head: without(values[head], rest)}
    return values


def _refuse_unclear(value: Any, where: str) -> None:
    """Refuse interpolations, and keys that YAML reads as no text: ``on``, ``no``, ``null``, ``1.5``."""
    if isinstance(value, str) and "${" in value:
        raise UserError(f"{where}: interpolation ({value}) is not resolved here; write the value")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key is None or isinstance(key, bool | float):
                raise UserError(f"{where}: a key: {unquoted(key)}: quote it")
            _refuse_unclear(inner, where)
    if isinstance(value, list):
        for inner in value:
            _refuse_unclear(inner, where)
