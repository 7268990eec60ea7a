"""Remove a sweep with the cells that are its alone, or prepared data that no sweep reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from paceline.cli.complete import complete_removable
from paceline.cli.options import confirmed, words_argument
from paceline.cli.resolve import one_name
from paceline.counted import agree, counted

if TYPE_CHECKING:
    from paceline.store.cell_folder import CellFolder
    from paceline.sweep.removal import Removal


@click.command(short_help="remove a sweep, or data that none reads")
@words_argument("SWEEP | DATA", complete_removable)
@click.option("-y", "--yes", is_flag=True, help="do not ask")
@click.option("--with-marks", is_flag=True, help="also cells whose answers people marked by hand")
@click.option("-n", "--dry-run", is_flag=True, help="say what would go and what would stay, and remove nothing")
def command(words: Sequence[str], conf: str | None, yes: bool, with_marks: bool, dry_run: bool) -> None:
    """Remove a sweep with the cells that are its alone, or prepared data that no sweep reads; names as in paceline ls.

    What another sweep has too stays: cells, adapters, data. Weights of models stay, and what was uploaded. Refused
    while cells of the sweep run or are queued, and where people marked answers, without --with-marks.

    \b
    paceline rm demo --dry-run
    paceline rm earth-11c415001fd9
    """
    from paceline.errors import UserError
    from paceline.slurm.remembered import Answers
    from paceline.sweep import removal

    name, store = one_name(words, conf)
    if name is None:
        known = ", ".join(store.sweeps()) or "none"
        raise UserError(f"name the sweep or the data to remove (sweeps under {store.root}: {known}); see: paceline ls")
    planned = removal.plan(name, store, Answers(store.root, fresh=True))
    unsent = sum(map(_unsent, planned.cells))
    usage = planned.usage()
    tell(planned, unsent)
    if dry_run:
        click.echo(f"would free {usage}")
        return
    require_no_marks(planned, with_marks)
    if not yes and not confirmed(f"remove it ({usage})?"):
        click.echo("left as it is")
        return

    def again() -> Removal:
        now = removal.plan(name, store, Answers(store.root, fresh=True))
        require_no_marks(now, with_marks)
        return now

    removal.carry_out(planned, store, again)
    click.echo(f"removed {name}: {usage} freed")


def _unsent(cell: CellFolder) -> bool:
    """Whether W&B lacks something of a cell; where that can't be known, it may."""
    from paceline.errors import UserError
    from paceline.tracking.sync import pending

    try:
        return bool(pending(cell).pieces)
    except UserError:
        return True


def require_no_marks(planned: Removal, with_marks: bool) -> None:
    """Refuse to remove what people did by hand, unless that is asked for by name.

    Raises:
        UserError: cells that go have marks; with the markers and the flag.
    """
    from paceline.errors import UserError

    marked = planned.marked
    if marked and not with_marks:
        markers = ", ".join(sorted({marker for cell in marked for marker in cell.markers()}))
        cells = f"{counted(len(marked), 'cell')} of it {agree(len(marked), 'has', 'have')}"
        raise UserError(
            f"{planned.name}: {cells} marks that people gave by hand ({markers}), such as in {marked[0].marks}; copy "
            "them, or give --with-marks"
        )


def tell(planned: Removal, unsent: int) -> None:
    """Print what goes and what stays."""
    kinds = [path.parent.name for path in planned.moves]
    if "data" in kinds:
        click.echo(f"{planned.name}: prepared data that no recorded sweep reads")
        return
    goes = ["its record"] if "sweeps" in kinds else []
    goes += ["what a removal that broke off left"] if planned.leftovers else []
    goes += [f"cells that are its alone: {len(planned.cells)} ({planned.done} done)"]
    goes += [f"frozen code {path.name}" for path in planned.moves if path.parent.name == "code"]
    click.echo(f"{planned.name} goes: {', '.join(goes)}")
    stays = ["prepared data", "weights of models"]
    if planned.kept:
        sweeps = sorted({name for names in planned.kept.values() for name in names})
        more = f" and {len(sweeps) - 3} more" if len(sweeps) > 3 else ""
        stays.insert(0, f"cells that are in {', '.join(sweeps[:3])}{more} too: {len(planned.kept)}")
    click.echo(f"stays: {', '.join(stays)}")
    if planned.marked:
        click.echo(f"note: cells with marks that people gave by hand: {len(planned.marked)}; --with-marks removes them")
    if unsent:
        click.echo(f"note: cells whose W&B runs were not uploaded: {unsent}; before: paceline sync {planned.name}")
