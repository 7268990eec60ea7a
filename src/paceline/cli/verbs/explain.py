"""Draw which places of its image an answer hangs on."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paceline.cli.options import json_option, name_argument
from paceline.cli.resolve import one_name, say_json, short, use_code_of_cell
from paceline.config.cell_kinds import kind_of

if TYPE_CHECKING:
    from paceline.config.schema import Config, ModelSpec
    from paceline.store.cell_folder import CellFolder


METHODS = ("integrated_gradients", "attention", "grad_cam", "shapley")


@click.command(short_help="draw which places of its image an answer hangs on")
@name_argument("CELL SAMPLE [SAMPLE]...")
@click.option("--whole", is_flag=True, help="explain the whole answer, not only what the scorer read of it")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    help="how: integrated gradients of the image's states, attention of a captioner's decoder, Grad-CAM of a "
    "classifier, or Shapley values of patches, which serve every model and take some hundred passes; by default the "
    "family's own",
)
@json_option
def command(words: Sequence[str], conf: str | None, whole: bool, method: str | None, as_json: bool) -> None:
    """Draw which places of its image an answer hangs on: a map over the image, as PNG in the cell's folder.

    CELL is an id, its beginning, or (part of) its hash; SAMPLE is an id in its predictions.jsonl. The model reads the
    question and the kept answer once more, in a process of its own, which imports torch and needs more memory than
    answering did: run weights of full size where there is a GPU. docs/review.md says what a map shows and what not.

    \b
    paceline explain 3e0f06 location_000044
    srun --gres=gpu:1 paceline explain 3e0f06 location_000044 location_000055
    """
    from paceline import tasks
    from paceline.config.identity import with_placement
    from paceline.errors import UserError
    from paceline.launch import environments

    places = [w for w in words if is_place(w)]
    names = [w for w in words if not is_place(w)]
    if len(names) < 2:
        raise UserError("which answer? give a cell, by its id or its hash, and a sample of its predictions.jsonl")
    _, store = one_name(places, conf)
    folder = store.find_cell(names[0])
    use_code_of_cell(folder, store)
    config = folder.read().config
    config = with_placement(config, placement(folder))
    require_answers(folder)
    if config.model.served:
        raise UserError(f"model {config.model.name} is answered by a service: there is nothing of it here to look into")
    require_images(folder, config, names[1:])
    if lacks := environments.lacks([config.model], store, tasks.packages([config.task.kind])):
        raise UserError("; ".join(lacks))
    require_place(config.model, words)
    click.echo(
        f"· loading {config.model.name} in a process of its own, with torch; it takes its memory, and minutes", err=True
    )
    question = {"cell": str(folder.path), "samples": names[1:], "whole": whole, "method": method or ""}
    explanations = environments.ask_module("paceline.inference.explain", config.model, question)["explained"]
    if as_json:
        say_json(explanations)
        return
    for entry in explanations:
        click.echo(f"{entry['sample']}: {entry['answer']!r}")
        click.echo(f"  explained: {entry['part']!r}")
        click.echo(f"  weight:    {entry['weight']}")
        click.echo(f"  check:     {entry['check']}")
        for note in entry["notes"]:
            click.echo(f"  note:      {note}")
        click.echo(f"  map:       {short(Path(entry['path']))}")


def is_place(argument: str) -> bool:
    """Whether an argument sets where the cell is or runs, such as root=…; a sample's id may hold an equals sign too."""
    from paceline.config.schema import PLACEMENT_GROUPS

    key, equals, _ = argument.lstrip("+~").partition("=")
    return bool(equals) and key.partition(".")[0] in ("root", *PLACEMENT_GROUPS)


def placement(folder: CellFolder) -> dict[str, Any]:
    """How the cell was last run; empty where it never was."""
    placed: Iterable[dict[str, Any]] = (p for a in reversed(folder.attempts()) if (p := a.placement()))
    return next(iter(placed), {})


def require_answers(folder: CellFolder) -> None:
    """Refuse a cell that answers nothing, or has not yet.

    Raises:
        UserError: it tunes, or is not done.
    """
    from paceline.errors import UserError

    if not kind_of(folder.read().kind).answers:
        raise UserError(f"cell {folder.id} tunes, and answers nothing; give an evaluate cell: paceline status")
    if not folder.done():
        raise UserError(f"cell {folder.id} is not done, so its answers are not final; see: paceline status")


def require_images(folder: CellFolder, config: Config, samples: Sequence[str]) -> None:
    """Refuse samples that the cell did not answer, or that show no image.

    Raises:
        UserError: with the nearest names.
    """
    from paceline.errors import UserError, nearest
    from paceline.scoring import judge
    from paceline.store.files import read_jsonl
    from paceline.tasks.kind import images_of

    if "image" not in config.model.inputs:
        raise UserError(f"model {config.model.name} reads text alone: there is no image to draw on")
    predictions = list(read_jsonl(folder.predictions))
    if any(p.get("part") for p in predictions):
        raise UserError(f"cell {folder.id} asks several questions about a sample; an answer to one can be explained")
    answered = {p["sample"] for p in predictions}
    for sample in samples:
        if sample not in answered:
            raise UserError(f"cell {folder.id} answered no sample '{sample}': {nearest(sample, answered)}")
    shown = {
        s["id"]: len(images_of(s)) for s in judge.evaluated_samples(config, folder.path.parents[1], folder.read().data)
    }
    for sample in samples:
        if not shown.get(sample):
            raise UserError(f"sample '{sample}' has no image to draw on")
        if shown[sample] > 1:
            raise UserError(f"sample '{sample}' shows {shown[sample]} images; one with one image can be explained")


def require_place(model: ModelSpec, words: Sequence[str]) -> None:
    """Refuse to load weights of full size on a login node.

    Raises:
        UserError: with the command for a compute node.
    """
    from paceline.config.joined_parts import is_twin
    from paceline.errors import UserError
    from paceline.launch import local

    if not is_twin(model) and "SLURM_JOB_ID" not in os.environ and shutil.which("srun") and not local.devices():
        raise UserError(
            f"model {model.name} is too large for a login node; run it in an allocation: "
            f"srun --gres=gpu:1 {shlex.join(['paceline', 'explain', *words])} (with your account and partition)"
        )
