"""The files of what cells answered, such as descriptions, written into a folder of the user's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from paceline.counted import counted
from paceline.errors import UserError
from paceline.report.analysis import differences
from paceline.report.read.sweep_results import Report
from paceline.store.files import read_json, write_bytes, write_json
from paceline.tasks.panels import Files

WRITTEN = "paceline-files.json"
"""In the folder: the files that a report wrote there, with their digests. Those, left as they were, are written anew;
no other file is touched."""


def files_of(report: Report) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file of every cell; a content is made when it is its turn."""
    for group in report.groups:
        for panel in differences.panels(report, group):
            if not isinstance(panel, Files):
                continue
            for cell in panel.cells:
                begin = f"{plain_name(f'{group.task} {group.split} {cell.name}')}-{cell.id[-6:]}"
                for file in cell.files:
                    yield f"{begin}-{file.name}", file.read().encode("utf-8", "replace")


def plain_name(name: str) -> str:
    """A name as one of a file: letters and digits of ASCII, hyphens and underscores, no longer than 120 characters."""
    return re.sub(r"[^A-Za-z0-9_.=]+", "-", name).strip("-.")[:120]


def write(report: Report, folder: Path) -> list[Path]:
    """Write the files of a report; those that are there and equal are left as they are.

    Raises:
        UserError: the sweep has no such files; the folder is a file; a file of that name was written or edited by
            somebody else. Nothing is written then.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--files {folder}: is a file; give a folder")
    known = _known(folder)
    new = {name: _digest(content) for name, content in files_of(report)}
    if not new:
        raise UserError(
            f"--files: sweep {report.sweep} has no files to write; of the kinds of task that come with paceline, "
            "description gives some"
        )
    there = {name: _there(folder / name) for name in new if (folder / name).exists()}
    if foreign := [name for name, digest in there.items() if digest not in (new[name], *known.get(name, ()))]:
        raise UserError(
            f"--files {folder}: {counted(len(foreign), 'file')} there, such as {foreign[0]}, was not written by a "
            "report or was edited since; move it, or give another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--files {folder}: can't be made: {error.strerror}; give another folder") from None
    # Both digests until all is written: what a kill leaves, old or new, is known as a report's.
    both = {name: list(dict.fromkeys([*known.get(name, ()), digest])) for name, digest in new.items()}
    write_json(folder / WRITTEN, {**known, **both})
    for name, content in files_of(report):
        if there.get(name) != new[name]:
            write_bytes(folder / name, content)
    write_json(folder / WRITTEN, {**known, **{name: [digest] for name, digest in new.items()}})
    return [folder / name for name in new]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _there(path: Path) -> str:
    """The digest of a file that is there; empty of what can't be read as one, such as a folder of that name."""
    try:
        return _digest(path.read_bytes())
    except OSError:
        return ""


def _known(folder: Path) -> dict[str, list[str]]:
    path = folder / WRITTEN
    if not path.is_file():
        return {}
    found = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(digests, list) for digests in found.values()):
        raise UserError(f"{path}: does not list files and their digests; move it, or give another folder")
    return found
