"""A sweep of a thousand cells says what each says alone, in work that grows with their number and no faster."""

from __future__ import annotations

import copy
import errno
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.config import build as config_build
from paceline.config.identity import placement_of, with_placement
from paceline.errors import Unavailable
from paceline.launch import elements
from paceline.store import cell_folder as store_cells
from paceline.store import files
from paceline.store import root as store_module
from paceline.store.cell_folder import Cell
from paceline.store.root import Store
from paceline.sweep import cells as sweep_module
from paceline.sweep import compose as compose_module
from paceline.sweep import config_files, status
from paceline.sweep.cell_labels import variants
from paceline.sweep.cells import Sweep, evaluate_cell, expand, finetune_cell, record, recorded
from paceline.sweep.compose import Composition, compose
from paceline.sweep.config_files import conf_folders

BASE = ["model=tiny_qwen2_vl", "task=geolocation_earth"]
PROMPTS = "prompt=glob(geo_*,exclude=[geo_background,geo_training])"
SHARDED = "place=[{match: {kind: finetune, method.lora.r: 1}, set: {placement.micro_batch: 4}}]"


def thousand(ranks: int = 71) -> Composition:
    """14 × ``ranks`` + 6 cells: six prompts, untuned and after 2 × ``ranks`` tunings."""
    words = [*BASE, PROMPTS, "method=untuned,lora", f"method.lora.r=range(1,{ranks + 1})", "seed=0,1", SHARDED]
    return compose([*words, "cluster=slurm", "name=thousand"], conf_folders(None))


def expanded(composition: Composition) -> Sweep:
    return expand(composition, lambda task: "data")


def test_a_thousand_cells_build_each_distinct_setting_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built: Counter[str] = Counter()
    build = config_build.build

    def counted(cls: Any, data: Any, where: str) -> Any:
        built[where] += 1
        return build(cls, data, where)

    monkeypatch.setattr(config_files, "build", counted)
    monkeypatch.setattr(compose_module, "build", counted)
    asked: list[str] = []
    composition = thousand()
    sweep = expand(composition, lambda task: asked.append(task.name) or "data", lambda task: None)
    assert len(sweep.cells) == 1000
    assert built["prompt"] == 6
    assert built["method"] == 2 * 71  # each rank under `untuned` and under `lora`
    assert {built[group] for group in ("model", "task", "train", "generation", "cluster")} == {1}
    assert built[""] == 2  # the two seeds
    assert asked == ["geolocation_earth"]


def test_a_tuning_that_many_prompts_share_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Cell] = []

    def noted(*given: Any) -> Cell:
        made.append(finetune_cell(*given))
        return made[-1]

    monkeypatch.setattr(sweep_module, "finetune_cell", noted)
    sweep = expanded(thousand(10))
    tunings = [c.cell for c in sweep.cells if c.cell.kind == "finetune"]
    assert made == tunings
    assert len({c.id for c in tunings}) == 20


def test_the_work_per_cell_does_not_grow_with_the_sweep() -> None:
    def calls(ranks: int) -> tuple[int, int]:
        count = 0

        def note(frame: Any, event: str, argument: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        composition = thousand(ranks)
        sys.setprofile(note)
        try:
            sweep = expanded(composition)
            sweep.as_json("code")
            elements.arrays(elements.group(sweep.cells))
            variants(c.cell for c in sweep.cells)
        finally:
            sys.setprofile(None)
        return count, len(sweep.cells)

    small, some = calls(8)
    large, many = calls(64)
    assert large / many < 1.1 * small / some


@settings(max_examples=12, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "model": st.sampled_from(["tiny_qwen2_vl", "tiny_qwen2_vl,tiny_pixtral,tinyllama_1b_chat"]),
            "prompt": st.sampled_from(["geo_bare", "geo_bare,geo_training", "glob(geo_*)"]),
            "method": st.sampled_from(["untuned", "lora", "untuned,full,lora"]),
        },
        optional={
            "train.prompt": st.sampled_from(["same", "same,geo_training"]),
            "method.lora.r": st.sampled_from(["8,16", "range(1,4)"]),
            "method.frozen": st.just("[vision],[]"),
            "train.learning_rate": st.just("1e-3,2e-5"),
            "generation": st.sampled_from(["sampled", "greedy,sampled"]),
            "generation.top_p": st.just("0.9,1.0"),
            "seed": st.just("0,1"),
            "limit": st.just("5,0"),
            "task.options.pixels": st.just("32,64"),
        },
    )
)
def test_cells_worked_out_together_are_those_worked_out_one_by_one(chosen: dict[str, str]) -> None:
    words = ["task=geolocation_earth", *(f"{k}={v}" for k, v in chosen.items())]

    def data(task: Any) -> str:
        return f"data-{task.options.get('pixels')}"

    alone: dict[str, Cell] = {}
    composition = compose(words, conf_folders(None))
    for point in composition.points():
        config = copy.deepcopy(point.config)  # shares nothing with another point
        if sweep_module.impossible(config):
            continue
        tuned = None
        if config.method.trains != "nothing":
            tuned = finetune_cell(config, composition, data(config.task))
            alone.setdefault(tuned.id, tuned)
        cell = evaluate_cell(config, data(config.task), tuned)
        alone.setdefault(cell.id, cell)
    sweep = expand(compose(words, conf_folders(None)), data)
    assert [c.cell for c in sweep.cells] == list(alone.values())
    apart = copy.deepcopy(sweep.cells[:50])
    assert [e.as_json() for e in elements.group(apart)] == [e.as_json() for e in elements.group(sweep.cells[:50])]


