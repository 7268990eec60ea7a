"""Run elements on this machine through submitit's local executor, as many at a time as there are slots."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import submitit

from paceline import snapshot, status
from paceline.launch.elements import Element
from paceline.store import Store
from paceline.worker import RunElement

POLL_SECONDS = 0.5
# submitit ends a local job after its time-out. A person at the keyboard is the limit here, so: a year.
MINUTES = 60 * 24 * 365


class View(Protocol):
    """Who is told what happens; the terminal, in the end."""

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
    jobs: dict[int, submitit.Job[None]] = field(default_factory=dict)
    over: set[int] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    stopping: bool = False

    def run(self) -> dict[str, str]:
        """Run everything that can be run.

        Returns:
            Index of the element -> job id.
        """
        waiting = list(range(len(self.elements)))
        while waiting or len(self.over) < len(self.jobs):
            try:
                waiting = self._step(waiting)
                time.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                if self.stopping:
                    raise
                self.stopping = True
                waiting = []
                self.view.note("stopping: cells save and end; press Ctrl-C again to leave without waiting")
                self._terminate()
        return {str(index): job.job_id for index, job in self.jobs.items()}

    def _step(self, waiting: list[int]) -> list[int]:
        for index, job in self.jobs.items():
            if index not in self.over and job.done():
                self.over.add(index)
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
                self.view.note(f"left out: {', '.join(element.cells)}: {element.needs[0]} did not get done")
            else:
                left.append(index)
        return left

    def _cost(self, index: int) -> int:
        element = self.elements[index]
        return element.ranks * max(1, int(element.placement["placement"]["threads"]))

    def _will_be_done(self, element: Element, waiting: Sequence[int]) -> bool:
        """Whether something that waits here, or runs in another submission, still makes what the element needs."""
        if any(n in self.elements[i].cells for i in waiting for n in element.needs):
            return True
        missing = [self.store.cell(n).read() for n in element.needs if not self.store.cell(n).done()]
        found = status.states(self.store, missing)
        return any(s.state == "running" for s in found.values())

    def _start(self, index: int) -> submitit.Job[None]:
        element = self.elements[index]
        executor = submitit.LocalExecutor(folder=self.submission / "submitit" / "%j")
        executor.update_parameters(
            tasks_per_node=element.ranks,
            timeout_min=MINUTES,
            stderr_to_stdout=True,
            gpus_per_node=_gpus(element),
        )
        threads = str(element.placement["placement"]["threads"] or 1)
        own = {**snapshot.environment(self.store, self.code), "OMP_NUM_THREADS": threads}
        with _environment(own), _ignored(signal.SIGINT):
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


def _gpus(element: Element) -> int:
    """GPUs for an element on this machine: one a rank, as many as there are."""
    found = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return min(found, element.ranks)


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
    """Start processes deaf to Ctrl-C, which the terminal would send to them too: the launcher asks them to save."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def slots(configured: int) -> int:
    """Ranks at a time on this machine."""
    return configured or len(os.sched_getaffinity(0))
