"""Daemons that outlive the command that started them, found again by pid and start time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def _started(pid: int) -> int | None:
    """When a living process began, in clock ticks since boot; None for a dead one and for a zombie."""
    try:
        # The second field is the command in brackets and may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class Processes:
    """The processes of one folder, recorded in a JSON file ``{name: {pid, started}}``.

    A pid alone may meanwhile belong to a stranger, so every signal goes through a pidfd, taken before the start time
    is compared.
    """

    def __init__(self, record: Path) -> None:
        self._record = record

    def _read(self) -> dict[str, dict[str, int]]:
        return json.loads(self._record.read_text()) if self._record.exists() else {}

    def _write(self, content: Mapping[str, Mapping[str, int]]) -> None:
        new = self._record.with_suffix(".new")
        new.write_text(json.dumps(content, indent=1) + "\n")
        new.replace(self._record)

    def start(self, name: str, words: Sequence[str], output: Path, env: Mapping[str, str]) -> None:
        """Start a daemon in a session of its own; it runs in the foreground there and appends to ``output``."""
        with output.open("ab") as sink:
            child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=dict(env), start_new_session=True
            )
        started = _started(child.pid)
        if started is not None:
            self._write(self._read() | {name: {"pid": child.pid, "started": started}})
        # It is to outlive us: no warning about a child that was not waited for.
        child.returncode = 0

    def pid(self, name: str) -> int | None:
        """The pid of a living process of ours."""
        entry = self._read().get(name)
        return entry["pid"] if entry and _started(entry["pid"]) == entry["started"] else None

    def stop(self, name: str, *signals: signal.Signals, patience: float = 10.0) -> None:
        """Send the first signal, wait up to ``patience`` seconds for the end, send the next; then forget the name."""
        content = self._read()
        entry = content.get(name)
        if entry is None:
            return
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(entry["pid"])
            try:
                if _started(entry["pid"]) == entry["started"]:
                    for number in signals:
                        signal.pidfd_send_signal(fd, number)
                        if select.select([fd], [], [], patience)[0]:
                            break
            finally:
                os.close(fd)
        if self.pid(name) is None:
            del content[name]
            self._write(content)
