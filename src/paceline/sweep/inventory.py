"""What a root holds: its sweeps, its prepared data, and the models that its cells are of. Asks neither Slurm nor torch.

What can't be read is listed with the reason, because a list of a damaged root is what helps to mend it.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paceline.config.checks import CONTENT
from paceline.config.identity import read_config
from paceline.config.joined_parts import is_twin, sources, with_sources
from paceline.config.schema import ModelSpec
from paceline.data.samples import dataset_folder
from paceline.errors import PacelineError, UserError
from paceline.models import hub_files, local_weights
from paceline.store.cell_folder import CellFolder
from paceline.store.disk_usage import WALKERS, of_each, total
from paceline.store.files import canonical, read_json
from paceline.store.root import Store
from paceline.sweep.config_files import ConfTree

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class SweepEntry:
    """A recorded sweep.

    Attributes:
        cells: how many it has; ``done`` of them have their results.
        shared: how many of them another sweep has too.
        bytes: of its own folder and its cells', also of those that it shares; ``files`` counts folders too.
        age_seconds: since it was last submitted.
        problem: why it can't be read; empty where it can.
    """

    name: str
    cells: int = 0
    done: int = 0
    shared: int = 0
    bytes: int = 0
    files: int = 0
    age_seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class DataEntry:
    """Prepared data: a folder under ``data/``.

    Attributes:
        tasks: names of the tasks of recorded cells that read it.
        samples: split -> how many.
        sweeps: the recorded sweeps that have such cells.
        age_seconds: since it was prepared.
        problem: why its manifest can't be read; empty where it can.
    """

    name: str
    tasks: tuple[str, ...] = ()
    samples: Mapping[str, int] | None = None
    sweeps: tuple[str, ...] = ()
    bytes: int = 0
    files: int = 0
    age_seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class ModelEntry:
    """A model that the root's cells are of, or whose weights were fetched.

    Attributes:
        weights: hub id and revision, or the folder; empty for a twin, which has none.
        folder: where they lie, outside the root: other roots and other programs read them too.
        cells: how many cells of the root are of it.
        bytes: of the weights' files.
        age_seconds: since they were fetched; None where there are none.
        lacks: what stands in the way of loading it; empty where nothing does.
    """

    name: str
    weights: str = ""
    folder: str = ""
    cells: int = 0
    bytes: int = 0
    files: int = 0
    age_seconds: float | None = None
    lacks: str = ""


@dataclass(frozen=True)
class Inventory:
    """All of a root.

    Attributes:
        sweeps: the one last submitted first.
        unfinished: the names given to a `paceline rm` that broke off and has not removed all yet.
        unnamed: cells that no recorded sweep names.
    """

    root: str
    sweeps: list[SweepEntry]
    data: list[DataEntry]
    models: list[ModelEntry]
    unfinished: list[str]
    unnamed: int

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def take(store: Store, tree: ConfTree) -> Inventory:
    """Look through a root. Reads each cell's file once, and no prediction.

    Args:
        store: the root.
        tree: the configs, for models that were fetched and that no cell is of yet.
    """
    contents, problems = recorded_sweeps(store)
    with ThreadPoolExecutor(WALKERS) as pool:
        cells = store.cells()
        identities = dict(zip((c.id for c in cells), pool.map(_identity, cells), strict=True))
        done = {cell.id for cell, record in zip(cells, pool.map(CellFolder.done, cells), strict=True) if record}
    held = dict(zip(identities, of_each(cell.path for cell in cells), strict=True))
    times = Counter(cell for content in contents.values() for cell in content["cells"])
    sweeps = [SweepEntry(name, problem=why) for name, why in problems.items()]
    own = dict(zip(contents, of_each(store.sweep(name).path for name in contents), strict=True))
    for name, content in contents.items():
        usage = total([own[name], *(held[c] for c in content["cells"] if c in held)])
        sweeps.append(
            SweepEntry(
                name,
                cells=len(content["cells"]),
                done=len(done.intersection(content["cells"])),
                shared=sum(times[cell] > 1 for cell in content["cells"]),
                bytes=usage.bytes,
                files=usage.files,
                age_seconds=_age(store.sweep(name).submitted()),
            )
        )
    return Inventory(
        root=str(store.root),
        sweeps=sorted(sweeps, key=lambda entry: entry.age_seconds),
        data=_data(store, contents, identities),
        models=_models(identities, tree, store.root),
        unfinished=sorted({path.name.rpartition("-")[0] for path in store.removals()}),
        unnamed=len(set(identities) - set(times)),
    )


def recorded_sweeps(store: Store) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The content of each recorded sweep; and of those that can't be read, why."""
    contents, problems = {}, {}
    for name in store.sweeps():
        try:
            content = store.sweep(name).read()
            contents[name] = {**content, "cells": [str(cell) for cell in content["cells"]]}
        except (UserError, KeyError, TypeError) as error:
            problems[name] = str(error) if isinstance(error, UserError) else f"{name}/sweep.json is no sweep's"
    return contents, problems


