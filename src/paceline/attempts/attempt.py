"""One attempt from its claim to its end, on every rank."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paceline.attempts.classify import classify, why_ended
from paceline.attempts.provenance import gpus, provenance
from paceline.attempts.run import Launch, Run
from paceline.attempts.signals import STOP
from paceline.errors import Interrupted, UserError
from paceline.store.cell_folder import Attempt, Cell, CellFolder
from paceline.store.files import SCHEMA, read_json, write_json
from paceline.store.owner import HEARTBEAT_SECONDS, age_of, alive, this_process

RENDEZVOUS_SECONDS = 300.0
# From the claim of an attempt to its first file pass milliseconds.
CLAIM_SECONDS = 10.0


def lives(attempt: Attempt) -> bool:
    """Whether an attempt without an end still runs."""
    ages = map(age_of, (attempt.heartbeat, attempt.start_json, attempt.path))
    age = next((a for a in ages if a is not None), None)
    start = attempt.start()
    if start is None:  # claimed a moment ago, or killed between mkdir and its first file
        return age is not None and age < CLAIM_SECONDS
    return alive(start, age)


def taken(folder: CellFolder, launch: Launch) -> bool:
    """Whether another process is at work on a cell: one whose launcher died, or of another submission.

    An earlier run of the same Slurm job is no other, however late its last sign of life: the job was requeued.
    """
    attempts = folder.attempts()
    if launch.world > 1 or not attempts or attempts[-1].end() is not None or not lives(attempts[-1]):
        return False
    job = str((attempts[-1].start() or {}).get("job", ""))
    return not launch.job or job.partition(".")[0] != launch.job.partition(".")[0]


@contextlib.contextmanager
def attempt(folder: CellFolder, launch: Launch) -> Iterator[Run]:
    """An attempt of a cell: claimed, identified, kept alive by a heartbeat, and ended with a cause whatever happens.

    Errors of the cell end here: they are written to ``end.json`` and the log, so that the element's next cell still
    runs. Only an interruption goes on to the caller, because the next cell would be interrupted too.

    Yields:
        The run. Rank 0 claimed the attempt; the other ranks joined it.
    """
    cell = folder.read()
    config = launch.config(cell)
    if launch.rank == 0:
        this_attempt, address, port = _begin(folder, cell, launch)
    else:
        announcement = _await(launch, cell)
        this_attempt, address, port = (
            Attempt(Path(announcement["attempt"])),
            announcement["address"],
            announcement["port"],
        )
    run = Run(folder, this_attempt, cell, config, launch, address, port)
    _forget_peaks()
    began = time.monotonic()
    with _log_to(this_attempt, launch), _pulse(run):
        if launch.rank == 0 and (why := launch.placement.get("ladder", {}).get("why")):
            run.note(why)
        try:
            yield run
            cause, message = "done", ""
        except BaseException as error:
            cause, message = classify(error), f"{type(error).__name__}: {error}"
            if isinstance(error, Interrupted):
                message = ""
                if cause == "cancelled" and launch.rank == 0 and config.cluster.executor == "slurm":
                    cause = why_ended()
            else:
                traceback.print_exc()
            _end(run, cause, message, began)
            if isinstance(error, Interrupted | KeyboardInterrupt) or launch.world > 1:
                raise
        else:
            _end(run, cause, message, began)
    if cause == "done":
        _tidy(run)


def _tidy(run: Run) -> None:
    """Delete what tells nothing more of an attempt that ended well: a quota counts each file."""
    gone = [run.attempt.heartbeat, _rendezvous(run.launch, run.cell)] if run.rank == 0 else []
    if run.rank and (log := _log_of(run.attempt, run.launch)).exists() and log.stat().st_size == 0:
        gone = [log]
    with contextlib.suppress(OSError):
        for path in gone:
            path.unlink(missing_ok=True)


def _begin(folder: CellFolder, cell: Cell, launch: Launch) -> tuple[Attempt, str, int]:
    """Claim an attempt and record who runs it. Slow steps come first, so that a claim without a record is rare."""
    start = {
        "schema": SCHEMA,
        "time": time.time(),
        "cell": cell.id,
        "sweep": launch.sweep,
        "submission": launch.submission,
        "element": launch.element,
        "job": launch.job,
        "world": launch.world,
        "placement": launch.placement,
        **this_process(),
        "provenance": provenance(),
    }
    address, port = _free_address()
    this_attempt = folder.new_attempt()
    try:
        write_json(this_attempt.start_json, start)
        _announce(launch, cell, {"attempt": str(this_attempt.path), "address": address, "port": port})
    except BaseException:
        shutil.rmtree(this_attempt.path, ignore_errors=True)  # a full disk must not leave a claim that looks alive
        raise
    return this_attempt, address, port


def _free_address() -> tuple[str, int]:
    """This host's name and a free port, for the ranks to meet. Another process may take the port in between, which
    ends the attempt as a node failure would, and the next one takes another."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    nodes = os.environ.get("SLURM_JOB_NUM_NODES", "1")
    return ("127.0.0.1" if nodes == "1" else socket.gethostname()), port


