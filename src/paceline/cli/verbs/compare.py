"""Put two sweeps side by side: what changed in settings, code, data and results."""

from __future__ import annotations

from collections.abc import Sequence

import click

from paceline.cli.options import json_option, name_argument
from paceline.cli.resolve import one_name, say_json, split, use_recorded_code


@click.command(short_help="two sweeps side by side")
@name_argument("BEFORE AFTER")
@json_option
def command(words: Sequence[str], conf: str | None, as_json: bool) -> None:
    """Put two sweeps side by side: what changed in settings, code, data and results.

    Cells are matched by the names of their model, task, prompt and method. The tables compare the leading metrics, JSON
    every headline metric.
    """
    from paceline import report
    from paceline.cli.cell_table import Literal
    from paceline.errors import UserError
    from paceline.report.two_sweeps import compare, comparison_tables

    names, overrides = split(words)
    _, store = one_name(overrides, conf)
    if len(names) != 2 or names[0] == names[1]:
        known = ", ".join(store.sweeps()[-8:]) or "none yet"
        raise UserError(f"name two sweeps: paceline compare BEFORE AFTER; the latest under {store.root}: {known}")
    folders = [store.find_sweep(name) for name in names]
    for folder in reversed(folders):  # where both have a module of a lab's, the later one's shows both
        use_recorded_code(folder, store)
    before, after = (report.collect(store, folder) for folder in folders)
    if as_json:
        say_json(compare.side_by_side(before, after, metrics=lambda group: group.headline).as_json())
        return
    comparison_tables.show(compare.side_by_side(before, after), Literal())
