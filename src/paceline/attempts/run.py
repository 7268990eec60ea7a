"""An attempt while it runs: claimed by one process, told from all others, kept alive, ended with a cause."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

from paceline.config.identity import with_placement
from paceline.config.schema import Config
from paceline.errors import DataError, Interrupted, NonFiniteLoss, Unavailable, UserError
from paceline.store.cells import Attempt, Cell, CellFolder
from paceline.store.code import STAMP, code_state, source_tree
from paceline.store.files import SCHEMA, read_json, write_json
from paceline.store.owner import HEARTBEAT_SECONDS, age_of, alive, this_process

RENDEZVOUS_SECONDS = 300.0
# From the claim of an attempt to its first file pass milliseconds.
CLAIM_SECONDS = 10.0
# Between TERM and KILL stand Slurm's KillWait, 30 s by default, and the state is saved by then.
CONTROLLER_SECONDS = 5.0


@dataclass(frozen=True)
class Launch:
    """How a cell is run: its placement, the sweep and submission it belongs to, and this process among its ranks.

    ``foreground`` leaves the output on the screen, for a person with a debugger, instead of sending it to the log.
    """

    placement: dict[str, Any]
    sweep: str = ""
    submission: str = ""
    element: int = 0
    job: str = ""
    rank: int = 0
    local_rank: int = 0
    world: int = 1
    foreground: bool = False

    def config(self, cell: Cell) -> Config:
        """The cell's config with this launch's placement groups."""
        return with_placement(cell.config, self.placement)


@dataclass
class Run:
    """One rank's view of an attempt, handed to the jobs."""

    folder: CellFolder
    attempt: Attempt
    cell: Cell
    config: Config
    launch: Launch
    address: str
    port: int
    peaks: dict[str, float] = field(default_factory=dict)
    _beat: dict[str, Any] = field(default_factory=dict)
    _beating: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rank(self) -> int:
        """Index of this process among all of the cell's."""
        return self.launch.rank

    @property
    def local_rank(self) -> int:
        """Index of this process on its node."""
        return self.launch.local_rank

    @property
    def world(self) -> int:
        """Number of processes of the cell."""
        return self.launch.world

    @property
    def sweep(self) -> str:
        """Name of the sweep that launched the cell."""
        return self.launch.sweep

    @property
    def root(self) -> Path:
        """The storage root."""
        return self.folder.path.parents[1]

    def stop(self) -> str | None:
        """The cause for which a signal asked this rank to stop, or None."""
        return STOP.cause

    def note(self, text: str) -> None:
        """One line in the attempt's log."""
        sys.stderr.write(f"[{time.strftime('%H:%M:%S')}] {text}\n")
        sys.stderr.flush()

    def progress(self, done: int, total: int, unit: str, note: str = "") -> None:
        """Tell how far the attempt is. Cheap: the file is renewed every few seconds."""
        self._beat = {"done": done, "total": total, "unit": unit, "note": note}

    def beat(self) -> None:
        """Renew the heartbeat file. Not fsynced: it only tells that the attempt lives."""
        if self.rank != 0:
            return
        content = json.dumps({"schema": SCHEMA, "time": time.time(), **self._beat})
        temporary = self.attempt.path / ".heartbeat.tmp"
        with self._beating, contextlib.suppress(OSError):
            temporary.write_text(content)
            temporary.replace(self.attempt.heartbeat)


