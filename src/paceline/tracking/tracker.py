"""Curves, tables and pictures for display. Results are in our own files; no error here ends a cell.

A backend is a module of this folder: ``wandb``, and ``trackio`` for those who want a dashboard without an account. What
it does happens on a thread of its own: importing its library, starting its service, drawing, writing. So a slow disk or
network delays no step, and whatever fails is noted once and ends the tracking, not the training.
"""

from __future__ import annotations

import contextlib
import importlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from paceline.attempts.classify import classify
from paceline.attempts.provenance import gpus
from paceline.attempts.run import Run
from paceline.scoring.judge import numbers
from paceline.store.cell_folder import CellFolder
from paceline.store.files import read_jsonl
from paceline.tracking.answers_table import Results

FINISH_SECONDS = 30.0
# Points wait here while the service starts; beyond it the disk or network is not keeping up, and points are left out.
_WAITING = 20_000


class Tracker:
    """Takes points and tables and keeps none of them: the tracker of ``tracking=disabled`` and of ranks above 0."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Points of curves at a step, which must not go back."""

    def supervised(self, rows: Sequence[Mapping[str, str]]) -> None:
        """A table of what is trained on in the first samples; each row has ``prompt`` and ``supervised``."""

    def weights(self, folder: Path) -> None:
        """What a finetune cell published: the folder of its weights, which does not change any more."""

    def results(self, metrics: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        """What an evaluate cell published: the content of its ``metrics.json``, and the samples that it answered."""

    def finish(self, cause: str, message: str = "") -> None:
        """End, telling how the attempt did; returns within ``FINISH_SECONDS``."""


class Backend(Protocol):
    """One attempt's part of a cell's run, in some library. Used by one thread."""

    def turn(self) -> float:
        """Seconds to wait before beginning, because many begin together."""

    def begin(self) -> int:
        """Begin, or go on with the cell's run; the last step that it has of earlier attempts, -1 where it has none."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...
    def supervised(self, rows: Sequence[Mapping[str, str]]) -> None: ...
    def weights(self, folder: Path) -> None: ...
    def results(self, results: Results) -> None: ...

    def end(self, cause: str, message: str, summary: Mapping[str, Any]) -> None:
        """End the attempt's part. ``summary`` is added to the results in the run's summary."""


class Tracking(Tracker):
    """Hands all to a backend, on a thread of its own."""

    def __init__(self, run: Run, backend: Backend) -> None:
        self._run = run
        self._backend = backend
        self._calls: queue.Queue[Callable[[], None] | None] = queue.Queue(_WAITING)
        self._broken = False
        self._over = threading.Event()
        self._began = time.monotonic()
        self._end: tuple[str, str] = ("unknown", "")
        self._before = _logged_before(run)
        self._logged = max(self._before, default=-1)
        self._thread = threading.Thread(target=self._work, daemon=True, name="tracking")
        self._thread.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step > self._logged:
            shown = dict(values)
            self._put(lambda: self._backend.log(step, shown))

    def supervised(self, rows: Sequence[Mapping[str, str]]) -> None:
        shown = [dict(row) for row in rows]
        self._put(lambda: self._backend.supervised(shown))

    def weights(self, folder: Path) -> None:
        self._put(lambda: self._backend.weights(folder))

    def results(self, metrics: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        folder, most = self._run.folder, self._run.config.tracking.samples
        task = self._run.config.task
        shown = numbers(metrics["metrics"])
        self._put(lambda: self._backend.results(Results.read(folder, task, shown, samples, most)))

    def finish(self, cause: str, message: str = "") -> None:
        self._end = cause, message
        self._over.set()
        with contextlib.suppress(queue.Full):
            self._calls.put(None, timeout=1)
        self._thread.join(FINISH_SECONDS)
        if self._thread.is_alive():
            self._give_up(f"did not end within {FINISH_SECONDS:.0f} s")

    def _put(self, call: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._give_up("does not keep up")

    def _give_up(self, why: str) -> None:
        if not self._broken:
            self._broken = True
            self._run.note(f"tracking {why}; the cell goes on without it, its curve is in history.jsonl")

    def _work(self) -> None:
        try:
            self._over.wait(self._backend.turn())
            held = self._backend.begin()
            for step, points in sorted(self._before.items()):
                for values in points if step > held else ():
                    self._backend.log(step, values)
            while (call := self._calls.get()) is not None:
                call()
            cause, message = self._end
            self._backend.end(cause, message, {"cause": cause, "attempts": self._run.attempt.n, **self._cost()})
        except BaseException as error:  # W&B's SDK raises SystemExit too
            self._give_up(f"failed ({type(error).__name__}: {str(error)[:200]})")

    def _cost(self) -> dict[str, float]:
        """What the cell cost, with the tuning that it stands on: hours, and hours of GPUs that were held.

        Over all attempts that recorded their end, which a killed one can't.
        """
        folder = self._run.folder
        folders = [folder, *(CellFolder(folder.path.parent / need) for need in self._run.cell.needs)]
        ends = [end for f in folders for a in f.attempts() if a.path != self._run.attempt.path and (end := a.end())]
        seconds = time.monotonic() - self._began
        return {
            "cost/hours": (seconds + sum(end.get("seconds", 0.0) for end in ends)) / 3600,
            "cost/gpu_hours": (seconds * gpus(self._run) + sum(end.get("gpu_seconds", 0.0) for end in ends)) / 3600,
        }


def start(run: Run) -> Tracker:
    """The tracker of an attempt. Returns at once; on ranks above 0, and with ``tracking=disabled``, it does nothing."""
    name = run.config.tracking.backend
    if run.rank != 0 or name == "none":
        return Tracker()
    try:
        return Tracking(run, importlib.import_module(f"paceline.tracking.{name}").Attempt(run))
    except Exception as error:
        run.note(f"tracking failed ({error}); the cell goes on without it")
        return Tracker()


@contextlib.contextmanager
def tracked(run: Run) -> Iterator[Tracker]:
    """Track an attempt while the block runs, and end with its cause."""
    tracker = start(run)
    cause, message = "done", ""
    try:
        yield tracker
    except BaseException as error:
        cause, message = classify(error), f"{type(error).__name__}: {error}"
        raise
    finally:
        tracker.finish(cause, message)


def _logged_before(run: Run) -> dict[int, list[dict[str, float]]]:
    """Step -> points, of the histories of earlier attempts. A curve's points are logged after they are in the history.

    Of steps that were repeated, the first counts, because that is what was shown.
    """
    by_step: dict[int, list[dict[str, float]]] = {}
    for attempt in run.folder.attempts():
        if attempt.n < run.attempt.n:
            known = max(by_step, default=-1)
            for point in read_jsonl(attempt.path / "history.jsonl"):
                if (step := int(point.pop("step", 0))) > known:
                    by_step.setdefault(step, []).append({k: v for k, v in point.items() if k != "schema"})
    return by_step
