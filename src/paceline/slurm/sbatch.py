"""Submit one script: the job's id, or the whole of what Slurm and the site's plugins say against it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from paceline.errors import Unavailable
from paceline.slurm import queue
from paceline.slurm.clients import NoAnswer, call

# A controller under load takes its time, and a plugin may ask a database.
SECONDS = 120.0
# The whole line: a site's banner, on the same stream, may speak of jobs too.
_SUBMITTED = re.compile(r"^\s*Submitted batch job (\d+)(?: on cluster \S+)?\s*$", re.MULTILINE)


def submit(arguments: Sequence[str], name: str) -> str:
    """Call sbatch; the id of the job that it made.

    Where sbatch gave no answer, or none that names a job, the queue is searched for the job's name: what was
    submitted must not be taken for refused.

    Args:
        arguments: of sbatch, without ``--parsable``.
        name: the job's name, which no other job has.

    Raises:
        Unavailable: Slurm refused, or it is not known whether it took the job.
    """
    try:
        answer = call(["sbatch", *arguments], SECONDS)
        why = f"sbatch named no job in its answer ({' '.join(answer.split()) or 'nothing'})"
    except Unavailable as error:
        # "Socket timed out on send/recv operation": the controller may have taken the job, and its word got lost.
        if not isinstance(error, NoAnswer) and "timed out" not in str(error):
            raise
        answer, why = "", str(error)
    if job := parse(answer):
        return job
    jobs = queue.ask()
    if found := next((j for j in jobs or () if j.name == name and not j.over), None):
        return queue.base(found.id)
    unsure = "" if jobs is not None else "; squeue gave no answer either"
    raise Unavailable(f"{why}{unsure}; if the job was made nevertheless, squeue --me --name={name} shows it")


def parse(answer: str) -> str | None:
    """The job id of sbatch's own line, which it prints last; None where there is none."""
    found = _SUBMITTED.findall(answer)
    return str(found[-1]) if found else None
