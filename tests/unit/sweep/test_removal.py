"""Removing a sweep takes what is its alone, whole, and never what another sweep holds, wherever it is broken off."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_sweeps import beams, cell_of, record

from paceline.config.schema import MethodSpec
from paceline.errors import PacelineError, Unavailable, UserError
from paceline.slurm.remembered import Answers
from paceline.store.cell_folder import Cell
from paceline.store.files import read_json, write_json
from paceline.store.owner import this_process
from paceline.store.root import Store
from paceline.sweep import removal, status
from paceline.sweep.cells import recorded
from paceline.sweep.config_files import ConfTree, conf_folders
from paceline.sweep.inventory import take

CELLS = beams(4)


def remove(store: Store, name: str) -> removal.Removal:
    def planned() -> removal.Removal:
        return removal.plan(name, store, Answers(store.root, fresh=True))

    return removal.carry_out(planned(), store, planned)


def names(store: Store) -> set[str]:
    return {cell.id for cell in store.cells()}


def submit(store: Store, sweep: str, cells: list[Cell], **intent: Any) -> Path:
    """A submission of this process that is not closed."""
    path = store.sweep(sweep).new_submission()
    write_json(path / "intent.json", {"schema": 1, "time": time.time(), "name": "n", **this_process(), **intent})
    elements = [{"kind": "evaluate", "cells": [c.id], "needs": [], "placement": 0} for c in cells]
    write_json(path / "elements.json", {"schema": 1, "placements": [{}], "elements": elements})
    (path / "heartbeat").touch()
    return path


def test_a_sweep_goes_with_its_record_and_cells_and_the_root_is_as_before(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:2])
    gone = remove(store, "a")
    assert [cell.id for cell in gone.cells] == [c.id for c in CELLS[:2]]
    assert store.sweeps() == [] and names(store) == set() and not (tmp_path / "removed").exists()


def test_cells_that_another_sweep_has_stay(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:3])
    record(tmp_path, "b", CELLS[2:])
    gone = remove(store, "a")
    assert gone.kept == {CELLS[2].id: ["b"]}
    assert names(store) == {c.id for c in CELLS[2:]}
    assert recorded(store.sweep("b"), store).cells


def test_an_adapter_that_a_cell_of_another_sweep_needs_stays(tmp_path: Path) -> None:
    tuned = cell_of("finetune", method=MethodSpec(name="lora", trains="adapter"))
    asked = cell_of(tuned=tuned.id, method=MethodSpec(name="lora", trains="adapter"))
    store = record(tmp_path, "a", [tuned])
    record(tmp_path, "run-0123456789ab", [asked])  # names the answering cell alone
    assert remove(store, "a").kept == {tuned.id: ["run-0123456789ab"]}
    assert names(store) == {tuned.id, asked.id}


def test_frozen_code_goes_with_the_last_that_names_it(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:1])
    record(tmp_path, "b", CELLS[1:2])
    (store.code("c") / "src").mkdir(parents=True)
    remove(store, "a")
    assert store.code("c").exists()
    remove(store, "b")
    assert not store.code("c").exists()


def test_code_that_ran_a_cell_which_stays_stays(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:2])
    record(tmp_path, "b", CELLS[1:2])
    content = store.sweep("b").read()
    write_json(store.sweep("b").sweep_json, {**content, "code": "other"})
    (store.code("c") / "src").mkdir(parents=True)
    start = {"schema": 1, "provenance": {"code": {"digest": "c"}}}
    write_json(store.cell(CELLS[1].id).new_attempt().start_json, start)
    remove(store, "a")
    assert store.code("c").exists()


def test_a_sweep_whose_launcher_lives_is_refused(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:2])
    path = submit(store, "a", CELLS[:1])
    with pytest.raises(UserError, match=r"1 queued.*paceline cancel a"):
        remove(store, "a")
    write_json(path / "closed.json", {"schema": 1, "time": 0.0})
    remove(store, "a")


def test_a_running_cell_is_refused_even_if_another_sweep_has_it_too(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:1])
    record(tmp_path, "b", CELLS[:1])
    attempt = store.cell(CELLS[0].id).new_attempt()
    write_json(attempt.start_json, {"schema": 1, "time": time.time(), "sweep": "a", **this_process()})
    with pytest.raises(UserError, match="1 running"):
        remove(store, "a")
    remove(store, "b")
    assert names(store) == {CELLS[0].id}


def test_a_queue_that_gives_no_answer_refuses_and_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = record(tmp_path, "a", CELLS[:1])
    path = submit(store, "a", CELLS[:1], host="elsewhere", pid=1)
    os.utime(path / "heartbeat", (0, 0))
    write_json(path / "elements.json", {**read_json(path / "elements.json"), "arrays": [[0]]})
    monkeypatch.setattr("paceline.slurm.queue.ask", lambda: None)
    with pytest.raises(Unavailable, match="no answer"):
        remove(store, "a")
    assert store.sweeps() == ["a"] and names(store) == {CELLS[0].id}


def test_a_chained_job_in_the_queue_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from paceline.slurm.queue import Job

    store = record(tmp_path, "a", CELLS[:1])
    path = submit(store, "a", [], host="elsewhere", pid=1, name="paceline-a-0")
    os.utime(path / "heartbeat", (0, 0))
    write_json(path / "elements.json", {**read_json(path / "elements.json"), "arrays": []})
    chained = Job("7", "paceline-a-0-chain", 0, "PENDING", "", "Dependency")
    monkeypatch.setattr("paceline.slurm.queue.ask", lambda: [chained])
    with pytest.raises(UserError, match=r"Slurm's queue \(7\)"):
        remove(store, "a")


def test_a_sweep_that_cannot_be_read_refuses_to_guess_what_it_shares(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:1])
    record(tmp_path, "b", CELLS[:1])
    store.sweep("b").sweep_json.write_text("{")
    with pytest.raises(UserError, match=r"not known: .*b/sweep\.json is damaged"):
        remove(store, "a")
    assert names(store) == {CELLS[0].id}


def test_a_sweep_with_a_damaged_cell_can_be_removed(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:2])
    store.cell(CELLS[0].id).cell_json.write_text("harm")
    remove(store, "a")
    assert names(store) == set()


def test_a_damaged_cell_of_another_sweep_refuses_because_what_it_needs_is_not_known(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:1])
    record(tmp_path, "b", CELLS[1:2])
    store.cell(CELLS[1].id).cell_json.write_text("harm")
    with pytest.raises(UserError, match=rf"{CELLS[1].id}/cell\.json is damaged"):
        remove(store, "a")
    assert names(store) == {CELLS[0].id, CELLS[1].id}


def test_a_sync_at_work_is_let_end(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:1])
    write_json(tmp_path / "syncing" / "owner.json", this_process())
    with pytest.raises(UserError, match="sync"):
        remove(store, "a")


def prepared(root: Path, name: str, digest: str) -> Path:
    folder = root / "data" / name
    write_json(folder / "manifest.json", {"schema": 1, "digest": digest, "splits": {"test": 3}})
    return folder


def test_data_goes_once_no_sweep_reads_it(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:1])
    folder = prepared(tmp_path, "earth-1", "d" * 64)
    other = prepared(tmp_path, "earth-2", "e" * 64)
    with pytest.raises(UserError, match="read by sweep a"):
        remove(store, "earth-1")
    remove(store, "earth-2")
    assert folder.exists() and not other.exists()
    remove(store, "a")
    assert folder.exists()
    remove(store, "earth-1")
    assert not folder.exists() and not (tmp_path / "removed").exists()


class Killed(BaseException):
    """The process is gone."""


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The n-th change on the disk does not happen, and nothing after it."""
    left = [step]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*words, **named)

        return call

    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    monkeypatch.setattr(removal.shutil, "rmtree", counted(removal.shutil.rmtree))


