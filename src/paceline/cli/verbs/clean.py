"""Remove the checkpoints of cells that are done."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import click

from paceline.cli.options import confirmed, name_argument
from paceline.cli.resolve import find_sweep
from paceline.counted import counted


@click.command(short_help="remove checkpoints of done cells")
@name_argument("[SWEEP]")
@click.option("-y", "--yes", is_flag=True, help="do not ask")
def command(words: Sequence[str], conf: str | None, yes: bool) -> None:
    """Remove the checkpoints of a sweep's done cells. Weights, predictions, metrics and logs stay."""
    from paceline.sweep.cells import recorded

    folder, store = find_sweep(words, conf)
    checkpoints = []
    for planned in recorded(folder, store).cells:
        cell_folder = store.cell(planned.id)
        if cell_folder.done():
            checkpoints += [a.checkpoints for a in cell_folder.attempts() if a.checkpoints.is_dir()]
    size = sum(p.stat().st_size for path in checkpoints for p in path.rglob("*") if p.is_file())
    if not checkpoints:
        click.echo(f"{folder.name}: no checkpoints of done cells")
        return
    click.echo(f"{folder.name}: {counted(len(checkpoints), 'folder')} of checkpoints, {size / 2**20:,.1f} MiB")
    if not yes and not confirmed("remove them?"):
        click.echo("left as it is")
        return
    for path in checkpoints:
        shutil.rmtree(path)
    click.echo("removed")
