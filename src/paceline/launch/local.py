"""Run elements on this machine through submitit's local executor, as many at a time as there are slots."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import submitit

from paceline.launch.elements import Element
from paceline.launch.environments import interpreter
from paceline.store import code as snapshot
from paceline.store.cell_folder import Cell
from paceline.store.root import Store
from paceline.sweep import status
from paceline.worker import RunElement

POLL_SECONDS = 0.5
# submitit ends a local job after its time-out. A person at the keyboard is the limit here, so: a year.
MINUTES = 60 * 24 * 365


class View(Protocol):
    """Receives events of the run; implemented by the terminal."""

    def named(self, cells: Sequence[Cell]) -> None:
        """All cells of the sweep, told before the first is started."""

    def started(self, element: Element) -> None:
        """An element was started."""

    def progress(self, running: Sequence[tuple[Element, str, dict[str, Any]]]) -> None:
        """Element, current cell, heartbeat of everything that runs."""

    def ended(self, cell: str, state: status.CellState) -> None:
        """A cell came to its end."""

    def note(self, text: str) -> None:
        """Something to know."""


@dataclass
class Scheduler:
    """Starts elements whose needs are done while slots are free, and waits for all of them."""

    store: Store
    submission: Path
    elements: Sequence[Element]
    code: str
    slots: int
    view: View
    devices: list[int] = field(default_factory=list)
    jobs: dict[int, submitit.Job[None]] = field(default_factory=dict)
    given: dict[int, list[int]] = field(default_factory=dict)
    over: set[int] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    stopping: bool = False

    def run(self) -> dict[str, str]:
        """Run everything that can be run.

        Returns:
            Index of the element -> job id.
        """
        waiting = list(range(len(self.elements)))
        with _asked_to_stop():
            while waiting or len(self.over) < len(self.jobs):
                try:
                    waiting = self._step(waiting)
                    time.sleep(POLL_SECONDS)
                except KeyboardInterrupt:
                    if self.stopping:
                        raise
                    self.stopping = True
                    waiting = []
                    self._terminate()
                    with contextlib.suppress(OSError):  # the terminal may be what went away
                        self.view.note("stopping: cells save and end; press Ctrl-C again to leave without waiting")
        return {str(index): job.job_id for index, job in self.jobs.items()}

    def _step(self, waiting: list[int]) -> list[int]:
        for index, job in self.jobs.items():
            if index not in self.over and job.done():
                self.over.add(index)
                self.devices += self.given.pop(index, [])
                _tidy(self.submission / "submitit", job.job_id)
        (self.submission / "heartbeat").touch()
        with contextlib.suppress(OSError):
            self._tell()
        free = self.slots - sum(self._cost(i) for i in self.jobs if i not in self.over)
        left = []
        for index in waiting:
            element = self.elements[index]
            ready = all(self.store.cell(n).done() for n in element.needs)
            idle = len(self.over) == len(self.jobs)
            if ready and (self._cost(index) <= free or idle):
                self.jobs[index] = self._start(index)
                free -= self._cost(index)
                self.view.started(element)
            elif not ready and idle and not self._will_be_done(element, waiting):
                missing = next(n for n in element.needs if not self.store.cell(n).done())
                self.view.note(f"left out: {', '.join(element.cells)}: {missing} did not get done")
            else:
                left.append(index)
        return left

    def _cost(self, index: int) -> int:
        element = self.elements[index]
        if element.served:  # it waits for the network
            return 0
        return element.ranks * max(1, int(element.placement["placement"]["threads"]))

    def _will_be_done(self, element: Element, waiting: Sequence[int]) -> bool:
        """Whether something that waits here, or runs in another submission, still makes what the element needs."""
        if any(n in self.elements[i].cells for i in waiting for n in element.needs):
            return True
        missing = [self.store.cell(n).read() for n in element.needs if not self.store.cell(n).done()]
        states = status.states(self.store, missing)
        # A process may have died before its attempt began: to others its cells stay queued while this launcher lives.
        ended = {cell for i in self.over for cell in self.elements[i].cells}
        return any(s.state == "running" or (s.state == "queued" and cell not in ended) for cell, s in states.items())

    def _start(self, index: int) -> submitit.Job[None]:
        element = self.elements[index]
        # submitit numbers the GPUs of every job from 0, so each element gets the list of its GPUs.
        taken = 0 if element.served else element.ranks
        gpus, self.devices = self.devices[:taken], self.devices[taken:]
        self.given[index] = gpus
        python = shlex.quote(interpreter(element.environment))
        executor = submitit.LocalExecutor(folder=self.submission / "submitit", python=python)
        executor.update_parameters(
            tasks_per_node=element.ranks,
            timeout_min=MINUTES,
            stderr_to_stdout=True,
            gpus_per_node=len(gpus),
            visible_gpus=tuple(gpus),
        )
        threads = str(element.placement["placement"]["threads"] or 1)
        variables = {**snapshot.environment(self.store, self.code), "OMP_NUM_THREADS": threads}
        with _environment(variables), _ignored(signal.SIGINT):
            return executor.submit(RunElement(str(self.submission), index))

    def _terminate(self) -> None:
        """Ask every element to save and end; its controller passes the signal on to all ranks."""
        for index, job in self.jobs.items():
            if index not in self.over and job._process is not None:  # type: ignore[attr-defined]
                with contextlib.suppress(ProcessLookupError):
                    job._process.send_signal(signal.SIGTERM)  # type: ignore[attr-defined]

    def _tell(self) -> None:
        running = []
        for index in self.jobs:
            element = self.elements[index]
            for cell in element.cells:
                if cell in self.told:
                    continue
                folder = self.store.cell(cell)
                attempts = folder.attempts()
                over = index in self.over
                if folder.done() or (over and attempts):
                    self.told.add(cell)
                    self.view.ended(cell, status.states(self.store, [folder.read()])[cell])
                elif attempts and attempts[-1].end() is None and not over:
                    running.append((element, cell, attempts[-1].progress() or {}))
                    break
        self.view.progress(running)


def devices() -> list[int]:
    """GPUs of this machine that this shell may use: those of ``CUDA_VISIBLE_DEVICES``, else all."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [int(entry) for entry in named.split(",") if entry.strip().isdigit()]
    return sorted(int(p.name.removeprefix("nvidia")) for p in Path("/dev").glob("nvidia[0-9]*"))


def _tidy(folder: Path, job: str) -> None:
    """Delete what a job that is over was started from, and the nothing that it returned. Its logs stay."""
    with contextlib.suppress(OSError):
        for path in [folder / f"{job}_submitted.pkl", *folder.glob(f"{job}_*_result.pkl")]:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[None]:
    """One way to stop: Ctrl-C, `paceline cancel`, the end of a batch job, and a terminal that is closed.

    Set anew even where the shell set Ctrl-C to be ignored, as it does for jobs in the background of a script.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables for the processes started inside; submitit hands on its own."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """Start processes that ignore Ctrl-C, which the terminal sends to them too: the launcher signals them to save."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def slots(configured: int) -> int:
    """Ranks at a time on this machine: as configured, else one a GPU, else one a core."""
    return configured or len(devices()) or len(os.sched_getaffinity(0))
