"""Have answers marked by people: a blind sheet out, read back in, and how far markers agree."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paceline.cli.options import json_option, name_argument
from paceline.cli.resolve import find_sweep, say_json, short
from paceline.counted import counted

if TYPE_CHECKING:
    from paceline.report.read.sweep_results import Report

SUFFIXES = (".csv", ".html")


@click.command(short_help="sheets for marking answers by hand")
@name_argument("[SWEEP]")
@click.option("--out", metavar="FILE", help="write a sheet: FILE.csv for a spreadsheet, FILE.html for a browser")
@click.option("--read", "sheet", metavar="FILE.csv", help="keep the marks of a sheet that was filled in")
@click.option("--marker", metavar="NAME", help="who marked; with --out: leave out what NAME has marked")
@click.option("--n", "number", type=click.IntRange(1), default=20, show_default=True, help="samples on the sheet")
@click.option("--seed", type=int, default=0, show_default=True, help="of the samples and their order")
@click.option("--task", default="", help="of which task, where the sweep has several to mark")
@click.option("--split", default="", help="of which split, where the task has several")
@click.option("--cells", default="", metavar="ID,…", help="only these cells, by id or hash; all by default")
@click.option("--references", is_flag=True, help="show the right answers too, which may bias")
@click.option("--wrong", is_flag=True, help="only answers that are not right, where the task tells right from wrong")
@json_option
def command(
    words: Sequence[str],
    conf: str | None,
    out: str | None,
    sheet: str | None,
    marker: str | None,
    number: int,
    seed: int,
    task: str,
    split: str,
    cells: str,
    references: bool,
    wrong: bool,
    as_json: bool,
) -> None:
    """Have answers marked by people: a blind sheet out, read back in, and how far markers agree.

    A sheet holds the same samples of every cell. It does not say which cell gave an answer, and equal answers stand
    once. Without --out and --read what was marked is printed. docs/marks.md has the details.

    \b
    paceline marks sports --out sheet.html
    paceline marks sports --read sheet-anna.csv --marker anna
    paceline marks sports
    """
    from paceline import report
    from paceline.errors import UserError

    if out and sheet:
        raise UserError("give --out or --read, not both")
    if sheet and not marker:
        raise UserError(f"whose marks are in {sheet}? give --marker NAME")
    if out and Path(out).suffix.lower() not in SUFFIXES:
        raise UserError(f"--out {out}: a sheet is a file that ends in {' or '.join(SUFFIXES)}")
    if marker:
        from paceline.report.marking import mark_files

        marker = mark_files.check_marker(marker)
    folder, store = find_sweep(words, conf)
    collected = report.collect(store, folder)
    if out:
        names = [name for name in cells.split(",") if name]
        _write(collected, Path(out), task, split, names, number, seed, references, wrong, marker)
    elif sheet:
        _keep(collected, Path(sheet), str(marker))
    else:
        _show(collected, task, split, as_json)


def _write(
    collected: Report,
    path: Path,
    task: str,
    split: str,
    cells: Sequence[str],
    number: int,
    seed: int,
    references: bool,
    wrong: bool,
    marker: str | None,
) -> None:
    from paceline.errors import UserError
    from paceline.report.marking import answer_sheet, sheet_return
    from paceline.store.files import write_bytes

    group = answer_sheet.group_of(collected, task, split)
    rows = answer_sheet.rows_of(group, cells)
    marked: set[str] = set()
    if marker:
        sheet_return.check_case(collected, marker)
        marked = sheet_return.marked_keys(collected, group, rows, marker)
    sheet = answer_sheet.build(collected, group, rows, number, seed, references, marked, wrong)
    if not sheet.rows:
        click.echo(f"nothing to mark: {marker} has marked all of it" if marker else "nothing to mark: all are right")
        return
    if path.suffix.lower() == ".html":
        from paceline.report.marking import sheet_page

        write_bytes(path, sheet_page.html(collected, group, sheet, path.stem).encode("utf-8", "replace"))
        how = "open it in a browser; it keeps what is marked, and saves it as a CSV file"
    else:
        content = sheet.csv()
        if path.exists() and path.read_bytes() != content:
            raise UserError(f"--out {path}: there is such a file, and it may be filled in; name another, or remove it")
        write_bytes(path, content)
        how = f"fill in {answer_sheet.how(sheet.criteria)}"
    samples = len({row.sample for row in sheet.rows})
    click.echo(
        f"{group.title}: {counted(len(sheet.rows), 'answer')} to {counted(samples, 'sample')}, "
        f"by {counted(len(rows), 'cell')}, equal ones once"
    )
    if wrong:
        click.echo(f"note: only answers that count as wrong by {answer_sheet.right_by(group)}, unread ones too")
    elif samples < number and not marked:
        click.echo(f"note: all cells answered no more than {counted(samples, 'sample')} of it")
    click.echo(f"wrote: {short(path)}; {how}")
    click.echo(f"then:  paceline marks {collected.sweep} --read FILE.csv --marker {marker or 'NAME'}")


def _keep(collected: Report, path: Path, marker: str) -> None:
    from paceline.report.marking import sheet_return

    returned = sheet_return.read(collected, path)
    twin = sheet_return.marked_alike(collected, returned, marker)
    changed = sheet_return.keep(collected, returned, marker)
    parts = [
        f"{counted(returned.answers, 'answer')} marked by {marker}",
        f"kept in {counted(len(returned.marks), 'cell')}",
    ]
    parts += [f"{returned.partly:,} not by all criteria"] if returned.partly else []
    parts += [f"{counted(returned.empty, 'row')} empty"] if returned.empty else []
    parts += [f"{changed:,} marked otherwise than before"] if changed else []
    click.echo(f"{collected.sweep}: {', '.join(parts)}")
    if twin:
        click.echo(
            f"note: {twin} has exactly these marks; if it is one person's file, delete marks/{marker}.csv in the "
            "folders of the cells: kappa counts both"
        )
    if returned.outdated:
        click.echo(
            f"note: {counted(returned.outdated, 'marked row')} of answers that no cell gives any more, not kept; "
            f"for the answers of now: paceline marks {collected.sweep} --out FILE --marker {marker}"
        )


def _show(collected: Report, task: str, split: str, as_json: bool) -> None:
    from paceline.cli.cell_table import Literal
    from paceline.report.marking import answer_sheet, marked_cells
    from paceline.report.text import marking_tables
    from paceline.report.text.fitted import ruled
    from paceline.tasks.panels import plain

    chosen = answer_sheet.groups_of(collected, task, split)
    shown = [(group, panel) for group in chosen if (panel := marked_cells.panel(collected, group))]
    if as_json:
        say_json([{"task": group.task, "split": group.split, **plain(panel)} for group, panel in shown])
        return
    if not shown:
        click.echo(
            f"{collected.sweep}: nothing is marked yet; a sheet: paceline marks {collected.sweep} --out sheet.html"
        )
        return
    console = Literal()
    for group, panel in shown:
        console.print()
        tables = marking_tables.terminal(group, panel, lambda name: ruled("", name), sys.maxsize)
        console.print(tables, crop=False)
