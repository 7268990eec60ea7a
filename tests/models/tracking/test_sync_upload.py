"""`paceline sync`: pieces written by W&B's SDK, uploaded by it to a service on loopback, once each whatever happens."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb_runs
from finetune_twin import attempt, config
from PIL import Image
from syncing import KEY, Lab
from wandb_server import serving

from paceline.counted import counted
from paceline.errors import Interrupted
from paceline.store.cell_folder import CellFolder
from paceline.store.files import append_jsonl, write_json, write_jsonl
from paceline.tracking import tracker as tracking
from paceline.tracking import wandb_log

CELLS = ("evaluate-toy-0123456789ab", "finetune-toy-ba9876543210")
STEPS = {CELLS[0]: [1, 2, 3, 4, 5, 6, 7], CELLS[1]: [1, 2]}


def write_attempt(folder: Path, steps: range, cause: str) -> None:
    """An attempt as training writes it, with the SDK; the last one shows answers too."""
    run = attempt(folder, config(backend="wandb", samples=2))
    try:
        with tracking.tracked(run) as tracker:
            for step in steps:
                append_jsonl(run.attempt.path / "history.jsonl", [{"step": step, "loss": 1 / step}])
                tracker.log(step, {"loss": 1 / step})
            if cause != "done":
                raise Interrupted(cause)
            if folder.name == CELLS[0]:
                image = str(folder / "a.png")
                Image.new("RGB", (8, 8), "red").save(image)
                write_jsonl(run.folder.predictions, [{"sample": "a", "text": "says a"}])
                judged = {"sample": "a", "outcome": "parsed", "value": "red", "truth": "red", "scores": {"right": True}}
                write_jsonl(run.folder.scores, [judged])
                found = {"metrics": {"acc": {"value": 0.5, "low": 0.4, "high": 0.6}}}
                tracker.results(found, [{"id": "a", "image": image}])
    except Interrupted:
        pass
    (path,) = (p.path for p in wandb_log.pieces(run.attempt))
    deadline = time.monotonic() + 20
    while not any(r.WhichOneof("record_type") == "exit" for r, _ in wandb_log.records(path)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    write_json(run.attempt.end_json, {"cause": cause, "message": ""})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a sweep of two cells: one of three attempts, one of a single one."""
    root = tmp_path_factory.mktemp("written")
    write_json(root / "sweeps" / "toy" / "sweep.json", {"name": "toy", "cells": list(CELLS)})
    write_attempt(root / "cells" / CELLS[0], range(1, 4), "timeout")
    write_attempt(root / "cells" / CELLS[0], range(4, 6), "preempted")
    write_attempt(root / "cells" / CELLS[0], range(6, 8), "done")
    write_attempt(root / "cells" / CELLS[1], range(1, 3), "done")
    return root


@pytest.fixture
def lab(written: Path, tmp_path: Path) -> Iterator[Lab]:
    shutil.copytree(written, tmp_path / "root")
    with serving() as server:
        yield Lab(tmp_path / "root", server, tmp_path / "home")


