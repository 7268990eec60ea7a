"""Ask a sweep's running cells to save and stop."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from typing import Any

import click

from paceline.cli.options import confirmed, name_argument
from paceline.cli.resolve import find_sweep
from paceline.counted import counted


@click.command(short_help="ask running cells to save and stop")
@name_argument("[SWEEP]")
@click.option("-y", "--yes", is_flag=True, help="do not ask")
def command(words: Sequence[str], conf: str | None, yes: bool) -> None:
    """Ask a sweep's running cells to save and stop, and what it has queued not to start. Touches no other sweep."""
    from paceline.slurm import clients
    from paceline.slurm.queue import base
    from paceline.slurm.remembered import Answers
    from paceline.sweep import status
    from paceline.sweep.cells import recorded
    from paceline.sweep.removal import open_work

    folder, store = find_sweep(words, conf)
    sweep = recorded(folder, store)
    answers = Answers(store.root, fresh=True)
    work = open_work(folder, answers)
    launchers, live = work.launchers, work.jobs
    jobs = sorted({base(job.id) for job in live}, key=int)
    running = []
    for planned in sweep.cells:
        attempts = store.cell(planned.id).attempts()
        start = attempts[-1].start() if attempts and attempts[-1].end() is None else None
        if start and start["sweep"] == folder.name and status.lives(attempts[-1]):
            running.append(start)
    if not launchers and not running and not jobs:
        click.echo(f"{folder.name}: nothing runs")
        return
    more = f" and {counted(len(live), 'job')} of Slurm" if live else ""
    if not yes and not confirmed(f"{folder.name}: stop {counted(len(running), 'running cell')}{more}?"):
        click.echo("left as it is")
        return
    if jobs:
        clients.call(["scancel", *jobs])
        answers.forget()
    # A launcher passes the signal on to its cells and starts no more; cells whose launcher died get it directly.
    orphans = [start for start in running if start["submission"] not in launchers and not jobs]
    for owner in [*launchers.values(), *orphans]:
        _ask(owner)
    click.echo(
        f"{folder.name}: asked {counted(len(running), 'cell')} to save and stop; next: paceline resume {folder.name}"
    )


def _ask(owner: dict[str, Any]) -> None:
    """Send one process the signal; for one on another host, print the command that can."""
    if owner["host"] != socket.gethostname():
        click.echo(f"on {owner['host']} it can only be stopped there: kill {owner['pid']}", err=True)
        return
    try:
        os.kill(owner["pid"], signal.SIGTERM)
    except ProcessLookupError:
        pass  # it ended meanwhile
    except PermissionError:
        click.echo(f"process {owner['pid']} belongs to somebody else, who must stop it", err=True)
