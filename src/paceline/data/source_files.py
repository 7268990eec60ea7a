"""Whether what a task's data was made from is still as it was: pictures outside the root, tables, folders.

    <root>/data/<reader>-<digest>/
        sources.jsonl    each file that was used and lies elsewhere: {file, bytes, mtime_ns, sha256 of a picture}; first
                         tables and what else is read beside pictures, as they were before that, with their content's
                         digest where they are not large
        folders.jsonl    each folder that was searched, with the names in it: {folder, mtime_ns, names}

Planning looks at sizes and times alone: of folders all, of pictures as many as take a moment. A picture whose time
alone is another is read. Every picture is held to its digest again where it is decoded for a model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from paceline.config.schema import TaskSpec
from paceline.counted import agree, counted
from paceline.data import readers
from paceline.data.samples import dataset_folder
from paceline.errors import DataError
from paceline.store import files
from paceline.store.files import READ_BYTES
from paceline.tasks.kind import digests_of, images_of

LOOKED_AT = 2000
"""Pictures that a plan looks at, spread evenly over all."""
_THREADS = 16
_WILD = frozenset("*?[")


@dataclass(frozen=True)
class Changes:
    """What of the sources is not as it was when the data was prepared.

    Attributes:
        broken: used pictures that are gone or hold something else, ``path (how)``: a cell would fail on them.
        unread: used pictures of another size or time that were too many to read.
        other: used files that are no pictures and changed, such as the table.
        new: files in the searched folders that were not there.
        gone: files that were there, and were not used.
        prepared: when the data was made, in seconds since the epoch.
    """

    broken: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    prepared: float = 0.0

    @property
    def day(self) -> str:
        """When the data was made, for people."""
        return files.day(self.prepared)

    def note(self, command: str) -> str:
        """What a person is told who plans with the data as it is; empty where there is nothing.

        Args:
            command: what prepares the task.
        """
        parts = [
            _counted(names, how)
            for names, how in ((self.new, "new"), (self.gone, "gone"), (self.other, "changed"))
            if names
        ]
        return f"prepared on {self.day}; {', '.join(parts)}: {command} --refresh" if parts else ""

    def refusal(self, command: str) -> str:
        """Why no cell can be planned with the data; empty where one can."""
        if self.broken:
            return (
                f"prepared on {self.day}, and since then {_counted(self.broken, 'other')}: put the old files back, or "
                f"run: {command} --refresh (cells of the new data are other cells)"
            )
        if self.unread:
            return (
                f"prepared on {self.day}, and since then {_counted(self.unread, 'of another size or time')}; read "
                f"them all once with: {command}"
            )
        return ""


def _counted(names: tuple[str, ...], how: str) -> str:
    count = f"{counted(len(names), 'file')} {agree(len(names), 'is', 'are')}"
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{count} {how} ({shown})"


# -- what is recorded


def searched(task: TaskSpec, root: Path) -> list[dict[str, Any]]:
    """The folders that the task's reader searches, with what is in them; made before it reads."""
    paths = [path for value in _paths(task) for path in _places(value)]
    folders = dict.fromkeys(chain.from_iterable(_folders(p, root) for p in paths if p.is_dir()))
    return [entry for folder in folders if (entry := _listed(folder))]


def read_beside(task: TaskSpec, root: Path) -> list[dict[str, Any]]:
    """The files beside the pictures that the task's reader reads, such as tables; made before it reads."""
    named = (place for value in _paths(task) for place in _places(value) if place.is_file())
    stats = ((path, _stat(path)) for path in dict.fromkeys((*named, *_below_options(task, root))))
    return [
        {"file": str(path), **stat} | ({"content": _digest(path)} if stat["bytes"] <= READ_BYTES else {})
        for path, stat in stats
        if stat
    ]


