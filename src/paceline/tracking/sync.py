"""Bring the pieces of W&B runs that lie under a root to the service, once each, from where the network is.

What was uploaded is recorded beside each piece, so an interrupted sync goes on where it ended. A piece that changed
since is taken again with all that follow it: the last piece records how the run ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.attempts.attempt import lives
from paceline.errors import Unavailable, UserError
from paceline.scoring.judge import numbers
from paceline.store.cell_folder import CellFolder
from paceline.store.files import SCHEMA, digest, read_json, write_json
from paceline.store.owner import HEARTBEAT_SECONDS, age_of, alive, this_process
from paceline.store.root import Store
from paceline.tracking.wandb_log import Piece, pieces

# Modules that hold W&B's SDK run in a process of their own.
PYTHON = [sys.executable, "-m"]
UPLOADER = [*PYTHON, "paceline.tracking.wandb_upload"]


@dataclass(frozen=True)
class Told:
    """What became of one piece.

    Attributes:
        rows: of it that were uploaded.
        why: it was left; empty where it was not.
        waits: it was left because its cell still runs, so nothing is wrong.
        empty: it was passed over for good, because nothing is in it.
    """

    cell: str
    piece: Piece
    rows: int = 0
    why: str = ""
    waits: bool = False
    empty: bool = False


@dataclass
class Pending:
    """What a cell's run lacks at the service.

    Attributes:
        run: ``{run_id, project, entity}``.
        metrics: the content of its ``metrics.json``; empty where it has none.
        uses: ``{cell, project, entity}`` of tunings whose weights it answers with, and that were not reported to W&B.
        pieces: to be uploaded, oldest first.
        left: pieces that must wait.
    """

    cell: str
    run: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    uses: list[dict[str, str]] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    left: list[Told] = field(default_factory=list)


def pending(folder: CellFolder) -> Pending:
    """What of a cell is still to be uploaded; nothing, where it was not tracked.

    Raises:
        UserError: its ``tracking.json`` is damaged.
    """
    unsent = Pending(folder.id)
    if not folder.tracking.exists():
        return unsent
    kept = read_json(folder.tracking)
    unsent.run = _run(kept)
    unsent.metrics = read_json(folder.metrics)["metrics"] if folder.metrics.exists() else {}
    waits, last = "", None
    for attempt in folder.attempts():
        if not waits and attempt.end() is None and lives(attempt):
            waits = f"attempt {attempt.n} still runs"
        for piece in pieces(attempt):
            if waits:
                unsent.left.append(Told(folder.id, piece, why=waits, waits=True))
            elif unsent.pieces or not synced(piece):
                unsent.pieces.append(piece)
            if not _empty(piece):
                last = piece
    if waits or last is None:
        return unsent
    if not unsent.pieces and _scored_anew(last, unsent.metrics):
        unsent.pieces.append(last)
    tuned = folder.read().tuned if folder.cell_json.exists() else ""
    for need in filter(None, [tuned]):
        other = CellFolder(folder.path.parent / need).tracking
        if need not in kept.get("used", []) and other.exists():
            unsent.uses.append({"cell": need, **_run(read_json(other))})
    return unsent


def _run(kept: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(kept.get(name, "")) for name in ("run_id", "project", "entity")}


def synced(piece: Piece) -> bool:
    """Whether a piece was uploaded as it is now. A log only grows, so its size is compared."""
    try:
        return bool(read_json(piece.synced_json)["bytes"] == piece.path.stat().st_size)
    except (UserError, OSError, KeyError, TypeError):
        return False


def _empty(piece: Piece) -> bool:
    """Whether an earlier sync passed over a piece."""
    return synced(piece) and bool(read_json(piece.synced_json).get("empty"))


def _scored_anew(last: Piece, metrics: Mapping[str, Any]) -> bool:
    """Whether `paceline score` changed a cell's metrics since its last piece was uploaded with them."""
    return bool(metrics) and read_json(last.synced_json).get("metrics") != digest(metrics)


