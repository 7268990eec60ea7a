"""Score kept predictions again, with the scorer as it is now; generates nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from paceline.cli.options import name_argument
from paceline.cli.resolve import one_name, use_recorded_code
from paceline.config.cell_kinds import kind_of
from paceline.counted import counted


@click.command(short_help="score kept predictions again")
@name_argument("[SWEEP]")
def command(words: Sequence[str], conf: str | None) -> None:
    """Score the kept predictions of a sweep again, with the scorer as it is now. Generates nothing."""
    from paceline.scoring import judge
    from paceline.sweep.cells import recorded

    name, store = one_name(words, conf)
    folder = store.find_sweep(name)
    if recorded_code := use_recorded_code(folder, store):
        click.echo(
            f"note: {', '.join(recorded_code)} as recorded; for the scorer as it is now give --conf FOLDER", err=True
        )
    cells = [c for c in recorded(folder, store).cells if kind_of(c.cell.kind).answers and store.cell(c.id).done()]
    changed = 0
    for planned in cells:
        cell_folder = store.cell(planned.id)
        before = metrics_of(cell_folder.metrics)
        changed += before != judge.score_cell(cell_folder, store.root)["metrics"]
    click.echo(f"{folder.name}: scored {counted(len(cells), 'cell')} again, {changed} with other metrics")


def metrics_of(path: Path) -> Any:
    """The metrics that a file holds; None where it is missing or damaged, which scoring mends."""
    from paceline.errors import UserError
    from paceline.store.files import read_json

    try:
        return read_json(path).get("metrics")
    except UserError:
        return None
