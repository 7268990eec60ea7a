"""The one idempotent verb: make these cells true. Done cells are skipped, running ones left alone, the rest run."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from paceline import checkpoints, plugins, snapshot, status, sweep, tasks
from paceline.compose import ConfTree, conf_folders
from paceline.errors import UserError
from paceline.launch import environments, fit, lead, preflight, slurm
from paceline.launch.elements import Element, group, recorded
from paceline.launch.granted import granted
from paceline.launch.rungs import Ladders, Taken, taken_up
from paceline.process import this_process
from paceline.slurm import site
from paceline.slurm.answers import Answers
from paceline.spec import Config, DeepSpeedSpec
from paceline.status import CellState
from paceline.store import SCHEMA, CellFolder, Store, SweepFolder, write_json
from paceline.sweep import PlannedCell, Sweep


@dataclass(frozen=True)
class Wishes:
    """What a person, or a script in their place, wants of a submit besides its cells.

    Attributes:
        extend: add cells to a recorded sweep of the same name.
        retry_failed: also run cells that ended with what is not retried by itself.
        current_code: go on with the code as it is now.
        chain: end the submission with a small job that resumes the sweep.
        unattended: leave alone what a person cancelled, and what a job could not begin.
    """

    extend: bool = False
    retry_failed: bool = False
    current_code: bool = False
    chain: bool = False
    unattended: bool = False


@dataclass
class Submission:
    """What one submit decided: the elements it will run, and the state in which it found every cell.

    Attributes:
        asked: what Slurm answered.
        jobs: index of an element -> Slurm job, where they are submitted already.
        chain: the job that will resume the sweep, where one was wished for.
        held: cells over the cluster's submit limit, left to the next resume.
        reason: why they are held.
    """

    path: Path | None
    elements: list[Element]
    found: dict[str, CellState]
    code: str
    asked: Answers
    notes: list[str] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)
    chain: str = ""
    held: list[str] = field(default_factory=list)
    reason: str = ""


def choose(
    cells: Sequence[PlannedCell], found: dict[str, CellState], wishes: Wishes = Wishes()
) -> tuple[list[PlannedCell], dict[str, str]]:
    """The cells to run, and why each of the others is not.

    A cell is run when it is needed and so are, or done, all cells that it needs.
    """
    chosen: dict[str, PlannedCell] = {}
    left: dict[str, str] = {}
    for planned in cells:
        state = found[planned.id]
        if not (state.needed or (wishes.retry_failed and state.state == "failed")):
            left[planned.id] = state.state
            continue
        # A job that could not even begin its cell (a prologue that fails) would come back for ever.
        if wishes.unattended and (state.cause == "cancelled" or (state.state == "missing" and state.cause)):
            left[planned.id] = f"{state.cause}: {state.detail}"
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


def decide(wanted: Sweep, store: Store, wishes: Wishes = Wishes(), tree: ConfTree | None = None) -> Submission:
    """Record the sweep and claim what is needed, so that a second submit finds it claimed.

    What goes to Slurm is submitted here too, while no other submit can decide: on another login node it could not see
    that this one is about to call sbatch.

    Args:
        wanted: the cells.
        store: where.
        wishes: of the person.
        tree: the configs that the submission was composed of, whose DeepSpeed presets a rung or a remedy may name;
            None: those that are found without ``--conf``.

    Raises:
        UserError: the name is taken by other cells, or another submit is deciding.
        Unavailable: the root can't be written, or Slurm gives no answer.
    """
    tree = tree or ConfTree(conf_folders(None))
    with store.mutex():
        current = snapshot.freeze(store)
        asked = Answers(store.root, fresh=True)
        found = status.of_sweep(store, wanted, asked)
        taken = _taken_up(wanted, found, store, asked, wishes, tree)
        cells = [replace(c, config=taken[c.id].config) if c.id in taken else c for c in wanted.cells]
        for planned in cells:
            if planned.cell.kind == "finetune":
                _refuse_misfit(store.cell(planned.id), planned.config)
        chosen, _ = choose(cells, found, wishes)
        lacks = environments.lacks(
            (p.config.model for p in chosen),
            store,
            tasks.packages(p.config.task.kind for p in chosen if p.config.model.environment),
        )
        if lacks := [*lacks, *environments.lacks_tracker(p.config for p in chosen)]:
            raise UserError("; ".join(lacks))
        _refuse_too_large(chosen, store, tree.presets())
        decided = Submission(None, _on_rungs(group(chosen), taken), found, current, asked)
        told = {p.id for p in chosen} | {c for c, t in taken.items() if t.ended}
        decided.notes += [f"{c}: {t.ended or t.why}" for c, t in taken.items() if c in told]
        executor = executor_of(decided.elements) if decided.elements else ""
        if executor == "slurm":
            made = status.made_by(store, asked)
            arranged = _arrange(decided, wanted, store, made, wishes)
        elif executor and wishes.chain:
            raise UserError("--chain is for Slurm: on this machine the launcher waits for its cells")
        elif executor == "debug" and (many := [e for e in decided.elements if e.ranks > 1]):
            raise UserError(f"cluster=debug is one process, and {many[0].cells[0]} is placed on {many[0].ranks} ranks")
        elif executor == "debug" and (other := [e for e in decided.elements if e.environment]):
            raise UserError(
                f"cluster=debug is this process, and {other[0].cells[0]} needs another environment; give cluster=local"
            )
        folder = sweep.record(wanted, store, current, wishes.extend)
        decided.code, notes = _code(folder, store, current, wishes.current_code)
        decided.notes += notes
        if executor and (left := plugins.left_out()):
            more = f" and {len(left) - 1} more" if left[1:] else ""
            decided.notes.append(f"no job will find {left[0]}{more}: of a lab's code only .py files are copied")
        if executor:
            intent = {
                "schema": SCHEMA,
                "time": time.time(),
                "name": f"paceline-{folder.name}-{secrets.token_hex(4)}",
                "code": decided.code,
                "uid": os.getuid(),
                **this_process(),
            }
            if executor == "slurm":
                _to_slurm(decided, arranged, made, folder, store, intent, wishes, tree)
            else:
                decided.path = _claim(folder, intent, recorded(decided.elements))
        return decided


def _taken_up(
    wanted: Sweep, found: dict[str, CellState], store: Store, asked: Answers, wishes: Wishes, tree: ConfTree
) -> dict[str, Taken]:
    """Where tunings that were begun go on, if not as asked. What has no rung left is failed in ``found``."""
    tunings = [c for c in wanted.cells if c.cell.kind == "finetune" and found[c.id].attempts]
    tunings = [c for c in tunings if found[c.id].state != "done"]
    if not tunings:
        return {}
    verdict = status.Verdicts(store, [c.cell for c in tunings], asked)
    ladders = Ladders(store, tree.presets(), verdict)
    return taken_up(ladders, tunings, found, wishes.retry_failed)


def _on_rungs(elements: Sequence[Element], taken: Mapping[str, Taken]) -> list[Element]:
    """Elements with the word beside their placement of why it is not the one asked for."""
    return [
        replace(e, placement={**e.placement, "ladder": taken[e.cells[0]].recorded}) if e.cells[0] in taken else e
        for e in elements
    ]


def _code(folder: SweepFolder, store: Store, current: str, switch: bool) -> tuple[str, list[str]]:
    """The code that the sweep runs, and what to say of it.

    Raises:
        UserError: it is gone.
    """
    content = folder.read()
    notes = []
    if content["code"] != current and switch:
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
    return content["code"], notes


def _arrange(
    decided: Submission, wanted: Sweep, store: Store, made: Mapping[str, str], wishes: Wishes
) -> slurm.Arrangement:
    """Which arrays go to Slurm, once nothing stands in the way. What the cluster says overrides the YAML.

    Raises:
        UserError: Slurm would refuse them, or let them wait for ever.
        Unavailable: Slurm gives no answer, or the disk has no room.
    """
    told = site.ask(store.root)
    elements, notes = preflight.applied(decided.elements, told)
    elements, leads = lead.applied(elements, wanted.cells, store)
    decided.notes += notes + leads
    arranged = slurm.arrange(elements, made, decided.asked.queue(), told, int(wishes.chain))
    chosen = {c for e in elements for c in e.cells}
    cells = [c for c in wanted.cells if c.id in chosen]
    ordered = [*arranged.elements, *arranged.rest]
    preflight.require(preflight.findings(ordered, arranged.arrays, cells, store, decided.code, told))
    return arranged


def _to_slurm(
    decided: Submission,
    arranged: slurm.Arrangement,
    made: Mapping[str, str],
    folder: SweepFolder,
    store: Store,
    intent: dict[str, Any],
    wishes: Wishes,
    tree: ConfTree,
) -> None:
    """Submit what was arranged, and write down what is held back."""
    decided.elements, decided.held, decided.reason = arranged.elements, arranged.held, arranged.reason
    if decided.held or folder.held_json.exists():
        write_json(folder.held_json, {"schema": SCHEMA, "cells": decided.held, "reason": decided.reason})
    if not arranged.elements:
        return
    content = {**recorded(arranged.elements), "arrays": arranged.arrays}
    decided.path = path = _claim(folder, intent, content)
    decided.asked.forget()
    name = intent["name"]
    decided.jobs = slurm.launch(path, arranged.elements, arranged.arrays, name, store, decided.code, made)
    read = granted(arranged.elements, arranged.arrays, decided.jobs)
    write_json(path / "granted.json", read)
    decided.notes += read["differences"]
    if wishes.chain:
        decided.chain = slurm.chained(folder.name, decided.asked.queue()) or slurm.chain(
            path, arranged.elements[0], decided.jobs, name, store, decided.code, tree.folders
        )


def _refuse_too_large(chosen: Sequence[PlannedCell], store: Store, presets: Mapping[str, DeepSpeedSpec]) -> None:
    """Refuse cells that can't fit the GPUs that they ask for.

    Raises:
        UserError: what they take, what was assumed, and what would fit.
    """
    configs = {p.id: p.config for p in chosen if fit.on_gpu(p.config)}
    if not configs:
        return
    found = fit.look([p for p in chosen if p.id in configs], store, presets)
    if bad := fit.refused(found, configs):
        raise UserError("\n".join(bad))


def _refuse_misfit(folder: CellFolder, config: Config) -> None:
    """Refuse a placement that a cell's checkpoint can't be taken up under, before it is recorded.

    Raises:
        UserError: the checkpoint was saved under another ZeRO stage.
    """
    found = None if folder.done() else checkpoints.newest(folder)
    if found is not None and (why := checkpoints.misfit(found, config.deepspeed)):
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
