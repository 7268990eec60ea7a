"""What lies below a folder of the user's: the files, and whatever is passed over, each with a reason."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from paceline.data.readers import Skipped

USUAL_SUFFIX = re.compile(r"\.(?=\d*[a-z])[a-z0-9]{1,8}")
HIDDEN = "hidden file"


def files_below(folder: Path, suffixes: Collection[str], what: str = "picture") -> tuple[list[Path], list[Skipped]]:
    """The files of some suffixes below a folder, and all else that lies there.

    Linked files are read; linked folders are not followed, because they may lead around in a circle.

    Args:
        folder: searched with its subfolders.
        suffixes: of the files to give, in lower case; a file's own may be in any case.
        what: what those files are, for the reason why another is passed over.

    Returns:
        Files, and what was passed over, both in the order of their names.
    """
    chosen: list[Path] = []
    passed: list[tuple[Path, str]] = []

    def unreadable(error: OSError) -> None:
        passed.append((Path(error.filename), "folder may not be read"))

    for place, folders, names in os.walk(folder, onerror=unreadable):
        linked = [Path(place) / name for name in folders if (Path(place) / name).is_symlink()]
        passed += [(path, "linked folder, which is not followed") for path in linked]
        for path in (Path(place) / name for name in names):
            if reason := _reason(path, path.relative_to(folder), suffixes, what):
                passed.append((path, reason))
            else:
                chosen.append(path)
    return sorted(chosen), [Skipped(path.relative_to(folder).as_posix(), reason) for path, reason in sorted(passed)]


def _reason(path: Path, below: Path, suffixes: Collection[str], what: str) -> str:
    """Why a file is passed over; empty where it is not."""
    suffix = path.suffix.lower()
    known = suffix in suffixes
    if path.name.startswith(".") or (not known and any(part.startswith(".") for part in below.parts)):
        return HIDDEN
    if path.is_symlink() and not path.exists():
        return "broken link"
    if not path.is_file():
        return "no regular file"
    if known:
        return ""
    shown = suffix if USUAL_SUFFIX.fullmatch(suffix) else "unusual" if suffix else "none"
    return f"suffix of no {what} ({shown})"
