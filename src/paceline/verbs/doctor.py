"""Check that this machine and this root can run what they are asked to."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paceline.arguments import compose_words, overrides_argument, short, store_of

if TYPE_CHECKING:
    from paceline.compose import Composition
    from paceline.store import Store

Check = tuple[str, bool, str]
FREE_GIB = 5


@click.command(short_help="check this machine and the root")
@overrides_argument
def command(words: Sequence[str], conf: str | None) -> None:
    """Check that this machine and this root can run what they are asked to. Imports no torch."""
    from paceline.errors import UserError

    composition = compose_words(words, conf)
    store = store_of(composition)
    bad = 0
    for name, good, text in [*machine(), *root(store), *configs(composition), *damage(store)]:
        click.echo(f"{'✓' if good else '✗'} {name}: {text}")
        bad += not good
    if bad:
        raise UserError(f"{bad} checks failed")


def machine() -> Iterator[Check]:
    """Python, packages, cores, GPUs."""
    good = (3, 11) <= sys.version_info[:2] < (3, 13)
    yield "python", good, platform.python_version() + ("" if good else "; paceline needs 3.11 or 3.12")
    wanted = ("torch", "transformers", "peft", "accelerate", "deepspeed", "datasets", "wandb", "submitit")
    missing = [n for n in wanted if importlib.util.find_spec(n) is None]
    versions = ", ".join(f"{n} {metadata.version(n)}" for n in wanted if n not in missing)
    yield "packages", not missing, versions if not missing else f"missing: {', '.join(missing)}; run: make setup"
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    yield "hardware", True, f"{len(os.sched_getaffinity(0))} cores, {gpus} GPUs"


def root(store: Store) -> Iterator[Check]:
    """Whether the root can be written and has room."""
    from paceline.errors import PacelineError
    from paceline.store import write_bytes

    try:
        write_bytes(store.root / ".doctor", b"")
        (store.root / ".doctor").unlink()
    except PacelineError as error:
        yield "root", False, str(error)
        return
    free = shutil.disk_usage(store.root).free / 2**30
    yield "root", free > FREE_GIB, f"{short(store.root)}, {free:,.0f} GiB free"


def configs(composition: Composition) -> Iterator[Check]:
    """Whether every config file of every group reads."""
    from paceline.errors import PacelineError
    from paceline.spec import GROUPS

    for group in GROUPS:
        names = composition.tree.choices(group)
        broken = []
        for name in names:
            try:
                composition.spec(group, name, {})
            except PacelineError as error:
                broken.append(f"{name} ({error})")
        yield f"conf/{group}", not broken, "; ".join(broken) or ", ".join(names)


def damage(store: Store) -> Iterator[Check]:
    """Whether the artefacts of done cells are still those that were attested."""
    cells = store.root / "cells"
    folders = [store.cell(p.name) for p in sorted(cells.iterdir())] if cells.is_dir() else []
    done = [f for f in folders if f.done_json.exists()]
    broken = [f"{f.id}: {', '.join(names)}" for f in done if (names := f.verify())]
    yield "results", not broken, "; ".join(broken) or f"{len(done)} done cells, all as attested"
