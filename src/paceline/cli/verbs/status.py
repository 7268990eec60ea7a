"""Tell where the cells of a sweep stand, why, and what to do next."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from paceline.cli.options import json_option, name_argument, optional_value
from paceline.cli.resolve import find_sweep, say_json

if TYPE_CHECKING:
    from rich.console import Console

    from paceline.slurm.remembered import Answers
    from paceline.store.root import Store, SweepFolder
    from paceline.sweep.forecast import Forecast

WATCH_SECONDS = 10.0
FEWEST_SECONDS = 2.0
# Pauses are this many times as long as a poll took: a thousand cells on a slow disk are polled less often.
REST = 4.0
# While a cell is in one of these states, something may still change by itself.
ALIVE = frozenset({"running", "queued", "unknown"})
# What a screen that is too small for all cells shows first.
URGENT = ("running", "failed", "interrupted", "unknown", "queued", "held", "waiting", "missing", "done")

# Of more cells than this that are not done, the first are shown.
MOST_CELLS = 60
MOST_SHOWN = 30


@dataclass(frozen=True)
class Look:
    """A sweep as it stands at a moment."""

    name: str
    counts: dict[str, int]
    cells: list[dict[str, Any]]
    told: Forecast
    asked: float
    """When Slurm was asked, in seconds since the epoch; 0 where it was not."""

    @property
    def headline(self) -> str:
        """How many cells stand where."""
        from paceline.counted import counted
        from paceline.sweep.status import in_words

        return f"{self.name}: {counted(len(self.cells), 'cell')}, {in_words(self.counts)}"

    @property
    def summary(self) -> list[str]:
        """What concerns the sweep as a whole: time, cost, and how old the news is."""
        from paceline.sweep.forecast import asked_ago

        return list(summary(self.counts, self.told, asked_ago(self.asked)))


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    seconds = float(value or WATCH_SECONDS)
    if seconds < FEWEST_SECONDS:
        raise click.BadParameter(f"files are read every {FEWEST_SECONDS:g} seconds at most, and Slurm asked every 60")
    return seconds


@click.command(
    cls=optional_value("--watch", lambda argument: argument.replace(".", "", 1).isdigit()),
    short_help="where the cells of a sweep stand",
)
@name_argument("[SWEEP]")
@json_option
@click.option("--all", "show_all", is_flag=True, help="list every cell, done ones too")
@click.option(
    "--watch",
    "seconds",
    metavar="[SECONDS]",
    callback=_seconds,
    help=f"look again every {WATCH_SECONDS:g} seconds until nothing runs any more; Slurm is asked once a minute",
)
def command(words: Sequence[str], conf: str | None, as_json: bool, show_all: bool, seconds: float | None) -> None:
    """Tell where the cells of a sweep stand (the latest, where none is named), why, and what to do next."""
    from paceline.errors import UserError

    folder, store = find_sweep(words, conf)
    if as_json and seconds is not None:
        raise UserError("--watch is for people; a program asks again itself: paceline status --json")
    if seconds is not None:
        with contextlib.suppress(KeyboardInterrupt):  # how one stops watching; nothing is broken off
            watch(folder, store, seconds, show_all)
        return
    from paceline.slurm.remembered import Answers

    snapshot = look_at(folder, store)(Answers(store.root, fresh=False))
    following = next_step(snapshot.name, snapshot.counts)
    if as_json:
        forecast = snapshot.told
        left = {
            "seconds_left": forecast.seconds,
            "gpu_hours": forecast.gpu_hours,
            "gpu_hours_of": forecast.estimated_gpu_hours,
        }
        say_json(
            {"sweep": snapshot.name, "counts": snapshot.counts, **left, "cells": snapshot.cells, "next": following}
        )
        return
    show(snapshot, show_all)
    for line in snapshot.summary:
        click.echo(line)
    click.echo(following)


def look_at(folder: SweepFolder, store: Store) -> Callable[[Answers], Look]:
    """A function that takes a snapshot of a sweep. Frozen cells are read again only if the sweep was extended."""
    from paceline.sweep import status
    from paceline.sweep.cell_labels import variants
    from paceline.sweep.cells import Sweep, recorded
    from paceline.sweep.forecast import forecast

    known: dict[float, tuple[Sweep, dict[str, str]]] = {}

    def look(answers: Answers) -> Look:
        written = folder.sweep_json.stat().st_mtime
        if written not in known:
            sweep = recorded(folder, store)
            known.clear()
            known[written] = sweep, variants(c.cell for c in sweep.cells)
        sweep, differing = known[written]
        states = status.of_sweep(store, sweep, answers)
        estimate = forecast(store, sweep, states)
        cells = [describe(c, states[c.id], differing[c.id], estimate) for c in sweep.cells]
        return Look(sweep.name, status.counts(states.values()), cells, estimate, answers.asked)

    return look


def watch(folder: SweepFolder, store: Store, seconds: float, show_all: bool) -> None:
    """Poll until nothing runs any more: redrawn on a terminal, else one line for each change."""
    from paceline.cli.cell_table import Literal
    from paceline.slurm.remembered import Renewed

    answers, look, console = Renewed(store.root), look_at(folder, store), Literal()

    def now() -> Look:
        return look(answers())

    if console.is_terminal:
        from rich.live import Live

        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            last = follow(now, lambda snapshot: live.update(drawn(snapshot, console, show_all), refresh=True), seconds)
    else:
        last = follow(now, _Changes(), seconds)
        for line in last.summary:
            click.echo(line)
    click.echo(next_step(last.name, last.counts))


def follow(
    look: Callable[[], Look],
    tell: Callable[[Look], None],
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Look:
    """Poll and report until nothing runs any more; pauses grow with the time of a poll. Returns the last snapshot."""
    while True:
        began = time.monotonic()
        snapshot = look()
        tell(snapshot)
        if not ALIVE & set(snapshot.counts):
            return snapshot
        sleep(max(seconds, REST * (time.monotonic() - began)))


def drawn(snapshot: Look, console: Console, show_all: bool) -> Any:
    """A snapshot as it fits the screen: the summary first, then the cells that matter most."""
    from rich.text import Text

    ordered = sorted(snapshot.cells, key=lambda c: URGENT.index(c["state"]))
    with console.capture() as capture:
        for line in (
            snapshot.headline,
            *snapshot.summary,
            f"{time.strftime('%H:%M:%S')}; Ctrl-C ends watching, not the cells",
        ):
            console.print(Text(line), soft_wrap=True)
        table(console, ordered, show_all, most=console.height)
    return Text.from_ansi(capture.get(), no_wrap=True, overflow="crop")


class _Changes:
    """Prints a line for every cell whose state has changed, and one for all of them together."""

    def __init__(self) -> None:
        self._states: Mapping[str, str] = {}

    def __call__(self, snapshot: Look) -> None:
        from paceline.cli.cell_table import one_line, title
        from paceline.sweep.forecast import duration
        from paceline.sweep.status import STATE_NAMES

        clock = time.strftime("%H:%M:%S")
        states = {c["id"]: c["state"] for c in snapshot.cells}
        if states == self._states:
            return
        for c in snapshot.cells:
            if self._states and self._states.get(c["id"]) != c["state"]:
                why = ": ".join(w for w in (c["cause"], c["detail"]) if w) if c["state"] != "done" else ""
                told = STATE_NAMES.get(c["state"], c["state"])
                click.echo(f"{clock}  {title(c, snapshot.cells)} {told}{f': {one_line(why)}' if why else ''}")
        left = f", about {duration(snapshot.told.seconds)} left" if snapshot.told.seconds is not None else ""
        click.echo(f"{clock}  {snapshot.headline}{left}")
        self._states = states


def summary(counts: dict[str, int], forecast: Forecast, ago: str) -> Iterator[str]:
    """What concerns the sweep as a whole: time, cost, and how old the news is."""
    from paceline.counted import counted
    from paceline.sweep.forecast import duration

    if forecast.seconds is not None:
        yield f"about {duration(forecast.seconds)} left with {counted(counts['running'], 'cell')} at a time"
    if forecast.estimated_gpu_hours:
        most = "at most " if forecast.at_most else "about "
        yield f"GPU-hours: {forecast.gpu_hours:.1f} used of {most}{forecast.estimated_gpu_hours:.1f}"
    if ago:
        yield ago


def describe(planned: Any, state: Any, variant: str, forecast: Forecast) -> dict[str, Any]:
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
        "seconds_left": forecast.left.get(cell.id) if state.state != "failed" else None,
        "times_its_siblings": forecast.slow.get(cell.id),
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
        mended = "after a wrong YAML submit the same again with --mend"
        return f"next: paceline logs CELL, mend the cause, then: paceline resume {name} --retry-failed; {mended}"
    return f"next: paceline resume {name}"


def show(snapshot: Look, show_all: bool) -> None:
    """Print a table of the cells that are not done, or of all; of very many those that matter most."""
    from rich.text import Text

    from paceline.cli.cell_table import Literal

    console = Literal()
    name, colon, rest = snapshot.headline.partition(":")
    console.print(Text.assemble((name, "bold"), colon, rest), soft_wrap=True)
    if show_all:
        table(console, snapshot.cells, show_all)
        return
    ordered = sorted(snapshot.cells, key=lambda c: URGENT.index(c["state"]))
    asked = [c for c in ordered if c["state"] != "done" or c["times_its_siblings"]]
    if len(asked) <= MOST_CELLS:
        table(console, snapshot.cells, show_all)
        return
    table(console, ordered, show_all, MOST_SHOWN)
    console.print(Text(_left_out(snapshot.name, asked[MOST_SHOWN:])), soft_wrap=True)


def _left_out(name: str, cells: Sequence[dict[str, Any]]) -> str:
    """How many cells are not in the table, where they stand, and how to see them."""
    from collections import Counter

    from paceline.sweep.status import in_words

    return f"and {len(cells):,} more: {in_words(Counter(c['state'] for c in cells))}; all: paceline status {name} --all"


def table(console: Console, cells: Sequence[dict[str, Any]], show_all: bool, most: int | None = None) -> None:
    """Print one row for each cell that is not done, that takes long, or for all; the first ``most`` of them."""
    from paceline.cli.cell_table import print_cells, short_hash
    from paceline.sweep.forecast import duration
    from paceline.sweep.status import STATE_NAMES

    rows = []
    for c in cells:
        beat = c["progress"] or {}
        far = f"{beat['done']:,}/{beat['total']:,} {beat['unit']}" if beat.get("total") else ""
        why = ": ".join(w for w in (c["cause"], c["detail"]) if w)
        if c["state"] == "waiting":
            why = f"after {', '.join(map(short_hash, c['needs']))}"
        slow = f"takes {c['times_its_siblings']:.1f}× as long as its siblings" if c["times_its_siblings"] else ""
        why = "; ".join(w for w in (why, slow) if w)
        left = duration(c["seconds_left"]) if c["state"] == "running" and c["seconds_left"] is not None else ""
        told = STATE_NAMES.get(c["state"], c["state"])
        rows.append({**c, "state": told, "id": short_hash(c["id"]), "progress": far, "left": left, "why": why})
    shown = [r for r in rows if show_all or r["state"] != "done" or r["times_its_siblings"]][:most]
    print_cells(console, rows, shown, ("state", "kind", "task", "model", "prompt", "method", "id", "progress", "left"))
