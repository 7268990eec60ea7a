"""The one idempotent verb: make these cells true. Done cells are skipped, running ones left alone, the rest run."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paceline import snapshot, status, sweep
from paceline.launch.elements import Element, group
from paceline.process import this_process
from paceline.spec import ClusterSpec
from paceline.status import CellState
from paceline.store import SCHEMA, Store, write_json
from paceline.sweep import PlannedCell, Sweep


@dataclass
class Submission:
    """What one submit decided: the elements it will run, and the state in which it found every cell."""

    path: Path | None
    elements: list[Element]
    found: dict[str, CellState]
    code: str
    notes: list[str] = field(default_factory=list)


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
        folder = sweep.record(asked, store, current, extend)
        content = folder.read()
        notes = []
        if content["code"] != current and current_code:
            content["code"] = current
            write_json(folder.sweep_json, content)
            notes.append(f"switched to the current code, {current}; reports flag cells made by mixed code")
        elif content["code"] != current:
            notes.append(f"runs the code that the sweep was recorded with, {content['code']}; --code=current switches")
        cap = min((c.config.cluster.attempts for c in asked.cells), default=ClusterSpec.attempts)
        found = status.states(store, [c.cell for c in asked.cells], cap)
        chosen, _ = choose(asked.cells, found, retry_failed)
        elements = group(chosen)
        if not elements:
            return Submission(None, [], found, content["code"], notes)
        path = folder.new_submission()
        intent = {
            "schema": SCHEMA,
            "time": time.time(),
            "name": f"paceline-{folder.name}-{secrets.token_hex(4)}",
            "code": content["code"],
            **this_process(),
        }
        write_json(path / "intent.json", intent)
        write_json(path / "elements.json", {"schema": SCHEMA, "elements": [e.as_json() for e in elements]})
        return Submission(path, elements, found, content["code"], notes)


def close(path: Path, jobs: dict[str, str]) -> None:
    """Say that a submission will start nothing more."""
    write_json(path / "jobs.json", {"schema": SCHEMA, "jobs": jobs})
    write_json(path / "closed.json", {"schema": SCHEMA, "time": time.time()})


Reporter = Callable[[str], None]
