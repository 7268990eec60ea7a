"""What W&B's SDK leaves beside the log of an ended attempt, in one file instead of dozens.

An evaluate cell leaves a staged copy of each image of its table, and folders for each kind of thing: some fifty entries
on a file system whose quota counts them, for one upload. Once the SDK has ended, what an upload needs goes into one
archive beside the log, and the SDK's own logs go. A sync unpacks the archive where it works. What an
attempt left that was killed stays as the SDK wrote it until a later one of its cell ends, and is read as it lies.

    <attempt>/wandb/<piece>/run-<id>.wandb    the log, as the SDK wrote it
                    files.tar                 paths as they were under <attempt>/wandb/
"""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

from paceline.attempts.attempt import lives
from paceline.store.cell_folder import Attempt, CellFolder
from paceline.store.files import write_bytes
from paceline.tracking.wandb_log import pieces

ARCHIVE = "files.tar"


def pack(attempt: Attempt) -> None:
    """Put what lies beside an attempt's pieces into one file. Call it once the SDK has ended.

    The archive is whole on the disk before anything is deleted, so a kill leaves all of it, once or twice.

    Raises:
        Unavailable: the archive can't be written; all stays as it is.
    """
    wandb = attempt.path / "wandb"
    found = pieces(attempt)
    if not found:
        return
    # Of several pieces the last is the one that tables and artifacts were logged to.
    archive = found[-1].path.parent / ARCHIVE
    kept = sorted(path for path in wandb.rglob("*") if path.is_file() and _wanted(path.relative_to(wandb)))
    if kept and not archive.exists():  # else a packing was killed while it deleted
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for path in kept:
                tar.add(path, arcname=str(path.relative_to(wandb)))
        write_bytes(archive, content.getvalue())
    own = {piece.path.parent for piece in found}
    for path in wandb.iterdir():
        for inner in (p for p in path.iterdir() if p.is_dir()) if path in own else (path,):
            if inner.is_dir():
                shutil.rmtree(inner, ignore_errors=True)


def pack_cell(folder: CellFolder, own: Attempt) -> None:
    """As :func:`pack` for an attempt, and for those before it that were killed.

    Those a sync may be reading: while one is at work under the root they are left. If it begins just now, it finds
    files missing, says so, and the next one has them from the archive.

    Raises:
        Unavailable: as :func:`pack`.
    """
    pack(own)
    if not (folder.path.parents[1] / "syncing").exists():
        for attempt in folder.attempts():
            if attempt.n < own.n and (attempt.end() is not None or not lives(attempt)):
                pack(attempt)


def _wanted(path: Path) -> bool:
    """Whether an upload may read a file: those of the run, and staged copies of what artifacts hold."""
    return path.parts[0] == "artifacts" or path.parts[1:2] == ("files",)


def unpack(log: Path, folder: Path) -> Path | None:
    """Unpack what belongs to a log; where, with paths as under ``<attempt>/wandb/``. None where nothing was packed.

    Raises:
        OSError, tarfile.TarError: the archive can't be read, or there is no room.
    """
    archives = sorted(log.parents[1].glob(f"*run-*/{ARCHIVE}"))
    if not archives:
        return None
    for archive in archives:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return folder
