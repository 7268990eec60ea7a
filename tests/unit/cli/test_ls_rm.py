"""What a root holds can be listed and removed by name, with a question before anything goes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_sweeps import beams, record

from paceline.cli import app
from paceline.config.identity import identity_of
from paceline.config.schema import Config, ModelSpec
from paceline.store.cell_folder import Cell
from paceline.store.files import digest, write_json
from paceline.store.root import Store

Paceline = Callable[..., tuple[int, str, str]]
CELLS = beams(3)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    kept = record(tmp_path / "root", "a", CELLS[:2])
    record(tmp_path / "root", "b", CELLS[1:])
    folder = tmp_path / "root" / "data" / "earth-1"
    write_json(folder / "manifest.json", {"schema": 1, "digest": "d" * 64, "splits": {"test": 3}})
    return kept


def test_ls_lists_sweeps_data_and_models_with_size_and_age(store: Store, command_line: Paceline) -> None:
    code, out, _ = command_line("ls")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["a", "0/2"] in [row[:2] for row in rows] and ["b", "0/2"] in [row[:2] for row in rows]
    assert "shared with other sweeps: 1" in out
    (data,) = [line for line in out.splitlines() if line.startswith("earth-1")]
    assert "geolocation_earth; read by " in data and " s " in data
    assert any(row[:2] == ["tiny_qwen2_vl", "3"] for row in rows)


def test_ls_for_programs_has_the_numbers(store: Store, command_line: Paceline) -> None:
    store.cell(CELLS[0].id).publish(store.cell(CELLS[0].id).new_attempt(), [], {})
    code, out, _ = command_line("ls", "--json")
    found = json.loads(out)
    assert code == 0 and found["root"] == str(store.root)
    (sweep,) = [entry for entry in found["sweeps"] if entry["name"] == "a"]
    assert (sweep["cells"], sweep["done"], sweep["shared"]) == (2, 1, 1)
    assert sweep["bytes"] > 0 and sweep["files"] > 0 and sweep["age_seconds"] >= 0
    assert found["data"][0]["samples"] == {"test": 3}


def test_ls_of_an_empty_root_says_how_to_begin(tmp_path: Path, command_line: Paceline) -> None:
    code, out, _ = command_line("ls", f"root={tmp_path / 'none'}")
    assert code == 0 and "nothing yet" in out
    assert not (tmp_path / "none").exists()


def test_ls_tells_whether_a_models_weights_are_there(
    tmp_path: Path, command_line: Paceline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    model = ModelSpec(name="large", family="qwen2_vl", weights="o/large", revision="ab" * 20)
    identity = {**identity_of(Config(model=model), "evaluate"), "data": "d" * 64}
    record(tmp_path / "root", "a", [Cell(f"evaluate-{digest(identity, 12)}", "evaluate", identity)])
    code, out, _ = command_line("ls")
    assert code == 0 and f"o/large at {'ab' * 6} is not in {tmp_path / 'hub'}" in out


def test_a_dry_run_says_what_would_go_and_removes_nothing(store: Store, command_line: Paceline) -> None:
    before = sorted(store.root.rglob("*"))
    code, out, _ = command_line("rm", "a", "--dry-run")
    assert code == 0
    assert "a goes: its record, cells that are its alone: 1 (0 done)" in out
    assert "stays: cells that are in b too: 1, prepared data, weights of models" in out
    assert "would free" in out and " files" in out
    assert sorted(p for p in store.root.rglob("*") if "asked" not in p.parts) == before


def test_rm_removes_what_is_the_sweeps_alone(store: Store, command_line: Paceline) -> None:
    code, out, _ = command_line("rm", "a", "--yes")
    assert code == 0 and "removed a: " in out and " freed" in out
    assert store.sweeps() == ["b"]
    assert {cell.id for cell in store.cells()} == {cell.id for cell in CELLS[1:]}
    assert "no sweep, and no data, of the name 'a'" in command_line("rm", "a", "--yes")[2]
    assert "did you mean 'earth-1'" in command_line("rm", "data/earth-1", "--yes")[2]


def test_rm_without_an_answer_removes_nothing_and_names_the_flag(store: Store) -> None:
    line = [sys.executable, "-m", "paceline", "rm", "a", f"root={store.root}"]
    done = subprocess.run(line, input="", capture_output=True, text=True)
    assert done.returncode == 2 and "--yes" in done.stderr
    assert store.sweeps() and len(store.cells()) == 3
    done = subprocess.run(line, input="n\n", capture_output=True, text=True)
    assert done.returncode == 0 and "left as it is" in done.stdout and len(store.cells()) == 3


def test_rm_tells_of_runs_that_were_not_uploaded(store: Store, command_line: Paceline) -> None:
    cell = store.cell(CELLS[0].id)
    write_json(cell.tracking, {"schema": 1, "run_id": "r", "project": "p", "entity": ""})
    attempt = cell.new_attempt()
    write_json(attempt.end_json, {"schema": 1, "cause": "code bug", "message": "", "seconds": 1.0})
    log = attempt.path / "wandb" / "offline-run-1-r" / "run-r.wandb"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x")
    assert "cells whose W&B runs were not uploaded: 1; before: paceline sync a" in command_line("rm", "a", "-n")[1]


def test_rm_without_a_name_removes_nothing(store: Store, command_line: Paceline) -> None:
    code, _, error = command_line("rm", "--yes")
    assert code == 2 and "name the sweep" in error and "paceline ls" in error
    assert len(store.sweeps()) == 2


@pytest.mark.parametrize("verb", ["ls", "rm"])
def test_neither_imports_a_framework(store: Store, verb: str) -> None:
    words = [verb, *(["a", "--dry-run"] if verb == "rm" else []), f"root={store.root}"]
    script = (
        "import sys\nfrom paceline.cli.app import cli\n"
        f"cli({words!r}, prog_name='paceline', standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'wandb', 'hydra'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_both_stand_in_the_help() -> None:
    assert {"ls", "rm"} <= set(app.ORDER)
