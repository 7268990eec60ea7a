"""What is known of the families without importing them, which needs torch: their names, and what they declare."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paceline import plugins
from paceline.errors import nearest


def family_names() -> list[str]:
    """Names of the families that there are, a lab's own too; importing nothing, so that the login side may ask."""
    here = Path(__file__).parent / "families"
    modules = {p.stem for p in here.glob("*.py")} | {p.parent.name for p in here.glob("*/__init__.py")}
    return sorted((modules - {"__init__"}).union(plugins.names("models")))


def no_family(name: str) -> str:
    """That there is no such family, with the nearest names; empty where there is."""
    if name in (names := family_names()):
        return ""
    return f"model.family: no family '{name}': {nearest(name, names)}; {plugins.FOUND_BY}"


def says(family: str, attribute: str, default: Any) -> Any:
    """A plain value of a family's class, of a family that it derives from, or else the default of all."""
    value = _declared(family, attribute)
    return default if value is None else value


@functools.cache  # a sweep of a thousand cells asks for each, and each look goes through the folders
def _declared(family: str, attribute: str) -> Any:
    own = plugins.declared("models", family, attribute)
    base = plugins.derives_from("models", family) if own is None else ""
    return _declared(base, attribute) if base else own


plugins.on_change(_declared.cache_clear)


def no_likelihoods(family: str) -> str:
    """Why a family can't tell how likely a given answer is, in one line; empty where it can."""
    how = says(family, "how", "generates")
    if how != "generates":
        return f"family '{family}' {how}, and has no likelihood of a text"
    if says(family, "own_call", False) or says(family, "served", False):
        return f"family '{family}' answers by a call that gives text alone"
    return ""


def components(family: str) -> tuple[str, ...]:
    """The parts of a family's models that a method may name; empty where its module does not say them plainly."""
    declared = says(family, "components", None)
    return tuple(declared) if isinstance(declared, dict) else ()


# What a family may name of a config.json: its attribute, where it stands there, and what it is called.
_NAMED = (
    ("model_types", "model_type", ()),
    ("architectures", "architectures", ()),
    ("text_types", "model_type", ("text_config",)),
    ("vision_types", "model_type", ("vision_config",)),
)


def other_architecture(family: str, config: Mapping[str, Any]) -> str:
    """Why weights of an architecture can't be read by a family, in one line; empty where they can.

    Args:
        family: the family's name.
        config: the weights' ``config.json``; what it does not say is not held against it.
    """
    for attribute, key, path in _NAMED:
        wanted, there = says(family, attribute, ()), config
        for part in path:
            there = there.get(part) if isinstance(there.get(part), Mapping) else {}  # type: ignore[assignment]
        found = there.get(key)
        names = found if isinstance(found, list) else [found]
        if isinstance(wanted, tuple) and wanted and found and not set(names) & set(wanted):
            where = ".".join((*path, key))
            told = ", ".join(map(repr, names))
            return f"config.json says {where} {told}, and family '{family}' reads {' and '.join(wanted)} alone"
    return ""
