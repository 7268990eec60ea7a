"""Ask a sweep's running cells to save and stop."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from typing import Any

import click

from paceline.arguments import find_sweep, name_argument


@click.command(short_help="ask running cells to save and stop")
@name_argument("[SWEEP]")
@click.option("-y", "--yes", is_flag=True, help="do not ask")
def command(words: Sequence[str], conf: str | None, yes: bool) -> None:
    """Ask a sweep's running cells to save and stop, and what it has queued not to start. Touches no other sweep."""
    from paceline import process, status
    from paceline.slurm import clients
    from paceline.store import read_json
    from paceline.sweep import recorded

    folder, store, _ = find_sweep(words, conf)
    sweep = recorded(folder, store)
    claims = status.claims(store)
    mine = [c for p in sweep.cells if (c := claims.get(p.id)) and c.submission.startswith(f"{folder.path}/")]
    jobs = sorted({c.job for c in mine if c.job})
    launchers: dict[str, dict[str, Any]] = {}
    for path in folder.submissions():
        if (path / "intent.json").exists() and not (path / "closed.json").exists():
            owner = read_json(path / "intent.json")
            if process.alive(owner, process.age_of(path / "heartbeat")):
                launchers[str(path)] = owner
    running = []
    for planned in sweep.cells:
        attempts = store.cell(planned.id).attempts()
        start = attempts[-1].start() if attempts and attempts[-1].end() is None else None
        if start and start["sweep"] == folder.name and status.lives(attempts[-1]):
            running.append(start)
    if not launchers and not running and not jobs:
        click.echo(f"{folder.name}: nothing runs")
        return
    queued = f" and {len(jobs)} jobs of Slurm" if jobs else ""
    if not yes and not click.confirm(f"{folder.name}: stop {len(running)} running cells{queued}?"):
        click.echo("left as it is")
        return
    if jobs:
        clients.call(["scancel", *jobs])
    # A launcher passes the word on to its cells and starts no more; cells whose launcher died are told themselves.
    orphans = [start for start in running if start["submission"] not in launchers and not jobs]
    for owner in [*launchers.values(), *orphans]:
        _ask(owner)
    click.echo(
        f"{folder.name}: asked {len(running)} cells to save and stop; take them up with: paceline resume {folder.name}"
    )


def _ask(owner: dict[str, Any]) -> None:
    """Send one process the word; what can't be reached is told with the command that can."""
    if owner["host"] != socket.gethostname():
        click.echo(f"on {owner['host']} it can only be stopped there: kill {owner['pid']}", err=True)
        return
    try:
        os.kill(owner["pid"], signal.SIGTERM)
    except ProcessLookupError:
        pass  # it ended meanwhile
    except PermissionError:
        click.echo(f"process {owner['pid']} belongs to somebody else, who must stop it", err=True)
