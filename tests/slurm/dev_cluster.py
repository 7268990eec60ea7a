"""A running development cluster as tests use it; the fixture ``cluster`` in conftest.py makes one."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

TOOL = Path(__file__).parents[2] / "slurm" / "dev" / "cluster.py"


def tool(*words: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Run ``cluster.py``."""
    return subprocess.run([sys.executable, str(TOOL), *words], capture_output=True, text=True, timeout=timeout)


class DevCluster:
    """A running cluster as a client sees it.

    Attributes:
        root: the cluster's folder, with ``log/`` in it.
        work: an empty folder that every user may write into; clients run there.
        disk: a small file system that the nodes share, where :func:`running` made one.
        env: the environment for a client.
    """

    def __init__(self, root: Path, options: Sequence[str]) -> None:
        self.root = root
        self.work, self.disk = root / "work", root / "disk"
        self.work.mkdir()
        self.work.chmod(0o777)
        self._options = options
        self.control("up", *options)
        _, assignment = shlex.split(self.control("env"))
        name, _, value = assignment.partition("=")
        # A test run that itself is a Slurm job must not reach its own job by accident.
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SQUEUE_"))}
        self.env[name] = value

    def control(self, *words: str) -> str:
        """``cluster.py VERB … --root`` of this cluster; what it prints."""
        done = tool(*words, "--root", str(self.root))
        assert done.returncode == 0, f"cluster.py {' '.join(words)}: {done.stderr}"
        return done.stdout

    def mend(self) -> None:
        """Start again what has stopped, and take back the nodes.

        Slurm drains one on which a step ended while the controller was away: "Kill task failed".
        """
        self.attempt("scontrol", "update", "nodename=node[1-2]", "state=resume")
        self.control("up", *self._options)

    def attempt(
        self, *words: str, user: str | None = None, timeout: float = 30, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a client, as root or as another user, and return whatever came of it."""
        who: dict[str, Any] = (
            {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        )
        return subprocess.run(
            words,
            input=text or "",
            cwd=self.work,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            **who,
        )

    def run(self, *words: str, user: str | None = None, timeout: float = 30, text: str | None = None) -> str:
        """Run a client that is to succeed; what it prints, stripped."""
        done = self.attempt(*words, user=user, timeout=timeout, text=text)
        assert done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}, {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def sbatch(self, script: str, *options: str, user: str | None = None) -> str:
        """Submit lines of bash; the job's id. Output goes to ``work/<id>.out``."""
        words = ("sbatch", "--parsable", "--output=%j.out", *options)
        return self.run(*words, user=user, text=f"#!/bin/bash\n{script}\n")

    def states(self, job: str) -> list[str]:
        """Slurm's word for each element of a job, from the controller, so without accounting too."""
        return self.run("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T").split()

    def wait(self, job: str, *states: str, timeout: float = 30) -> None:
        """Until every element of a job is in one of some states."""
        until(lambda: set(self.states(job)) <= set(states), timeout, lambda: f"job {job} is {self.states(job)}")


def until(true: Callable[[], bool], timeout: float, what: Callable[[], str]) -> None:
    """Wait; fail with ``what()`` after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, f"after {timeout:.0f} s: {what()}"
        time.sleep(0.1)


@contextlib.contextmanager
def running(options: Sequence[str]) -> Iterator[DevCluster]:
    """A cluster of a variant in a folder of its own; stopped afterwards, the folder removed."""
    # Short: the path of a socket holds 108 bytes. Not pytest's, which other users can't enter.
    root = Path(tempfile.mkdtemp(prefix="paceline-slurm-", dir="/tmp"))
    root.chmod(0o755)
    disk = root / "disk"
    disk.mkdir()
    # Mounted before the nodes take their copy of the mounts, so that all see one and the same.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", disk], check=True)
    try:
        yield DevCluster(root, options)
    finally:
        done = tool("down", "--root", str(root))
        subprocess.run(["umount", disk], check=True)
        assert done.returncode == 0, f"cluster.py down: {done.stderr}"
        shutil.rmtree(root)
