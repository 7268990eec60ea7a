"""Run one cell here, in the foreground: a recorded one, or the one that overrides describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from paceline.cli.options import cell_or_overrides_argument
from paceline.cli.resolve import (
    compose_words,
    composed_name,
    data_digests,
    pins,
    require_compared,
    split,
    store_of,
    use_code_of_cell,
)

if TYPE_CHECKING:
    from paceline.store.cell_folder import Cell
    from paceline.store.root import Store


@click.command(short_help="run one cell here")
@cell_or_overrides_argument
@click.option("--retry-failed", is_flag=True, help="also where it ended with a bug, bad data or a NaN loss")
def command(words: Sequence[str], conf: str | None, retry_failed: bool) -> None:
    """Run one cell here, in the foreground: a recorded one by its id, or the one that overrides describe.

    What the cell needs is run before it.

    \b
    paceline run model=tiny_qwen2_vl task=geolocation_earth prompt=geo_bare limit=20
    """
    from paceline.cli.verbs.submit import make_true
    from paceline.data import samples
    from paceline.errors import UserError
    from paceline.sweep.cells import PlannedCell, Sweep, expand

    if split(words)[0]:
        name, store, composition = composed_name(words, conf)
        folder = store.find_cell(str(name))
        use_code_of_cell(folder, store)
        cell = folder.read()
        cells = [PlannedCell(c, composition.replaced(c.config, c.kind)) for c in with_needs(cell, store)]
        sweep = Sweep(f"run-{cell.id.rpartition('-')[2]}", (), None, cells)
    else:
        composition = compose_words(words, conf)
        store = store_of(composition)
        sweep = expand(
            composition,
            data_digests(store, words, conf),
            lambda task: samples.splits(store.root, task),
            pins(store),
            store.root,
        )
        require_compared(sweep, store, words, conf)
        if sweep.points > 1:
            raise UserError(f"these overrides describe {sweep.points} cells; `paceline submit` runs a sweep")
        sweep.name = f"run-{sweep.cells[-1].id.rpartition('-')[2]}"
    make_true(sweep, store, composition, False, retry_failed=retry_failed, current_code=True)


def with_needs(cell: Cell, store: Store) -> list[Cell]:
    """A cell behind the cells that it needs, and what these need; each once."""
    found: dict[str, Cell] = {}
    for needed in cell.needs:
        found |= {c.id: c for c in with_needs(store.cell(needed).read(), store)}
    return [*found.values(), cell]
