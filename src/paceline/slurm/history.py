"""What became of jobs, from the accounting: every run of a job that was requeued, too."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from paceline.errors import Unavailable
from paceline.slurm.clients import call
from paceline.slurm.queue import ENDED

_FIELDS = "JobID,State,ExitCode,Submit,Start"


@dataclass(frozen=True)
class Run:
    """How one run of a job ended.

    Attributes:
        state: as Slurm spells it, without who cancelled it: ``CANCELLED``.
        signal: the signal that ended it; 0 where none did.
    """

    state: str
    signal: int = 0

    @property
    def cause(self) -> str | None:
        """The cause, of ``store.causes.CAUSES``; None while the run goes on, and where the state is ambiguous."""
        # A run that was requeued by the user or its own time-out; what Slurm itself requeues keeps its reason.
        return None if self.state == "REQUEUED" else ENDED.get(self.state)

    @property
    def words(self) -> str:
        """For people."""
        return f"Slurm says {self.state}" + (f", signal {self.signal}" if self.signal else "")


def ask(jobs: Collection[str]) -> dict[str, list[Run]] | None:
    """Every run of some jobs (``1234``), oldest first, by one sacct: ``1234_5`` -> runs.

    None where there is no accounting, or it gave no answer in time; that is no error.
    """
    if not jobs:
        return {}
    words = [
        "sacct",
        "--duplicates",
        "--parsable2",
        "--noheader",
        f"--format={_FIELDS}",
        "--jobs",
        ",".join(sorted(jobs)),
    ]
    try:
        text = call(words)
    except Unavailable:
        return None
    return parse(text)


def parse(text: str) -> dict[str, list[Run]]:
    """Parse the output of sacct. A step's OUT_OF_MEMORY replaces the state of its job, which is only FAILED."""
    by_job: dict[str, list[tuple[tuple[str, str], Run]]] = {}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != 5:
            continue
        job, _, step = fields[0].partition(".")
        state = fields[1].partition(" ")[0]
        signal = fields[2].partition(":")[2]
        run = Run(state, int(signal) if signal.isdigit() else 0)
        runs = by_job.setdefault(job, [])
        if not step:
            runs.append(((fields[3], fields[4]), run))
        elif runs and state == "OUT_OF_MEMORY" and runs[-1][1].state == "FAILED":
            runs[-1] = runs[-1][0], run
    # By the time of submission (a requeue is a new one) and start; both are ISO, so they sort as text.
    return {job: [run for _, run in sorted(runs, key=lambda r: r[0])] for job, runs in by_job.items() if runs}


def plain(runs: Mapping[str, Iterable[Run]]) -> dict[str, list[list[object]]]:
    """Runs as JSON takes them."""
    return {job: [list(vars(run).values()) for run in job_runs] for job, job_runs in runs.items()}
