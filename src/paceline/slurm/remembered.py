"""Cached queries of Slurm: each at most once per command, and for read-only commands at most once a minute."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from paceline.errors import PacelineError
from paceline.slurm import history, queue
from paceline.slurm.queue import Job
from paceline.store.files import SCHEMA, read_json, write_json

YOUNG_SECONDS = 60.0


class Answers:
    """The queue and the history as one command sees them.

    A controller serves a whole university, so read-only commands use answers cached for a minute. A command that
    decides something queries Slurm afresh. Queries are lazy, so work on this machine alone never waits for Slurm.

    Attributes:
        asked: when the queue was asked, in seconds since the epoch; 0 before.
    """

    def __init__(self, root: Path, fresh: bool) -> None:
        self._folder = root / "asked"
        self._fresh = fresh
        self.asked = 0.0
        self._queue: list[Job] | None = None
        self._jobs: dict[tuple[str, int], Job] | None = None
        self._history: dict[str, list[history.Run]] | None = None
        self._known: frozenset[str] | None = None

    def queue(self) -> list[Job] | None:
        """The user's jobs, ended ones among them; None where Slurm could not be asked."""
        if self.asked:
            return self._queue
        if kept := self._kept("queue"):
            self.asked = float(kept["time"])
            self._queue = [Job(*entry) for entry in kept["jobs"]]
            return self._queue
        self.asked = time.time()
        self._queue = queue.ask()
        if self._queue is not None:
            self._keep("queue", self.asked, jobs=queue.plain(self._queue))
        return self._queue

    def jobs(self) -> dict[tuple[str, int], Job] | None:
        """The queue by a job's name and its place in its array; None where Slurm could not be asked."""
        listed = self.queue()
        if self._jobs is None and listed is not None:
            self._jobs = {(job.name, job.index): job for job in listed}
        return self._jobs

    def history(self, jobs: Collection[str]) -> dict[str, list[history.Run]] | None:
        """Runs of jobs, ``1234_5`` -> oldest first; None where there is no accounting. Name all jobs at the first call.

        Args:
            jobs: ids without an element, such as ``1234``.
        """
        if self._known is not None:
            return self._history
        job_ids = frozenset(jobs)
        self._known = job_ids
        if (kept := self._kept("history")) and job_ids <= set(kept["jobs"]):
            self._history = {job: [history.Run(*run) for run in runs] for job, runs in kept["runs"].items()}
            return self._history
        began = time.time()
        self._history = history.ask(job_ids)
        if self._history is not None and job_ids:
            self._keep("history", began, jobs=sorted(job_ids), runs=history.plain(self._history))
        return self._history

    def forget(self) -> None:
        """What was heard is no longer so: jobs were submitted or cancelled."""
        for name in ("queue", "history"):
            with contextlib.suppress(OSError):
                self._path(name).unlink()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.{os.getuid()}.json"

    def _kept(self, name: str) -> dict[str, Any] | None:
        if self._fresh:
            return None
        try:
            kept = dict(read_json(self._path(name)))
            young = 0 <= time.time() - kept["time"] < YOUNG_SECONDS
        except (PacelineError, KeyError, TypeError, ValueError):
            return None
        return kept if young and kept.get("cluster") == _cluster() else None

    def _keep(self, name: str, asked_at: float, **content: Any) -> None:
        with contextlib.suppress(PacelineError):  # a root that can't be written can still be looked at
            write_json(self._path(name), {"schema": SCHEMA, "time": asked_at, "cluster": _cluster(), **content})


class Renewed:
    """Answers for a process that polls: the same for a minute, whether or not they could be cached on disk.

    The cache on disk is not enough: another user's root can't be written to, and a controller that gave no answer
    would be queried at each poll.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: Answers | None = None
        self._until = 0.0

    def __call__(self) -> Answers:
        """The answers as of now."""
        now = time.monotonic()
        if self._held is None or now >= self._until:
            self._held = Answers(self._root, fresh=False)
            self._until = now + YOUNG_SECONDS
        return self._held


def _cluster() -> str:
    """The cluster that the clients connect to, as far as the environment sets it."""
    return os.environ.get("SLURM_CONF", "")
