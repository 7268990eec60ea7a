"""Which cells one process runs, and which elements share resources and so form an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from paceline.config.cell_kinds import kind_of
from paceline.store.files import canonical, digest
from paceline.sweep.cells import PlannedCell, placements_of

SLURM_RESOURCES = (
    *("account", "qos", "partition", "constraint", "gpu", "gpus", "cpus", "memory_gib", "memory_per_cpu_gib"),
    "minutes",
)


@dataclass
class Element:
    """The cells that one process (or set of ranks) runs in order."""

    kind: str
    placement: dict[str, Any]
    cells: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    served: bool = False
    """Whether a service answers its cells, so that it needs no GPU, and no core of its own."""
    awaited: bool = False
    """Whether other cells need the answers of its cells."""

    @property
    def ranks(self) -> int:
        """Processes of the element."""
        return int(self.placement["placement"]["nodes"] * self.placement["placement"]["ranks"])

    @property
    def environment(self) -> str:
        """Folder of the Python environment that runs it; empty: the launcher's own."""
        return str(self.placement.get("model", {}).get("environment", ""))

    @property
    def resources(self) -> dict[str, Any]:
        """What the element asks of the cluster. Elements of equal resources form one array."""
        placement, cluster = self.placement["placement"], self.placement["cluster"]
        asked = {"cluster": cluster["name"], "nodes": placement["nodes"], "ranks": placement["ranks"]}
        asked["threads"] = placement["threads"]
        if self.environment:  # an array has one interpreter
            asked["environment"] = self.environment
        if cluster["executor"] == "slurm":
            asked |= {k: cluster[k] for k in SLURM_RESOURCES if cluster.get(k)}
        return asked

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "kind": self.kind,
            "cells": self.cells,
            "needs": self.needs,
            "ranks": self.ranks,
            "placement": self.placement,
        }


def recorded(elements: Sequence[Element]) -> dict[str, Any]:
    """The content of ``elements.json``: placements are few and stand there once, elements name theirs by index."""
    placements: list[dict[str, Any]] = []
    places: dict[int, int] = {}
    for element in elements:
        if id(element.placement) not in places:
            places[id(element.placement)] = len(placements)
            placements.append(element.placement)
    entries = [{**e.as_json(), "placement": places[id(e.placement)]} for e in elements]
    return {"placements": placements, "elements": entries}


def group(cells: Sequence[PlannedCell]) -> list[Element]:
    """Group needed cells: each finetune cell alone, evaluate cells together that load the same weights.

    Cells that one service answers are one element, however many: its limits hold for a process. Cells whose answers
    others need are apart, so that these wait for nothing else. The order is kept, so that an element stands before
    those that need it.
    """
    awaited = {needed for planned in cells for needed in planned.cell.needs}
    elements: list[Element] = []
    open_elements: dict[tuple[Any, ...], Element] = {}
    texts: dict[int, str] = {}
    for planned, placement in zip(cells, placements_of(cells), strict=True):
        cell = planned.cell
        if not kind_of(cell.kind).shares_element:
            elements.append(Element(cell.kind, placement, [cell.id], list(cell.needs)))
            continue
        # Cells share the mapping, so its text is made once for each.
        if id(placement) not in texts:
            texts[id(placement)] = canonical(placement)
        method = cell.identity.get("method", {})
        weights = canonical([cell.identity.get("model", {}), method.get("quantise"), method.get("dtype")])
        served = planned.config.model.served
        waited_for = cell.id in awaited
        key = (cell.kind, weights, cell.needs, waited_for, "" if served else cell.data, texts[id(placement)])
        element = open_elements.get(key)
        full = element is not None and len(element.cells) >= planned.config.cluster.cells_per_element and not served
        if element is None or full:
            element = Element(cell.kind, placement, needs=list(cell.needs), served=served, awaited=waited_for)
            open_elements[key] = element
            elements.append(element)
        element.cells.append(cell.id)
    return elements


def arrays(elements: Sequence[Element]) -> list[dict[str, Any]]:
    """Elements of equal kind and resources, counted: what becomes one ``sbatch`` call each.

    Those that wait for others stand apart, so that the rest need not wait with them; and those that wait for
    different arrays, so that each can wait element by element: a tuning that fails then stops no other's evaluation.
    Those that others wait for stand apart for the same reason.
    """
    found: dict[str, dict[str, Any]] = {}
    made_in: dict[str, str] = {}
    for index, element in enumerate(elements):
        waits_for = [made_in.get(cell, "") for cell in element.needs]
        key = canonical([element.kind, waits_for, element.awaited, element.resources])
        if kind_of(element.kind).trains or element.awaited:
            made_in |= dict.fromkeys(element.cells, digest(key))
        entry = found.setdefault(
            key, {"kind": element.kind, "resources": element.resources, "elements": [], "cells": 0}
        )
        entry["elements"].append(index)
        entry["cells"] += len(element.cells)
    return list(found.values())
