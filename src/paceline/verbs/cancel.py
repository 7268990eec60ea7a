"""Ask a sweep's running cells to save and stop."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence

import click

from paceline.arguments import find_sweep, name_argument


@click.command(short_help="ask running cells to save and stop")
@name_argument("[SWEEP]")
@click.option("-y", "--yes", is_flag=True, help="do not ask")
def command(words: Sequence[str], conf: str | None, yes: bool) -> None:
    """Ask a sweep's running cells to save and stop, and what it has queued not to start. Touches no other sweep."""
    from paceline import process, status
    from paceline.store import read_json
    from paceline.sweep import recorded

    folder, store, _ = find_sweep(words, conf)
    sweep = recorded(folder, store)
    launchers = []
    for path in folder.submissions():
        if (path / "intent.json").exists() and not (path / "closed.json").exists():
            owner = read_json(path / "intent.json")
            if process.alive(owner, None):
                launchers.append(owner)
    running = []
    for planned in sweep.cells:
        attempts = store.cell(planned.id).attempts()
        start = attempts[-1].start() if attempts and attempts[-1].end() is None else None
        if start and start["sweep"] == folder.name and status.attempt_alive(attempts[-1]):
            running.append(start)
    if not launchers and not running:
        click.echo(f"{folder.name}: nothing runs")
        return
    if not yes:
        click.confirm(f"{folder.name}: stop {len(running)} running cells?", abort=True)
    # The launcher passes the word on to its cells and starts no more; cells without one are told themselves.
    targets = launchers or running
    for owner in targets:
        if owner["host"] != socket.gethostname():
            click.echo(f"cells on {owner['host']} can only be stopped there: kill {owner['pid']}", err=True)
            continue
        os.kill(owner["pid"], signal.SIGINT if launchers else signal.SIGTERM)
    click.echo(
        f"{folder.name}: asked {len(running)} cells to save and stop; take them up with: paceline resume {folder.name}"
    )
