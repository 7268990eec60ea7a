"""Compare the results of a sweep: a table here, and a page to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from paceline.arguments import find_sweep, json_option, name_argument, say_json, short


@click.command(short_help="a table, and a page, of a sweep's results")
@name_argument("[SWEEP]")
@json_option
@click.option("--csv", "csv", metavar="FILE", help="write every metric with its interval")
@click.option("--no-page", is_flag=True, help="only the table")
def command(words: Sequence[str], conf: str | None, as_json: bool, csv: str | None, no_page: bool) -> None:
    """Compare the results of a sweep (the latest, where none is named): a table here, and a page to look at."""
    from paceline import report
    from paceline.report import page, table, terminal
    from paceline.tables import Literal

    folder, store = find_sweep(words, conf)
    collected = report.collect(store, folder)
    if csv:
        table.write_csv(collected, Path(csv))
    if as_json:
        say_json(table.as_json(collected))
        return
    terminal.show(collected, Literal())
    if csv:
        click.echo(f"table: {csv}")
    if not no_page:
        click.echo(f"page:  {short(page.write(collected))}")
