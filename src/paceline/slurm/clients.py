"""Slurm's clients: each bounded in time, and an answer that did not come is not an answer of "no"."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from paceline.errors import Unavailable

SECONDS = 20


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