def used(folder: Path, beside: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The files elsewhere that a folder of prepared data was made from.

    Pictures that its records show bear their digest. The others, of which it holds what it needs, do not: those that
    are read beside the pictures, and pictures that were scaled.
    """
    shown: dict[str, str] = {}
    for record in files.read_jsonl(folder / "samples.jsonl"):
        shown |= zip(images_of(record), digests_of(record), strict=True)
    known = {entry["file"] for entry in beside}
    scaled = (line["picture"] for line in files.read_jsonl(folder / "pictures.jsonl") if "shown" in line)
    entries = []
    for path in dict.fromkeys([*shown, *scaled]):
        if path not in known and Path(path).is_absolute() and (stat := _stat(Path(path))):
            entries.append({"file": path, **stat} | ({"sha256": shown[path]} if path in shown else {}))
    return [*beside, *entries]


def _below_options(task: TaskSpec, root: Path) -> Iterator[Path]:
    """The files below folders, or of patterns, of the suffixes that the reader reads there."""
    module = readers.load(task.reader)
    options = readers.with_absolute_paths(task.reader, dict(task.options))
    for option, suffixes in getattr(module, "READS", {}).items():
        for value in _texts(options.get(option)):
            for place in _matches(Path(value)):
                if place.is_file():
                    yield place
                for path in (f / name for f in _folders(place, root) for name in _names(f)):
                    if path.suffix.lower() in suffixes:
                        yield path


def _matches(path: Path) -> list[Path]:
    """A path, or those that match it where it is a pattern."""
    if not _WILD & set(str(path)) or path.exists():
        return [path]
    return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def _paths(task: TaskSpec) -> Iterator[str]:
    """The paths among the options, absolute."""
    options = readers.with_absolute_paths(task.reader, dict(task.options))
    for name in getattr(readers.load(task.reader), "PATHS", ()):
        yield from _texts(options.get(name))


def _texts(value: Any) -> Iterator[str]:
    """The texts of a value of an option."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(_texts, value.values()))
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(_texts, value))


def _places(value: str) -> list[Path]:
    """A file or a folder; of a pattern the folder in which it begins."""
    path = Path(value)
    if not _WILD & set(value):
        return [path]
    plain = [part for part in path.parts if not _WILD & set(part)]
    at = next(i for i, part in enumerate(path.parts) if _WILD & set(part))
    return [Path(*plain[:at])] if at else []


def _folders(top: Path, root: Path) -> Iterator[Path]:
    """A folder and all below it; not the storage root, hidden ones, what UTF-8 can't name, and what links lead to."""
    for place, names, _ in os.walk(top):
        names[:] = sorted(n for n in names if not n.startswith(".") and n.encode("utf-8", "replace").decode() == n)
        if Path(place) == root:
            names[:] = []
            continue
        yield Path(place)


def _listed(folder: Path) -> dict[str, Any] | None:
    try:
        time_ns = folder.stat().st_mtime_ns
        return {"folder": str(folder), "mtime_ns": time_ns, "names": _names(folder)}
    except OSError:
        return None


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        # What UTF-8 can't write can't be recorded, and is told by its other letters.
        names = (e.name.encode("utf-8", "replace").decode() for e in entries if not e.is_dir(follow_symlinks=False))
        return sorted(n for n in names if not n.startswith("."))


def _stat(path: Path) -> dict[str, int] | None:
    try:
        return files.size_and_time(path)
    except OSError:
        return None


# -- what is compared


def changes(root: Path, task: TaskSpec, *, all_files: bool = False) -> Changes:
    """What changed since the task's data was prepared; none where an earlier version recorded no sources.

    Args:
        root: the storage root.
        task: the task; its data is prepared.
        all_files: look at every file, and read all whose size or time is another: what ``prepare`` does. A plan looks
            at some and reads little.
    """
    folder = dataset_folder(root, task)
    if not (folder / "sources.jsonl").exists():
        return Changes()
    made = (folder / "manifest.json").stat().st_mtime
    entries = list(_entries(folder / "sources.jsonl", 0 if all_files else LOOKED_AT))
    with ThreadPoolExecutor(_THREADS) as pool:
        now = list(pool.map(lambda entry: _stat(Path(entry["file"])), entries))
    broken, unread, other = [], [], []
    room = float("inf") if all_files else READ_BYTES
    for entry, stat in zip(entries, now, strict=True):
        if stat == {"bytes": entry["bytes"], "mtime_ns": entry["mtime_ns"]}:
            continue
        name = Path(entry["file"]).name
        if "sha256" not in entry:
            readable = stat is not None and stat["bytes"] == entry["bytes"] <= room
            room -= entry["bytes"] if readable else 0
            if not (readable and _is_as_read(entry)):
                other.append(name)
        elif stat is None or stat["bytes"] != entry["bytes"]:
            broken.append(f"{name} {'gone' if stat is None else 'changed'}")
        elif stat["bytes"] > room:
            unread.append(name)
        else:
            room -= stat["bytes"]
            if _digest(Path(entry["file"])) != entry["sha256"]:
                broken.append(f"{name} changed")
    new, lost = _compared(folder, root)
    if lost:
        shown = {e["file"] for e in _entries(folder / "sources.jsonl", 0) if "sha256" in e}
        broken += [f"{p.name} gone" for p in lost if str(p) in shown and f"{p.name} gone" not in broken]
        lost = [p for p in lost if str(p) not in shown]
    gone = tuple(p.name for p in lost)
    return Changes(tuple(broken), tuple(unread), tuple(other), tuple(p.name for p in new), gone, made)


