"""Rules of a sweep: which points are left out, adjusted or placed elsewhere."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Mapping
from typing import Any

from paceline.config.cell_kinds import KINDS
from paceline.config.schema import GROUPS, PLACEMENT_GROUPS, Config
from paceline.errors import UserError, nearest
from paceline.sweep.config_files import ConfTree
from paceline.sweep.overrides import REQUIRED, SWEEP_KEYS, check_key


def matches(rule: Mapping[str, Any], choices: Mapping[str, str], config: Config) -> bool:
    """Whether every key of a filter fits a point: group names by pattern, dotted keys by equality.

    Raises:
        UserError: a key below a free mapping, such as model.config, that this point does not have.
    """
    # Names first, so that a rule may match a key that only some models have.
    for key, expected in sorted(rule.items(), key=lambda item: item[0] not in GROUPS):
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
        if not _fits(actual, expected):
            return False
    return True


def named(rule: Mapping[str, Any], choices: Mapping[str, str]) -> bool:
    """Whether the names that a rule gives of groups match, whatever else it says."""
    return all(_fits(choices.get(key), expected) for key, expected in rule.items() if key in GROUPS)


def _fits(actual: Any, expected: Any) -> bool:
    """Whether a value is one of those expected: by pattern, or as a number."""
    options = expected if isinstance(expected, list) else [expected]
    return any(fnmatch.fnmatchcase(str(actual), str(o)) or _same_number(actual, o) for o in options)


def _same_number(actual: Any, stated: Any) -> bool:
    """Whether both are one number, however it is written: a temperature of 0 is 0.0."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (actual, stated))
    return numbers and bool(actual == stated)


def filter_rules(rules: Any, where: str, tree: ConfTree) -> list[dict[str, Any]]:
    if not isinstance(rules, list) or not all(isinstance(r, dict) for r in rules):
        raise UserError(f"{where}: expected a list of mappings such as [{{model: a, task: b}}], got {rules!r}")
    for rule in rules:
        for key, value in rule.items():
            check_key(str(key), where)
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
        if name == "place" and "kind" in match and match.pop("kind") not in tuple(KINDS):
            raise UserError(f"place: kind is {' or '.join(KINDS)}, not '{rule['match']['kind']}'")
        filter_rules([match], f"{name}: match", tree)
        for key, value in rule["set"].items():
            check_key(str(key), f"{name}: set")
            if key in GROUPS:
                tree.load(key, str(value))
    return rules


def place_rules(rules: Any, tree: ConfTree) -> list[dict[str, Any]]:
    for rule in _matched_rules(rules, "place", tree):
        for key in rule["set"]:
            if key.partition(".")[0] not in PLACEMENT_GROUPS:
                raise UserError(f"place: set: {key} is identity, what is computed; put it in the axes or in `adjust`")
    return rules


def adjust_rules(rules: Any, tree: ConfTree) -> list[dict[str, Any]]:
    for rule in _matched_rules(rules, "adjust", tree):
        for key in rule["set"]:
            if key.partition(".")[0] in PLACEMENT_GROUPS:
                raise UserError(f"adjust: set: {key} says how cells run; put it in `place`")
            if key in (*REQUIRED, "method", *SWEEP_KEYS, "experiment"):
                raise UserError(f"adjust: set: {key} is what points are told apart by; choose it by `axes` and `only`")
    return rules
