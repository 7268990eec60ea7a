"""Make a sweep's dashboard in W&B, or bring it up to date."""

from __future__ import annotations

from collections.abc import Sequence

import click

from paceline.cli.options import json_option, name_argument
from paceline.cli.resolve import one_name, say_json, use_recorded_code


@click.command(short_help="a sweep's dashboard in W&B")
@name_argument("[SWEEP]")
@json_option
@click.option("--dry-run", is_flag=True, help="print what would be sent, and send nothing")
def command(words: Sequence[str], conf: str | None, as_json: bool, dry_run: bool) -> None:
    """Make a workspace in W&B for a sweep (the latest, where none is named; the name of its experiment serves too).

    It shows model × prompt, untuned against tuned, cost against score, failures, answers and training curves. Runs show
    up in it after `paceline sync`. Asked again, it brings the same workspace up to date.
    """
    from paceline import report
    from paceline.errors import UserError
    from paceline.store.files import read_json
    from paceline.tracking import dashboard

    name, store = one_name(words, conf)
    try:
        folder = store.find_sweep(name)
    except UserError:
        recorded = [store.sweep(sweep) for sweep in store.sweeps()]
        of_experiment = [s for s in recorded if read_json(s.sweep_json).get("experiment") == name]
        if not of_experiment:
            raise
        folder = of_experiment[-1]
    use_recorded_code(folder, store)
    definition = dashboard.define(report.collect(store, folder), store, folder)
    if dry_run:
        say_json({"view": dashboard.show(definition), "tables": definition["tables"]})
        return
    saved = dashboard.save(definition, folder)
    if as_json:
        say_json({"sweep": folder.name, "url": saved["url"]})
    else:
        click.echo(f"{folder.name}: {saved['url']}")
