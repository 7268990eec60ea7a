"""Shell completion of overrides, sweeps and cells."""

from __future__ import annotations

import click

from paceline.config.schema import GROUPS
from paceline.errors import PacelineError
from paceline.store.root import Store, resolve_root


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of an override: the group, then its files. Errors belong to the verb, never to the prompt."""
    from paceline.sweep.config_files import ConfTree, conf_folders

    key, equals, begun = incomplete.partition("=")
    groups = [*GROUPS, "experiment"]
    if not equals:
        return [f"{g}=" for g in groups if g.startswith(key)]
    if key not in groups:
        return []
    head, comma, last = begun.rpartition(",")
    try:
        choices = ConfTree(conf_folders(ctx.params.get("conf"))).choices(key)
    except (PacelineError, OSError):
        return []
    return [f"{key}={head}{comma}{c}" for c in choices if c.startswith(last)]


def complete_sweep(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of a sweep's name."""
    try:
        return [n for n in _typed_store(ctx).sweeps() if n.startswith(incomplete)]
    except (PacelineError, OSError):
        return []


def complete_cell(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of a cell: by its id, or by its hash, as `paceline status` shows the beginning of it."""
    try:
        cells = sorted(p.name for p in (_typed_store(ctx).root / "cells").iterdir())
    except (PacelineError, OSError):
        return []
    hashes = [c.rpartition("-")[2] for c in cells]
    return [n for n in (*cells, *hashes) if incomplete and n.startswith(incomplete)] or ([] if incomplete else cells)


def complete_either(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of an override, or of a cell that is begun."""
    return complete(ctx, param, incomplete) + (complete_cell(ctx, param, incomplete) if incomplete else [])


def _typed_store(ctx: click.Context) -> Store:
    """The store that the arguments before the cursor name, as far as is known without composing."""
    roots = [w.removeprefix("root=") for w in ctx.params.get("words") or () if w.startswith("root=")]
    return Store(resolve_root(roots[-1] if roots else None, ""))
