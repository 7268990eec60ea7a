"""Tab knows every key, every value that has a list, and every sweep, cell and folder of data where a verb takes one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from recorded_sweeps import beams, record

from paceline.cli import app
from paceline.store.files import write_json, write_jsonl
from paceline.store.root import Store
from paceline.sweep.overrides import dotted_keys

CELLS = beams(2)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    kept = record(tmp_path, "mine", CELLS)
    write_json(tmp_path / "data" / "earth-1" / "manifest.json", {"schema": 1, "digest": "e", "splits": {}})
    write_jsonl(kept.cell(CELLS[0].id).predictions, [{"sample": "photo_1"}, {"sample": "photo_2"}])
    monkeypatch.setenv("PACELINE_ROOT", str(tmp_path))
    return kept


def tab(line: str) -> list[str]:
    """What a shell is offered at the end of a line."""
    *words, begun = line.split(" ")
    found = ShellComplete(app.cli, {}, "paceline", "_PACELINE_COMPLETE").get_completions(words[1:], begun)
    return [item.value for item in found]


def test_every_key_that_an_override_may_set_is_offered(store: Store) -> None:
    for key in dotted_keys():
        if "." in key and key != "task.options":
            assert f"{key}=" in tab(f"paceline plan {key[:-1]}"), key
    assert tab("paceline plan task.opt") == ["task.options."]
    assert tab("paceline plan seed") == ["seed="]
    assert tab("paceline plan model") == ["model=", "model."]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("paceline submit train.lr", ["train.learning_rate="]),
        ("paceline submit method.lora.init=", ["method.lora.init=default", "method.lora.init=gaussian"]),
        ("paceline submit model.dtype=float32,b", ["model.dtype=float32,bfloat16"]),
        ("paceline submit ++model.remote_code=t", ["++model.remote_code=true"]),
        ("paceline submit ~train.keep", ["~train.keep="]),
        ("paceline submit train.prompt=sa", ["train.prompt=same"]),
        ("paceline submit train.task=capt", ["train.task=captioning"]),
        ("paceline submit train.prompt=geo_bar", ["train.prompt=geo_bare"]),
        ("paceline submit task.reader=ear", ["task.reader=earth"]),
        ("paceline submit task.kind=cap", ["task.kind=captioning"]),
        ("paceline submit model.family=pix", ["model.family=pixtral"]),
        ("paceline submit task=geolocation_earth task.options.sp", ["task.options.spacing="]),
        ("paceline submit experiment=dem", ["experiment=demo"]),
        ("paceline submit name=", ["name=mine"]),
        ("paceline submit model=tiny_pixtral,tiny_pix", []),
        ("paceline submit model.nowhere=", []),
        ("paceline submit no.such.key", []),
        ("paceline submit task=nowhere task.options.", []),
        ("paceline resume mine cluster.executor=sl", ["cluster.executor=slurm"]),
        ("paceline resume mine train.", []),
        ("paceline ls ", ["root="]),
    ],
)
def test_values_and_sub_keys(store: Store, line: str, offered: list[str]) -> None:
    assert tab(line) == offered


NAMED_SWEEP = [
    *("cancel", "check", "clean", "compare", "dashboard", "marks"),
    *("report", "resume", "rm", "score", "status", "sync"),
]


@pytest.mark.parametrize("verb", NAMED_SWEEP)
def test_every_verb_that_takes_a_sweep_offers_them(store: Store, verb: str) -> None:
    assert tab(f"paceline {verb} m") == ["mine"]
    assert tab(f"paceline {verb} ") == (["mine", "earth-1"] if verb == "rm" else ["mine"])
    assert tab(f"paceline {verb} ro") == ["root="]


@pytest.mark.parametrize("verb", ["logs", "explain", "show", "run"])
def test_every_verb_that_takes_a_cell_offers_them_by_id_and_by_hash(store: Store, verb: str) -> None:
    full = CELLS[0].id
    assert tab(f"paceline {verb} {full[:-3]}")[0] == full
    assert full.rpartition("-")[2] in tab(f"paceline {verb} {full.rpartition('-')[2][:8]}")


def test_after_a_cell_explain_offers_the_samples_that_it_answered(store: Store) -> None:
    assert tab(f"paceline explain {CELLS[0].id} ph") == ["photo_1", "photo_2"]


def test_a_removal_that_broke_off_is_offered_to_rm(store: Store) -> None:
    (store.root / "removed" / "gone-0a0a0a0a").mkdir(parents=True)
    assert "gone" in tab("paceline rm g")


def test_no_prompt_is_disturbed_where_nothing_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sweeps").write_text("no folder")
    (tmp_path / "cells").write_text("no folder")
    monkeypatch.setenv("PACELINE_ROOT", str(tmp_path))
    for line in ("status ", "rm ", "logs ", "explain x ", "submit name=", "plan --conf /nowhere model=x"):
        assert tab(f"paceline {line}") == []


def test_completing_imports_no_framework(store: Store) -> None:
    script = (
        "import sys\nfrom click.shell_completion import ShellComplete\nfrom paceline.cli import app\n"
        "found = ShellComplete(app.cli, {}, 'paceline', 'X').get_completions(['plan'], 'model=')\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'wandb', 'hydra'} & set(sys.modules)\n"
        "assert found and not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
