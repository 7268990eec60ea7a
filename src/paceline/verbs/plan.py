"""Show the cells of a sweep, what each needs, and what a submit would start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from paceline.arguments import compose_words, json_option, overrides_argument, say_json, short, store_of


@click.command(short_help="show what a submit would start")
@overrides_argument
@json_option
def command(words: Sequence[str], conf: str | None, as_json: bool) -> None:
    """Show the cells of a sweep, what each needs, and what a submit would start. Starts nothing.

    \b
    paceline plan experiment=demo
    paceline plan model=tiny_qwen2_vl task=geolocation_earth prompt='glob(geo_*)' method=untuned,lora method.lora.r=8,16
    """
    from paceline import prepared, status
    from paceline.errors import DataError
    from paceline.launch import elements, submit
    from paceline.sweep import UNPREPARED, expand

    composition = compose_words(words, conf)
    store = store_of(composition)
    unprepared: dict[str, DataError] = {}

    def data_digest(task: Any) -> str:
        try:
            return prepared.data_digest(store.root, task)
        except DataError as error:
            unprepared[task.name] = error
            return UNPREPARED

    sweep = expand(composition, data_digest)
    cap = min(c.config.cluster.attempts for c in sweep.cells)
    found = status.states(store, [c.cell for c in sweep.cells], cap)
    chosen, left = submit.choose(sweep.cells, found, retry_failed=False)
    grouped = elements.group(chosen)
    plan = {
        "sweep": sweep.name,
        "root": str(store.root),
        "cells": [describe(c, found[c.id], grouped, left, c.config.task.name in unprepared) for c in sweep.cells],
        "elements": [{**e.as_json(), "resources": e.resources} for e in grouped],
        "arrays": elements.arrays(grouped),
        "dropped": sweep.dropped,
        "folded": sweep.folded,
        "unprepared": sorted(unprepared),
    }
    if as_json:
        say_json(plan)
    else:
        show(plan, short(store.root))
    for error in unprepared.values():
        raise error


def describe(
    planned: Any, state: Any, grouped: Sequence[Any], left: dict[str, str], unprepared: bool
) -> dict[str, Any]:
    """One cell of the plan: its names, its state, and why it will run or not."""
    config, cell = planned.config, planned.cell
    index = next((i for i, e in enumerate(grouped) if cell.id in e.cells), None)
    after = f"after {', '.join(n.rpartition('-')[2][:6] for n in cell.needs)}"
    reasons = {"missing": "never run", "waiting": after, "done": "done, nothing to do"}
    why = reasons.get(state.state, f"{state.state} {state.cause} {state.detail}".strip())
    return {
        "id": cell.id,
        "kind": cell.kind,
        "model": config.model.name,
        "task": config.task.name,
        "prompt": cell.identity["prompt"]["name"],
        "method": config.method.name,
        "state": "unprepared" if unprepared else state.state,
        "why": "data not prepared" if unprepared else left.get(cell.id) or why,
        "attempts": state.attempts,
        "needs": list(cell.needs),
        "element": index,
    }


def show(plan: dict[str, Any], root: str) -> None:
    """Print the plan for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    starts = sum(1 for c in plan["cells"] if c["element"] is not None)
    console.print(f"[bold]{plan['sweep']}[/bold]: {len(plan['cells'])} cells under {root}, {starts} to run")
    # Columns that say the same of every cell are said once, so that the rest fits 80 characters.
    columns = [k for k in ("task", "model", "prompt", "method") if len({c[k] for c in plan["cells"]}) > 1]
    same = [plan["cells"][0][k] for k in ("task", "model", "prompt", "method") if k not in columns]
    if same:
        console.print(f"all: {' · '.join(same)}")
    console.print()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("element", justify="right")
    for name in ("kind", *columns, "id"):
        table.add_column(name, no_wrap=True)
    table.add_column("why")
    for cell in plan["cells"]:
        mark = "" if cell["element"] is None else str(cell["element"])
        table.add_row(mark, *(cell[k] for k in ("kind", *columns)), cell["id"].rpartition("-")[2][:6], cell["why"])
    console.print(table)
    console.print()
    for array in plan["arrays"]:
        resources = ", ".join(f"{v} {k}" for k, v in array["resources"].items() if k != "cluster" and v)
        count = f"{len(array['elements'])} {array['kind']} elements, {array['cells']} cells"
        console.print(f"array of {count}: {resources} each, on {array['resources']['cluster']}", soft_wrap=True)
    if plan["folded"]:
        console.print(f"\n{plan['folded']} points fold away: their settings change nothing")
    for drop in plan["dropped"]:
        console.print(f"\nleft out: {' · '.join(drop['point'].values())}: {drop['reason']}")
    if not starts:
        console.print("\nnothing to start")
