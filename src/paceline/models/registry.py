"""What is known of the families without importing them, which needs torch: their names, and what they declare."""

from __future__ import annotations

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
    own = plugins.declared("models", family, attribute)
    if own is not None:
        return own
    base = plugins.derives_from("models", family)
    return says(base, attribute, default) if base else default


def components(family: str) -> tuple[str, ...]:
    """The parts of a family's models that a method may name; empty where its module does not say them plainly."""
    declared = says(family, "components", None)
    return tuple(declared) if isinstance(declared, dict) else ()


def other_architecture(family: str, model_type: object) -> str:
    """Why weights of an architecture can't be read by a family, in one line; empty where they can.

    Args:
        family: the family's name.
        model_type: ``model_type`` of the weights' ``config.json``; None where it has none.
    """
    types = says(family, "model_types", ())
    if not isinstance(types, tuple) or not types or model_type is None or model_type in types:
        return ""
    return f"config.json says model_type {model_type!r}, and family '{family}' reads {' and '.join(types)} alone"
