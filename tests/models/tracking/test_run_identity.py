"""What identifies a run comes from the cell alone, whatever W&B variables and settings files are around."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile_shell
import pytest
import wandb
from finetune_twin import ToyRun, attempt, config
from hypothesis import given
from hypothesis import strategies as st
from syncing import KEY, Lab
from wandb_server import ENTITY, WandbServer, serving

from paceline.store.files import append_jsonl, write_json
from paceline.tracking import sdk_environment, wandb_log
from paceline.tracking import tracker as tracking
from paceline.tracking import wandb as backend

CELLS = ("finetune-toy-0123456789ab", "finetune-toy-ba9876543210")
# What a run is and where it goes, by the names of the SDK's settings.
IDENTITY = {
    name
    for name in wandb.Settings.model_fields
    if name.startswith(("run_", "resume", "fork", "sweep", "launch", "job_", "x_label", "x_primary", "x_sync"))
    or name in ("project", "mode", "config_paths", "program", "reinit", "docker", "x_runqueue_item_id", "x_files_dir")
}


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The shell and the folders of a person who did another experiment before; the SDK reads them anew."""
    home, work = tmp_path / "other-home", tmp_path / "work"
    hostile_shell.settings_files(work, home)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in hostile_shell.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(backend, "STAGGER_SECONDS", 0.0)
    wandb.teardown()
    yield
    wandb.teardown()


def log(run: ToyRun, steps: range) -> None:
    with tracking.tracked(run) as tracker:
        for step in steps:
            append_jsonl(run.attempt.path / "history.jsonl", [{"step": step, "loss": 1 / step}])
            tracker.log(step, {"loss": 1 / step})
    assert not run.notes, run.notes
    write_json(run.attempt.end_json, {"cause": "done", "message": ""})


def tracked_cell(folder: Path, **changes: Any) -> ToyRun:
    return attempt(folder, config(backend="wandb", **changes))


def run_id(folder: Path) -> str:
    return str(json.loads((folder / "tracking.json").read_text())["run_id"])


NAMES = st.sampled_from(sorted(hostile_shell.variables())) | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1).map(
    lambda name: f"WANDB_{name}"
)


@given(st.sets(NAMES))
def test_no_variable_that_names_a_run_reaches_the_sdk(names: set[str]) -> None:
    reach = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "https://wandb.lab.example", "HOME": "/home/me"}
    environment = {**dict.fromkeys(names, "elsewhere"), **reach}
    sdk_environment.clear_wandb(environment)
    assert reach.items() <= environment.items()
    assert not {hostile_shell.setting(name) for name in environment} & IDENTITY


def test_an_offline_attempt_is_its_cells_run_in_any_shell(tmp_path: Path, hostile: None) -> None:
    folder = tmp_path / "cells" / CELLS[0]
    run = tracked_cell(folder)
    log(run, range(1, 4))
    (piece,) = wandb_log.pieces(run.attempt)
    assert wandb_log.steps(piece.path) == [1, 2, 3]
    found = wandb_log.begun_run(piece.path)
    assert found.run_id == run_id(folder) != "shared"
    assert (found.project, found.display_name, found.run_group) == ("paceline", CELLS[0], "toy")
    assert (found.job_type, list(found.tags), found.sweep_id, found.entity) == ("finetune", ["tiny", "full"], "", "")
    assert "sweep toy" in found.notes
    assert not found.HasField("branch_point")
    told = {item.key: json.loads(item.value_json) for item in found.config.update}
    assert told["seed"] == 3
    assert not [p for p in (tmp_path / "work").rglob("*") if p.is_file() and p.name != "settings"]


def test_two_online_cells_of_one_shell_are_two_runs(
    tmp_path: Path, hostile: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        for name in CELLS:
            log(tracked_cell(tmp_path / "cells" / name, mode="online"), range(1, 4))
        found = {run["name"]: (key, run["project"], run["group"], run["job_type"]) for key, run in server.runs.items()}
        assert found == {n: (run_id(tmp_path / "cells" / n), "paceline", "toy", "finetune") for n in CELLS}
        assert all([row["_step"] for row in server.history(key)] == [1, 2, 3] for key in server.runs)
        assert all(run["entity"] == ENTITY for run in server.runs.values() if "entity" in run)
        wandb.teardown()


def test_the_entity_of_the_shell_is_taken_once_and_kept(
    tmp_path: Path, hostile: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cells" / CELLS[0]
    for entity in ("first-team", "second-team"):
        monkeypatch.setenv("WANDB_ENTITY", entity)
        run = tracked_cell(folder)
        log(run, range(run.attempt.n, run.attempt.n + 1))
        assert wandb_log.begun_run(wandb_log.pieces(run.attempt)[0].path).entity == "first-team"
    assert json.loads((folder / "tracking.json").read_text())["entity"] == "first-team"
    named = tracked_cell(tmp_path / "cells" / CELLS[1], entity="named-team")
    log(named, range(1, 2))
    assert wandb_log.begun_run(wandb_log.pieces(named.attempt)[0].path).entity == "named-team"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    write_json(tmp_path / "root" / "sweeps" / "toy" / "sweep.json", {"name": "toy", "cells": list(CELLS)})
    with serving() as server:
        yield Lab(tmp_path / "root", server, tmp_path / "home")


def assert_two_runs(lab: Lab, server: WandbServer) -> None:
    assert sorted(server.runs) == sorted(map(lab.run_id, CELLS))
    assert {run["project"] for run in server.runs.values()} == {"paceline"}
    assert {run["name"] for run in server.runs.values()} == set(CELLS)
    assert all(lab.steps(cell) == [1, 2] for cell in CELLS)


def test_a_sync_from_any_shell_sends_each_cell_to_its_own_run(lab: Lab) -> None:
    for name in CELLS:
        log(tracked_cell(lab.root / "cells" / name), range(1, 3))
    lab.environment.update(hostile_shell.variables(), WANDB_ENTITY="other-team")
    hostile_shell.settings_files(Path(lab.environment["HOME"]), Path(lab.environment["HOME"]) / "none")
    assert lab.sync() == (0, "toy: 2 pieces of 2 cells uploaded, 0 left\n", "")
    assert_two_runs(lab, lab.server)
    assert {run.get("entity") or ENTITY for run in lab.server.runs.values()} == {ENTITY}


def test_pieces_that_an_earlier_version_wrote_into_one_run_are_sent_to_their_own(lab: Lab) -> None:
    for name in CELLS:
        run = tracked_cell(lab.root / "cells" / name)
        log(run, range(1, 3))
        (piece,) = wandb_log.pieces(run.attempt)
        contents = []
        for record, _ in wandb_log.records(piece.path):
            if record.WhichOneof("record_type") == "run":
                record.run.run_id, record.run.project = "shared", "elsewhere"
            contents.append(record.SerializeToString())
        wandb_log.write(piece.path, contents)
    assert lab.sync() == (0, "toy: 2 pieces of 2 cells uploaded, 0 left\n", "")
    assert_two_runs(lab, lab.server)
