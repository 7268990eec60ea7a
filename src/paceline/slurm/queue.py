"""The queue: jobs that wait or run, and for some minutes those that have ended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from paceline.errors import Unavailable
from paceline.slurm.clients import call

# Of the states that squeue prints, those in which a job has not begun, or is to begin again.
PENDING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "CONFIGURING", "SUSPENDED"})
# Those after which it never runs again, with the cause (of ``store.causes.CAUSES``) that they stand for. COMPLETED and
# FAILED do not determine the state of a cell: its own files do.
ENDED = {
    "COMPLETED": "unknown",
    "FAILED": "unknown",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "PREEMPTED": "preempted",
    "NODE_FAIL": "node failure",
    "BOOT_FAIL": "node failure",
    "LAUNCH_FAILED": "node failure",
    "OUT_OF_MEMORY": "out of host memory",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
}
_FORMAT = "%i|%j|%K|%T|%q|%r"


@dataclass(frozen=True)
class Job:
    """One job, or one element of an array.

    Attributes:
        id: ``1234`` or, of an array, ``1234_5``.
        index: the element's place in its array; 0 where there is none.
        state: as Slurm spells it, such as ``RUNNING``.
        qos: its quality of service.
        reason: why it waits, or how it failed.
    """

    id: str
    name: str
    index: int
    state: str
    qos: str
    reason: str

    @property
    def pending(self) -> bool:
        """Whether it waits to run."""
        return self.state in PENDING

    @property
    def over(self) -> bool:
        """Whether it will never run again."""
        return self.state in ENDED


def ask() -> list[Job] | None:
    """The user's jobs, array elements one by one, by one squeue; None where squeue failed.

    Ended ones are among them for ``MinJobAge`` seconds (Slurm's default is 300): without accounting, and before
    accounting has caught up, that is the only record of how they ended.
    """
    try:
        text = call(["squeue", "--me", "--array", "--states=all", "--noheader", f"--format={_FORMAT}"])
    except Unavailable:
        return None
    return parse(text)


def parse(text: str) -> list[Job]:
    """The lines of that squeue; a job's name may hold anything but a bar."""
    jobs = []
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == 6:
            job, name, index, state, qos, reason = fields
            place = int(index) if index.isdigit() else 0
            jobs.append(Job(job, name, place, state, qos, "" if reason == "None" else reason))
    return jobs


def live(jobs: Iterable[Job], qos: str = "") -> list[Job]:
    """Those that wait or run, of one quality of service where it is named: what a submit limit counts."""
    return [job for job in jobs if not job.over and (not qos or job.qos == qos)]


def plain(jobs: Iterable[Job]) -> list[list[object]]:
    """Jobs as JSON takes them."""
    return [list(vars(job).values()) for job in jobs]


def base(job: str) -> str:
    """The job that an element of an array, or a run of it, belongs to: ``1234`` of ``1234_5.0``."""
    return re.split(r"[_.+]", job, maxsplit=1)[0]