def _entries(path: Path, most: int) -> Iterator[dict[str, Any]]:
    """The entries of a file, or so many of those with a digest and of those without, each spread evenly."""
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    for line in path.read_bytes().splitlines():
        parts[b'"sha256"' in line].append(line)
    for lines in parts:
        step = max(1, len(lines) / most) if most else 1
        for i in range(int(len(lines) / step)):
            try:
                yield json.loads(lines[int(i * step)])
            except ValueError:
                raise DataError(f"{path} is damaged; remove it: paceline prepare makes it anew") from None


def _is_as_read(entry: Mapping[str, Any]) -> bool:
    """Whether a file beside pictures holds what it held; not where it is too large to be known."""
    return "content" in entry and _digest(Path(entry["file"])) == entry["content"]


def _digest(path: Path) -> str:
    try:
        return files.file_digest(path)
    except OSError:
        return ""


def _compared(folder: Path, root: Path) -> tuple[list[Path], list[Path]]:
    """The files that are new, and those that are gone, in the folders that were searched."""
    new: list[Path] = []
    gone: list[Path] = []
    known = {entry["folder"]: entry for entry in files.read_jsonl(folder / "folders.jsonl")}
    for path, entry in known.items():
        place = Path(path)
        stat = _stat(place)
        if stat and stat["mtime_ns"] == entry["mtime_ns"]:
            continue
        names = set(_names(place)) if place.is_dir() else set()
        new += [place / n for n in sorted(names - set(entry["names"]))]
        gone += [place / n for n in sorted(set(entry["names"]) - names)]
        for below in _below(place):
            if str(below) not in known:
                new += [deep / n for deep in _folders(below, root) for n in _names(deep)]
    return new, gone


def _below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and p.name[0] != ".")


def require(root: Path, task: TaskSpec, command: str) -> str:
    """Refuse to plan with data whose pictures are not those that were prepared; else what is to be told of them.

    Args:
        root: the storage root.
        task: the task; its data is prepared.
        command: what prepares it.

    Raises:
        DataError: with the names of the files.
    """
    changed = changes(root, task)
    if why := changed.refusal(command):
        raise DataError(f"task '{task.name}': {why}")
    return _told(task, changed, command)


def renew(root: Path, task: TaskSpec, command: str) -> str:
    """Look at every source, and record sizes and times anew where the content is as it was.

    Returns:
        What is to be told of files that are new or gone; empty where there is nothing.

    Raises:
        DataError: a picture holds something else, or is gone.
    """
    folder = dataset_folder(root, task)
    if not (folder / "sources.jsonl").exists():
        return _record(root, task, folder, command)
    changed = changes(root, task, all_files=True)
    if why := changed.refusal(command):
        raise DataError(f"task '{task.name}': {why}")
    before = list(files.read_jsonl(folder / "sources.jsonl"))
    # A table that changed stays recorded as it was read, so that it is told until the data is made anew.
    entries = [
        entry | stat if (stat := _stat(Path(entry["file"]))) and _same(entry, stat) else entry for entry in before
    ]
    if entries != before:
        files.write_jsonl(folder / "sources.jsonl", entries)
    return _told(task, changed, command)


def _same(entry: Mapping[str, Any], stat: Mapping[str, int]) -> bool:
    """Whether an entry's file, which is no changed picture, holds what it held."""
    return "sha256" in entry or entry.items() >= stat.items() or _is_as_read(entry)


def _record(root: Path, task: TaskSpec, folder: Path, command: str) -> str:
    """Record the sources of data that an earlier version prepared; else as :func:`renew`."""
    entries = used(folder, read_beside(task, root))
    shown = [(Path(e["file"]), e["sha256"]) for e in entries if "sha256" in e]
    changed = Changes(
        broken=tuple(f"{p.name} changed" for p, digest in shown if _digest(p) != digest),
        prepared=(folder / "manifest.json").stat().st_mtime,
    )
    if why := changed.refusal(command):
        raise DataError(f"task '{task.name}': {why}")
    files.write_jsonl(folder / "folders.jsonl", searched(task, root))
    files.write_jsonl(folder / "sources.jsonl", entries)
    return _told(task, changed, command)


def _told(task: TaskSpec, changed: Changes, command: str) -> str:
    return f"task '{task.name}': {note}" if (note := changed.note(command)) else ""
