"""How much folders hold, in bytes and in files, counted quickly."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

# Folders looked through at a time: on a shared file system each answer takes a while.
from paceline.counted import counted

WALKERS = 8


@dataclass(frozen=True)
class Usage:
    """What lies in some folders.

    Attributes:
        bytes: of the files, as long as they are; links are not followed.
        files: files and folders, the outermost too: what a quota of files counts.
    """

    bytes: int = 0
    files: int = 0

    def __str__(self) -> str:
        return f"{size(self.bytes)} in {counted(self.files, 'file')}"

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.bytes + other.bytes, self.files + other.files)


def size(count: int) -> str:
    """Bytes for people: ``812 B``, ``3.4 MiB``, ``120 GiB``."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1000:
            break
        value, unit = value / 1024, larger
    return f"{value:,.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def of_each(folders: Iterable[Path]) -> list[Usage]:
    """What each of some folders holds, several looked through at a time; nothing where one is not there.

    A file with several names, such as weights that are linked to the best checkpoint, counts once in a folder.
    """
    with ThreadPoolExecutor(WALKERS) as pool:
        return list(pool.map(of_one, folders))


def of_one(folder: Path) -> Usage:
    """What a folder holds. What goes away meanwhile, or can't be read, is not counted."""
    length, entries = 0, 0
    linked: set[int] = set()
    waiting = [os.fspath(folder)] if folder.is_dir() else []
    while waiting:
        entries += 1
        try:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                            continue
                        stat = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if stat.st_nlink > 1:
                        if stat.st_ino in linked:
                            continue
                        linked.add(stat.st_ino)
                    entries += 1
                    length += stat.st_size
        except OSError:
            continue
    return Usage(length, entries)


def total(usages: Iterable[Usage]) -> Usage:
    """All of them together."""
    return sum(usages, Usage())