class StopFlag:
    """What signals ask for. A flag, because saving in a handler would save in the middle of a step."""

    # Slurm and people send TERM to end a job, USR2 when its time is up; INT is a person at the keyboard, HUP one who
    # closed the terminal.
    CAUSES = {
        signal.SIGUSR2: "timeout",
        signal.SIGTERM: "cancelled",
        signal.SIGINT: "cancelled",
        signal.SIGHUP: "cancelled",
    }

    def __init__(self) -> None:
        self.cause: str | None = None
        # Of the monotonic clock: USR2 before it can't be the walltime, so another job wants the place.
        self.walltime_from = 0.0
        self._listening = False
        os.register_at_fork(after_in_child=self._deaf)

    def _set(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.cause is not None:
            raise KeyboardInterrupt
        early = number == signal.SIGUSR2 and time.monotonic() < self.walltime_from
        self.cause = self.cause or ("preempted" if early else self.CAUSES[signal.Signals(number)])

    def _deaf(self) -> None:
        """In a process forked while cells run, such as a data loader's: Slurm tells it too, and the rank still needs
        it for the step at whose end it saves. It goes when the rank does."""
        if self._listening:
            for number in self.CAUSES:
                signal.signal(number, signal.SIG_IGN)

    @contextlib.contextmanager
    def listening(self) -> Iterator[StopFlag]:
        """Take over the signals while cells run."""
        self.cause = None
        self._listening = True
        before = {number: signal.getsignal(number) for number in self.CAUSES}
        for number, handler in before.items():
            if not (number == signal.SIGINT and handler == signal.SIG_IGN):
                signal.signal(number, self._set)
        try:
            yield self
        finally:
            self._listening = False
            for number, handler in before.items():
                signal.signal(number, handler)


STOP = StopFlag()


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
    """An attempt of a cell: claimed, told from others, kept alive, and ended with a cause whatever happens.

    Errors of the cell end here: they are written to ``end.json`` and the log, so that the element's next cell still
    runs. Only an interruption goes on to the caller, because the next cell would be interrupted too.

    Yields:
        The run. Rank 0 claimed the attempt; the other ranks joined it.
    """
    cell = folder.read()
    config = launch.config(cell)
    if launch.rank == 0:
        mine, address, port = _begin(folder, cell, launch)
    else:
        word = _await(launch, cell)
        mine, address, port = Attempt(Path(word["attempt"])), word["address"], word["port"]
    run = Run(folder, mine, cell, config, launch, address, port)
    began = time.monotonic()
    with _log_to(mine, launch), _pulse(run):
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
                    cause = _why_ended()
            else:
                traceback.print_exc()
            _end(run, cause, message, began)
            if isinstance(error, Interrupted | KeyboardInterrupt) or launch.world > 1:
                raise
        else:
            _end(run, cause, message, began)


def _begin(folder: CellFolder, cell: Cell, launch: Launch) -> tuple[Attempt, str, int]:
    """Claim an attempt and say who runs it. What takes time comes first, so that a claim without a word is rare."""
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
    mine = folder.new_attempt()
    try:
        write_json(mine.start_json, start)
        _announce(launch, cell, {"attempt": str(mine.path), "address": address, "port": port})
    except BaseException:
        shutil.rmtree(mine.path, ignore_errors=True)  # a full disk must not leave a claim that looks alive
        raise
    return mine, address, port


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


def _announce(launch: Launch, cell: Cell, word: dict[str, Any]) -> None:
    if launch.world > 1:
        write_json(_rendezvous(launch, cell), word)


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


def classify(error: BaseException) -> str:
    """The cause, of :data:`paceline.store.causes.CAUSES`, that an exception stands for."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, Interrupted):
            return chain.cause
        if isinstance(chain, KeyboardInterrupt):
            return "cancelled"
        if isinstance(chain, NonFiniteLoss):
            return "NaN loss"
        if type(chain).__name__ == "OutOfMemoryError":  # torch's; named, so that torch need not be imported
            return "CUDA out of memory"
        if isinstance(chain, MemoryError) or "can't allocate memory" in str(chain):
            return "out of host memory"
        if isinstance(chain, OSError) and chain.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return "disk full"
        # Libraries in other languages (safetensors) keep the words of the error and lose its number.
        if any(os.strerror(number) in str(chain) for number in (errno.ENOSPC, errno.EDQUOT)):
            return "disk full"
        if isinstance(chain, DataError | UserError):
            return "bad data"
        if _lost_peer(chain):
            return "unknown"
        chain = chain.__cause__
    # A network or a file system that can't be used now comes back: worth another try.
    return "unknown" if isinstance(error, Unavailable | ConnectionError) else "code bug"


def _lost_peer(error: BaseException) -> bool:
    """Whether a collective failed because another rank is gone: its node died, and this one has no fault."""
    if type(error).__name__ in ("DistBackendError", "DistNetworkError", "DistStoreError"):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in said for word in ("gloo", "nccl")) and "peer" in said


def _why_ended() -> str:
    """What TERM meant. A job that heeds it is FAILED to Slurm afterwards, whether it was cancelled or preempted; while
    it still runs, the controller knows."""
    words = ["scontrol", "show", "job", os.environ.get("SLURM_JOB_ID", "")]
    try:
        told = subprocess.run(words, capture_output=True, text=True, timeout=CONTROLLER_SECONDS, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return "cancelled"
    found = re.search(r"\bPreemptTime=(\S+)", told)
    return "preempted" if found and found[1] not in ("None", "N/A", "Unknown") else "cancelled"


def _end(run: Run, cause: str, message: str, began: float) -> None:
    seconds = time.monotonic() - began
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    record = {
        "schema": SCHEMA,
        "time": time.time(),
        "cause": cause,
        "message": message[:2000],
        "seconds": seconds,
        "gpu_seconds": seconds * gpus(run),
        "peaks": {"host_gib": usage / 2**20, **run.peaks},
    }
    run.beat()
    path = run.attempt.end_json if run.rank == 0 else run.attempt.path / f"end.rank{run.rank}.json"
    with contextlib.suppress(Exception):  # on a full disk the cause can't be told, but the process still ends well
        write_json(path, record)


def gpus(run: Run) -> int:
    """GPUs that the attempt holds, busy or not: on Slurm those that were asked for."""
    if run.config.cluster.executor == "slurm":
        return run.config.cluster.gpus * run.world
    torch = sys.modules.get("torch")
    return run.world if torch and torch.cuda.is_available() else 0


@contextlib.contextmanager
def _log_to(mine: Attempt, launch: Launch) -> Iterator[None]:
    """Send what is printed, by Python and by libraries in C, to the attempt's log.

    By the file descriptors alone: a logger made meanwhile keeps its stream, which must outlive the attempt.
    """
    path = mine.log if launch.rank == 0 else mine.log.with_name(f"log.rank{launch.rank}")
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

    thread = threading.Thread(target=beat, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=2 * HEARTBEAT_SECONDS)


def provenance() -> dict[str, Any]:
    """What a result came from: code, versions, host and accelerators."""
    stamp = source_tree() / STAMP
    code = read_json(stamp) if stamp.exists() else code_state(source_tree())
    versions = {}
    told = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "deepspeed", "numpy", "pillow")
    for name in ("paceline", *told):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    torch = sys.modules.get("torch")
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if torch else []
    gpus = {"gpus": [card.name for card in cards], "gpu_gib": [card.total_memory / 2**30 for card in cards]}
    python = {"python": platform.python_version(), "environment": sys.prefix}
    return {"code": code, **python, "versions": versions, **gpus}
