"""Many cells of three attempts each, uploaded to a service on loopback and read back: python tests/models/wandb_runs.py

[CELLS] (100)    prints seconds, runs, and what is missing or twice
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from finetune_twin import attempt, config
from wandb_server import WandbServer, serving

from paceline.errors import Interrupted
from paceline.store.files import append_jsonl, read_json, write_json
from paceline.store.root import Store
from paceline.tracking import sync, wandb_log
from paceline.tracking import tracker as tracking

KEY = "ab98" * 8 + "fedcba98"
# Steps of each attempt, as a training makes them: the second begins again from an older checkpoint, after a kill.
ATTEMPTS = ((range(1, 13), "preempted"), (range(9, 22), "timeout"), (range(22, 31), "done"))


def write(root: Path, cells: int) -> list[str]:
    """Offline attempts, by the SDK; the ids of their cells."""
    ids = [f"finetune-toy-{n:012x}" for n in range(cells)]
    for cell in ids:
        for steps, cause in ATTEMPTS:
            run = attempt(root / "cells" / cell, config(backend="wandb"))
            try:
                with tracking.tracked(run) as tracker:
                    for step in steps:
                        append_jsonl(run.attempt.path / "history.jsonl", [{"step": step, "loss": 1 / step}])
                        tracker.log(step, {"loss": 1 / step})
                    if cause != "done":
                        raise Interrupted(cause)
            except Interrupted:
                pass
            assert not run.notes, run.notes
            write_json(run.attempt.end_json, {"cause": cause, "message": ""})
    return ids


def upload(root: Path, ids: list[str], server: WandbServer) -> None:
    """What `paceline sync` does."""
    given = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
    kept = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        store = Store(root)
        left = [told for told in sync.upload(store, [sync.pending(store.cell(i)) for i in ids]) if told.why]
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    assert not left, left


def check(root: Path, ids: list[str], server: WandbServer) -> str:
    """Hold what the service has, and what the files say, to one run a cell and every step once."""
    runs = {cell: read_json(root / "cells" / cell / "tracking.json")["run_id"] for cell in ids}
    assert sorted(server.runs) == sorted(runs.values())
    wanted = list(range(1, 31))
    missing = twice = 0
    for cell, run in runs.items():
        steps = Counter(row["_step"] for row in server.history(run))
        missing += len(set(wanted) - set(steps))
        twice += sum(n - 1 for n in steps.values())
        assert server.rows_received(run) == len(wanted)
        assert server.runs[run]["state"] == "finished"
        logs = [p.path for a in Store(root).cell(cell).attempts() for p in wandb_log.pieces(a)]
        assert [step for path in logs for step in wandb_log.steps(path)] == wanted
    assert (missing, twice) == (0, 0)
    told = f"{len(server.runs)} runs of {len(ids)} cells × {len(ATTEMPTS)} attempts"
    return f"{told}, {missing} steps missing, {twice} twice"


def main() -> None:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    os.environ.pop("WANDB_API_KEY", None)
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        root = Path(folder)
        began = time.monotonic()
        ids = write(root, cells)
        wrote = time.monotonic()
        upload(root, ids, server)
        told = check(root, ids, server)
        print(f"{told}; written in {wrote - began:.0f} s, uploaded in {time.monotonic() - wrote:.0f} s")


if __name__ == "__main__":
    main()
