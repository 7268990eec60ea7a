"""Show the cells of a sweep, what each needs, and what a submit would start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from paceline.cli.options import json_option, overrides_argument, wishes_options
from paceline.cli.resolve import (
    compose_words,
    digests_or_not,
    not_compared,
    pins_or_not,
    say_json,
    short,
    store_of,
    with_mail,
)
from paceline.counted import counted

if TYPE_CHECKING:
    from rich.console import Console

    from paceline.launch.expected import Expected


@click.command(short_help="show what a submit would start")
@overrides_argument
@json_option
@click.option("--sbatch", "scripts", is_flag=True, help="Slurm: print the script of each array")
@click.option("--extend", is_flag=True, help="as submit --extend would")
@click.option("--mend", is_flag=True, help="as submit --mend would")
@wishes_options
def command(
    words: Sequence[str], conf: str | None, as_json: bool, scripts: bool, mail: str | None, **wished: Any
) -> None:
    """Show the cells of a sweep, what each needs, what a submit would start, and how long it takes. Starts nothing.

    Exits as that submit would: with 2 where it would refuse.

    \b
    paceline plan experiment=demo
    paceline plan model=tiny_qwen2_vl task=geolocation_earth prompt='glob(geo_*)' method=untuned,lora method.lora.r=8,16
    """
    from paceline.config.cell_kinds import kind_of
    from paceline.data import samples
    from paceline.errors import UserError
    from paceline.launch import elements, expected, gpu_fit, outlook, request_estimate, storage, submit
    from paceline.slurm.remembered import Answers
    from paceline.sweep import shot_checks
    from paceline.sweep.cell_labels import variants
    from paceline.sweep.cells import expand

    words = with_mail(words, mail)
    composition = compose_words(words, conf)
    store = store_of(composition)
    data_digest, unprepared = digests_or_not(store, words, conf)
    pin, unpinned = pins_or_not(store)
    sweep = expand(composition, data_digest, lambda task: samples.splits(store.root, task), pin, store.root)
    wishes = submit.Wishes(**wished)
    ahead = outlook.look_ahead(sweep, store, Answers(store.root, fresh=False), composition.tree, wishes)
    _, left = submit.choose(ahead.seen.cells, ahead.seen.states, wishes)
    fits = gpu_fit.look(ahead.plan.chosen, store, composition.tree.presets())
    grouped = ahead.plan.elements
    takes = expected.expected(ahead, sweep, fits, store)
    requests = request_estimate.asked(ahead.plan.chosen, ahead.seen.states, store)
    where = {cell: i for i, element in enumerate(grouped) for cell in element.cells}
    differing = variants(c.cell for c in sweep.cells)
    provisional = {c.id: "weights" for c in sweep.cells if c.config.model.name in unpinned}
    provisional |= {c.id: "data" for c in sweep.cells if c.config.task.name in unprepared}
    provisional |= {c.id: provisional[n] for c in sweep.cells for n in c.cell.needs if n in provisional}
    plan = {
        "sweep": sweep.name,
        "root": str(store.root),
        "cells": [
            describe(c, ahead.seen.states[c.id], differing[c.id], where.get(c.id), left, provisional.get(c.id, ""))
            for c in sweep.cells
        ],
        "elements": [{**e.as_json(), "resources": e.resources} for e in grouped],
        "arrays": elements.arrays(grouped),
        "dropped": sweep.dropped,
        "folded": sweep.folded,
        "files": storage.need(grouped, ahead.plan.chosen, store).files_text() if grouped else "",
        "memory": [f.as_json() for f in fits],
        "expected": takes.as_json(),
        "shots": shot_checks.told(c.config for c in sweep.cells if kind_of(c.cell.kind).answers),
        "requests": [{**asked.as_json(), "text": asked.words} for asked in requests],
        "problems": [str(error) for error in ahead.refusals],
        "unprepared": sorted([*unprepared, *unpinned]),
    }
    if (to_slurm := outlook.as_json(ahead, sweep, store)) is not None:
        plan["slurm"] = to_slurm
    if as_json:
        say_json(plan)
    else:
        show(plan, short(store.root), takes, ahead.notes, scripts)
    missing = [*unprepared.values(), *unpinned.values(), *not_compared(sweep, store, words, conf)]
    if errors := [*missing, *ahead.refusals]:
        raise outlook.together(errors)
    if scripts and grouped and to_slurm is None:
        raise UserError("--sbatch: nothing of this goes to Slurm; give cluster=slurm or a cluster file of your own")


def describe(
    planned: Any, state: Any, variant: str, index: int | None, left: dict[str, str], unprepared: str
) -> dict[str, Any]:
    """One cell of the plan: its names, its state, and why it will run or not."""
    from paceline.cli.cell_table import short_hash
    from paceline.config.cell_kinds import kind_of

    config, cell = planned.config, planned.cell
    after = f"after {', '.join(map(short_hash, cell.needs))}"
    reasons = {"missing": "not started", "waiting": after, "done": "done, nothing to do"}
    why = reasons.get(state.state, f"{state.state} {state.cause} {state.detail}".strip())
    return {
        "id": cell.id,
        "kind": cell.kind,
        "model": config.model.name,
        "task": config.task.name,
        "prompt": cell.identity["prompt"]["name"],
        "method": config.method.name,
        "variant": variant,
        "shots": config.prompt.shots.count if kind_of(cell.kind).answers else 0,
        "state": "unprepared" if unprepared else state.state,
        "why": f"{unprepared} not prepared" if unprepared else left.get(cell.id) or why,
        "attempts": state.attempts,
        "needs": list(cell.needs),
        "element": index,
    }


def show(plan: dict[str, Any], root: str, takes: Expected, notes: Sequence[str], scripts: bool) -> None:
    """Print the plan for people."""
    from rich.text import Text

    from paceline.cli.cell_table import Literal, mark, print_cells, short_hash
    from paceline.sweep.sweep_lines import left_out

    console = Literal()
    starts = sum(1 for c in plan["cells"] if c["element"] is not None)
    head = f": {counted(len(plan['cells']), 'cell')} under {root}, {starts} to run"
    console.print(Text.assemble((plan["sweep"], "bold"), head), soft_wrap=True)
    rows = [
        {**c, "id": short_hash(c["id"]), "element": "" if c["element"] is None else c["element"]} for c in plan["cells"]
    ]
    print_cells(console, rows, rows, ("element", "kind", "task", "model", "prompt", "method", "id"))
    for line in array_lines(plan, takes):
        console.print(line, soft_wrap=True)
    if takes.words:
        console.print(takes.words, soft_wrap=True)
    if plan["files"]:
        console.print(f"on the disk: {plan['files']}", soft_wrap=True)
    for line in plan["shots"]:
        console.print(line, soft_wrap=True)
    if plan["folded"]:
        n = plan["folded"]
        fold = "point folds away: its" if n == 1 else "points fold away: their"
        console.print(f"\n{n} {fold} settings change nothing", soft_wrap=True)
    for line in left_out(plan["dropped"]):
        console.print(f"\n{line}", soft_wrap=True)
    for fit in plan["memory"]:
        names = f"{fit['model']} {fit['method']} ({fit['kind']})"
        if fit["fits"] is not False:  # what does not fit stands among the refusals
            console.print(f"\n{mark(fit['fits'])} memory of {names}: {fit['text']}", soft_wrap=True)
    for asked in plan["requests"]:
        console.print(f"\n{asked['text']}", soft_wrap=True)
    console.print()
    for note in notes:
        console.print(f"note: {note}", soft_wrap=True)
    if "slurm" in plan:
        show_slurm(console, plan["slurm"], scripts)
    if not starts:
        console.print("nothing to start")


def array_lines(plan: dict[str, Any], takes: Expected) -> Iterator[str]:
    """A line for each array: of those that go to Slurm where any do, with what the longest of its elements takes."""
    if "slurm" in plan:
        arrays = [(f"array {k}", a["elements"]) for k, a in enumerate(plan["slurm"]["arrays"])]
    else:
        arrays = [("array", a["elements"]) for a in plan["arrays"]]
    for name, places in arrays:
        elements = [plan["elements"][i] for i in places]
        asked = elements[0]["resources"]
        resources = ", ".join(_resource(k, v) for k, v in asked.items() if k != "cluster" and v)
        count = counted(len(elements), f"{elements[0]['kind']} element")
        length = f"; the longest runs {known}" if (known := takes.of(places)) else ""
        cells = counted(sum(len(e["cells"]) for e in elements), "cell")
        yield f"{name} of {count}, {cells}: {resources} each, on {asked['cluster']}{length}"


def _resource(name: str, value: Any) -> str:
    nouns = {
        "nodes": "node",
        "ranks": "rank",
        "threads": "thread",
        "gpus": "GPU",
        "cpus": "CPU",
        "minutes": "minute",
        "memory_gib": "GiB of memory",
        "memory_per_cpu_gib": "GiB of memory a CPU",
    }
    if name in nouns:
        return f"{value} {nouns[name]}" if name.startswith("memory") else counted(value, nouns[name])
    return f"{'QOS' if name == 'qos' else name} {value}"


def show_slurm(console: Console, slurm: dict[str, Any], scripts: bool) -> None:
    """Print what is held back, the results of the checks and, where they are wanted, the scripts for sbatch."""
    from paceline.cli.cell_table import mark

    if held := slurm["held"]["cells"]:
        console.print(
            f"{counted(len(held), 'cell')} would be held back for the next resume: {slurm['held']['reason']}",
            soft_wrap=True,
        )
    for finding in slurm["findings"]:
        console.print(f"{mark(finding['ok'])} {finding['name']}: {finding['text']}", soft_wrap=True)
    if not scripts:
        return
    for number, array in enumerate(slurm["arrays"]):
        console.rule(f"array {number}: sbatch is given", align="left", style="dim")
        console.print(array["sbatch"].strip(), soft_wrap=True)
    console.rule(style="dim")
