"""Tracking: one W&B run per cell over all its attempts, read back with W&B's own reader; and it can't hurt a cell."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from finetune_twin import ToyRun, attempt, config, curve, tune
from wandb_server import WandbServer, serving

from paceline.errors import Interrupted
from paceline.store.cell_folder import CellFolder
from paceline.store.files import append_jsonl
from paceline.tracking import tracker as tracking
from paceline.tracking import wandb as backend
from paceline.tracking import wandb_log, wandb_pack

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
        assert {"learning_rate", "grad_norm", "samples_per_second", "tokens_per_second", "host_gib"} <= set(
            logged[step]
        )
    # W&B's SDK measures the machine, and its GPUs where there are some, by itself.
    assert any(record["type"] == "stats" for record in one)
    assert not first.notes[-1].startswith("tracking")


def test_what_is_trained_on_is_shown_once_and_takes_no_step(tmp_path: Path) -> None:
    for _ in range(2):
        run = tracked_attempt(tmp_path / "cell", max_steps=2)
        with tracking.tracked(run) as tracker:
            tune(run, curve=tracker)
    one, two = records(tmp_path / "cell")
    assert (steps(one), steps(two)) == ([1, 2], [])
    assert all(summary(found)["supervised"]["_type"] == "table-file" for found in (one, two))
    for n, piece in enumerate(wandb_log.pieces(a)[0] for a in CellFolder(tmp_path / "cell").attempts()):
        wandb_pack.unpack(piece.path, tmp_path / "held" / str(n))
    tables = list(tmp_path.glob("held/*/*/files/media/table/supervised*.table.json"))
    assert len(tables) == 2
    content = json.loads(tables[0].read_text())
    assert content["columns"] == ["prompt", "supervised"]
    assert content["data"][0][1].startswith("The square is")


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


def logged(run: ToyRun, points: Iterable[int], cause: str = "") -> None:
    """An attempt that logs points, each in the history before, as training does; ended by ``cause``."""
    with contextlib.suppress(Interrupted), tracking.tracked(run) as tracker:
        for step in points:
            append_jsonl(run.attempt.path / "history.jsonl", [{"step": step, "loss": 1 / step}])
            tracker.log(step, {"loss": 1 / step})
        if cause:
            raise Interrupted(cause)


def piece(run: ToyRun) -> Path:
    """The last piece of an attempt, once the SDK's service has written its end: a moment after the run's own."""
    path = wandb_log.pieces(run.attempt)[-1].path
    deadline = time.monotonic() + 20
    while not any(r.WhichOneof("record_type") == "exit" for r, _ in wandb_log.records(path)):
        assert time.monotonic() < deadline, f"{path} has no end"
        time.sleep(0.02)
    return path


def test_three_attempts_tell_their_causes_and_those_to_be_requeued_are_marked(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    logged(tracked_attempt(folder), range(1, 4), "timeout")
    logged(tracked_attempt(folder), range(3, 6), "cancelled")  # step 3 again, from an older checkpoint
    logged(tracked_attempt(folder), range(6, 8))
    found = records(folder)
    assert [steps(run) for run in found] == [[1, 2, 3], [4, 5], [6, 7]]
    assert [(summary(run)["cause"], summary(run)["attempts"]) for run in found] == [
        ("timeout", 1),
        ("cancelled", 2),
        ("done", 3),
    ]
    assert [any(r["type"] == "preempting" for r in run) for run in found] == [True, False, False]
    begun = [next(r["run"] for r in run if r["type"] == "run") for run in found]
    assert len({b["run_id"] for b in begun}) == 1
    assert {(b["run_group"], b["display_name"]) for b in begun} == {("toy", "cell")}


def test_what_a_killed_attempt_could_not_hand_over_comes_with_the_next(tmp_path: Path) -> None:
    first = tracked_attempt(tmp_path / "cell")
    logged(first, range(1, 9))
    torn = piece(first)
    while len(wandb_log.steps(torn)) > 4:  # as a kill leaves it: cut anywhere
        torn.write_bytes(torn.read_bytes()[:-7])
    second = tracked_attempt(tmp_path / "cell")
    logged(second, range(7, 11))
    assert wandb_log.steps(torn) == [1, 2, 3, 4]
    assert not second.notes
    assert wandb_log.steps(piece(second)) == [5, 6, 7, 8, 9, 10]


def test_our_reader_of_pieces_agrees_with_the_one_of_wandb(tmp_path: Path) -> None:
    run = tracked_attempt(tmp_path / "cell")
    logged(run, range(1, 400))  # more than a block of the log
    path = piece(run)
    assert path.stat().st_size > 2 * 32 * 1024
    assert wandb_log.steps(path) == steps(records(tmp_path / "cell")[0]) == list(range(1, 400))
    again = path.with_name("again.wandb")
    wandb_log.write(again, wandb_log.messages(path))
    assert again.read_bytes() == path.read_bytes()
    wandb_log.write_rest(again, path, 390)
    assert steps(records(tmp_path / "cell")[0]) == list(range(391, 400))


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A service, and an account at it, for the attempts of this process; nobody waits for a turn."""
    monkeypatch.setattr(backend, "STAGGER_SECONDS", 0.0)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        wandb.teardown()  # the SDK reads the environment once
        yield server
    wandb.teardown()


