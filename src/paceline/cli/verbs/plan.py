"""Show the cells of a sweep, what each needs, and what a submit would start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from paceline.cli.options import json_option, overrides_argument
from paceline.cli.resolve import (
    compose_words,
    digests_or_not,
    not_compared,
    pins_or_not,
    say_json,
    short,
    store_of,
)

if TYPE_CHECKING:
    from rich.console import Console


@click.command(short_help="show what a submit would start")
@overrides_argument
@json_option
def command(words: Sequence[str], conf: str | None, as_json: bool) -> None:
    """Show the cells of a sweep, what each needs, and what a submit would start. Starts nothing.

    \b
    paceline plan experiment=demo
    paceline plan model=tiny_qwen2_vl task=geolocation_earth prompt='glob(geo_*)' method=untuned,lora method.lora.r=8,16
    """
    from paceline import tasks
    from paceline.data import samples
    from paceline.errors import DataError, UserError
    from paceline.launch import elements, environments, gpu_fit, storage, submit
    from paceline.slurm.remembered import Answers
    from paceline.sweep import status
    from paceline.sweep.cell_labels import variants
    from paceline.sweep.cells import expand

    composition = compose_words(words, conf)
    store = store_of(composition)
    data_digest, unprepared = digests_or_not(store, words, conf)
    pin, unpinned = pins_or_not(store)
    sweep = expand(composition, data_digest, lambda task: samples.splits(store.root, task), pin)
    answers = Answers(store.root, fresh=False)
    states = status.of_sweep(store, sweep, answers)
    chosen, left = submit.choose(sweep.cells, states)
    packages = tasks.packages(c.config.task.kind for c in chosen if c.config.model.environment)
    lacking = environments.lacks((c.config.model for c in chosen), store, packages)
    problems = list(dict.fromkeys([*sweep.problems, *lacking]))
    problems += environments.lacks_tracker(c.config for c in chosen)
    memory_fits = gpu_fit.look(chosen, store, composition.tree.presets())
    problems += gpu_fit.refused(memory_fits, {c.id: c.config for c in chosen})
    grouped = elements.group(chosen)
    where = {cell: i for i, element in enumerate(grouped) for cell in element.cells}
    differing = variants(c.cell for c in sweep.cells)
    provisional = {c.id: "weights" for c in sweep.cells if c.config.model.name in unpinned}
    provisional |= {c.id: "data" for c in sweep.cells if c.config.task.name in unprepared}
    provisional |= {c.id: provisional[n] for c in sweep.cells for n in c.cell.needs if n in provisional}
    plan = {
        "sweep": sweep.name,
        "root": str(store.root),
        "cells": [
            describe(c, states[c.id], differing[c.id], where.get(c.id), left, provisional.get(c.id, ""))
            for c in sweep.cells
        ],
        "elements": [{**e.as_json(), "resources": e.resources} for e in grouped],
        "arrays": elements.arrays(grouped),
        "dropped": sweep.dropped,
        "folded": sweep.folded,
        "files": storage.need(grouped, chosen, store).files_text() if chosen else "",
        "memory": [f.as_json() for f in memory_fits],
        "problems": problems,
        "unprepared": sorted([*unprepared, *unpinned]),
    }
    try:
        on_slurm = bool(grouped) and submit.executor_of(grouped) == "slurm"
    except UserError as several:
        on_slurm = False
        problems.append(str(several))
    if on_slurm:
        from paceline.launch import preflight

        plan["slurm"] = preflight.outlook(sweep, grouped, store, answers).as_json()
    if as_json:
        say_json(plan)
    else:
        show(plan, short(store.root))
    if errors := [*unprepared.values(), *unpinned.values(), *not_compared(sweep, store, words, conf)]:
        raise DataError("; ".join(map(str, errors)))


def describe(
    planned: Any, state: Any, variant: str, index: int | None, left: dict[str, str], unprepared: str
) -> dict[str, Any]:
    """One cell of the plan: its names, its state, and why it will run or not."""
    from paceline.cli.cell_table import short_hash

    config, cell = planned.config, planned.cell
    after = f"after {', '.join(map(short_hash, cell.needs))}"
    reasons = {"missing": "never run", "waiting": after, "done": "done, nothing to do"}
    why = reasons.get(state.state, f"{state.state} {state.cause} {state.detail}".strip())
    return {
        "id": cell.id,
        "kind": cell.kind,
        "model": config.model.name,
        "task": config.task.name,
        "prompt": cell.identity["prompt"]["name"],
        "method": config.method.name,
        "variant": variant,
        "state": "unprepared" if unprepared else state.state,
        "why": f"{unprepared} not prepared" if unprepared else left.get(cell.id) or why,
        "attempts": state.attempts,
        "needs": list(cell.needs),
        "element": index,
    }


def show(plan: dict[str, Any], root: str) -> None:
    """Print the plan for people."""
    from rich.text import Text

    from paceline.cli.cell_table import Literal, mark, print_cells, short_hash
    from paceline.sweep.cells import left_out

    console = Literal()
    starts = sum(1 for c in plan["cells"] if c["element"] is not None)
    head = f": {len(plan['cells'])} cells under {root}, {starts} to run"
    console.print(Text.assemble((plan["sweep"], "bold"), head), soft_wrap=True)
    rows = [
        {**c, "id": short_hash(c["id"]), "element": "" if c["element"] is None else c["element"]} for c in plan["cells"]
    ]
    print_cells(console, rows, rows, ("element", "kind", "task", "model", "prompt", "method", "id"))
    for array in plan["arrays"]:
        resources = ", ".join(f"{v} {k}" for k, v in array["resources"].items() if k != "cluster" and v)
        count = f"{len(array['elements'])} {array['kind']} elements, {array['cells']} cells"
        console.print(f"array of {count}: {resources} each, on {array['resources']['cluster']}", soft_wrap=True)
    if plan["files"]:
        console.print(f"on the disk: {plan['files']}", soft_wrap=True)
    if plan["folded"]:
        console.print(f"\n{plan['folded']} points fold away: their settings change nothing", soft_wrap=True)
    for line in left_out(plan["dropped"]):
        console.print(f"\n{line}", soft_wrap=True)
    for fit in plan["memory"]:
        names = f"{fit['model']} {fit['method']} ({fit['kind']})"
        if fit["fits"] is not False:  # what does not fit stands among the refusals
            console.print(f"\n{mark(fit['fits'])} memory of {names}: {fit['text']}", soft_wrap=True)
    for problem in plan["problems"]:
        console.print(f"\nsubmit will refuse this: {problem}", soft_wrap=True, markup=False)
    if "slurm" in plan:
        show_slurm(console, plan["slurm"])
    if not starts:
        console.print("\nnothing to start")


def show_slurm(console: Console, slurm: dict[str, Any]) -> None:
    """Print the input of sbatch, what is held back, and the results of the checks."""
    from paceline.cli.cell_table import mark

    for number, array in enumerate(slurm["arrays"]):
        console.rule(f"array {number}: sbatch is given", align="left", style="dim")
        console.print(array["sbatch"].strip(), soft_wrap=True)
    if slurm["arrays"]:
        console.rule(style="dim")
    if held := slurm["held"]["cells"]:
        console.print(
            f"\n{len(held)} cells would be held back for the next resume: {slurm['held']['reason']}", soft_wrap=True
        )
    console.print()
    for note in slurm["notes"]:
        console.print(f"note: {note}", soft_wrap=True)
    for finding in slurm["findings"]:
        console.print(f"{mark(finding['ok'])} {finding['name']}: {finding['text']}", soft_wrap=True)
