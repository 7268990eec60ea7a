"""Print the log of a cell's latest attempt."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from paceline.arguments import name_argument, one_name


@click.command(short_help="print a cell's log")
@name_argument("CELL")
@click.option("-f", "--follow", is_flag=True, help="go on as it grows, until the cell ends")
@click.option("-a", "--attempt", type=int, help="an earlier attempt's log")
def command(words: Sequence[str], conf: str | None, follow: bool, attempt: int | None) -> None:
    """Print the log of a cell's latest attempt. CELL is an id, its beginning, or (part of) its hash."""
    from paceline import status
    from paceline.errors import UserError

    name, store, _ = one_name(words, conf)
    if name is None:
        raise UserError("which cell? give an id, or its hash as `paceline status` shows it")
    folder = store.find_cell(name)
    attempts = {a.n: a for a in folder.attempts()}
    if not attempts:
        raise UserError(f"cell {folder.id} was never begun")
    if attempt is not None and attempt not in attempts:
        raise UserError(f"cell {folder.id} has attempts {', '.join(map(str, attempts))}, not {attempt}")
    chosen = attempts[attempt or max(attempts)]
    with chosen.log.open(errors="replace") as stream:
        while True:
            click.echo(stream.read(), nl=False)
            over = chosen.end() is not None or not status.lives(chosen)
            if not follow or over:
                click.echo(stream.read(), nl=False)
                break
            time.sleep(0.5)
    end = chosen.end()
    cause = f"ended: {end['cause']}" if end else ("is running" if not over else "ended without a word (killed)")
    click.echo(f"-- attempt {chosen.n} of {folder.id} {cause}", err=True)
