"""The queue: jobs that wait, run, or ended a few minutes ago."""

from __future__ import annotations

from dataclasses import dataclass

from paceline.errors import Unavailable
from paceline.slurm.clients import call

# Of the states that squeue prints, those in which a job has not begun, or is to begin again.
PENDING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "CONFIGURING", "SUSPENDED"})


@dataclass(frozen=True)
class Job:
    """One job, or one element of an array, that the queue still holds."""

    id: str
    name: str
    index: int
    state: str
    reason: str

    @property
    def pending(self) -> bool:
        """Whether it waits to run."""
        return self.state in PENDING


def ask() -> list[Job] | None:
    """The user's jobs, array elements one by one, by one squeue; None where it could not be asked."""
    try:
        text = call(["squeue", "--me", "--array", "--noheader", "--format=%i|%j|%K|%T|%r"])
    except Unavailable:
        return None
    return parse(text)


def parse(text: str) -> list[Job]:
    """The lines of ``squeue --format=%i|%j|%K|%T|%r``; a job's name may hold anything but a bar."""
    jobs = []
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == 5:
            index = int(fields[2]) if fields[2].isdigit() else 0
            jobs.append(Job(fields[0], fields[1], index, fields[3], fields[4]))
    return jobs
