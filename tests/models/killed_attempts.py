"""Attempts that are killed at random moments of their start, as by a node that dies: python killed_attempts.py

FOLDER KILLS    of a cell, and how many attempts are killed

One process imports all that an attempt needs, and forks each attempt. The last one comes to its end.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from finetune_twin import ToyRun, attempt, config

from paceline.store.files import append_jsonl, read_jsonl, write_json
from paceline.tracking import tracker as tracking


def log(run: ToyRun, most: int) -> None:
    """Steps that follow those of all histories, each in the history before it is logged."""
    histories = (a.path / "history.jsonl" for a in run.folder.attempts())
    begin = max((int(point["step"]) for path in histories for point in read_jsonl(path)), default=0) + 1
    with tracking.tracked(run) as tracker:
        for step in range(begin, begin + most):
            append_jsonl(run.attempt.path / "history.jsonl", [{"step": step, "loss": 1 / step}])
            tracker.log(step, {"loss": 1 / step})
            time.sleep(0.02)


def forked(folder: Path, most: int) -> int:
    child = os.fork()
    if not child:
        os.setsid()  # with the SDK's service
        log(attempt(folder, config(backend="wandb")), most)
        os._exit(0)
    return child


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    for _ in range(kills):
        child = forked(folder, 100_000)
        time.sleep(random.uniform(0.0, 4.0))
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        write_json(attempts_end(folder), {"cause": "killed", "message": ""})
    os.waitpid(forked(folder, 3), 0)
    write_json(attempts_end(folder), {"cause": "done", "message": ""})


def attempts_end(folder: Path) -> Path:
    return max((folder / "attempts").iterdir(), key=lambda p: int(p.name)) / "end.json"


if __name__ == "__main__":
    main()
