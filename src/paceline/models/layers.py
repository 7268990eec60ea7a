"""The layers of a model's parts, in the order in which they are passed, and what is frozen with the first of them.

A layer is a block of a transformer or of a convolutional network: a member of the outermost lists of modules
(``ModuleList``) inside a part, so that of a ResNet its stages count. An encoder and a decoder in one part follow one
another. What a network makes before its first layer, such as embeddings, is frozen with that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from paceline.config.frozen_layers import too_many
from paceline.counted import counted
from paceline.errors import UserError
from paceline.models.family import Family


def layers_of(family: Family, component: str) -> list[str]:
    """Full module names of the layers of a component, first to last; empty where it has none."""
    network = family.bare_model()
    lists: list[str] = []
    found: list[str] = []
    for name, module in network.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in lists)
        if isinstance(module, torch.nn.ModuleList) and not inside and not _beside(family, name):
            lists.append(name)
            if family.component_of(name) == component:
                found += [f"{name}.{i}" for i in range(len(module))]
    return found


def depths(family: Family, component: str) -> dict[str, int]:
    """Parameter of a component -> how many first layers have to be frozen for it to be; those that never are are left
    out.
    """
    layers = layers_of(family, component)
    names = [name for name, _ in family.bare_model().named_parameters() if family.component_of(name) == component]
    found: dict[str, int] = {}
    waiting: list[str] = []
    reached = 0
    for name in names:
        if _beside(family, name):
            continue
        within = next((i for i, layer in enumerate(layers, 1) if name.startswith(f"{layer}.")), 0)
        if within <= reached and within:
            found[name] = within
        elif within:  # what stands before a layer is made before it
            found |= dict.fromkeys([*waiting, name], within)
            waiting, reached = [], within
        else:
            waiting.append(name)
    return found


def _beside(family: Family, name: str) -> bool:
    return any(name == p or name.startswith(f"{p}.") for p in family.beside_layers)


def frozen(family: Family, frozen_layers: Mapping[str, int]) -> set[str]:
    """Parameters that ``method.frozen_layers`` leaves as they are.

    Args:
        family: loaded, or its network on the meta device; without an adapter.
        frozen_layers: component -> number of first layers.

    Raises:
        UserError: a component has fewer layers than that.
    """
    found: set[str] = set()
    for component, count in frozen_layers.items():
        if why := too_many(family.spec.name, component, count, len(layers_of(family, component))):
            raise UserError(why)
        found |= {name for name, depth in depths(family, component).items() if depth <= count}
    return found


def told(family: Family, frozen_layers: Mapping[str, int]) -> Iterator[str]:
    """For the log of a run: what of each component stays as it is."""
    for component, count in frozen_layers.items():
        if count:
            there = counted(len(layers_of(family, component)), "layer")
            yield f"frozen: the first {count} of {there} of {component}, and what stands before them"
