"""What the verbs share: parsing arguments into overrides and names, and the store that they name."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from paceline import plugins
from paceline.config.identity import FOLDERS
from paceline.config.schema import PLACEMENT_GROUPS, ModelSpec, TaskSpec
from paceline.errors import DataError, UserError, nearest
from paceline.store.cell_folder import CellFolder
from paceline.store.root import Store, SweepFolder, resolve_root

if TYPE_CHECKING:
    from paceline.sweep.cells import Sweep
    from paceline.sweep.compose import Composition

T = TypeVar("T")
Spec = TypeVar("Spec", ModelSpec, TaskSpec)


def with_mail(words: Sequence[str], mail: str | None) -> tuple[str, ...]:
    """The words, with ``--mail ADDRESS`` as the override that it stands for."""
    return (*words, f"cluster.mail='{mail}'") if mail else tuple(words)


def say_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names and overrides apart. An override holds ``=`` or begins with ``~``."""
    names = [w for w in words if "=" not in w and not w.startswith("~")]
    return names, [w for w in words if w not in names]


def compose_words(words: Sequence[str], conf: str | None) -> Composition:
    """Compose overrides; a word without ``=`` is an error that says what was meant."""
    from paceline.sweep.compose import compose
    from paceline.sweep.config_files import ConfTree, conf_folders

    names, overrides = split(words)
    if names:
        experiments = ConfTree(conf_folders(conf)).choices("experiment")
        known = f"experiment={names[0]}" if names[0] in experiments else nearest(names[0], experiments)
        raise UserError(f"'{names[0]}' is no override: write KEY=VALUE, such as experiment=demo ({known})")
    return compose(overrides, conf_folders(conf))


def store_of(composition: Composition) -> Store:
    """The store of a composition."""
    cluster = composition.spec("cluster", composition.choices.get("cluster"), {})
    return Store(resolve_root(composition.root, cluster.root))


def prepare_command(task: str, words: Sequence[str], conf: str | None) -> str:
    """The command that prepares the data of these arguments: with the task, the root and the configs that they name."""
    keys = [w.lstrip("+~").partition("=")[0] for w in words]
    kept = [
        w
        for w, k in zip(words, keys, strict=True)
        if k.partition(".")[0] in ("experiment", "task", "cluster", "root") or k in ("train", "train.task")
    ]
    if not {"task", "experiment"} & set(keys):
        kept.insert(0, f"task={task}")
    return shlex.join(["paceline", "prepare", *kept, *(["--conf", conf] if conf else [])])


def data_digests(store: Store, words: Sequence[str], conf: str | None) -> Callable[[TaskSpec], str]:
    """A function that gives the digest of a task's prepared data.

    It raises DataError where the data is not prepared; the message ends with the command for these arguments.
    """
    from paceline.data import samples, source_files

    def digest(task: TaskSpec) -> str:
        command = prepare_command(task.name, words, conf)
        try:
            digest = samples.data_digest(store.root, task)
        except DataError as error:
            raise DataError(str(error).replace(f"paceline prepare task={task.name}", command)) from None
        if note := source_files.require(store.root, task, command):
            click.echo(f"note: {note}", err=True)
        return digest

    return digest


def digests_or_not(
    store: Store, words: Sequence[str], conf: str | None
) -> tuple[Callable[[TaskSpec], str], dict[str, DataError]]:
    """As :func:`data_digests`, for read-only verbs: what is not prepared has a stand-in, and its error is kept.

    Returns:
        The function, and task name -> error, which fills while the function is used.
    """
    from paceline.sweep.cells import UNPREPARED

    return _or_kept(data_digests(store, words, conf), lambda task: UNPREPARED)


def _or_kept(
    strict: Callable[[Spec], T], stand_in: Callable[[Spec], T]
) -> tuple[Callable[[Spec], T], dict[str, DataError]]:
    """A function that gives a stand-in where another raises, and the errors by the names of what it was asked for."""
    errors: dict[str, DataError] = {}

    def tolerant(spec: Spec) -> T:
        try:
            return strict(spec)
        except DataError as error:
            errors[spec.name] = error
            return stand_in(spec)

    return tolerant, errors


def pins(store: Store) -> Callable[[ModelSpec], ModelSpec]:
    """A function that puts the content's digest in the place of a folder of weights.

    It raises DataError where the folder is not prepared, or changed since.
    """
    from paceline.models import local_weights

    return lambda model: local_weights.pin(model, store.root)


