"""Recorded sweeps of cells that never ran: what the tests of the command line share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paceline.config.identity import identity_of
from paceline.config.schema import Config, GenerationSpec, MethodSpec, ModelSpec, PromptSpec, TaskSpec
from paceline.store import files
from paceline.store.cell_folder import Cell
from paceline.store.files import write_json
from paceline.store.root import Store


def cell_of(kind: Any = "evaluate", tuned: str = "", **groups: Any) -> Cell:
    chosen = {
        "model": ModelSpec(name="tiny_qwen2_vl", family="qwen2_vl"),
        "task": TaskSpec(name="geolocation_earth", kind="geolocation", reader="earth"),
        "prompt": PromptSpec(name="geo_stepwise", text="where?"),
        "method": MethodSpec(name="untuned"),
        **groups,
    }
    config = Config(**chosen)
    identity = {**identity_of(config, kind), "data": "d" * 64, **({"tuned": tuned} if tuned else {})}
    return Cell(f"{kind}-{files.digest(identity, 12)}", kind, identity, (tuned,) if tuned else ())


def record(root: Path, name: str, cells: list[Cell]) -> Store:
    """A recorded sweep of cells, as a submit leaves it."""
    kept = Store(root)
    for cell in cells:
        kept.cell(cell.id).freeze(cell)
    content = {"schema": 1, "name": name, "experiment": None, "overrides": [], "cells": [c.id for c in cells]}
    placed = {"placements": [{}], "placed": {c.id: 0 for c in cells}, "dropped": [], "code": "c"}
    write_json(kept.sweep(name).sweep_json, {**content, **placed})
    return kept


def fail(kept: Store, cell: Cell, message: str) -> None:
    attempt = kept.cell(cell.id).new_attempt()
    write_json(attempt.end_json, {"schema": 1, "cause": "code bug", "message": message, "seconds": 1.0})


def beams(count: int) -> list[Cell]:
    return [cell_of(generation=GenerationSpec(name="greedy", beams=n)) for n in range(1, count + 1)]
