"""Questions to Slurm's clients: each bounded in time, and an answer that did not come is not an answer of "no"."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from paceline.errors import Unavailable

SECONDS = 20
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


def call(words: Sequence[str], seconds: float = SECONDS) -> str:
    """Standard output of a client.

    Raises:
        Unavailable: no such client, no answer in time, or an error; the message is Slurm's own.
    """
    try:
        done = subprocess.run(list(words), capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError:
        raise Unavailable(f"{words[0]} is not installed here; submit from a login node of the cluster") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{words[0]} gave no answer in {seconds:.0f} s; try again in a minute") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{words[0]}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout


def queue() -> list[Job] | None:
    """The user's jobs, array elements one by one, by one squeue; None where it could not be asked."""
    try:
        text = call(["squeue", "--me", "--array", "--noheader", "--format=%i|%j|%K|%T|%r"])
    except Unavailable:
        return None
    return parse_queue(text)


def parse_queue(text: str) -> list[Job]:
    """The lines of ``squeue --format=%i|%j|%K|%T|%r``; a job's name may hold anything but a bar."""
    jobs = []
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == 5:
            index = int(fields[2]) if fields[2].isdigit() else 0
            jobs.append(Job(fields[0], fields[1], index, fields[3], fields[4]))
    return jobs
