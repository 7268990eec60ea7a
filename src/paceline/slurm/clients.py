"""Slurm's clients: each bounded in time, and an answer that did not come is not an answer of "no"."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

from paceline.errors import Unavailable

SECONDS = 20


class NoAnswer(Unavailable):
    """A client was still waiting when its time was up: what it was asked to do may be done nevertheless."""


def environment() -> dict[str, str]:
    """Variables as in a login shell, even inside of a job, whose memory and ranks sbatch would hand on."""
    kept = ("SLURM_CONF", "SLURM_CLUSTERS")
    variables = {k: v for k, v in os.environ.items() if k in kept or not k.startswith(("SLURM_", "SRUN_"))}
    return variables | {"SLURM_TIME_FORMAT": "standard"}  # some people have it say "10 minutes ago"


def call(command_line: Sequence[str], seconds: float = SECONDS) -> str:
    """Standard output of a client.

    Raises:
        NoAnswer: none in time.
        Unavailable: no such client, or an error; the message is Slurm's own, whole.
    """
    try:
        done = subprocess.run(
            list(command_line),
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # a site's banner is in whatever its author's editor wrote
            timeout=seconds,
            check=False,
            env=environment(),
        )
    except FileNotFoundError:
        raise Unavailable(f"{command_line[0]} is not installed here; submit from a login node of the cluster") from None
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{command_line[0]} gave no answer in {seconds:.0f} s; try again in a minute") from None
    if done.returncode != 0:
        message = refusal(done.stderr or done.stdout, command_line[0]) or f"exit code {done.returncode}"
        raise Unavailable(f"{command_line[0]}: {message}")
    return done.stdout


def brief(error: Exception) -> str:
    """A client's message by its first word and last line: why an answer is not known, where nothing was refused."""
    lines = str(error).splitlines() or [""]
    return lines[0] if len(lines) == 1 else f"{lines[0].partition(': ')[0]}: {lines[-1]}"


def refusal(text: str, client: str) -> str:
    """All that a client says against a request, a line each: a site's plugin explains in several, the last is Slurm's.

    Some of Slurm's messages begin with the client's name, and some don't.
    """
    begins = re.compile(rf"(?:{re.escape(client)}: )?(?:error: )?")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(dict.fromkeys(told for line in lines if (told := begins.sub("", line, count=1).strip())))
