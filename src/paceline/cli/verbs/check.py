"""Check whether the figures of a table, published or a sweep's, allow each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paceline.cli.options import json_option, name_argument
from paceline.cli.resolve import find_sweep, say_json, short
from paceline.counted import counted

if TYPE_CHECKING:
    from paceline.report.consistency import Finding


@click.command(short_help="whether the figures of a table allow each other")
@name_argument("[TABLE | SWEEP]")
@json_option
def command(words: Sequence[str], conf: str | None, as_json: bool) -> None:
    """Check whether the figures of a table allow each other: a median its shares, a change its base, a text its table.

    TABLE is a file of published figures (.yaml; docs/review.md says how it is written), or what `paceline report`
    exports (.csv, .json); it is also looked for among the configs. SWEEP is a recorded sweep, the latest where nothing
    is named. Exit code 1 where there are findings.

    \b
    paceline check published/geolocator.yaml
    paceline check demo
    """
    from paceline.cli.cell_table import Literal
    from paceline.report.consistency import check, published
    from paceline.report.text.terminal import show_findings

    if len(words) == 1 and words[0].lower().endswith(published.SUFFIXES):
        path = _find(words[0], conf)
        table = published.read_table(path)
        name, rows, findings = short(path), len(table.rows), check(table)
    else:
        name, rows, findings = _sweep(words, conf)
    if as_json:
        say_json({"checked": name, "rows": rows, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        console = Literal()
        show_findings(findings, console)
        console.print(
            f"{name}: {counted(rows, 'row')}, {counted(len(findings), 'finding') if findings else 'no findings'}"
        )
    if findings:
        raise click.exceptions.Exit(1)


def _find(name: str, conf: str | None) -> Path:
    """The file of that name: in the working directory, else among the configs."""
    from paceline.errors import UserError
    from paceline.sweep.config_files import conf_folders

    relative = Path(name).expanduser()
    if relative.is_file():
        return relative
    folders = conf_folders(conf)
    if match := next((path for folder in folders if (path := folder / relative).is_file()), None):
        return match
    raise UserError(f"no file {name}, neither here nor in {', '.join(map(short, folders))}")


def _sweep(words: Sequence[str], conf: str | None) -> tuple[str, int, tuple[Finding, ...]]:
    from paceline import report
    from paceline.report.consistency import sweeps

    folder, store = find_sweep(words, conf)
    collected = report.collect(store, folder)
    return folder.name, len(sweeps.table_of(collected).rows), sweeps.findings(collected)
