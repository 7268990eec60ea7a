"""Slurm's clients: each bounded in time, and an answer that did not come is not an answer of "no"."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence

from paceline.errors import Unavailable

SECONDS = 20


def environment() -> dict[str, str]:
    """Variables as in a login shell, even inside of a job, whose memory and ranks sbatch would hand on."""
    kept = ("SLURM_CONF", "SLURM_CLUSTERS")
    variables = {k: v for k, v in os.environ.items() if k in kept or not k.startswith(("SLURM_", "SRUN_"))}
    return variables | {"SLURM_TIME_FORMAT": "standard"}  # some people have it say "10 minutes ago"


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Those variables for a library that calls a client by itself. Not for several threads at once."""
    before = dict(os.environ)
    variables = environment()
    for name in before.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def call(command_line: Sequence[str], seconds: float = SECONDS) -> str:
    """Standard output of a client.

    Raises:
        Unavailable: no such client, no answer in time, or an error; the message is Slurm's own.
    """
    try:
        done = subprocess.run(
            list(command_line), capture_output=True, text=True, timeout=seconds, check=False, env=environment()
        )
    except FileNotFoundError:
        raise Unavailable(f"{command_line[0]} is not installed here; submit from a login node of the cluster") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command_line[0]} gave no answer in {seconds:.0f} s; try again in a minute") from None
    if done.returncode != 0:
        error_lines = (done.stderr or done.stdout).strip().splitlines()
        # Some of Slurm's messages begin with the client's name, and some don't.
        message = (
            error_lines[-1].removeprefix(f"{command_line[0]}: ") if error_lines else f"exit code {done.returncode}"
        )
        raise Unavailable(f"{command_line[0]}: {message}")
    return done.stdout
