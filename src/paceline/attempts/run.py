"""An attempt while it runs: claimed by one process, identified, kept alive by a heartbeat, ended with a cause."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.attempts.signals import STOP
from paceline.config.identity import with_placement
from paceline.config.schema import Config
from paceline.store.cell_folder import Attempt, Cell, CellFolder
from paceline.store.files import SCHEMA


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
    told: dict[str, Callable[[], Any]] = field(default_factory=dict)
    """What the job measures, by the key of ``end.json`` under which it is told when the attempt ends."""
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
        """The cause of the signal that stops this rank, or None."""
        return STOP.cause

    def note(self, text: str) -> None:
        """One line in the attempt's log."""
        sys.stderr.write(f"[{time.strftime('%H:%M:%S')}] {text}\n")
        sys.stderr.flush()

    def progress(self, done: int, total: int, unit: str, note: str = "") -> None:
        """Record the progress of the attempt. Cheap: the file is renewed every few seconds."""
        self._beat = {"done": done, "total": total, "unit": unit, "note": note}

    def beat(self) -> None:
        """Renew the heartbeat file. Not fsynced: it only shows that the attempt is alive."""
        if self.rank != 0:
            return
        content = json.dumps({"schema": SCHEMA, "time": time.time(), **self._beat})
        temporary = self.attempt.path / ".heartbeat.tmp"
        with self._beating, contextlib.suppress(OSError):
            temporary.write_text(content)
            temporary.replace(self.attempt.heartbeat)