def pins_or_not(store: Store) -> tuple[Callable[[ModelSpec], ModelSpec], dict[str, DataError]]:
    """As :func:`pins`, for read-only verbs: a folder that is not as prepared stays, and its error is kept.

    Returns:
        The function, and model name -> error, which fills while the function is used.
    """
    return _or_kept(pins(store), lambda model: model)


def not_compared(sweep: Sweep, store: Store, words: Sequence[str], conf: str | None) -> list[DataError]:
    """Why test data can't be trusted yet: an error for each two tasks, one trained on, that were not compared.

    Tasks that are not prepared are passed over: their data is missing before it is not compared.
    """
    from paceline.data import samples, transfer_leakage

    errors = []
    for trained, evaluated in sweep.transfers:
        if None in (samples.splits(store.root, trained), samples.splits(store.root, evaluated)):
            continue
        try:
            transfer_leakage.require(store.root, trained, evaluated)
        except DataError as error:
            asked = f"paceline prepare task={evaluated.name} train.task={trained.name}"
            errors.append(DataError(str(error).replace(asked, prepare_command(evaluated.name, words, conf))))
    return errors


def require_compared(sweep: Sweep, store: Store, words: Sequence[str], conf: str | None) -> None:
    """Refuse a sweep that evaluates on data which may be trained on, for all that is known.

    Raises:
        DataError: it ends with the command for these arguments.
    """
    if errors := not_compared(sweep, store, words, conf):
        raise errors[0]


def composed_name(words: Sequence[str], conf: str | None) -> tuple[str | None, Store, Composition]:
    """The name (if any), the store, and the placement that a verb is given for a sweep or a cell.

    Raises:
        UserError: two names, or an override that changes what is computed.
    """
    names, overrides = split(words)
    if len(names) > 1:
        raise UserError(f"one name at a time, not {' and '.join(names)}")
    composition = compose_words(overrides, conf)
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        placed = key in _PLACED or key.startswith("model.service.")
        if key.partition(".")[0] not in (*PLACEMENT_GROUPS, "root") and not placed:
            raise UserError(
                f"'{override}': a recorded cell keeps what it computes; only root= and placement may change"
            )
    return (names[0] if names else None), store_of(composition), composition


_PLACED = ("model.environment", *(f"model.{key}" for key in FOLDERS))


def one_name(words: Sequence[str], conf: str | None) -> tuple[str | None, Store]:
    """The name (if any) and the store of a read-only verb.

    Where the root is given outright, nothing is composed, which saves the time of importing Hydra.

    Raises:
        UserError: two names, or an override that changes what is computed.
    """
    names, overrides = split(words)
    match = _PLAIN_ROOT.fullmatch("\n".join(overrides))
    root = match[1] if match else "" if overrides else os.environ.get("PACELINE_ROOT", "")
    if root and len(names) <= 1:
        return (names[0] if names else None), Store(resolve_root(root, ""))
    name, store, _ = composed_name(words, conf)
    return name, store


# What Hydra's grammar reads as it stands.
_PLAIN_ROOT = re.compile(r"root=([\w./~-]+)")


def find_sweep(words: Sequence[str], conf: str | None) -> tuple[SweepFolder, Store]:
    """The sweep that the arguments name, else the latest. Also loads the lab code that it was recorded with."""
    name, store = one_name(words, conf)
    folder = store.find_sweep(name)
    use_recorded_code(folder, store)
    return folder, store


def use_recorded_code(folder: SweepFolder, store: Store) -> list[str]:
    """Take from a sweep's frozen code the modules of a lab's that no ``--conf`` gives; their names."""
    return plugins.use_frozen(store.code(str(folder.read().get("code", ""))))


def use_code_of_cell(folder: CellFolder, store: Store) -> None:
    """The same for a cell: from the code of its latest attempt, else from that of a sweep that holds it."""
    codes = [(a.start() or {}).get("provenance", {}).get("code", {}).get("digest") for a in folder.attempts()]
    if not any(codes):
        sweeps = map(SweepFolder.read, map(store.sweep, store.sweeps()))
        codes = [content.get("code") for content in sweeps if folder.id in content["cells"]]
    for code in reversed([c for c in codes if c]):
        plugins.use_frozen(store.code(code))


def short(path: Path) -> str:
    """A path as a person would type it from here."""
    for base, mark in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(base):
            return mark + str(path.relative_to(base))
    return str(path)
