"""Which process owns a piece of work, and whether it still lives."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEARTBEAT_SECONDS = 5.0
# On another host only the heartbeat tells; a node that is merely slow must not be taken for dead.
STALE_SECONDS = 12 * HEARTBEAT_SECONDS


def this_process() -> dict[str, Any]:
    """``{host, pid, pid_started}``, by which :func:`alive` finds this process again."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "pid_started": started(os.getpid())}


def started(pid: int) -> str | None:
    """When a process of this host began, in clock ticks since boot: tells it from a later one with its number."""
    try:
        # The second field is the command in brackets and may hold spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def age_of(path: Path) -> float | None:
    """Seconds since a file was last renewed; None where it is not there."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return None


def alive(owner: Mapping[str, Any], age: float | None) -> bool:
    """Whether a process lives: exactly on this host, by its heartbeat on another.

    Args:
        owner: what :func:`this_process` said there.
        age: seconds since the last sign of life; None where there was none yet.
    """
    if owner.get("host") == socket.gethostname():
        return started(int(owner["pid"])) == owner.get("pid_started")
    return age is not None and age < STALE_SECONDS
