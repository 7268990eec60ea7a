"""Print the log of a cell's latest attempt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paceline.cli.options import name_argument
from paceline.cli.resolve import one_name, short

if TYPE_CHECKING:
    from paceline.store.cell_folder import Attempt, CellFolder
    from paceline.store.root import Store

POLL_SECONDS = 0.5
WAIT_SECONDS = 3.0


@click.command(short_help="print a cell's log")
@name_argument("CELL")
@click.option("-f", "--follow", is_flag=True, help="go on as it grows, until the cell ends")
@click.option("-a", "--attempt", type=int, help="an earlier attempt's log")
def command(words: Sequence[str], conf: str | None, follow: bool, attempt: int | None) -> None:
    """Print the log of a cell's latest attempt. CELL is an id, its beginning, or (part of) its hash.

    With -f it waits for a cell that is queued, and goes on with the next attempt where the job was requeued.
    """
    from paceline.errors import UserError

    name, store = one_name(words, conf)
    if name is None:
        raise UserError("which cell? give an id, or its hash as `paceline status` shows it")
    folder = store.find_cell(name)
    attempts = {a.n: a for a in folder.attempts()}
    if attempt is not None and attempt not in attempts:
        numbers = ", ".join(map(str, attempts)) or "none"
        raise UserError(f"cell {folder.id} has no attempt {attempt}; it has {numbers}")
    chosen = attempts[attempt or max(attempts)] if attempts else None
    if chosen is None and follow:
        chosen = wait_for_attempt(store, folder, 0)
    if chosen is None:
        tell_jobs(store, folder.id, f"cell {folder.id} did not start yet")
        return
    while chosen is not None:
        show(store, folder, chosen, follow)
        chosen = wait_for_attempt(store, folder, chosen.n) if follow and attempt is None else None


def show(store: Store, folder: CellFolder, chosen: Attempt, follow: bool) -> None:
    """Print an attempt's log, as it grows if asked to follow.

    Raises:
        UserError: there is none yet, or never was.
    """
    from paceline.errors import UserError

    over = wait_for_log(chosen, follow)
    if not chosen.log.exists():
        if not over:
            raise UserError(f"attempt {chosen.n} of {folder.id} runs and has written no log yet; wait for it with -f")
        tell_jobs(store, folder.id, f"attempt {chosen.n} of {folder.id} ended before its log began")
        return
    with chosen.log.open(errors="replace") as stream:
        while True:
            click.echo(stream.read(), nl=False)
            over = is_over(chosen)
            if not follow or over:
                click.echo(stream.read(), nl=False)
                break
            time.sleep(POLL_SECONDS)
    end = chosen.end()
    cause = f"ended: {end['cause']}" if end else ("is running" if not over else "ended without a word (killed)")
    click.echo(f"-- attempt {chosen.n} of {folder.id} {cause}", err=True)


def wait_for_attempt(store: Store, folder: CellFolder, after: int) -> Attempt | None:
    """The next attempt of a cell, waited for while something is about to begin it: a job in the queue, a launcher.

    Polls files, and Slurm's queue once a minute.
    """
    from paceline.slurm.remembered import Renewed
    from paceline.sweep import status

    answers = Renewed(store.root)
    last_message = ""
    while True:
        attempts = folder.attempts()
        if attempts and attempts[-1].n > after:
            return attempts[-1]
        state = status.states(store, [folder.read()], asked=answers())[folder.id]
        if state.state not in ("queued", "running"):
            return None
        message = f"-- {folder.id} is queued{f' ({state.detail})' if state.detail else ''}; waiting for it"
        if message != last_message:
            click.echo(message, err=True)
            last_message = message
        time.sleep(WAIT_SECONDS)


def is_over(attempt: Attempt) -> bool:
    """Whether an attempt has ended, well or not."""
    from paceline.attempts.attempt import lives

    return attempt.end() is not None or not lives(attempt)


def wait_for_log(attempt: Attempt, follow: bool) -> bool:
    """With ``follow``, wait until the log exists; returns whether the attempt is over."""
    while True:
        over = is_over(attempt)
        if over or not follow or attempt.log.exists():
            return over
        time.sleep(POLL_SECONDS)


def tell_jobs(store: Store, cell: str, why: str) -> None:
    """Print the output of the cell's latest job, such as that of a prologue or an import that failed.

    Raises:
        UserError: no job of the cell printed anything.
    """
    from paceline.errors import UserError

    logs = job_logs(store, cell)
    if not logs:
        raise UserError(f"{why}, and no job of it left a word; see: paceline status")
    for path in logs:
        click.echo(f"-- {short(path)}", err=True)
        click.echo(path.read_text(errors="replace"))
    click.echo(f"-- {why}; this is what its job said", err=True)


def job_logs(store: Store, cell: str) -> list[Path]:
    """Logs that are not empty, of the jobs of the latest submission that claimed the cell."""
    from paceline.errors import UserError
    from paceline.store.files import read_json

    submissions = []
    for path in store.root.glob("sweeps/*/submissions/*/elements.json"):
        try:
            elements = read_json(path)["elements"]
            index = next((i for i, e in enumerate(elements) if cell in e["cells"]), None)
        except (UserError, KeyError, TypeError):
            continue
        if index is not None:
            submissions.append((path.stat().st_mtime, path.parent, index))
    for _, folder, index in sorted(submissions, reverse=True):
        try:
            job = read_json(folder / "jobs.json")["jobs"][str(index)]
        except (UserError, KeyError, TypeError):
            job = ""  # died before it was written down: any job of the submission may be the one
        begin = f"{job}_" if job else ""
        for kind in ("out", "err"):
            logs = sorted((folder / "submitit").rglob(f"*_log.{kind}"))
            if logs := [p for p in logs if p.name.startswith(begin) and p.stat().st_size]:
                return logs
    return []
