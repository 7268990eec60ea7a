"""How a process that runs cells is stopped: Slurm's signals, and the walltime."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType


class StopFlag:
    """The stop that a signal requested. A flag, because saving in a handler would save in the middle of a step."""

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
        """In a process forked while cells run, such as a data loader's: Slurm signals it too, and the rank still needs
        it for the step at whose end it saves. It ends with the rank."""
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
