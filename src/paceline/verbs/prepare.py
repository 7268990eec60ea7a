"""Make a task's data once, frozen under the root, so that cells can be planned and run."""

from __future__ import annotations

from collections.abc import Sequence

import click

from paceline.arguments import compose_words, overrides_argument, short, store_of


@click.command(short_help="make a task's data, once")
@overrides_argument
def command(words: Sequence[str], conf: str | None) -> None:
    """Make a task's data once, frozen under the root, so that cells can be planned and run.

    \b
    paceline prepare task=geolocation_earth
    paceline prepare task=geolocation_street task.options.path=/data/street-location-images
    paceline prepare experiment=demo
    """
    from paceline import prepared
    from paceline.errors import UserError
    from paceline.progress import counting

    composition = compose_words(words, conf)
    store = store_of(composition)
    names = [v for a in composition.axes if a.key == "task" for v in a.values] or [composition.choices.get("task")]
    if names == [None]:
        raise UserError(f"which task? give task=NAME; names: {', '.join(composition.tree.choices('task'))}")
    for name in names:
        task = composition.spec("task", name, {})
        with counting(name) as progress:
            manifest = prepared.prepare(store.root, task, progress)
        where = short(prepared.dataset_folder(store.root, task))
        splits = ", ".join(f"{n} {split}" for split, n in manifest["splits"].items())
        click.echo(f"{name}: {splits} in {where}")
        for reason, count in manifest["skipped"].items():
            click.echo(f"  {count} skipped: {reason} (named in {where}/skipped.jsonl)")
