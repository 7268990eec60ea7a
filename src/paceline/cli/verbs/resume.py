"""Take up a recorded sweep where it stands: `submit`, without having to repeat what it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from paceline.cli.options import json_option, name_argument, wishes_options
from paceline.cli.resolve import composed_name, use_recorded_code, with_mail


@click.command(short_help="take up a recorded sweep where it stands")
@name_argument("[SWEEP] [PLACEMENT]...")
@json_option
@wishes_options
@click.option("--unattended", is_flag=True, help="for scripts: leave what was cancelled or could not begin")
def command(words: Sequence[str], conf: str | None, as_json: bool, mail: str | None, **wished: Any) -> None:
    """Take up a recorded sweep where it stands (the latest, where none is named).

    What is computed stays as recorded; how may change: paceline resume demo placement.micro_batch=4
    """
    import dataclasses

    from paceline.cli.verbs.submit import make_true
    from paceline.sweep.cells import recorded
    from paceline.sweep.named_code import require_code

    name, store, composition = composed_name(with_mail(words, mail), conf)
    folder = store.find_sweep(name)
    recorded_code = use_recorded_code(folder, store)
    if recorded_code and wished["current_code"]:
        click.echo(
            f"note: {', '.join(recorded_code)} as recorded; for the code as it is now give --conf FOLDER", err=True
        )
    sweep = recorded(folder, store)
    if wished["current_code"]:
        require_code(planned.config for planned in sweep.cells)
    sweep.cells = [dataclasses.replace(c, config=composition.replaced(c.config, c.cell.kind)) for c in sweep.cells]
    make_true(sweep, store, composition, as_json, **wished)
