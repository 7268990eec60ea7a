"""Compare the results of a sweep: a table here, and a page to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from paceline.cli.options import json_or_file_option, name_argument, optional_value
from paceline.cli.resolve import find_sweep, say_json, short
from paceline.counted import counted


@click.command(
    cls=optional_value("--json", lambda argument: argument.endswith(".json")),
    short_help="a table, and a page, of a sweep's results",
)
@name_argument("[SWEEP]")
@json_or_file_option
@click.option("--csv", metavar="FILE", help="write every metric with its interval, one a line")
@click.option("--markdown", metavar="FILE", help="write the headline tables as Markdown")
@click.option("--latex", metavar="FILE", help="write the headline tables for a paper (booktabs)")
@click.option("--files", metavar="FOLDER", help="write what cells answered as files, where the kind of task gives some")
@click.option("--all", "show_all", is_flag=True, help="every row and section, of a large sweep too")
@click.option("--no-page", is_flag=True, help="only the table")
def command(
    words: Sequence[str],
    conf: str | None,
    as_json: str | None,
    csv: str | None,
    markdown: str | None,
    latex: str | None,
    files: str | None,
    show_all: bool,
    no_page: bool,
) -> None:
    """Compare the results of a sweep (the latest, where none is named): a table here, and a page to look at."""
    from paceline import report
    from paceline.cli.cell_table import Literal
    from paceline.report.page import page
    from paceline.report.text import export, saved_files, terminal
    from paceline.report.text import latex as tex

    folder, store = find_sweep(words, conf)
    collected = report.collect(store, folder)
    json_only = as_json == ""
    exports = [
        (csv, export.write_csv),
        (markdown, export.write_markdown),
        (latex, tex.write_latex),
        (as_json, export.write_report_json),
    ]
    written = [(path, write) for path, write in exports if path]
    for path, write in written:
        write(collected, Path(path))
    saved = saved_files.write(collected, Path(files)) if files else []
    if json_only:
        say_json(export.as_json(collected))
        return
    terminal.show(collected, Literal(), show_all)
    for path, _ in written:
        click.echo(f"wrote: {path}")
    if saved:
        click.echo(f"wrote: {counted(len(saved), 'file')} in {files}")
    if not no_page:
        click.echo(f"page:  {short(page.write(collected))}")