def _identity(cell: CellFolder) -> dict[str, Any]:
    """What a cell is of; empty where its file can't be read."""
    try:
        return cell.read().identity
    except UserError:
        return {}


def _age(since: float) -> float:
    return max(0.0, time.time() - since)


def _data(
    store: Store, contents: Mapping[str, dict[str, Any]], identities: Mapping[str, dict[str, Any]]
) -> list[DataEntry]:
    folders = store.data_folders()
    readers = {folder.name: readers_of(folder, store, identities) for folder in folders}
    found = []
    for folder, usage in zip(folders, of_each(folders), strict=True):
        cells = readers[folder.name]
        names = {str(identities[cell].get("task", {}).get("name", "")) for cell in cells}
        entry = DataEntry(
            folder.name,
            tasks=tuple(sorted(filter(None, names))),
            sweeps=tuple(name for name, content in contents.items() if cells.intersection(content["cells"])),
            bytes=usage.bytes,
            files=usage.files,
            age_seconds=_age(folder.stat().st_mtime),
        )
        try:
            found.append(replace(entry, samples=dict(read_json(folder / MANIFEST)["splits"])))
        except UserError as error:
            found.append(replace(entry, problem=str(error)))
        except (KeyError, TypeError, ValueError):
            found.append(replace(entry, problem=f"{folder / MANIFEST} is no manifest"))
    return found


def readers_of(folder: Path, store: Store, identities: Mapping[str, dict[str, Any]]) -> set[str]:
    """The cells that read a folder of prepared data: whose task has it there, or that were made for its content."""
    try:
        digest = read_json(folder / MANIFEST)["digest"]
    except (UserError, KeyError, TypeError):
        digest = None
    places: dict[str, str] = {}
    found = set()
    for cell, identity in identities.items():
        task = identity.get("task", {})
        key = canonical([task, identity.get("data")])
        if key not in places:
            places[key] = _place(store, task, str(identity.get("data", "")))
        if places[key] == folder.name or (digest is not None and identity.get("data") == digest):
            found.add(cell)
    return found


def _place(store: Store, task: Mapping[str, Any], data: str) -> str:
    """The name of the folder that a recorded task's data is in; empty where its reader is not known here."""
    try:
        return dataset_folder(store.root, read_config({"task": dict(task)}, "a recorded task").task, data).name
    except PacelineError:
        return ""


def _models(identities: Mapping[str, dict[str, Any]], tree: ConfTree, root: Path) -> list[ModelEntry]:
    cells: Counter[str] = Counter()
    specs: dict[str, ModelSpec] = {}
    for identity in identities.values():
        key = canonical(identity.get("model", {}))
        cells[key] += 1
        specs.setdefault(key, _spec(identity.get("model", {})))
    folders = local_weights.folders(root)
    entries = [
        _model(with_sources(spec, [replace(s, folder=folders.get(s.weights, "")) for s in sources(spec)]), cells[key])
        for key, spec in specs.items()
        if spec.name
    ]
    known = {_places(spec) for spec in specs.values()}
    for name in tree.choices("model"):
        with contextlib.suppress(PacelineError):
            spec = _spec({**tree.load("model", name), "name": name})
            passed_over = spec.served or is_twin(spec) or _places(spec) in known
            if not passed_over and not hub_files.lacking(spec):
                entries.append(_model(spec, 0))
    return sorted(entries, key=lambda entry: entry.name)


def _places(spec: ModelSpec) -> tuple[tuple[str, str], ...]:
    return tuple((source.weights, source.revision) for source in sources(spec))


def _spec(values: Mapping[str, Any]) -> ModelSpec:
    try:
        return read_config({"model": dict(values)}, "a recorded model").model
    except PacelineError:  # of a version that knew other keys
        return ModelSpec(name=str(values.get("name", "")), weights=str(values.get("weights", "")))


def _model(spec: ModelSpec, cells: int) -> ModelEntry:
    weights = (
        " ".join(filter(None, (s.weights[:19] if s.weights.startswith(CONTENT) else s.weights, s.revision)))
        for s in sources(spec)
    )
    entry = ModelEntry(spec.name, " + ".join(filter(None, weights)), cells=cells)
    try:
        folders = [folder for source in sources(spec) if (folder := hub_files.folder_of(source))]
        if not folders:
            return entry
        entry = replace(entry, folder=" + ".join(map(str, folders)), lacks=hub_files.lacking(spec))
        if not all(folder.is_dir() for folder in folders):
            return entry
        # Of links into the cache what they lead to.
        there = [p.stat() for folder in folders for p in folder.rglob("*") if p.is_file()]
        size = sum(stat.st_size for stat in there)
        return replace(entry, bytes=size, files=len(there), age_seconds=_age(max(f.stat().st_mtime for f in folders)))
    except (PacelineError, OSError) as error:
        return replace(entry, lacks=str(error))
