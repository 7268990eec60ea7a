"""Run one cell here, in the foreground: a recorded one, or the one that overrides describe."""

from __future__ import annotations

from collections.abc import Sequence

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
from paceline.config.cell_kinds import kind_of


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
        needed = [store.cell(n).read() for n in cell.needs]
        cells = [PlannedCell(c, composition.replaced(c.config, c.kind)) for c in (*needed, cell)]
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
        points = sum(1 for c in sweep.cells if kind_of(c.cell.kind).answers)
        if points > 1:
            raise UserError(f"these overrides describe {points} cells; `paceline submit` runs a sweep")
        sweep.name = f"run-{sweep.cells[-1].id.rpartition('-')[2]}"
    make_true(sweep, store, composition, False, retry_failed=retry_failed, current_code=True)
