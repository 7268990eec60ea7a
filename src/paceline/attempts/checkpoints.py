"""Which training states can be trusted: a marker is written last, and only what matches its marker counts.

The trainer writes ``checkpoint-N`` folders in place, so one that a kill cut short looks like any other. Once
every rank has written its part, rank 0 writes ``COMPLETE.json`` with the size and sha256 of every file. A folder
without it was cut short; one that differs from it is damaged; both are passed over for the checkpoint before.
``best-N`` folders hold the weights of the best validation under the same rule.

A state that DeepSpeed split over other ranks is put together once, into ``universal-<step>`` of the attempt that goes
on from it, and deleted as soon as it is read.

    <cell>/attempts/<n>/checkpoints/checkpoint-<step>/COMPLETE.json
                                    best-<step>/COMPLETE.json
                                    universal-<step>/
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from paceline.config.schema import DeepSpeedSpec
from paceline.counted import counted
from paceline.errors import UserError
from paceline.store.cell_folder import Attempt, CellFolder
from paceline.store.files import SCHEMA, file_digest, read_json, write_json

MARKER = "COMPLETE.json"
STATE = "checkpoint"
BEST = "best"
UNIVERSAL = "universal"
# Files of a state that list where its parts are: the universal one has its own.
_LAYOUT = (MARKER, "latest", "zero_to_fp32.py", "zero_to_torch.py")


@dataclass(frozen=True)
class Checkpoint:
    """A folder whose marker is there.

    Attributes:
        step: optimiser steps done.
        world: ranks that wrote it.
        micro_batch: samples per rank and forward.
        engine: ``torch``, or ``zero<stage>`` where DeepSpeed split the state over the ranks.
        seconds: how long the save took, digests included, for the signal's lead time.
        best: step of the best validation so far, whose weights resuming needs; None without.
    """

    path: Path
    step: int
    world: int
    micro_batch: int
    engine: str
    seconds: float
    best: int | None
    files: dict[str, dict[str, int | str]]

    def damage(self) -> str | None:
        """What differs from the marker, or None. Reads every byte; sizes are compared first."""
        for name, entry in self.files.items():
            try:
                size = (self.path / name).stat().st_size
            except OSError:
                return f"{name} is missing"
            if size != entry["bytes"]:
                return f"{name} has {size} bytes, not {entry['bytes']}"
        digests = _digests([self.path / name for name in self.files])
        for (name, entry), value in zip(self.files.items(), digests, strict=True):
            if value != entry["sha256"]:
                return f"{name} has other bytes than were saved"
        return None


def complete(
    path: Path,
    *,
    step: int,
    world: int,
    micro_batch: int,
    engine: str,
    seconds: float,
    best: int | None = None,
) -> Checkpoint:
    """Attest a checkpoint that is whole on every rank. Call it on one rank, after a barrier.

    Args:
        seconds: how long writing it took; the time that the digests take is added.

    Raises:
        Unavailable: the marker can't be written.
    """
    began = time.monotonic()
    paths = sorted(p for p in path.rglob("*") if p.is_file() and p.name != MARKER)
    entries: dict[str, dict[str, int | str]] = {
        p.relative_to(path).as_posix(): {"bytes": p.stat().st_size, "sha256": value}
        for p, value in zip(paths, _digests(paths), strict=True)
    }
    seconds += time.monotonic() - began
    record = {
        "schema": SCHEMA,
        "step": step,
        "world": world,
        "micro_batch": micro_batch,
        "engine": engine,
        "seconds": round(seconds, 3),
        "best": best,
        "files": entries,
    }
    write_json(path / MARKER, record)
    return Checkpoint(path, step, world, micro_batch, engine, seconds, best, entries)


def read(path: Path) -> Checkpoint | None:
    """The checkpoint in a folder, or None where its marker is missing or unreadable."""
    try:
        raw = read_json(path / MARKER)
        return Checkpoint(
            path=path,
            step=int(raw["step"]),
            world=int(raw["world"]),
            micro_batch=int(raw["micro_batch"]),
            engine=str(raw["engine"]),
            seconds=float(raw["seconds"]),
            best=raw["best"],
            files=dict(raw["files"]),
        )
    except (UserError, KeyError, TypeError, ValueError):
        return None


def engine(settings: DeepSpeedSpec) -> str:
    """How a placement lays out the training state: ``torch``, or the ZeRO stage that splits it."""
    config = settings.config
    return f"zero{config.get('zero_optimization', {}).get('stage', 0)}" if config else "torch"


def misfit(checkpoint: Checkpoint, settings: DeepSpeedSpec) -> str | None:
    """Why a checkpoint can't be taken up under a placement's DeepSpeed settings, or None.

    Other ranks are no reason: without DeepSpeed every rank has all of the state, and DeepSpeed's is put together by
    :func:`universal`. Another ZeRO stage is.
    """
    placement_engine = engine(settings)
    if checkpoint.engine == placement_engine:
        return None
    return (
        f"the checkpoint of step {checkpoint.step} was saved {_under(checkpoint.engine)}, and this placement runs "
        f"{_under(placement_engine)}, where the state has another form; submit with the deepspeed group it had, on as "
        f"many ranks as you like, or delete {checkpoint.path.parent} to begin again"
    )


def _under(engine: str) -> str:
    return "without DeepSpeed" if engine == "torch" else f"under ZeRO stage {engine.removeprefix('zero')}"


def universal(checkpoint: Checkpoint, attempt: Attempt) -> Path:
    """A state that DeepSpeed split over some ranks, in the form that any number of ranks can read. Call it on one rank.

    DeepSpeed's own program puts it together; a process of its own, because it reads all of the state into memory that
    this one would not give back. It takes :func:`room_for_universal` on the disk, of which half stays until
    :func:`drop_universal`.

    Args:
        checkpoint: a checkpoint whose engine is not ``torch``.
        attempt: the attempt that will go on from it.

    Raises:
        UserError: DeepSpeed can't put it together.
        OSError: the disk is full.
    """
    target = attempt.checkpoints / f"{UNIVERSAL}-{checkpoint.step}"
    _delete(target)
    target.mkdir(parents=True)
    split = (checkpoint.path / "latest").read_text().strip()
    for file in checkpoint.path.iterdir():
        if file.is_file() and file.name not in _LAYOUT:
            shutil.copy2(file, target / file.name)
    command_line = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal"]
    command_line += [
        "--input_folder",
        str(checkpoint.path / split),
        "--output_folder",
        str(target / f"{split}_universal"),
    ]
    # What belongs to pipelines and tensor parallelism, and a plain model's checkpoint thus lacks.
    command_line += ["--inject_missing_state"] if checkpoint.engine != "zero3" else []
    done = subprocess.run(command_line, capture_output=True, text=True, check=False, env=_alone())
    if done.returncode != 0:
        _delete(target)
        last_line = (done.stderr.strip().splitlines() or ["no word"])[-1]
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        raise UserError(
            f"the checkpoint of step {checkpoint.step}, saved by {counted(checkpoint.world, 'rank')}, can't be put "
            f"together for others ({last_line}); submit on {counted(checkpoint.world, 'rank')}, or delete "
            f"{checkpoint.path.parent} "
            f"to begin again"
        )
    return target


def room_for_universal(checkpoint: Checkpoint, world: int) -> int:
    """Bytes on the disk that :func:`universal` takes at the most; 0 where so many ranks can read the state as it is.

    The state twice: DeepSpeed's program (0.19.8) cuts it into pieces, writes the new one beside them, and deletes the
    pieces when all is done.
    """
    if checkpoint.engine == "torch" or checkpoint.world == world:
        return 0
    return 2 * sum(int(entry["bytes"]) for entry in checkpoint.files.values())


def _alone() -> dict[str, str]:
    """The environment of a process that joins no ranks."""
    ranks = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return {k: v for k, v in os.environ.items() if k not in ranks} | {"DS_ACCELERATOR": "cpu"}


def drop_universal(folder: CellFolder) -> None:
    """Delete what :func:`universal` made, in this attempt or in one that was killed meanwhile."""
    for path in _newest_first(folder, UNIVERSAL):
        _delete(path)


def newest(folder: CellFolder) -> Checkpoint | None:
    """The newest whole checkpoint by its marker alone: quick, for the login node; :func:`latest` reads the bytes."""
    return next((checkpoint for path in _newest_first(folder, STATE) if (checkpoint := read(path))), None)


def longest_save(folder: CellFolder) -> float:
    """Seconds of the longest save among the checkpoints that are there; 0 where there is none."""
    return max((checkpoint.seconds for path in _newest_first(folder, STATE) if (checkpoint := read(path))), default=0.0)


def latest(folder: CellFolder, note: Callable[[str], None] = lambda text: None) -> Checkpoint | None:
    """The newest checkpoint of any attempt that can be resumed from, its bytes verified.

    Args:
        folder: the cell.
        note: called with a message for each one that is skipped.
    """
    for path in _newest_first(folder, STATE):
        checkpoint = read(path)
        if checkpoint is None:
            note(f"checkpoint passed over: {_short(path)} was not finished")
        elif why := checkpoint.damage():
            note(f"checkpoint passed over: {_short(path)} is damaged: {why}")
        elif checkpoint.best is not None and best(folder, checkpoint.best) is None:
            note(f"checkpoint passed over: {_short(path)} needs the best weights, of step {checkpoint.best}")
        else:
            return checkpoint
    return None


def best(folder: CellFolder, step: int) -> Checkpoint | None:
    """The verified weights of the best validation, which was at that step."""
    for path in _newest_first(folder, BEST):
        if _step(path) == step and (checkpoint := read(path)) and checkpoint.damage() is None:
            return checkpoint
    return None


def keep(folder: CellFolder, count: int) -> None:
    """Delete all but the newest ``count`` checkpoints over all attempts, and best weights that none of them needs.

    A universal state that a killed attempt left goes too: who saves has read its own.

    Unfinished folders are deleted only below the newest whole step: above it one may be in the making.
    """
    whole = [checkpoint for path in _newest_first(folder, STATE) if (checkpoint := read(path))]
    if not whole:
        return
    kept = whole[: max(count, 1)]
    newest = kept[0].step
    needed = {c.best for c in kept}
    paths = {c.path for c in kept}
    for path in _newest_first(folder, STATE):
        if path not in paths and (read(path) or _step(path) < newest):
            _delete(path)
    for path in _newest_first(folder, BEST):
        if _step(path) <= newest and _step(path) not in needed:
            _delete(path)
    drop_universal(folder)


def clear(folder: CellFolder) -> None:
    """Delete every checkpoint of a cell whose weights are published, with the folders that held them.

    What can't be deleted stays for `paceline clean`: the cell is done.
    """
    for kind in (STATE, BEST, UNIVERSAL):
        for path in _newest_first(folder, kind):
            with contextlib.suppress(OSError):
                _delete(path)
    for attempt in folder.attempts():
        with contextlib.suppress(OSError):  # there is none, or it holds what is not ours
            attempt.checkpoints.rmdir()


def _step(path: Path) -> int:
    return int(path.name.rsplit("-", 1)[1])


def _short(path: Path) -> str:
    return "/".join(path.parts[-4:])


def _newest_first(folder: CellFolder, kind: str) -> Iterator[Path]:
    entries = [
        (_step(path), attempt.n, path)
        for attempt in folder.attempts()
        for path in attempt.checkpoints.glob(f"{kind}-*")
        if path.name.rsplit("-", 1)[1].isdigit()
    ]
    return iter(path for _, _, path in sorted(entries, reverse=True))


def _digests(paths: list[Path]) -> list[str]:
    # Hashing lets go of the interpreter lock, and a large state is split over many files.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(file_digest, paths))


def _delete(path: Path) -> None:
    """Marker first, so that a deletion that is cut short leaves what reads as unfinished."""
    (path / MARKER).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
