"""Tell where the cells of a sweep stand, why, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from paceline.arguments import find_sweep, json_option, name_argument, say_json

if TYPE_CHECKING:
    from paceline.forecast import Forecast


@click.command(short_help="where the cells of a sweep stand")
@name_argument("[SWEEP]")
@json_option
@click.option("--all", "show_all", is_flag=True, help="list done cells too")
def command(words: Sequence[str], conf: str | None, as_json: bool, show_all: bool) -> None:
    """Tell where the cells of a sweep stand (the latest, where none is named), why, and what to do next."""
    from paceline import status
    from paceline.forecast import asked_ago, forecast
    from paceline.slurm.answers import Answers
    from paceline.sweep import recorded
    from paceline.variants import variants

    folder, store = find_sweep(words, conf)
    sweep = recorded(folder, store)
    asked = Answers(store.root, fresh=False)
    found = status.of_sweep(store, sweep, asked)
    counts = status.counts(found.values())
    differing = variants(c.cell for c in sweep.cells)
    told = forecast(store, sweep, found)
    cells = [describe(c, found[c.id], differing[c.id], told) for c in sweep.cells]
    following = next_step(sweep.name, counts)
    if as_json:
        time = {"seconds_left": told.seconds, "gpu_hours": told.gpu_hours, "gpu_hours_of": told.estimated_gpu_hours}
        say_json({"sweep": sweep.name, "counts": counts, **time, "cells": cells, "next": following})
        return
    show(sweep.name, counts, cells, show_all)
    for line in summary(counts, told, asked_ago(asked.asked)):
        click.echo(line)
    click.echo(following)


def summary(counts: dict[str, int], told: Forecast, ago: str) -> Iterator[str]:
    """What concerns the sweep as a whole: time, cost, and how old the news is."""
    from paceline.forecast import duration

    if told.seconds is not None:
        yield f"about {duration(told.seconds)} left with {counts['running']} cells at a time"
    if told.estimated_gpu_hours:
        most = "at most " if told.at_most else "about "
        yield f"GPU-hours: {told.gpu_hours:.1f} used of {most}{told.estimated_gpu_hours:.1f}"
    if ago:
        yield ago


def describe(planned: Any, state: Any, variant: str, told: Forecast) -> dict[str, Any]:
    """One cell's line."""
    config, cell = planned.config, planned.cell
    return {
        "id": cell.id,
        "kind": cell.kind,
        "model": config.model.name,
        "task": config.task.name,
        "prompt": config.prompt.name,
        "method": config.method.name,
        "variant": variant,
        "state": state.state,
        "cause": state.cause,
        "detail": state.detail,
        "attempts": state.attempts,
        "needs": list(cell.needs),
        "progress": state.progress,
        "seconds_left": told.left.get(cell.id) if state.state != "failed" else None,
        "times_its_siblings": told.slow.get(cell.id),
        "pid": state.pid,
    }


def next_step(name: str, counts: dict[str, int]) -> str:
    """The command that takes the sweep further."""
    if set(counts) == {"done"}:
        return f"all done; next: paceline report {name}"
    if "running" in counts or "queued" in counts:
        return "cells are running; look again later, or follow one: paceline logs CELL -f"
    if "unknown" in counts:
        return "Slurm or the user who submitted them can tell of the unknown ones; look again later"
    if set(counts) <= {"done", "failed", "waiting"} and "failed" in counts:
        return f"next: paceline logs CELL, mend the cause, then: paceline resume {name} --retry-failed"
    return f"next: paceline resume {name}"


def show(name: str, counts: dict[str, int], cells: Sequence[dict[str, Any]], show_all: bool) -> None:
    """Print a table of the cells that are not done, or of all."""
    from rich.text import Text

    from paceline.forecast import duration
    from paceline.tables import Literal, print_cells, short_hash

    console = Literal()
    words = ", ".join(f"{n} {state}" for state, n in counts.items())
    console.print(Text.assemble((name, "bold"), f": {len(cells)} cells, {words}"), soft_wrap=True)
    rows = []
    for c in cells:
        beat = c["progress"] or {}
        far = f"{beat['done']}/{beat['total']} {beat['unit']}" if beat.get("total") else ""
        why = ": ".join(w for w in (c["cause"], c["detail"]) if w)
        if c["state"] == "waiting":
            why = f"after {', '.join(map(short_hash, c['needs']))}"
        slow = f"takes {c['times_its_siblings']:.1f}× as long as its siblings" if c["times_its_siblings"] else ""
        why = "; ".join(w for w in (why, slow) if w)
        left = duration(c["seconds_left"]) if c["state"] == "running" and c["seconds_left"] is not None else ""
        rows.append({**c, "id": short_hash(c["id"]), "progress": far, "left": left, "why": why})
    shown = [r for r in rows if show_all or r["state"] != "done" or r["times_its_siblings"]]
    print_cells(console, rows, shown, ("state", "kind", "task", "model", "prompt", "method", "id", "progress", "left"))