def test_all_attempts_of_a_cell_arrive_as_one_run_and_a_second_sync_sends_nothing(lab: Lab) -> None:
    assert lab.sync() == (0, "toy: 4 pieces of 2 cells uploaded, 0 left\n", "")
    assert {cell: lab.steps(cell) for cell in CELLS} == STEPS
    assert sorted(lab.server.runs) == sorted(map(lab.run_id, CELLS))
    name = lab.run_id(CELLS[0])
    run = lab.server.runs[name]
    assert (run["name"], run["group"], run["project"], run["state"]) == (CELLS[0], "toy", "paceline", "finished")
    assert len(run["preempted"]) == 2
    summary = lab.server.summary(name)
    assert (summary["cause"], summary["attempts"], summary["loss"]) == ("done", 3, pytest.approx(1 / 7))
    assert (summary["acc"], summary["acc_low"], summary["acc_high"]) == (0.5, 0.4, 0.6)
    assert lab.server.config(name)["seed"] == 3
    assert len([f for f in run["files"] if f.endswith(".png")]) == 1
    assert len([f for f in run["files"] if f.endswith(".table.json")]) == 1
    assert [lab.server.rows_received(lab.run_id(c)) for c in CELLS] == [7, 2]
    before = len(lab.server.operations), len(lab.server.posts)
    assert lab.sync("toy") == (0, "toy: 0 pieces of 0 cells uploaded, 0 left\n", "")
    assert (len(lab.server.operations), len(lab.server.posts)) == before
    # Nothing is left beside the pieces but what was recorded, and nowhere the key.
    assert not [p for kind in ("*.syncstate", "*.wandb.synced") for p in lab.root.rglob(kind)]
    places = [lab.root, Path(lab.environment["HOME"])]
    assert not [p for place in places for p in place.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert KEY not in lab.said
    assert not lab.server.unknown


def test_a_sync_killed_midway_goes_on_without_repeating_a_row(lab: Lab) -> None:
    held = threading.Event()

    def hold(what: str, body: dict[str, Any]) -> bool:
        if what == "file_stream" and body.get("complete"):
            held.set()
        return held.is_set()

    # The rows of the first attempt come in; then the service holds its breath, and the sync is killed.
    lab.server.hang = hold
    process = lab.start("sync")
    assert held.wait(60)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    stored = lab.server.runs[lab.run_id(CELLS[0])]["streams"]["wandb-history.jsonl"]
    assert len(stored) == 3
    del stored[2:]  # the service had not come to the last one
    lab.server.hang = lambda what, body: False
    recorded = list(lab.root.rglob("synced.json"))
    code, out, err = lab.sync()
    assert (code, err) == (0, "")
    assert out == f"toy: {counted(4 - len(recorded), 'piece')} of 2 cells uploaded, 0 left\n"
    assert {cell: lab.steps(cell) for cell in CELLS} == STEPS
    assert lab.server.runs[lab.run_id(CELLS[0])]["state"] == "finished"
    assert lab.server.rows_received(lab.run_id(CELLS[0])) == 7 + 1


def test_a_service_that_fails_halfway_leaves_a_state_from_which_the_next_sync_completes(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hurry(monkeypatch)
    failing = threading.Event()

    def fail(what: str, body: dict[str, Any]) -> bool:
        if len(lab.server.posts) >= 4:
            failing.set()
        return failing.is_set()

    lab.server.refuse = fail
    code, out, err = lab.sync_here()
    assert code == 3
    assert "W&B can't be reached" in err
    arrived = len(list(lab.root.rglob("synced.json")))
    assert 0 < arrived < 4
    left = f"{4 - arrived} left: not yet uploaded ({4 - arrived})"
    assert out == f"toy: {counted(arrived, 'piece')} of 1 cell uploaded, {left}\n"
    lab.server.refuse = lambda what, body: False
    code, out, err = lab.sync_here()
    assert (code, err) == (0, "")
    assert {cell: lab.steps(cell) for cell in CELLS} == STEPS
    assert all(run["state"] == "finished" for run in lab.server.runs.values())


def test_files_that_did_not_arrive_are_sent_by_the_next_sync(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.hurry(monkeypatch)
    lab.server.refuse = lambda what, body: what == "put" and body["path"].endswith(".png")
    code, out, _ = lab.sync_here()
    assert code == 1
    assert "W&B lacks 1 of 2 files" in out
    lab.server.refuse = lambda what, body: False
    assert lab.sync_here()[:2] == (0, "toy: 1 piece of 1 cell uploaded, 0 left\n")
    assert {cell: lab.steps(cell) for cell in CELLS} == STEPS
    assert [f for f in lab.server.runs[lab.run_id(CELLS[0])]["files"] if f.endswith(".png")]


def test_a_piece_cut_by_a_kill_is_uploaded_as_far_as_it_goes(lab: Lab) -> None:
    (path,) = lab.root.glob(f"cells/{CELLS[1]}/attempts/1/wandb/offline-run-*/*.wandb")
    while wandb_log.steps(path) != [1]:
        path.write_bytes(path.read_bytes()[:-5])
    assert lab.sync()[:2] == (0, "toy: 4 pieces of 2 cells uploaded, 0 left\n")
    assert lab.steps(CELLS[1]) == [1]
    assert lab.server.runs[lab.run_id(CELLS[1])]["state"] == "failed"


def test_a_cell_that_still_runs_is_left_for_later_and_told(lab: Lab) -> None:
    last = CellFolder(lab.root / "cells" / CELLS[0]).attempts()[-1]
    end = last.end_json.read_bytes()
    last.end_json.unlink()
    last.heartbeat.write_text(json.dumps({"schema": 1, "time": time.time()}))
    code, out, err = lab.sync()
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "toy: 3 pieces of 2 cells uploaded, 1 left: attempt 3 still runs"
    assert lab.steps(CELLS[0]) == [1, 2, 3, 4, 5]
    last.end_json.write_bytes(end)
    told = json.loads(lab.sync("--json")[1])
    assert [(t["cell"], t["attempt"], t["rows"]) for t in told["uploaded"]] == [(CELLS[0], 3, 2)]
    assert told["left"] == []
    assert {cell: lab.steps(cell) for cell in CELLS} == STEPS


def test_without_a_key_the_remedy_is_told(lab: Lab) -> None:
    del lab.environment["WANDB_API_KEY"]
    code, out, err = lab.sync()
    assert code == 2
    assert "wandb login" in err
    assert "WANDB_API_KEY" in err
    assert out.startswith("toy: 0 pieces of 0 cells uploaded, 4 left")
    assert not lab.server.operations


def test_cells_of_three_attempts_are_read_back_as_one_run_each(tmp_path: Path) -> None:
    """As `python tests/models/wandb_runs.py` does with a hundred."""
    ids = wandb_runs.write(tmp_path, 5)
    with serving() as server:
        wandb_runs.upload(tmp_path, ids, server)
        assert wandb_runs.check(tmp_path, ids, server).startswith("5 runs of 5 cells × 3 attempts, 0 steps missing")
