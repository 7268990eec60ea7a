"""How a field of a cell's schema is declared: identity or placement, what it is for, and its range."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypedDict, Unpack

Kind = Literal["finetune", "evaluate"]
Recorded = Literal["always", "where set", "never"]


class Bounds(TypedDict, total=False):
    """The range of a number. ``low`` and ``high`` belong to it, ``above`` and ``below`` don't."""

    low: float
    high: float
    above: float
    below: float


def _declare(
    part: str, default: Any, doc: str, only: Kind | None, bounds: Bounds, recorded: Recorded = "always"
) -> Any:
    metadata = {"part": part, "doc": doc, "only": only, "recorded": recorded, **bounds}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def identity_field(default: Any, doc: str, only: Kind | None = None, **bounds: Unpack[Bounds]) -> Any:
    """A field that may change a result. ``only`` names the one kind of cell that it matters to."""
    return _declare("identity", default, doc, only, bounds)


def placement_field(default: Any, doc: str, recorded: Recorded = "always", **bounds: Unpack[Bounds]) -> Any:
    """A field that sets how a cell is run; it is recorded per attempt and never changes a cell's id.

    A field that is added is recorded ``where set``, or ``never`` where only a launcher asks for it: a sweep is resumed
    by its own frozen code, which refuses a key that it does not know.
    """
    return _declare("placement", default, doc, None, bounds, recorded)


def allowed(metadata: Mapping[str, Any]) -> str:
    """The range that a field declares, in words; empty where any value goes."""
    labels = {"low": "at least", "above": "above", "high": "at most", "below": "below"}
    return " and ".join(f"{label} {metadata[name]}" for name, label in labels.items() if name in metadata)