@given(
    st.lists(st.sets(st.integers(0, 3), min_size=1), min_size=1, max_size=3),
    st.integers(0, 8),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_removal_broken_off_anywhere_is_finished_by_a_second_and_harms_no_other(
    shared: list[set[int]], step: int, again: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        root = Path(folder)
        for number, held in enumerate(shared):
            store = record(root, f"s-{number}", [CELLS[i] for i in sorted(held)])
        (store.code("c") / "src").mkdir(parents=True)
        elsewhere = {CELLS[i].id for held in shared[1:] for i in held}
        killed_at(patched, step)
        with contextlib.suppress(Killed):
            remove(store, "s-0")
        patched.undo()
        # Whatever is there is whole, and what every command reads can be read.
        for cell in store.cells():
            cell.read()
        for name in store.sweeps():
            status.of_sweep(store, recorded(store.sweep(name), store))
        found = take(store, ConfTree(conf_folders(None)))
        assert not any(entry.problem for entry in found.sweeps)
        if again and "s-0" not in store.sweeps():
            record(root, "s-0", [CELLS[i] for i in sorted(shared[0])])  # submitted again before the removal is finished
        if found.unfinished or "s-0" in store.sweeps():
            remove(store, "s-0")
        assert names(store) == elsewhere
        assert sorted(store.sweeps()) == [f"s-{n}" for n in range(1, len(shared))]
        assert store.code("c").exists() == bool(shared[1:])
        assert not (root / "removed").exists()
        for name in store.sweeps():
            assert recorded(store.sweep(name), store).cells


def test_what_is_taken_up_between_the_question_and_the_answer_stays(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:2])

    def planned() -> removal.Removal:
        return removal.plan("a", store, Answers(store.root, fresh=True))

    shown = planned()
    record(tmp_path, "b", CELLS[:1])
    removal.carry_out(shown, store, planned)
    assert names(store) == {CELLS[0].id}


def test_a_folder_that_cannot_be_deleted_is_named_and_left_for_a_second_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = record(tmp_path, "a", CELLS[:1])

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(removal.shutil, "rmtree", refuse)
        with pytest.raises(Unavailable, match=r"Permission denied; mend it, then: paceline rm a"):
            remove(store, "a")
    assert store.sweeps() == [] and names(store) == set()
    remove(store, "a")
    assert not (tmp_path / "removed").exists()
    with pytest.raises(PacelineError, match="no sweep"):
        remove(store, "a")


def test_the_inventory_of_a_damaged_root_says_what_is_wrong_where(tmp_path: Path) -> None:
    store = record(tmp_path, "a", CELLS[:2])
    record(tmp_path, "b", CELLS[1:3])
    record(tmp_path, "c", CELLS[3:])
    store.sweep("c").sweep_json.write_text(json.dumps({"schema": 1}))
    store.cell(CELLS[0].id).cell_json.write_text("harm")
    prepared(tmp_path, "earth-1", "d" * 64)
    (tmp_path / "data" / "broken").mkdir()
    (tmp_path / "removed" / "old-one-0a0a0a0a").mkdir(parents=True)
    found = take(store, ConfTree(conf_folders(None)))
    by_name = {entry.name: entry for entry in found.sweeps}
    assert (by_name["a"].cells, by_name["a"].done, by_name["a"].shared) == (2, 0, 1)
    assert by_name["a"].bytes > 0 and by_name["a"].files >= 5
    assert "no sweep" in by_name["c"].problem
    data = {entry.name: entry for entry in found.data}
    assert set(data["earth-1"].sweeps) == {"a", "b"}
    assert "is missing" in data["broken"].problem
    assert found.unfinished == ["old-one"] and found.unnamed == 1
    assert [m.name for m in found.models] == ["tiny_qwen2_vl"]
