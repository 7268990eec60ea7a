"""The one idempotent verb: make these cells true. Done cells are skipped, running ones left alone, the rest run."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline import plugins
from paceline.launch import arrays
from paceline.launch.elements import Element, recorded
from paceline.launch.granted import granted
from paceline.launch.outlook import Outlook, ToSlurm, look_ahead
from paceline.launch.planned import NO_WISHES, Wishes, choose, executor_of
from paceline.slurm.remembered import Answers
from paceline.store import code as snapshot
from paceline.store.files import SCHEMA, write_json
from paceline.store.owner import this_process
from paceline.store.root import Store, SweepFolder
from paceline.sweep import cells as sweep
from paceline.sweep.cells import Sweep
from paceline.sweep.config_files import ConfTree, conf_folders
from paceline.sweep.status import CellState

__all__ = ["Submission", "Wishes", "choose", "close", "decide", "executor_of"]


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


def decide(
    planned_sweep: Sweep,
    store: Store,
    wishes: Wishes = NO_WISHES,
    tree: ConfTree | None = None,
    tell: Callable[[Outlook], None] | None = None,
) -> Submission:
    """Record the sweep and claim what is needed, so that a second submit finds it claimed.

    What goes to Slurm is submitted here too, while no other submit can decide: on another login node it could not see
    that this one is about to call sbatch.

    Args:
        planned_sweep: the cells.
        store: where.
        wishes: of the person.
        tree: the configs that the submission was composed of, whose DeepSpeed presets a rung or a remedy may name;
            None: those that are found without ``--conf``.
        tell: called with what will be done, once nothing stands in its way and before it is done.

    Raises:
        UserError: what :func:`look_ahead` finds in the way, or another submit is deciding.
        Unavailable: the root can't be written, or Slurm gives no answer.
    """
    tree = tree or ConfTree(conf_folders(None))
    with store.mutex():
        ahead = look_ahead(planned_sweep, store, Answers(store.root, fresh=True), tree, wishes, snapshot.freeze(store))
        ahead.require()
        if tell is not None:
            tell(ahead)
        plan = ahead.plan
        decided = Submission(None, list(plan.elements), dict(ahead.seen.states), ahead.code, ahead.seen.answers)
        decided.notes = list(ahead.notes)
        folder = sweep.record(planned_sweep, store, ahead.code, wishes.extend, ahead.unmade)
        if (content := folder.read())["code"] != ahead.code:  # switched on request
            write_json(folder.sweep_json, {**content, "code": ahead.code})
        if plan.executor and (left := plugins.left_out()):
            more = f" and {len(left) - 1} more" if left[1:] else ""
            decided.notes.append(f"no job will find {left[0]}{more}: of a lab's code only .py files are copied")
        if ahead.to_slurm is not None:
            _to_slurm(decided, ahead.to_slurm, folder, store, wishes, tree)
        elif plan.executor:
            decided.path = _claim(folder, _intent(folder, decided.code), recorded(decided.elements))
        return decided


def _intent(folder: SweepFolder, code: str) -> dict[str, Any]:
    """What is written before anything runs, with a name by which a job of a launcher that died is found."""
    return {
        "schema": SCHEMA,
        "time": time.time(),
        "name": f"paceline-{folder.name}-{secrets.token_hex(4)}",
        "code": code,
        "uid": os.getuid(),
        **this_process(),
    }


def _to_slurm(
    decided: Submission,
    to_slurm: ToSlurm,
    folder: SweepFolder,
    store: Store,
    wishes: Wishes,
    tree: ConfTree,
) -> None:
    """Submit what was arranged, and write down what is held back."""
    arranged, job_of_cell = to_slurm.arranged, to_slurm.job_of_cell
    decided.elements, decided.held, decided.reason = arranged.elements, arranged.held, arranged.reason
    if decided.held or folder.held_json.exists():
        write_json(folder.held_json, {"schema": SCHEMA, "cells": decided.held, "reason": decided.reason})
    if not arranged.elements:
        return
    intent = _intent(folder, decided.code)
    content = {**recorded(arranged.elements), "arrays": arranged.arrays}
    decided.path = path = _claim(folder, intent, content)
    decided.asked.forget()
    name = intent["name"]
    decided.jobs = arrays.launch(path, arranged.elements, arranged.arrays, name, store, decided.code, job_of_cell)
    read = granted(arranged.elements, arranged.arrays, decided.jobs)
    write_json(path / "granted.json", read)
    decided.notes += read["differences"]
    if wishes.chain:
        decided.chain = arrays.chained(folder.name, decided.asked.queue()) or arrays.chain(
            path, arranged.elements[0], decided.jobs, name, store, decided.code, tree.folders
        )


def _claim(folder: SweepFolder, intent: dict[str, Any], content: dict[str, Any]) -> Path:
    path = folder.new_submission()
    write_json(path / "intent.json", intent)
    write_json(path / "elements.json", {"schema": SCHEMA, **content})
    return path


def close(path: Path, jobs: dict[str, str]) -> None:
    """Mark a submission as closed: it will start nothing more."""
    write_json(path / "jobs.json", {"schema": SCHEMA, "jobs": jobs})
    write_json(path / "closed.json", {"schema": SCHEMA, "time": time.time()})