def test_a_recorded_sweep_reads_back_as_each_of_its_cells_does(tmp_path: Path) -> None:
    store, sweep = Store(tmp_path), expanded(thousand(10))
    folder = record(sweep, store, "code", extend=False)
    back = recorded(folder, store)
    assert [c.cell for c in back.cells] == [c.cell for c in sweep.cells]
    assert len(folder.read()["placements"]) == 2  # tunings of rank 1, and all else
    for planned, asked in zip(back.cells, sweep.cells, strict=True):
        assert placement_of(planned.config) == placement_of(asked.config)
        assert planned.config == with_placement(planned.cell.config, placement_of(asked.config))


def test_a_sweep_is_written_when_the_disk_holds_every_cell_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sweep = Store(tmp_path), expanded(thousand(10))
    synced: set[Path] = set()
    sync, write = files.sync_folder, sweep_module.write_json
    monkeypatch.setattr(files, "sync_folder", lambda folder: (sync(folder), synced.add(folder)))
    monkeypatch.setattr(store_module, "sync_folder", lambda folder: (sync(folder), synced.add(folder)))
    found: list[bool] = []

    def checked(path: Path, value: Any) -> None:
        wanted = [store.cell(c) for c in value["cells"]]
        found.append(all(c.read() and c.path in synced for c in wanted) and {tmp_path, tmp_path / "cells"} <= synced)
        write(path, value)

    monkeypatch.setattr(sweep_module, "write_json", checked)
    record(sweep, store, "code", extend=False)
    assert found == [True]


def test_a_disk_that_fills_up_leaves_whole_cells_and_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, sweep = Store(tmp_path), expanded(thousand(10))
    left = iter(range(40))
    fsync = store_module.os.fsync

    def full(handle: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left on device; free space or choose another root="):
        record(sweep, store, "code", extend=False)
    monkeypatch.undo()
    assert not store.sweep("thousand").sweep_json.exists()
    assert not list(tmp_path.rglob("*.tmp"))
    written = [store.cell(p.parent.name).read().id for p in tmp_path.glob("cells/*/cell.json")]
    assert 0 < len(written) < len(sweep.cells)
    record(sweep, store, "code", extend=False)
    assert len(store.sweep("thousand").read()["cells"]) == len(list(tmp_path.glob("cells/*/cell.json"))) == 146


def test_what_is_read_of_cells_that_died_without_a_word_grows_with_their_number_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed by Slurm, a thousand at a time: why, is asked for once."""
    read: Counter[str] = Counter()
    read_json = files.read_json

    def counted(path: Path) -> Any:
        read[path.name] += 1
        return read_json(path)

    def starts_read(count: int) -> int:
        root = Store(tmp_path / str(count))
        cells = [Cell(f"evaluate-{i:012x}", "evaluate", {"i": i}) for i in range(count)]
        for i, cell in enumerate(cells):
            attempt = root.cell(cell.id).new_attempt()
            start = {"schema": 1, "job": f"7_{i}.0", "submission": "", "host": "gone", "pid": 1, "boot": "", "time": 0}
            files.write_json(attempt.start_json, start)
            os.utime(attempt.start_json, (0, 0))
        read.clear()
        found = status.states(root, cells)
        assert {s.state for s in found.values()} == {"interrupted"}
        return read["start.json"]

    monkeypatch.setattr("paceline.slurm.queue.ask", lambda: [])
    monkeypatch.setattr("paceline.slurm.history.ask", lambda jobs: None)
    monkeypatch.setattr(files, "read_json", counted)
    monkeypatch.setattr(store_cells, "read_json", counted)
    monkeypatch.setattr(store_module, "read_json", counted)
    assert starts_read(40) == 2 * starts_read(20)
