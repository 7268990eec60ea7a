"""What the verbs share: words of the command line into overrides and names, and the store that they speak of."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from paceline.errors import UserError, nearest
from paceline.spec import GROUPS, PLACEMENT_GROUPS
from paceline.store import Store, SweepFolder, resolve_root

if TYPE_CHECKING:
    from paceline.compose import Composition

F = TypeVar("F", bound=Callable[..., Any])


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of an override: the group, then its files."""
    from paceline.compose import ConfTree, conf_folders

    tree = ConfTree(conf_folders(ctx.params.get("conf")))
    key, equals, begun = incomplete.partition("=")
    groups = [*GROUPS, "experiment"]
    if not equals:
        return [f"{g}=" for g in groups if g.startswith(key)]
    if key not in groups:
        return []
    head, comma, last = begun.rpartition(",")
    return [f"{key}={head}{comma}{c}" for c in tree.choices(key) if c.startswith(last)]


def complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of a sweep's or a cell's name."""
    store = Store(resolve_root(None, ""))
    cells = store.root / "cells"
    names = store.sweeps() + (sorted(p.name for p in cells.iterdir()) if cells.is_dir() else [])
    return [n for n in names if n.startswith(incomplete)]


def overrides_argument(function: F) -> F:
    """``[OVERRIDES]…`` with ``--conf``; Hydra's ``-m`` is accepted and means nothing."""
    function = click.argument("words", nargs=-1, shell_complete=complete, metavar="[OVERRIDES]...")(function)
    function = click.option("-m", "--multirun", is_flag=True, hidden=True, expose_value=False)(function)
    return conf_option(function)


def name_argument(metavar: str) -> Callable[[F], F]:
    """``[NAME] [root=…]``: a sweep or a cell, and where it lies."""

    def decorate(function: F) -> F:
        function = click.argument("words", nargs=-1, shell_complete=complete_name, metavar=metavar)(function)
        return conf_option(function)

    return decorate


def conf_option(function: F) -> F:
    """``--conf DIR``: a lab's own configs, found before the shipped ones."""
    return click.option("--conf", metavar="DIR", help="folder of your own configs, searched first")(function)


def json_option(function: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="print JSON for programs")(function)


def say_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names and overrides apart. An override holds ``=`` or begins with ``~``."""
    names = [w for w in words if "=" not in w and not w.startswith("~")]
    return names, [w for w in words if w not in names]


def compose_words(words: Sequence[str], conf: str | None) -> Composition:
    """Compose overrides; a word without ``=`` is an error that says what was meant."""
    from paceline.compose import ConfTree, compose, conf_folders

    names, overrides = split(words)
    if names:
        experiments = ConfTree(conf_folders(conf)).choices("experiment")
        known = f"experiment={names[0]}" if names[0] in experiments else nearest(names[0], experiments)
        raise UserError(f"'{names[0]}' is no override: write KEY=VALUE, such as experiment=demo ({known})")
    return compose(overrides, conf_folders(conf))


def store_of(composition: Composition) -> Store:
    """The store that a composition speaks of."""
    cluster = composition.spec("cluster", composition.choices.get("cluster"), {})
    return Store(resolve_root(composition.root, cluster.root))


def one_name(words: Sequence[str], conf: str | None) -> tuple[str | None, Store, Composition]:
    """The name (if any) and the store of a verb that speaks of a sweep or a cell.

    Raises:
        UserError: two names, or an override that changes what is computed.
    """
    names, overrides = split(words)
    if len(names) > 1:
        raise UserError(f"one name at a time, not {' and '.join(names)}")
    composition = compose_words(overrides, conf)
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0].partition(".")[0]
        if key not in (*PLACEMENT_GROUPS, "root"):
            raise UserError(
                f"'{override}': a recorded cell keeps what it computes; only root= and placement may change"
            )
    return (names[0] if names else None), store_of(composition), composition


def find_sweep(words: Sequence[str], conf: str | None) -> tuple[SweepFolder, Store, Composition]:
    """The sweep that a verb speaks of: named, or the latest."""
    name, store, composition = one_name(words, conf)
    return store.find_sweep(name), store, composition


def short(path: Path) -> str:
    """A path as a person would type it from here."""
    for base, mark in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(base):
            return mark + str(path.relative_to(base))
    return str(path)
