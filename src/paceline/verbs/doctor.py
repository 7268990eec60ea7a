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
    from paceline.store import CellFolder, Store

Check = tuple[str, bool, str]
FREE_GIB = 5


@click.command(short_help="check this machine and the root")
@overrides_argument
def command(words: Sequence[str], conf: str | None) -> None:
    """Check that this machine and this root can run what they are asked to. Imports no torch."""
    from paceline.errors import Unavailable, UserError

    composition = compose_words(words, conf)
    store = store_of(composition)
    bad = []
    for name, good, text in [*machine(), *root(store), *configs(composition), *damage(store)]:
        click.echo(f"{'✓' if good else '✗'} {name}: {text}")
        if not good:
            bad.append(name)
    if bad:
        kind = Unavailable if "root" in bad else UserError
        raise kind(f"{len(bad)} {'check' if len(bad) == 1 else 'checks'} failed: {', '.join(bad)}")


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
    yield "root", True, short(store.root)
    free = shutil.disk_usage(store.root).free / 2**30
    yield "room", free > FREE_GIB, f"{free:,.0f} GiB free"


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
    broken = [told for f in done if (told := wrong(f))]
    yield "results", not broken, "; ".join(broken) or f"{len(done)} done cells, all as attested"


def wrong(folder: CellFolder) -> str:
    """What is wrong with a done cell; empty where nothing is."""
    from paceline.errors import PacelineError

    try:
        names = folder.verify()
    except PacelineError as error:
        return f"{folder.id}: {error}"
    except (OSError, KeyError, TypeError, AttributeError) as error:
        return f"{folder.id}: {folder.done_json} can't be used ({type(error).__name__}: {error}); move it away"
    return f"{folder.id}: {', '.join(names)}" if names else ""
