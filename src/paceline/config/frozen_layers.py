"""``method.frozen_layers``: how many first layers of each component a tuning leaves as they are. What it may say."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from paceline.config.schema import MethodSpec
from paceline.counted import counted
from paceline.errors import nearest

NAMED = "method.frozen_layers"


def active(method: MethodSpec) -> dict[str, Any]:
    """The numbers that change what is trained: neither zeros, nor those of a component that stays as it is anyway."""
    if method.trains == "nothing":
        return {}
    tuned = method.lora.components if method.trains == "adapter" else None
    # What is no number, :func:`misnamed` tells of.
    left = {c: n for c, n in method.frozen_layers.items() if isinstance(n, int) and n > 0 and c not in method.frozen}
    return {c: n for c, n in left.items() if tuned is None or c in tuned}


def misnamed(method: MethodSpec, known: Collection[str]) -> str:
    """What is wrong with the numbers that a method gives, whatever the model's depth; empty where nothing is.

    Args:
        method: of a tuning.
        known: the components of its model; empty where they are not known.
    """
    for component, count in method.frozen_layers.items():
        key = f"{NAMED}.{component}"
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            return f"{key}: expected the number of first layers that stay as they are, such as 6, got {count!r}"
        if known and component not in known:
            return f"{NAMED}: the model has no component '{component}': {nearest(component, known)}"
    return ""


def too_many(model: str, component: str, count: int, there: int) -> str:
    """Why so many first layers of a component can't be frozen; empty where they can."""
    if count <= there:
        return ""
    have = f"has {counted(there, 'layer')}; give a smaller number" if there else "has no layers one after another"
    return f"{NAMED}.{component}={count}: '{component}' of model {model} {have}"
