"""Tracking: one W&B run per cell over all its attempts, read back with W&B's own reader; and it can't hurt a cell."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from finetune_twin import ToyRun, attempt, config, curve, tune
from PIL import Image

from paceline import tracking
from paceline.errors import Interrupted
from paceline.store import append_jsonl, write_jsonl

KEY = "0123456789abcdef" * 2 + "87654321"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def tracked_attempt(folder: Path, **changes: Any) -> ToyRun:
    return attempt(folder, config(backend="wandb", samples=2, **changes))


def records(folder: Path) -> list[list[dict[str, Any]]]:
    """The records of every offline run of a cell, one list per attempt."""
    found = []
    for path in sorted(folder.glob("attempts/*/wandb/offline-run-*/*.wandb")):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
        out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        found.append([json.loads(line) for line in out.splitlines()])
    return found


def items(run: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["history"]["item"] for record in run if record["type"] == "history"]


def steps(run: list[dict[str, Any]]) -> list[int]:
    return [int(r["history"]["step"].get("num", 0)) for r in run if r["type"] == "history"]


def summary(run: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for record in run:
        if record["type"] == "summary":
            found.update(record["summary"].get("update", {}))
    return found


def test_two_attempts_of_a_cell_are_one_run_whose_steps_never_repeat(tmp_path: Path) -> None:
    folder = tmp_path / "lora-tiny-0123456789ab"
    changes = {"validations": 2, "checkpoint_steps": 3}
    first = tracked_attempt(folder, **changes)
    first.stop_after = 4
    with pytest.raises(Interrupted), tracking.tracked(first) as tracker:
        tune(first, curve=tracker)
    # As if killed: the history is past the checkpoint that the second attempt begins from.
    (first.attempt.checkpoints / "checkpoint-4" / "COMPLETE.json").unlink()
    second = tracked_attempt(folder, **changes)
    with tracking.tracked(second) as tracker:
        assert tune(second, curve=tracker)["resumed"] == 3
    one, two = records(folder)
    assert steps(one) == [1, 2, 3, 4]
    assert steps(two) == [5, 6]
    begun = [next(r["run"] for r in run if r["type"] == "run") for run in (one, two)]
    kept = json.loads((folder / "tracking.json").read_text())
    assert [b["run_id"] for b in begun] == [kept["run_id"]] * 2
    assert begun[0]["display_name"] == folder.name
    assert begun[0]["run_group"] == "toy"
    assert begun[0]["job_type"] == "finetune"
    assert begun[0]["tags"] == ["tiny", "full"]
    assert begun[0]["config"]["update"]["placement"]["checkpoint_steps"] == 3
    assert [summary(run)["cause"] for run in (one, two)] == ["timeout", "done"]
    logged = {step: item for run in (one, two) for step, item in zip(steps(run), items(run), strict=True)}
    for step, point in curve(folder).items():
        assert logged[step]["loss"] == pytest.approx(point["loss"])
    assert not first.notes[-1].startswith("tracking")


def test_metrics_come_with_their_intervals_and_answers_with_their_images(tmp_path: Path) -> None:
    run = tracked_attempt(tmp_path / "cell")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    samples = [{"id": name, "image": str(tmp_path / "a.png")} for name in "abc"]
    write_jsonl(run.folder.predictions, [{"sample": s["id"], "text": f"says {s['id']}"} for s in samples])
    write_jsonl(run.folder.scores, [{"sample": s["id"], "outcome": "parsed", "truth": [1, 2]} for s in samples])
    with tracking.tracked(run) as tracker:
        metrics = {"acc": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3}, "odd": {"value": None}}
        tracker.results(run, {"metrics": metrics}, samples)
    (found,) = records(tmp_path / "cell")
    told = summary(found)
    assert (told["acc"], told["acc_low"], told["acc_high"]) == (0.5, 0.4, 0.6)
    assert "odd" not in told
    tables = list((tmp_path / "cell").glob("attempts/1/wandb/*/files/media/table/*.table.json"))
    rows = json.loads(tables[0].read_text())["data"]
    assert [row[1] for row in rows] == ["says a", "says b"]
    assert list((tmp_path / "cell").glob("attempts/1/wandb/*/files/media/images/**/*.png"))


def test_no_secret_is_written_and_nothing_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    run = tracked_attempt(tmp_path / "cell")
    with tracking.tracked(run) as tracker:
        tracker.log(1, {"loss": 1.0})
    assert steps(records(tmp_path / "cell")[0]) == [1]
    written = [p for p in (tmp_path / "cell").rglob("*") if p.is_file()]
    assert written
    assert not [p for p in written if KEY.encode() in p.read_bytes()]
    assert capfd.readouterr() == ("", "")


def test_online_without_a_key_stays_offline_and_asks_nobody(tmp_path: Path) -> None:
    run = tracked_attempt(tmp_path / "cell", mode="online")
    with tracking.tracked(run) as tracker:
        tracker.log(1, {"loss": 1.0})
    assert steps(records(tmp_path / "cell")[0]) == [1]
    assert [n for n in run.notes if "wandb login" in n]


def test_points_of_earlier_attempts_are_left_out(tmp_path: Path) -> None:
    first = tracked_attempt(tmp_path / "cell")
    append_jsonl(first.attempt.path / "history.jsonl", [{"step": 7, "loss": 1.0}])
    second = tracked_attempt(tmp_path / "cell")
    with tracking.tracked(second) as tracker:
        for step in (5, 7, 8):
            tracker.log(step, {"loss": 1.0})
    assert steps(records(tmp_path / "cell")[0]) == [8]


@pytest.mark.parametrize("harm", ["no package", "start fails", "point fails", "record damaged"])
def test_a_broken_tracker_is_noted_once_and_training_goes_on(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tracked_attempt(tmp_path / "cell")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise SystemExit("no route to host")

    if harm == "no package":
        monkeypatch.setitem(sys.modules, "wandb", None)
    elif harm == "start fails":
        monkeypatch.setattr("wandb.init", fail)
    elif harm == "point fails":
        monkeypatch.setattr("wandb.sdk.wandb_run.Run.log", fail)
    else:
        run.folder.tracking.write_text("{")
    with tracking.tracked(run) as tracker:
        assert tune(run, curve=tracker)["steps"] == 6
    assert len([n for n in run.notes if n.startswith("tracking")]) == 1
    assert sorted(curve(tmp_path / "cell")) == [1, 2, 3, 4, 5, 6]


def test_a_tracker_that_hangs_delays_the_end_by_a_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 0.3)
    monkeypatch.setattr("wandb.init", lambda **kwargs: time.sleep(5))
    run = tracked_attempt(tmp_path / "cell")
    began = time.monotonic()
    with tracking.tracked(run) as tracker:
        tracker.log(1, {"loss": 1.0})
    assert time.monotonic() - began < 2
    assert "did not end" in run.notes[-1]


def test_other_ranks_and_disabled_tracking_do_nothing(tmp_path: Path) -> None:
    run = tracked_attempt(tmp_path / "cell")
    for silent in (dataclasses.replace(run, rank=1), dataclasses.replace(run, config=config())):
        with tracking.tracked(silent) as tracker:
            tracker.log(1, {"loss": 1.0})
            tracker.metrics({})
            tracker.results(silent, {"metrics": {}}, [])
    assert not run.folder.tracking.exists()
    assert not list(run.attempt.path.iterdir())
