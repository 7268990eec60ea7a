"""Make a task's data once, frozen under the root, so that cells can be planned and run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from paceline.arguments import compose_words, overrides_argument, short, store_of

if TYPE_CHECKING:
    from paceline.compose import Composition
    from paceline.spec import TaskSpec


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
    from paceline.progress import counting

    composition = compose_words(words, conf)
    store = store_of(composition)
    for task in tasks(composition):
        with counting(task.name) as progress:
            manifest = prepared.prepare(store.root, task, progress)
        where = short(prepared.dataset_folder(store.root, task))
        splits = ", ".join(f"{n} {split}" for split, n in manifest["splits"].items())
        click.echo(f"{task.name}: {splits} in {where}")
        for reason, count in manifest["skipped"].items():
            click.echo(f"  {count} skipped: {reason} (named in {where}/skipped.jsonl)")


def tasks(composition: Composition) -> list[TaskSpec]:
    """The distinct tasks of a composition: the product of its axes that concern a task.

    Raises:
        UserError: it names none.
    """
    from paceline.errors import UserError

    axes = [a for a in composition.axes if a.key.partition(".")[0] == "task"]
    found: list[TaskSpec] = []
    for combination in itertools.product(*(a.values for a in axes)):
        values = dict(zip((a.key for a in axes), combination, strict=True))
        name = values.pop("task", composition.choices.get("task"))
        if name is None:
            raise UserError(f"which task? give task=NAME; names: {', '.join(composition.tree.choices('task'))}")
        task = composition.spec("task", name, values)
        if task not in found:
            found.append(task)
    return found
