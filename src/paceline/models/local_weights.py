"""Weights in a folder of the user's, known by their content: a folder's name stays when its files are exchanged.

    <root>/weights/<digest of the folder's path>.json
        {folder, digest, prepared, files: {name: {bytes, mtime_ns, sha256}}}

``prepare`` reads every byte once. Planning compares sizes and times with that record, in a moment, and puts the
digest in the place of the path: a cell's identity holds what the weights are, its placement where they lie
(``model.folder``). A cell reads every byte again before it loads them. Imports no torch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from paceline.config.checks import CONTENT, in_folder, locate_weights
from paceline.config.joined_parts import called, setting, sources, with_sources
from paceline.config.schema import ModelSpec
from paceline.errors import DataError, UserError
from paceline.models.hub_files import MEGABYTE, Progress, lacking, needed
from paceline.store import files
from paceline.store.files import READ_BYTES

READERS = 4
"""Files read at a time: hashing takes a core each, and a shared file system answers several readers faster than one."""
_CHUNK = 1 << 22


def record_path(root: Path, folder: Path) -> Path:
    """Where the digest of a folder of weights is recorded."""
    return root / "weights" / f"{files.digest(str(folder), 12)}.json"


def folders(root: Path) -> dict[str, str]:
    """Content, as a cell names it -> the folder that was last prepared with it, of those still there.

    What can't be read is left out.
    """
    known: dict[str, tuple[bool, float, str]] = {}
    for path in (root / "weights").glob("*.json"):
        with contextlib.suppress(UserError, KeyError, TypeError):
            record = files.read_json(path)
            there = Path(record["folder"]).is_dir()
            entry = there, float(record["prepared"]), str(record["folder"])
            known[CONTENT + record["digest"]] = max(entry, known.get(CONTENT + record["digest"], entry))
    return {content: folder for content, (_, _, folder) in known.items()}


def folder_of(model: ModelSpec) -> Path:
    """The folder of a model's weights, from the root of the file system."""
    return Path(locate_weights(model)[0]).absolute()


def prepare(model: ModelSpec, root: Path, progress: Progress) -> tuple[ModelSpec, bool]:
    """Read the weights of a folder and record their digest, unless sizes and times are as recorded.

    Args:
        model: the model, or a part of a joined one.
        root: the storage root.
        progress: is told how much was read.

    Returns:
        The model, pinned to the content, and whether anything was read.

    Raises:
        UserError: the folder holds no whole model, or a file changed while it was read.
        Unavailable: the record can't be written.
    """
    folder = folder_of(model)
    names = _names(model, folder)
    if why := lacking(model):
        raise UserError(f"{called(model)}: {why}")
    before = _stats(folder, names)
    record = _recorded(root, folder)
    read = record is None or _differing(record, before) != []
    if record is None or read:
        digests = _digests(folder, names, progress)
        if _stats(folder, _names(model, folder)) != before:
            raise UserError(f"{called(model)}: {folder} changed while it was read; wait until it is whole")
        record = {
            "schema": files.SCHEMA,
            "folder": str(folder),
            "digest": _joined(digests),
            "prepared": time.time(),
            "files": {name: {**before[name], "sha256": digests[name]} for name in names},
        }
        files.write_json(record_path(root, folder), record)
    return _pinned(model, folder, record), read


def pin(model: ModelSpec, root: Path) -> ModelSpec:
    """A model whose weights lie in a folder, with the digest of their content in the place of the folder's name.

    Other models are given back as they are. Looks at sizes and times alone.

    Raises:
        DataError: the folder was not prepared under this root, or changed since.
        UserError: no such folder.
    """
    pinned = []
    for source in filter(in_folder, sources(model)):
        folder = folder_of(source)
        record = _recorded(root, folder)
        why = _difference(source, folder, record)
        if record is None or why:
            raise DataError(f"{called(source)}: {why}")
        pinned.append(_pinned(source, folder, record))
    return with_sources(model, pinned)


def difference(model: ModelSpec, root: Path) -> str:
    """Why a folder of weights is not what it was prepared as, or what a cell was made for; empty where it is.

    Looks at sizes and times, and reads small files of which the time alone is another, so that a plan may ask it.

    Raises:
        UserError: no such folder.
    """
    for source in filter(in_folder, sources(model)):
        folder = folder_of(source)
        if why := _difference(source, folder, _recorded(root, folder)):
            return why
    return ""


def _difference(model: ModelSpec, folder: Path, record: Mapping[str, Any] | None) -> str:
    # With the folder: it may stand on the command line alone, or in a recorded cell.
    remedy = f"run: paceline prepare model={model.name} {setting(model)}.weights={folder}"
    if record is None:
        return f"the content of {folder} is part of a cell's identity, and was not read yet; {remedy}"
    if differing := _other_content(folder, record, _stats(folder, _names(model, folder))):
        return (
            f"{folder} was prepared on {files.day(record['prepared'])}, and since then: {_some(differing)}. Put the "
            f"old files back, or {remedy} "
            "(cells of the weights as they are now are other cells)"
        )
    if model.weights.startswith(CONTENT) and model.weights != CONTENT + record["digest"]:
        return _other(model, folder, record["digest"])
    return ""


