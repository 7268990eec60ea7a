"""Shell completion of overrides, sweeps, cells and what a root holds. Imports neither Hydra nor torch."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import click

from paceline import plugins
from paceline.config.build import field_types
from paceline.config.schema import GROUPS, PLACEMENT_GROUPS, SCALARS, Config
from paceline.errors import PacelineError
from paceline.store.files import read_jsonl
from paceline.store.root import Store, resolve_root

Completer = Callable[[click.Context, click.Parameter, str], list[str]]
# What may stand before an override's key.
_MARKS = "+~"
_SWEEP_KEYS = ("name", "root")
_OPTIONS = "task.options."
# Answers of a cell that are looked through for a sample.
_MOST_SAMPLES = 2000


def quietly(completer: Completer) -> Completer:
    """The completer, with nothing to offer where it fails: errors belong to the verb, never to the prompt."""

    def complete_or_not(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        try:
            return completer(ctx, param, incomplete)
        except (PacelineError, OSError, KeyError, TypeError, ValueError):
            return []

    return complete_or_not


@quietly
def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """An override: a key (a group's own behind its point, as ``train.learning_rate=``), then what it takes."""
    return _override(ctx, incomplete, (*GROUPS, "experiment", *SCALARS, *_SWEEP_KEYS))


@quietly
def complete_sweep(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """A sweep's name; or where it lies."""
    return _begun([*_store(ctx).sweeps(), "root="], incomplete)


@quietly
def complete_cell(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """A cell: by its id, or by its hash, as `paceline status` shows the beginning of it."""
    try:
        cells = sorted(p.name for p in (_store(ctx).root / "cells").iterdir())
    except OSError:
        cells = []
    hashes = [c.rpartition("-")[2] for c in cells] if incomplete else []
    return _begun([*cells, *hashes, "root="], incomplete)


@quietly
def complete_either(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """An override, or a cell that is begun."""
    cells = complete_cell(ctx, param, incomplete) if incomplete else []
    return list(dict.fromkeys([*complete(ctx, param, incomplete), *cells]))


@quietly
def complete_resumed(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """A sweep, or placement under which it goes on."""
    sweeps = [] if _names(ctx) else _begun(_store(ctx).sweeps(), incomplete)
    return sweeps if sweeps and not incomplete else [*sweeps, *_override(ctx, incomplete, (*PLACEMENT_GROUPS, "root"))]


@quietly
def complete_explained(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """A cell, and after it the samples that it answered."""
    if not (names := _names(ctx)):
        return complete_cell(ctx, param, incomplete)
    records = itertools.islice(read_jsonl(_store(ctx).find_cell(names[0]).predictions), _MOST_SAMPLES)
    return [s for record in records if (s := str(record["sample"])).startswith(incomplete)]


@quietly
def complete_removable(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """A sweep, one whose removal broke off, or prepared data."""
    store = _store(ctx)
    unfinished = [path.name.rpartition("-")[0] for path in store.removals()]
    data = [path.name for path in store.data_folders()]
    return _begun([*store.sweeps(), *unfinished, *data, "root="], incomplete)


@quietly
def complete_root(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Where things lie."""
    return _begun(["root="], incomplete or "root=")


def _begun(names: Iterable[str], incomplete: str) -> list[str]:
    """Those that begin so. ``root=`` is offered to who types it, so that the one name there is needs no choice."""
    return [n for n in dict.fromkeys(names) if n.startswith(incomplete) and (incomplete or n != "root=")]


def _override(ctx: click.Context, incomplete: str, top: Sequence[str]) -> list[str]:
    bare = incomplete.lstrip(_MARKS)
    mark = incomplete[: len(incomplete) - len(bare)]
    key, equals, begun = bare.partition("=")
    if not equals:
        return [f"{mark}{k}" for k in _keys(ctx, key, top)]
    if key.partition(".")[0] not in top:
        return []
    head, comma, last = begun.rpartition(",")
    # In a sweep a value is given once.
    given = head.split(",") if comma else []
    return [f"{mark}{key}={head}{comma}{v}" for v in _values(ctx, key) if v.startswith(last) and v not in given]


def _keys(ctx: click.Context, begun: str, top: Sequence[str]) -> Iterator[str]:
    """Keys that begin so, each with its ``=``; a group whose name is whole also leads on to its own keys."""
    if "." not in begun:
        yield from (f"{key}=" for key in top if key.startswith(begun))
        if begun in GROUPS and begun in top:
            yield f"{begun}."
    elif begun.partition(".")[0] in top:
        if begun.startswith(_OPTIONS):
            yield from (f"{key}=" for name in _options(ctx) if (key := _OPTIONS + name).startswith(begun))
            return
        keys = [key for key, _ in _fields(Config, "")]
        # `train.lr` stands for the one key of such initials, where none begins so.
        for key in [k for k in keys if k.startswith(begun)] or [k for k in keys if _initials(k) == begun]:
            yield _OPTIONS if f"{key}." == _OPTIONS else f"{key}="


def _initials(key: str) -> str:
    """``train.learning_rate`` as ``train.lr``."""
    group, _, name = key.rpartition(".")
    return f"{group}.{''.join(word[:1] for word in name.split('_'))}"


def _fields(cls: type, prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys below a spec class, with their types."""
    for name, hint in field_types(cls).items():
        if dataclasses.is_dataclass(hint):
            yield from _fields(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        elif name != "name":
            yield prefix + name, hint


def _values(ctx: click.Context, key: str) -> Iterable[str]:
    """What a key takes, where that is a list of names."""
    if key in (*GROUPS, "experiment"):
        return _tree(ctx).choices(key)
    if key in ("task.prompt", "train.prompt"):
        return [*(["same"] if key == "train.prompt" else []), *_tree(ctx).choices("prompt")]
    if key == "train.task":
        return _tree(ctx).choices("task")
    if key == "name":
        return _store(ctx).sweeps()
    if key in ("task.kind", "task.reader", "model.family"):
        return _modules(ctx, key)
    hints = dict(_fields(Config, ""))
    if key.startswith(_OPTIONS):
        return _named(_options(ctx).get(key.removeprefix(_OPTIONS)))
    return _named(hints.get(key))


def _named(hint: Any) -> list[str]:
    """The values of an enumerated type."""
    if hint is bool:
        return ["true", "false"]
    choices = get_args(hint)
    return [c for c in choices if c] if choices and all(isinstance(c, str) for c in choices) else []


def _modules(ctx: click.Context, key: str) -> list[str]:
    """Names of modules that a key may name, a lab's own among them."""
    from paceline import tasks
    from paceline.data import readers

    plugins.use(plugins.folders(ctx.params.get("conf")))
    if key == "task.kind":
        return tasks.names()
    if key == "task.reader":
        return readers.names()
    families = Path(plugins.__file__).parent / "models" / "families"
    modules = {p.stem for p in families.glob("*.py")} | {p.parent.name for p in families.glob("*/__init__.py")}
    return sorted((modules - {"__init__"}).union(plugins.names("models")))


def _options(ctx: click.Context) -> dict[str, Any]:
    """The options of the reader of the task that is named before the cursor: name -> type."""
    from paceline.data import readers

    given = {k: v for k, _, v in (w.lstrip(_MARKS).partition("=") for w in ctx.params.get("words") or ())}
    reader = given.get("task.reader") or _tree(ctx).load("task", given["task"].partition(",")[0])["reader"]
    plugins.use(plugins.folders(ctx.params.get("conf")))
    return field_types(readers.load(reader).Options)


def _tree(ctx: click.Context) -> Any:
    from paceline.sweep.config_files import ConfTree, conf_folders

    return ConfTree(conf_folders(ctx.params.get("conf")))


def _names(ctx: click.Context) -> list[str]:
    """The names among the words before the cursor: what is no override."""
    return [w for w in ctx.params.get("words") or () if "=" not in w and not w.startswith("~")]


def _store(ctx: click.Context) -> Store:
    """The store that the words before the cursor name, as far as is known without composing."""
    roots = [w.removeprefix("root=") for w in ctx.params.get("words") or () if w.startswith("root=")]
    return Store(resolve_root(roots[-1] if roots else None, ""))
