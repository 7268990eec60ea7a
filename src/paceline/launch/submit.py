"""The one idempotent verb: make these cells true. Done cells are skipped, running ones left alone, the rest run."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline import checkpoints, snapshot, status, sweep
from paceline.errors import UserError
from paceline.launch import slurm
from paceline.launch.elements import Element, group
from paceline.process import this_process
from paceline.spec import Config
from paceline.status import CellState
from paceline.store import SCHEMA, CellFolder, Store, SweepFolder, write_json
from paceline.sweep import PlannedCell, Sweep


@dataclass
class Submission:
    """What one submit decided: the elements it will run, and the state in which it found every cell.

    Attributes:
        jobs: index of an element -> Slurm job, where they are submitted already.
        held: cells over the cluster's submit limit, left to the next resume.
    """

    path: Path | None
    elements: list[Element]
    found: dict[str, CellState]
    code: str
    notes: list[str] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)


def choose(
    cells: Sequence[PlannedCell], found: dict[str, CellState], retry_failed: bool
) -> tuple[list[PlannedCell], dict[str, str]]:
    """The cells to run, and why each of the others is not.

    A cell is run when it is needed and so are, or done, all cells that it needs.
    """
    chosen: dict[str, PlannedCell] = {}
    left: dict[str, str] = {}
    for planned in cells:
        state = found[planned.id]
        if not (state.needed or (retry_failed and state.state == "failed")):
            left[planned.id] = state.state
            continue
        blocked = [
            n
            for n in planned.cell.needs
            if n not in chosen and (n not in found or found[n].state not in ("done", "running", "queued"))
        ]
        if blocked:
            left[planned.id] = f"needs {blocked[0]}, which failed"
            continue
        chosen[planned.id] = planned
    return list(chosen.values()), left


def decide(
    asked: Sweep,
    store: Store,
    *,
    extend: bool = False,
    retry_failed: bool = False,
    current_code: bool = False,
) -> Submission:
    """Record the sweep and claim what is needed, so that a second submit finds it claimed.

    Raises:
        UserError: the name is taken by other cells, or another submit is deciding.
        Unavailable: the root can't be written.
    """
    with store.mutex():
        current = snapshot.freeze(store)
        for planned in asked.cells:
            if planned.cell.kind == "finetune":
                _refuse_misfit(store.cell(planned.id), planned.config)
        folder = sweep.record(asked, store, current, extend)
        content = folder.read()
        notes = []
        if content["code"] != current and current_code:
            content["code"] = current
            write_json(folder.sweep_json, content)
            notes.append(f"switched to the current code, {current}; reports flag cells made by mixed code")
        elif content["code"] != current:
            notes.append(f"runs the code that the sweep was recorded with, {content['code']}; --code=current switches")
        if not (store.code(content["code"]) / snapshot.STAMP).exists():
            # Python passes over a missing folder without a word, and would run the clone's code instead.
            raise UserError(
                f"the code that sweep '{folder.name}' was recorded with is gone ({store.code(content['code'])}); "
                f"--code=current goes on with the code as it is now"
            )
        taken = status.claims(store)
        found = status.of_sweep(store, asked, taken)
        chosen, _ = choose(asked.cells, found, retry_failed)
        elements = group(chosen)
        if not elements:
            return Submission(None, [], found, content["code"], notes)
        name = f"paceline-{folder.name}-{secrets.token_hex(4)}"
        intent = {"schema": SCHEMA, "time": time.time(), "name": name, "code": content["code"], **this_process()}
        executor = executor_of(elements)
        if executor == "debug" and (many := [e for e in elements if e.ranks > 1]):
            raise UserError(f"cluster=debug is one process, and {many[0].cells[0]} is placed on {many[0].ranks} ranks")
        if executor != "slurm":
            path = _claim(folder, intent, {"elements": [e.as_json() for e in elements]})
            return Submission(path, elements, found, content["code"], notes)
        # Inside the mutex: on another login node a second submit could not see that this one is about to call sbatch.
        slurm.check(elements)
        running = {cell: claim.job for cell, claim in taken.items() if claim.job}
        arrays = slurm.chunks(elements, running, slurm.free(elements))
        kept = [i for indices in arrays for i in indices]
        held = [c for i, e in enumerate(elements) if i not in kept for c in e.cells]
        elements = [elements[i] for i in kept]
        starts = [sum(len(a) for a in arrays[:k]) for k in range(len(arrays))]
        arrays = [list(range(start, start + len(a))) for start, a in zip(starts, arrays, strict=True)]
        if not elements:
            return Submission(None, [], found, content["code"], notes, held=held)
        path = _claim(folder, intent, {"elements": [e.as_json() for e in elements], "arrays": arrays})
        jobs = slurm.launch(path, elements, arrays, name, store, content["code"], running)
        return Submission(path, elements, found, content["code"], notes, jobs, held)


def _refuse_misfit(folder: CellFolder, config: Config) -> None:
    """Refuse a placement that a cell's checkpoint can't be taken up under, before it is recorded.

    Raises:
        UserError: the checkpoint was split in another way.
    """
    found = None if folder.done() else checkpoints.newest(folder)
    world = config.placement.nodes * config.placement.ranks
    if found is not None and (why := checkpoints.misfit(found, config.deepspeed, world)):
        raise UserError(f"{folder.id}: {why}")


def executor_of(elements: Sequence[Element]) -> str:
    """The executor of a submission.

    Raises:
        UserError: its elements name several.
    """
    names = sorted({e.placement["cluster"]["executor"] for e in elements})
    if len(names) > 1:
        raise UserError(f"one submission runs in one place, not on {' and '.join(names)}; mend the place rules")
    return str(names[0])


def _claim(folder: SweepFolder, intent: dict[str, Any], content: dict[str, Any]) -> Path:
    path = folder.new_submission()
    write_json(path / "intent.json", intent)
    write_json(path / "elements.json", {"schema": SCHEMA, **content})
    return path


def close(path: Path, jobs: dict[str, str]) -> None:
    """Say that a submission will start nothing more."""
    write_json(path / "jobs.json", {"schema": SCHEMA, "jobs": jobs})
    write_json(path / "closed.json", {"schema": SCHEMA, "time": time.time()})
