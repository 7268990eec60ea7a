"""Specs from plain mappings and back, every value checked against its field."""

from __future__ import annotations

import dataclasses
import operator
import sys
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union

from paceline.config.declared import allowed
from paceline.errors import UserError, nearest

T = TypeVar("T")


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
        for key in value:
            if key is None or isinstance(key, bool | float):
                raise UserError(f"{where}: {unquoted(key)}: quote the key")
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
    if hint is str and isinstance(value, str):
        return value
    if hint is str and (value is None or isinstance(value, bool | int | float)):
        # A number has lost how it was written: a commit of 40 digits, a name such as 1e3 or 1_000.
        key = where.partition("[")[0]
        text = '["…"]' if key != where else '"…"'
        name = key.rpartition(".")[2]
        raise UserError(f"{where}: {unquoted(value)}: quote it: {name}: {text} in YAML, '{key}={text}' in a shell")
    raise UserError(f"{where}: expected {hint.__name__}, got {value!r}")


def unquoted(value: Any) -> str:
    """What YAML makes of a word without quotes, where text was meant."""
    if value is None:
        return "text is expected, and YAML reads what stands there as nothing (null)"
    if isinstance(value, bool):
        words = "true, yes and on" if value else "false, no and off"
        return f"text is expected, and YAML reads {words} without quotes as {str(value).lower()}"
    return f"text is expected, and without quotes it is the number {value}"


def defaults(cls: type) -> dict[str, Any]:
    """Name -> default of every field, as values (a nested spec stays a spec)."""
    return {
        f.name: f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        for f in dataclasses.fields(cls)
    }


def plain(spec: Any) -> Any:
    """A spec as JSON values, defaults included."""
    return dataclasses.asdict(spec)
