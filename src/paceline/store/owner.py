"""Which process owns a piece of work, whether it still lives, and what time it is where its files lie."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEARTBEAT_SECONDS = 5.0
# On another host only the heartbeat can be checked; a node that is merely slow must not be taken for dead.
STALE_SECONDS = 12 * HEARTBEAT_SECONDS


def this_process() -> dict[str, Any]:
    """``{host, pid, pid_started}``, by which :func:`alive` finds this process again."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "pid_started": started(os.getpid())}


def started(pid: int) -> str | None:
    """When a process of this host began, in clock ticks since boot: identifies it if the pid is reused."""
    try:
        # The second field is the command in brackets and may hold spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def age_of(path: Path) -> float | None:
    """Seconds since a file was last renewed, by the clock of its file system; None where it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return time.time() + _ahead(path.parent, stat.st_dev) - stat.st_mtime


def _ahead(folder: Path, device: int) -> float:
    """Seconds by which a file system's clock is ahead of this host's.

    A file server stamps files by its own clock, which may be minutes off. A live heartbeat would then count as stale,
    or a stale one as live. So the server's time is read from a temporary file.
    """
    known = _AHEAD.get(device)
    if known is not None and time.monotonic() - known[0] < STALE_SECONDS:
        return known[1]
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            ahead = os.fstat(probe.fileno()).st_mtime - time.time()
    except OSError:  # nothing can be written there now, so nothing can be learned
        ahead = 0.0
    _AHEAD[device] = time.monotonic(), ahead
    return ahead


_AHEAD: dict[int, tuple[float, float]] = {}


def alive(owner: Mapping[str, Any], age: float | None) -> bool:
    """Whether a process lives: exactly on this host, by its heartbeat on another.

    Args:
        owner: what :func:`this_process` returned there.
        age: seconds since the last sign of life; None where there was none yet.
    """
    if owner.get("host") == socket.gethostname():
        return started(int(owner["pid"])) == owner.get("pid_started")
    return age is not None and age < STALE_SECONDS
