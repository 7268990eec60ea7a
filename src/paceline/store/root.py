"""Where state lives: cell folders, attempts, sweeps, and the only functions that write them.

Everything is a file under one root. A file is written to a temporary name, flushed to the disk and renamed, so a crash
at any instant leaves the old version or the new one. Folders are claimed by ``mkdir``, which is atomic on shared file
systems too, where locks are not.

    <root>/cells/<id>/cell.json                      the cell, frozen
                      attempts/<n>/start.json        placement and provenance
                                   heartbeat         progress, renewed while the attempt lives
                                   rungs.jsonl       what its probe changed of the placement
                                   end.json          the cause it ended with
                                   log               what it printed
                                   predictions.jsonl or checkpoints/
                      predictions.jsonl scores.jsonl metrics.json
                      weights/ tracking.json         what tuning made; the cell's W&B run
                      explanations/<sample>.png      what `paceline explain` drew; no part of the result
                      ladder.json                    why nothing is left to try of a cell that runs out of memory
                      DONE.json                      written last; attests the artefacts
    <root>/sweeps/<name>/sweep.json held.json        the cells; those that a submit limit held back
                         dashboard.json              the W&B workspace that was made of it
                         submissions/<n>/{intent,elements,jobs,granted}.json
    <root>/removed/<sweep>-<hex>/                    what `paceline rm` took away and has not yet deleted
    <root>/data/<reader>-<digest>/manifest.json
    <root>/code/<digest>/
    <root>/trackio/                                  Trackio's database, with tracking=trackio
    <root>/pins.yaml                                 revisions of hub models that `paceline prepare` pinned
    <root>/asked/                                    what Slurm answered, for a minute or an hour
    <root>/submitting <root>/syncing                 folders that exist while one process decides, or uploads
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from paceline.errors import UserError, nearest
from paceline.store.cell_folder import Cell, CellFolder
from paceline.store.files import claim, numbered, read_json, sync_folder, unwritable
from paceline.store.lock import mutex

# Files written at a time: on a shared file system a writer waits for the disk, and hardly computes.
WRITERS = 8


class SweepFolder:
    """The files of one sweep."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.sweep_json = path / "sweep.json"
        self.held_json = path / "held.json"

    def read(self) -> dict[str, Any]:
        """The recorded sweep: ``{name, overrides, cells, dropped, code}``."""
        return read_json(self.sweep_json)

    def held(self) -> dict[str, Any]:
        """What the last submit held back: ``{cells, reason}``."""
        try:
            return dict(read_json(self.held_json))
        except UserError:
            return {"cells": [], "reason": ""}

    def submissions(self) -> list[Path]:
        """Every submission's folder, oldest first."""
        return numbered(self.path / "submissions")

    def new_submission(self) -> Path:
        """Claim the next submission."""
        return claim(self.path / "submissions")

    def submitted(self) -> float:
        """When it was last submitted, in seconds since the epoch; when it was recorded, where it never was."""
        for path in reversed(self.submissions()):
            try:
                return float(read_json(path / "intent.json")["time"])
            except (UserError, KeyError, TypeError, ValueError):
                continue
        try:
            return self.sweep_json.stat().st_mtime
        except OSError:
            return 0.0


class Store:
    """The root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._cells = root / "cells"

    def cell(self, cell_id: str) -> CellFolder:
        """The folder of a cell, there or not."""
        return CellFolder(self._cells / cell_id)

    def freeze(self, cells: Iterable[Cell]) -> None:
        """Freeze many cells, several at a time, each whole or not at all.

        On return all of them and their folders are on the disk, and not before: a sweep that names a cell is written
        after it, so a crash leaves at worst cells that no sweep names.

        Raises:
            UserError: as :meth:`paceline.store.cell_folder.CellFolder.freeze`; of the cells that were not begun none is
                written.
            Unavailable: they can't be written.
        """
        with ThreadPoolExecutor(WRITERS) as pool:
            deque(pool.map(lambda cell: self.cell(cell.id).freeze(cell), cells), maxlen=0)
        try:
            for parent in (self._cells, self.root):
                sync_folder(parent)
        except OSError as error:
            raise unwritable(error, self._cells) from error

    def cells(self) -> list[CellFolder]:
        """Every cell's folder, of recorded sweeps or not."""
        return [CellFolder(path) for path in _folders(self._cells)]

    def data_folders(self) -> list[Path]:
        """Folders of prepared data. One that is in the making is none yet."""
        return _folders(self.root / "data")

    def removals(self) -> list[Path]:
        """Folders of what `paceline rm` took away and has not yet deleted."""
        return _folders(self.root / "removed")

    def sweep(self, name: str) -> SweepFolder:
        """The folder of a sweep, there or not."""
        return SweepFolder(self.root / "sweeps" / name)

    def code(self, code_digest: str) -> Path:
        """The snapshot of code with this digest."""
        return self.root / "code" / code_digest

    def mutex(self) -> contextlib.AbstractContextManager[None]:
        """Only one process at a time decides what to submit under this root: see :func:`paceline.store.lock.mutex`."""
        return mutex(self.root)

    def sweeps(self) -> list[str]:
        """Names of the recorded sweeps, the one last submitted last."""
        folders = [self.sweep(p.parent.name) for p in (self.root / "sweeps").glob("*/sweep.json")]
        return [folder.name for folder in sorted(folders, key=SweepFolder.submitted)]

    def find_sweep(self, name: str | None) -> SweepFolder:
        """The sweep of that name, or where none is given the one last submitted, before any single `run`.

        Raises:
            UserError: there is none, with the names that there are.
        """
        names = self.sweeps()
        if not names:
            raise UserError(f"no sweep was submitted under {self.root}; begin with: paceline submit experiment=demo")
        if name is None:
            return self.sweep(([n for n in names if not _SINGLE_RUN.fullmatch(n)] or names)[-1])
        if name not in names:
            raise UserError(f"no sweep '{name}' under {self.root}: {nearest(name, names)}")
        return self.sweep(name)

    def find_cell(self, text: str) -> CellFolder:
        """The one cell whose id, id's beginning, or hash is ``text``; a path to its folder serves too.

        Raises:
            UserError: none or several match.
        """
        if "/" in text and (Path(text) / "cell.json").exists():
            return CellFolder(Path(text).resolve())
        folder = self.root / "cells"
        ids = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
        if text in ids:
            return self.cell(text)
        matches = [i for i in ids if i.startswith(text) or i.rsplit("-", 1)[-1].startswith(text)]
        if len(matches) == 1:
            return self.cell(matches[0])
        if matches:
            raise UserError(f"'{text}' matches {len(matches)} cells: {', '.join(matches[:4])}; give more of the id")
        raise UserError(f"no cell '{text}' under {self.root}: {nearest(text, ids)}")


# What `paceline run` calls the sweep of its one cell.
_SINGLE_RUN = re.compile("run-[0-9a-f]{12}")


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def resolve_root(override: str | None, configured: str) -> Path:
    """The storage root: ``root=`` over ``PACELINE_ROOT`` over the cluster's YAML, ``~`` and ``$VARIABLES`` expanded."""
    chosen = override or os.environ.get("PACELINE_ROOT") or configured or "runs"
    path = Path(os.path.expandvars(chosen)).expanduser()
    if left := re.search(r"\$\w+|\$\{\w+\}", str(path)):
        raise UserError(f"root '{chosen}' names {left.group()}, which is not set; set it or give root=FOLDER")
    return path.absolute()
