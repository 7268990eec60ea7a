"""What runs on a compute node: the cells of one element, each as an attempt with a beginning, a pulse and an end.

Torch-free at import, because the launcher pickles :class:`RunElement` by its name.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import json
import os
import platform
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

import submitit

from paceline.errors import DataError, Interrupted, NonFiniteLoss, UserError
from paceline.snapshot import STAMP, code_state, shipped, source_tree
from paceline.spec import Config, placement_of, with_placement
from paceline.store import SCHEMA, Attempt, Cell, CellFolder, read_json, write_json

HEARTBEAT_SECONDS = 5.0
RENDEZVOUS_SECONDS = 300.0


@dataclass(frozen=True)
class Launch:
    """How a cell is run: its placement, the sweep and submission it belongs to, and this process among its ranks."""

    placement: dict[str, Any]
    sweep: str = ""
    submission: str = ""
    element: int = 0
    job: str = ""
    rank: int = 0
    local_rank: int = 0
    world: int = 1

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
    on_progress: Callable[[Mapping[str, Any]], None] | None = None
    _beat: dict[str, Any] = field(default_factory=dict)
    _written: float = 0.0

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
        if self.on_progress is not None and self.rank == 0:
            self.on_progress(self._beat)

    def beat(self) -> None:
        """Renew the heartbeat file. Not fsynced: it only tells that the attempt lives."""
        if self.rank != 0:
            return
        content = json.dumps({"schema": SCHEMA, "time": time.time(), **self._beat})
        temporary = self.attempt.path / ".heartbeat.tmp"
        with contextlib.suppress(OSError):
            temporary.write_text(content)
            temporary.replace(self.attempt.heartbeat)


class StopFlag:
    """What signals ask for. A flag, because saving in a handler would save in the middle of a step."""

    # SLURM and people send TERM to end a job, USR2 when its time is up; INT is a person at the keyboard.
    CAUSES = {signal.SIGUSR2: "timeout", signal.SIGTERM: "cancelled", signal.SIGINT: "cancelled"}

    def __init__(self) -> None:
        self.cause: str | None = None

    def _set(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.cause is not None:
            raise KeyboardInterrupt
        self.cause = self.cause or self.CAUSES[signal.Signals(number)]

    @contextlib.contextmanager
    def listening(self) -> Iterator[StopFlag]:
        """Take over the signals while cells run."""
        self.cause = None
        before = {number: signal.getsignal(number) for number in self.CAUSES}
        for number, handler in before.items():
            if not (number == signal.SIGINT and handler == signal.SIG_IGN):
                signal.signal(number, self._set)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


STOP = StopFlag()


@contextlib.contextmanager
def attempt(
    folder: CellFolder, launch: Launch, on_progress: Callable[[Mapping[str, Any]], None] | None = None
) -> Iterator[Run]:
    """An attempt of a cell: claimed, told from others, kept alive, and ended with a cause whatever happens.

    Errors of the cell end here: they are written to ``end.json`` and the log, so that the element's next cell still
    runs. Only an interruption goes on to the caller, because the next cell would be interrupted too.

    Yields:
        The run. Rank 0 claimed the attempt; the other ranks joined it.
    """
    cell = folder.read()
    config = launch.config(cell)
    if launch.rank == 0:
        mine = folder.new_attempt()
        address, port = _free_address()
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
            **_this_process(),
            "provenance": provenance(),
        }
        write_json(mine.start_json, start)
        _announce(launch, cell, {"attempt": str(mine.path), "address": address, "port": port})
    else:
        word = _await(launch, cell)
        mine, address, port = Attempt(Path(word["attempt"])), word["address"], word["port"]
    run = Run(folder, mine, cell, config, launch, address, port, on_progress=on_progress)
    began = time.monotonic()
    with _log_to(mine, launch.rank), _pulse(run):
        try:
            yield run
            cause, message = "done", ""
        except BaseException as error:
            cause, message = classify(error), f"{type(error).__name__}: {error}"
            if not isinstance(error, Interrupted):
                traceback.print_exc()
            _end(run, cause, message, began)
            if isinstance(error, Interrupted | KeyboardInterrupt) or launch.world > 1:
                raise
        else:
            _end(run, cause, message, began)


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "pid_started": process_started(os.getpid())}


def process_started(pid: int) -> str | None:
    """When a process of this host began, in clock ticks since boot: tells it from a later one with its number."""
    try:
        # The second field is the command in brackets and may hold spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


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
    """The cause, of :data:`paceline.store.CAUSES`, that an exception stands for."""
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
        if isinstance(chain, DataError | UserError):
            return "bad data"
        chain = chain.__cause__
    return "code bug"


def _end(run: Run, cause: str, message: str, began: float) -> None:
    seconds = time.monotonic() - began
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gpus = torch.cuda.device_count() if (torch := sys.modules.get("torch")) else 0
    record = {
        "schema": SCHEMA,
        "time": time.time(),
        "cause": cause,
        "message": message[:2000],
        "seconds": seconds,
        "gpu_seconds": seconds * run.world if gpus else 0.0,
        "peaks": {"host_gib": usage / 2**20, **run.peaks},
    }
    run.beat()
    path = run.attempt.end_json if run.rank == 0 else run.attempt.path / f"end.rank{run.rank}.json"
    with contextlib.suppress(Exception):  # on a full disk the cause can't be told, but the process still ends well
        write_json(path, record)


@contextlib.contextmanager
def _log_to(mine: Attempt, rank: int) -> Iterator[None]:
    """Send what is printed, by Python and by libraries in C, to the attempt's log."""
    path = mine.log if rank == 0 else mine.log.with_name(f"log.rank{rank}")
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
    for name in ("paceline", "torch", "transformers", "peft", "accelerate", "deepspeed", "numpy", "pillow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    torch = sys.modules.get("torch")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch else []
    return {"code": code, "python": platform.python_version(), "versions": versions, "gpus": gpus}


def load_job(kind: str) -> Callable[[Sequence[Path], Launch], None]:
    """The ``main`` of ``jobs/<kind>.py``, from the same tree as this file."""
    path = shipped("jobs") / f"{kind}.py"
    found = importlib.util.spec_from_file_location(f"paceline_job_{kind}", path)
    if found is None or found.loader is None or not path.exists():
        raise UserError(f"no job {path}")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.main  # type: ignore[no-any-return]


def run_cells(kind: str, folders: Sequence[Path], launch: Launch) -> None:
    """Run cells of one kind in order, stopping at the first interruption."""
    with STOP.listening(), contextlib.suppress(Interrupted):
        try:
            job = load_job(kind)
        except Exception as error:
            # Code that can't even be imported is a cause too: without an attempt the cells would look never begun.
            for folder in map(CellFolder, folders):
                with attempt(folder, launch):
                    raise error
            return
        job(folders, launch)


@dataclass
class RunElement:
    """What submitit pickles: two words, no secret, no config. The rest is read from the submission's files."""

    submission: str
    index: int

    def __call__(self) -> None:
        """Run the element as this process's rank."""
        submission = Path(self.submission)
        element = read_json(submission / "elements.json")["elements"][self.index]
        environment = submitit.JobEnvironment()
        launch = Launch(
            placement=element["placement"],
            sweep=submission.parents[1].name,
            submission=self.submission,
            element=self.index,
            job=str(environment.job_id),
            rank=environment.global_rank,
            local_rank=environment.local_rank,
            world=environment.num_tasks,
        )
        cells = submission.parents[3] / "cells"
        run_cells(element["kind"], [cells / cell for cell in element["cells"]], launch)


@contextlib.contextmanager
def joined(run: Run) -> Iterator[None]:
    """Bring the ranks of an attempt together while the block runs. Imports torch."""
    from paceline import distributed

    distributed.set_up(
        rank=run.rank,
        local_rank=run.local_rank,
        world=run.world,
        local_world=run.world // run.config.placement.nodes,
        address=run.address,
        port=run.port,
        # Set, not found: the number of threads changes sums in the last bit, and so must be the same at every attempt.
        threads=run.config.placement.threads or 1,
        deepspeed=bool(run.config.deepspeed.config) and run.cell.kind == "finetune",
    )
    try:
        yield
    finally:
        distributed.tear_down()


def by_hand(main: Callable[[Sequence[Path], Launch], None]) -> None:
    """The command line of a job: cell folders, run as the latest submission that holds them would run them."""
    folders = [Path(word).resolve() for word in sys.argv[1:]]
    if not folders or not all((f / "cell.json").exists() for f in folders):
        sys.exit(f"usage: {sys.argv[0]} CELL_FOLDER [CELL_FOLDER ...]  (a folder under cells/ that holds cell.json)")
    cell = CellFolder(folders[0]).read()
    placement = placement_of(Config())
    for path in sorted(folders[0].parents[1].glob("sweeps/*/submissions/*/elements.json"), key=os.path.getmtime):
        for element in read_json(path)["elements"]:
            placement = element["placement"] if cell.id in element["cells"] else placement
    with STOP.listening():
        main(folders, Launch(placement=placement, job=f"hand-{os.getpid()}"))