def run_id(folder: Path) -> str:
    return str(json.loads((folder / "tracking.json").read_text())["run_id"])


def test_online_attempts_go_on_in_one_run_without_a_step_missing_or_twice(tmp_path: Path, online: WandbServer) -> None:
    folder = tmp_path / "cell"
    logged(tracked_attempt(folder, mode="online"), range(1, 4), "timeout")
    lost = tracked_attempt(folder, mode="online")  # killed before it could send: only its history tells
    append_jsonl(lost.attempt.path / "history.jsonl", [{"step": s, "loss": 1 / s} for s in (3, 4, 5)])
    logged(tracked_attempt(folder, mode="online"), range(5, 8))
    assert [row["_step"] for row in online.history(run_id(folder))] == list(range(1, 8))
    assert list(online.runs) == [run_id(folder)]
    assert online.rows_received(run_id(folder)) == 7
    kept = online.runs[run_id(folder)]
    assert (kept["state"], kept["preempted"], kept["group"], kept["name"]) == ("finished", [True], "toy", "cell")
    assert online.summary(run_id(folder))["cause"] == "done"


@pytest.mark.parametrize("harm", ["closed", "hangs"])
def test_an_attempt_goes_on_offline_where_wandb_gives_no_answer(
    harm: str, tmp_path: Path, online: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "START_SECONDS", 1.5)
    if harm == "closed":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{probe.getsockname()[1]}")
    online.hang = lambda what, body: True
    run = tracked_attempt(tmp_path / "cell", mode="online")
    logged(run, range(1, 4))
    assert len(run.notes) == 1
    assert "W&B can't be reached" in run.notes[0]
    assert "paceline sync" in run.notes[0]
    assert wandb_log.steps(piece(run)) == [1, 2, 3]


def test_cells_that_start_together_come_to_the_service_one_after_the_other() -> None:
    turns = sorted(backend._stagger(f"finetune-{i:012x}") for i in range(500))
    assert turns == sorted(backend._stagger(f"finetune-{i:012x}") for i in range(500))
    assert turns[0] >= 0
    assert turns[-1] < backend.STAGGER_SECONDS
    # No second sees many more than its share, which is 17.
    assert max(sum(s <= turn < s + 1 for turn in turns) for s in range(30)) < 40


def test_a_short_cell_does_not_wait_for_its_turn(
    tmp_path: Path, online: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_stagger", lambda cell: 3600.0)
    logged(tracked_attempt(tmp_path / "cell", mode="online"), range(1, 3))
    assert [row["_step"] for row in online.history(run_id(tmp_path / "cell"))] == [1, 2]


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
            tracker.weights(tmp_path)
            tracker.results({"metrics": {}}, [])
    assert not run.folder.tracking.exists()
    assert not list(run.attempt.path.iterdir())
