"""`tracking=trackio`: the same points in a dashboard on this machine, one run a cell; a word where it is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from finetune_twin import attempt, config
from PIL import Image

from paceline.config.schema import Config, TrackingSpec
from paceline.launch import environments
from paceline.store.files import append_jsonl, write_jsonl
from paceline.tracking import tracker as tracking

MISSING = importlib.util.find_spec("trackio") is None
# It keeps one folder per process, read at import; so what was written is read back in another.
READ = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage as Storage
runs = Storage.get_runs("paceline")
print(json.dumps({run: Storage.get_logs("paceline", run) for run in runs}))
"""


@pytest.mark.skipif(MISSING, reason="the package trackio is not installed")
def test_attempts_of_a_cell_are_one_run_whose_steps_never_repeat(tmp_path: Path) -> None:
    folder = tmp_path / "cells" / "finetune-toy-0123456789ab"
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
import test_trackio
test_trackio.write(test_trackio.Path({str(folder)!r}))
"""
    # What another experiment left in the shell sends nothing elsewhere.
    elsewhere = {"TRACKIO_SPACE_ID": "me/space", "TRACKIO_DATASET_ID": "me/data", "TRACKIO_BUCKET_ID": "me/bucket"}
    hostile = {
        **os.environ,
        **elsewhere,
        "TRACKIO_DIR": str(tmp_path / "other"),
        "TRACKIO_SERVER_URL": "http://[::1]:9",
    }
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=hostile)
    assert done.returncode == 0, done.stderr
    environment = {"TRACKIO_DIR": str(tmp_path / "trackio"), "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)}
    out = subprocess.run(
        [sys.executable, "-c", READ], capture_output=True, text=True, env=environment, check=True, timeout=60
    ).stdout
    ((name, rows),) = json.loads(out.splitlines()[-1]).items()
    assert name == folder.name
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 8))
    assert [row["cause"] for row in rows if "cause" in row] == ["timeout", "done"]
    (shown,) = [row for row in rows if "acc" in row]
    assert (shown["acc"], shown["acc_low"], shown["acc_high"]) == (1 / 3, 0.1, 0.5)
    (table,) = [row["predictions"] for row in rows if "predictions" in row]
    assert [r["answer"] for r in table["_value"]] == ["red", "red"]
    assert list((tmp_path / "trackio" / "media").rglob("*.png"))


def write(folder: Path) -> None:
    """Two attempts, the first of which lost what its library had not written; the second shows answers."""
    from paceline.errors import Interrupted

    made = config(backend="trackio", samples=2)
    first = attempt(folder, made)
    try:
        with tracking.tracked(first) as tracker:
            for step in range(1, 6):
                append_jsonl(first.attempt.path / "history.jsonl", [{"step": step, "loss": 1 / step}])
                if step < 4:
                    tracker.log(step, {"loss": 1 / step})
            raise Interrupted("timeout")
    except Interrupted:
        pass
    second = attempt(folder, made)
    Image.new("RGB", (8, 8), "red").save(folder / "a.png")
    write_jsonl(second.folder.predictions, [{"sample": s, "text": "red"} for s in "abc"])
    scores = [{"sample": s, "outcome": "parsed", "truth": "red", "value": "red", "scores": {}} for s in "abc"]
    write_jsonl(second.folder.scores, scores)
    with tracking.tracked(second) as tracker:
        for step in range(4, 8):
            append_jsonl(second.attempt.path / "history.jsonl", [{"step": step, "loss": 1 / step}])
            tracker.log(step, {"loss": 1 / step})
        metrics = {"acc": {"value": 1 / 3, "low": 0.1, "high": 0.5}}
        tracker.results({"metrics": metrics}, [{"id": s, "image": str(folder / "a.png")} for s in "abc"])
    assert not first.notes + second.notes, first.notes + second.notes


def test_without_the_package_a_submit_says_so_and_a_cell_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    made = Config(tracking=TrackingSpec(backend="trackio"))
    assert "docs/tracking.md" in environments.lacks_tracker([made])[0]
    assert environments.lacks_tracker([Config()]) == []
    run = attempt(tmp_path / "cells" / "cell", config(backend="trackio"))
    with tracking.tracked(run) as tracker:
        tracker.log(1, {"loss": 1.0})
    assert len(run.notes) == 1
    assert "trackio is not installed" in run.notes[0]
