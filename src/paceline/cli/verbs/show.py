"""Print a resolved cell: everything that it computes, and how it was run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from paceline.cli.options import cell_or_overrides_argument, json_option
from paceline.cli.resolve import compose_words, digests_or_not, one_name, pins_or_not, say_json, short, split, store_of
from paceline.config.cell_kinds import kind_of

if TYPE_CHECKING:
    from paceline.config.schema import ModelSpec
    from paceline.sweep.compose import Composition


@click.command(short_help="print a resolved cell")
@cell_or_overrides_argument
@json_option
def command(words: Sequence[str], conf: str | None, as_json: bool) -> None:
    """Print a resolved cell as YAML, defaults filled in: a recorded one, or those that overrides describe."""
    from omegaconf import OmegaConf

    from paceline.config.build import plain
    from paceline.config.identity import placement_of
    from paceline.sweep.cells import expand

    cells: list[tuple[Any, dict[str, Any]]] = []
    if split(words)[0]:
        name, store = one_name(words, conf)
        folder = store.find_cell(str(name))
        cell = folder.read()
        tried = [p for a in folder.attempts() if (p := a.placement())]
        cells.append((cell, tried[-1] if tried else {}))
    else:
        composition = compose_words(words, conf)
        store = store_of(composition)
        data_digest, _ = digests_or_not(store, words, conf)
        pin, _ = pins_or_not(store)
        found = expand(composition, data_digest, pin=pin).cells
        cells += [(c.cell, placement_of(c.config)) for c in found]
        for line in dict.fromkeys(line for c in found if (line := _of_revision(c.config.model, composition))):
            click.echo(f"note: {line}", err=True)
    for cell, placement in cells:
        resolved = plain(cell.config)
        for group in (*kind_of(cell.kind).unused, "placement", "deepspeed", "cluster", "tracking"):
            resolved.pop(group)
        extra = {k: cell.identity[k] for k in ("data", "tuned") if k in cell.identity}
        placed = {**placement, "model": {**resolved["model"], **placement.get("model", {})}}
        content = {"id": cell.id, "kind": cell.kind, **resolved, **extra, **placed}
        if as_json:
            say_json(content)
        else:
            click.echo(OmegaConf.to_yaml(OmegaConf.create(content)).rstrip())
            if len(cells) > 1:
                click.echo("---")


def _of_revision(model: ModelSpec, composition: Composition) -> str:
    """Where a model's revision is pinned, or that it has none and what to do; empty where its own file gives it."""
    from paceline.config.checks import from_hub, locate_weights, unpinned
    from paceline.errors import UserError

    if unpinned(model):
        try:
            locate_weights(model)
        except UserError as error:
            return str(error)
    pin = composition.pins().find(model.weights) if from_hub(model) else None
    if pin is None or pin.revision != model.revision:
        return ""
    return f"{model.name} has the revision that is pinned in {short(pin.path)}, line {pin.line}"
