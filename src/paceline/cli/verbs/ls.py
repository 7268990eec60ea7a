"""List what a root holds: sweeps, prepared data and models, with their size and age."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from paceline.cli.complete import complete_root
from paceline.cli.options import json_option, words_argument
from paceline.cli.resolve import one_name, say_json, short

if TYPE_CHECKING:
    from rich.console import Console

    from paceline.store.root import Store
    from paceline.sweep.inventory import DataEntry, Inventory, ModelEntry, SweepEntry

MOST_NAMES = 3


@click.command(short_help="sweeps, data and models of a root")
@words_argument("[root=FOLDER]", complete_root)
@json_option
def command(words: Sequence[str], conf: str | None, as_json: bool) -> None:
    """List what a root holds: sweeps with their cells, prepared data, models; each with its size and age.

    Reads files alone; Slurm is not asked. What runs now is told by: paceline status SWEEP

    \b
    paceline ls
    paceline ls root=/scratch/me/runs --json
    """
    from pathlib import Path

    from paceline.errors import UserError
    from paceline.sweep.config_files import ConfTree, conf_folders
    from paceline.sweep.inventory import take

    name, store = one_name(words, conf)
    if name is not None:
        raise UserError(f"ls lists a whole root; for one sweep: paceline status {name}")
    found = take(store, ConfTree(conf_folders(conf)))
    if as_json:
        say_json(found.as_json())
    else:
        show(found, store, short(Path(found.root)))


def show(found: Inventory, store: Store, root: str) -> None:
    """Print what was found for people."""
    from paceline.cli.cell_table import Literal
    from paceline.store.disk_usage import size
    from paceline.sweep.forecast import duration

    console = Literal()
    if not (found.sweeps or found.data or found.models or found.unnamed):
        console.print(f"{root}: nothing yet; begin with: paceline prepare task=…", soft_wrap=True)
    table(
        console,
        ("sweep", "cells done", "size", "files", "age", ""),
        [
            (s.name, f"{s.done}/{s.cells}", size(s.bytes), f"{s.files:,}", duration(s.age_seconds), _of_sweep(s))
            if not s.problem
            else (s.name, "?", "", "", "", s.problem)
            for s in found.sweeps
        ],
    )
    table(
        console,
        ("data", "samples", "size", "files", "age", ""),
        [
            (d.name, _samples(d), size(d.bytes), f"{d.files:,}", duration(d.age_seconds), _of_data(d))
            for d in found.data
        ],
    )
    table(
        console,
        ("model", "cells", "size", "files", "age", ""),
        [
            (
                m.name,
                str(m.cells),
                size(m.bytes) if m.bytes else "",
                f"{m.files:,}" if m.files else "",
                duration(m.age_seconds) if m.age_seconds is not None else "",
                _of_model(m),
            )
            for m in found.models
        ],
    )
    if found.unnamed:
        text = f"cells of no recorded sweep: {found.unnamed}; a submit that describes them takes them up"
        console.print(text, soft_wrap=True)
    for name in found.unfinished:
        console.print(f"removing {name} was broken off; finish it with: paceline rm {name}", soft_wrap=True)


def table(console: Console, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their heading, numbers to the right; nothing where there are none."""
    from rich.cells import cell_len
    from rich.text import Text

    from paceline.cli.cell_table import one_line

    if not rows:
        return
    texts = [[one_line(text) for text in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(head, *texts, strict=True)]

    def line(row: Sequence[str]) -> str:
        padded = [text + " " * (widths[i] - cell_len(text)) for i, text in enumerate(row)]
        numbers = [" " * (widths[i] - cell_len(text)) + text for i, text in enumerate(row)]
        return "  ".join([padded[0], *numbers[1:-1], row[-1]]).rstrip()

    console.print(Text(line(head), style="dim"), soft_wrap=True)
    console.print(Text("\n".join(map(line, texts))), soft_wrap=True)
    console.print()


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - MOST_NAMES} more" if len(listed) > MOST_NAMES else ""
    return ", ".join(listed[:MOST_NAMES]) + more


def _of_sweep(entry: SweepEntry) -> str:
    return f"shared with other sweeps: {entry.shared}" if entry.shared else ""


def _samples(entry: DataEntry) -> str:
    return f"{sum(entry.samples.values()):,}" if entry.samples is not None else "?"


def _of_data(entry: DataEntry) -> str:
    read_by = f"read by {_some(entry.sweeps)}" if entry.sweeps else "read by no sweep"
    return "; ".join(filter(None, (_some(entry.tasks), read_by, entry.problem)))


def _of_model(entry: ModelEntry) -> str:
    return entry.lacks or entry.weights or "a twin: built on the node, no weights"