def upload(store: Store, cells: Iterable[Pending]) -> Iterator[Told]:
    """Upload what cells lack, cell by cell, and record each piece as it arrives.

    Yields:
        Each piece when it is over. A piece that fails holds back the later ones of its cell, which are not yielded;
        an empty one does not.

    Raises:
        UserError: no key of W&B on this machine.
        Unavailable: W&B can't be reached, or another sync is running on this machine.
    """
    # Tunings go first: an artifact is there before it is used.
    jobs = sorted((cell for cell in cells if cell.pieces or cell.uses), key=lambda cell: bool(cell.uses))
    if not jobs:
        return
    known = {str(piece.path): (cell, piece) for cell in jobs for piece in cell.pieces}
    runs = {cell.run["run_id"]: store.cell(cell.cell) for cell in jobs}
    requests = [
        {**cell.run, "pieces": [str(p.path) for p in cell.pieces], "metrics": numbers(cell.metrics), "uses": cell.uses}
        for cell in jobs
    ]
    with _alone(store.root), sdk_process(UPLOADER) as process:
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # its exit code is reported below
            process.stdin.write(json.dumps(requests) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            answer = json.loads(line)
            check_end(answer)
            if "used" in answer:
                _record_used(runs[answer["run"]], answer["used"])
                continue
            cell, piece = known[answer["piece"]]
            empty = bool(answer.get("empty"))
            if "why" not in answer:
                record = {"schema": SCHEMA, "bytes": answer["bytes"], "rows": answer["rows"], "time": time.time()}
                if empty:
                    record["empty"] = True
                    cell.pieces.remove(piece)
                elif piece is cell.pieces[-1] and cell.metrics:
                    record["metrics"] = digest(cell.metrics)
                write_json(piece.synced_json, record)
            yield Told(cell.cell, piece, answer.get("rows", 0), answer.get("why", ""), empty=empty)
        if code := process.wait():
            raise Unavailable(f"W&B's SDK ended with {code}; what arrived is recorded, sync again")


def _record_used(folder: CellFolder, need: str) -> None:
    kept = read_json(folder.tracking)
    write_json(folder.tracking, {**kept, "used": [*kept.get("used", []), need]})


def check_end(answer: Mapping[str, Any]) -> None:
    """Raise what ended the SDK's process before it was done, if this answer says so.

    Raises:
        UserError: no key of W&B on this machine, one that it refuses, or a package is missing.
        Unavailable: W&B can't be reached.
    """
    end, why = answer.get("end"), answer.get("why", "")
    if end == "no key":
        raise UserError("W&B has no key on this machine: run `wandb login`, or set WANDB_API_KEY")
    if end == "refused":
        raise UserError("W&B refuses this machine's key: run `wandb login --relogin`, or mend WANDB_API_KEY")
    if end == "missing":
        raise UserError(f"{why} is not installed; run: pip install -e . (see environment.yml)")
    if end == "unreachable":
        raise Unavailable(f"W&B can't be reached ({why}); what arrived is recorded, try again later")


@contextlib.contextmanager
def sdk_process(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the SDK, in a group of its own with the SDK's service; it ends when its stdin closes."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the SDK's service may outlive it
        process.wait()


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Only one sync at a time under a root: two would send the same rows.

    Raises:
        Unavailable: another one is running.
    """
    held = root / "syncing"
    owner = held / "owner.json"

    def holder(folder: Path) -> dict[str, Any]:
        """Who syncs, while it lives."""
        with contextlib.suppress(UserError):
            found: dict[str, Any] = read_json(folder / "owner.json")
            return found if alive(found, age_of(folder / "owner.json")) else {}
        return {}

    claim = root / f".syncing.{secrets.token_hex(4)}"
    write_json(claim / "owner.json", this_process())
    while True:
        try:
            claim.rename(held)  # with its owner already in it, so that it never stands without one
            break
        except OSError:
            if not held.exists():
                continue
        if other := holder(held):
            shutil.rmtree(claim)
            raise Unavailable(f"another sync is at work on {other['host']} (process {other['pid']}); let it end")
        aside = root / f".syncing.{secrets.token_hex(4)}"
        with contextlib.suppress(OSError):
            held.rename(aside)
            if holder(aside):  # a third took the left one away and put its own there meanwhile
                aside.rename(held)
        shutil.rmtree(aside, ignore_errors=True)
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                owner.touch()

    thread = threading.Thread(target=beat, daemon=True, name="syncing")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        shutil.rmtree(held, ignore_errors=True)