def _rendezvous(launch: Launch, cell: Cell) -> Path:
    return Path(launch.submission) / "rendezvous" / f"{launch.element}-{launch.job}-{cell.id}.json"


def _announce(launch: Launch, cell: Cell, announcement: dict[str, Any]) -> None:
    if launch.world > 1:
        write_json(_rendezvous(launch, cell), announcement)


def _await(launch: Launch, cell: Cell) -> dict[str, Any]:
    path = _rendezvous(launch, cell)
    deadline = time.monotonic() + RENDEZVOUS_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise UserError(f"rank 0 did not begin {cell.id} within {RENDEZVOUS_SECONDS:.0f} s; see its log")
        if STOP.cause:
            raise Interrupted(STOP.cause)
        time.sleep(0.1)
    return dict(read_json(path))


def _forget_peaks() -> None:
    """Let the peaks of memory be this attempt's own: a process runs the cells of an element one after the other."""
    with contextlib.suppress(OSError):  # Linux; elsewhere, and in some containers, the peak is the process's
        Path("/proc/self/clear_refs").write_text("5")
    if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def _peaks(run: Run) -> dict[str, float]:
    peaks = {"host_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
    if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
        peaks["cuda_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return {**peaks, **run.peaks}


def _end(run: Run, cause: str, message: str, began: float) -> None:
    seconds = time.monotonic() - began
    record = {
        **{name: found for name, tell in run.told.items() if (found := tell())},
        "schema": SCHEMA,
        "time": time.time(),
        "cause": cause,
        "message": message[:2000],
        "seconds": seconds,
        "gpu_seconds": seconds * gpus(run),
        "peaks": _peaks(run),
    }
    run.beat()
    if run.rank and cause == "done":  # the first rank tells it for all
        return
    path = run.attempt.end_json if run.rank == 0 else run.attempt.path / f"end.rank{run.rank}.json"
    with contextlib.suppress(Exception):  # on a full disk the cause can't be recorded, but the process still ends well
        write_json(path, record)


def _log_of(this_attempt: Attempt, launch: Launch) -> Path:
    return this_attempt.log if launch.rank == 0 else this_attempt.log.with_name(f"log.rank{launch.rank}")


@contextlib.contextmanager
def _log_to(this_attempt: Attempt, launch: Launch) -> Iterator[None]:
    """Send what is printed, by Python and by libraries in C, to the attempt's log.

    By the file descriptors alone: a logger made meanwhile keeps its stream, which must outlive the attempt.
    """
    path = _log_of(this_attempt, launch)
    if launch.foreground:
        path.write_text("ran in the foreground: its output went to the screen\n")
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with path.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, handle in zip((1, 2), kept, strict=True):
            os.dup2(handle, number)
            os.close(handle)


@contextlib.contextmanager
def _pulse(run: Run) -> Iterator[None]:
    over = threading.Event()

    def beat() -> None:
        while True:
            run.beat()
            if over.wait(HEARTBEAT_SECONDS):
                return

    # The hub's client imports it. It builds syntax trees as it is imported, and Python 3.11 fails where another thread
    # does so at that moment ("AST constructor recursion depth mismatch"): so it is imported while there is one.
    with contextlib.suppress(ImportError):
        import anyio  # noqa: F401
    thread = threading.Thread(target=beat, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=2 * HEARTBEAT_SECONDS)