def require(model: ModelSpec, root: Path) -> None:
    """Refuse weights that are not those that a cell was made for. Reads every byte of them.

    Raises:
        DataError: with the files that differ from the record, where there is one.
    """
    for source in sources(model):
        if source.weights.startswith(CONTENT):
            _require(source, root)


def _require(model: ModelSpec, root: Path) -> None:
    folder = folder_of(model)
    digests = _digests(folder, _names(model, folder), lambda stage, done, total: None)
    if (now := CONTENT + _joined(digests)) == model.weights:
        return
    record = _recorded(root, folder)
    message = _other(model, folder, now.removeprefix(CONTENT))
    if record is not None and CONTENT + record["digest"] == model.weights:
        known = {name: entry["sha256"] for name, entry in record["files"].items()}
        message += f"; what differs: {_some(_compared(known, digests))}"
    raise DataError(f"{called(model)}: {message}")


def _other(model: ModelSpec, folder: Path, now: str) -> str:
    return (
        f"the weights in {folder} are not those that the cell was made for (sha256 {now[:12]} now, "
        f"{model.weights.removeprefix(CONTENT)[:12]} then): put the old ones back, or submit again for cells of the new"
    )


def _pinned(model: ModelSpec, folder: Path, record: Mapping[str, Any]) -> ModelSpec:
    return dataclasses.replace(model, weights=CONTENT + record["digest"], folder=str(folder), revision="")


def _recorded(root: Path, folder: Path) -> dict[str, Any] | None:
    path = record_path(root, folder)
    if not path.exists():
        return None
    record = files.read_json(path)
    try:
        whole = record["folder"] == str(folder) and _joined({n: e["sha256"] for n, e in record["files"].items()})
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole or whole != record.get("digest") or not isinstance(record.get("prepared"), float):
        raise UserError(f"{path} is damaged; remove it and run: paceline prepare model=NAME")
    return dict(record)


def _names(model: ModelSpec, folder: Path) -> list[str]:
    """The files that decide what a model answers: weights, configs, vocabularies, templates; its code where it runs."""
    there = (str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    return needed((n for n in there if not n.startswith(".")), code=model.remote_code)


def _stats(folder: Path, names: Iterable[str]) -> dict[str, dict[str, int]]:
    stats = {}
    for name in names:
        try:
            stats[name] = files.size_and_time(folder / name)
        except OSError as error:
            raise UserError(f"{folder / name} can't be read: {error.strerror}") from None
    return stats


def _differing(record: Mapping[str, Any], stats: Mapping[str, dict[str, int]]) -> list[str]:
    known = {n: {"bytes": e["bytes"], "mtime_ns": e["mtime_ns"]} for n, e in record["files"].items()}
    return _compared(known, stats)


def _other_content(folder: Path, record: Mapping[str, Any], stats: Mapping[str, dict[str, int]]) -> list[str]:
    """As :func:`_differing`, without files that were only written again, as far as they are quickly read."""
    differing = _differing(record, stats)
    again = [
        name
        for name, entry in record["files"].items()
        if f"{name} changed" in differing and stats[name]["bytes"] == entry["bytes"]
    ]
    if sum(stats[name]["bytes"] for name in again) > READ_BYTES:
        return differing
    digests = _digests(folder, again, lambda stage, done, total: None)
    same = {f"{name} changed" for name in again if digests[name] == record["files"][name]["sha256"]}
    return [line for line in differing if line not in same]


def _compared(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The names whose values differ, each with how."""
    words = {(True, True): "changed", (True, False): "gone", (False, True): "new"}
    differing = sorted(n for n in {*before, *now} if before.get(n) != now.get(n))
    return [f"{name} {words[name in before, name in now]}" for name in differing]


def _some(differing: list[str]) -> str:
    return ", ".join(differing[:3]) + (f" and {len(differing) - 3} more" if len(differing) > 3 else "")


def _joined(digests: Mapping[str, str]) -> str:
    return files.digest(dict(digests))


def _digests(folder: Path, names: list[str], progress: Progress) -> dict[str, str]:
    """The sha256 of each file, several read at a time."""
    done, total = [0], sum((folder / n).stat().st_size for n in names)

    def read(name: str) -> str:
        hashed = hashlib.sha256()
        with (folder / name).open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                hashed.update(chunk)
                done[0] += len(chunk)
                progress("MB read", done[0] // MEGABYTE, total // MEGABYTE)
        return hashed.hexdigest()

    try:
        with ThreadPoolExecutor(READERS) as pool:
            return dict(zip(names, pool.map(read, names), strict=True))
    except OSError as error:
        raise UserError(f"{error.filename or folder} can't be read: {error.strerror}") from error
