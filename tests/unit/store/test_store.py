"""A crash at any instant loses no finished work and corrupts nothing."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.errors import Unavailable, UserError
from paceline.store import cell_folder, files, lock
from paceline.store import root as store
from paceline.store.cell_folder import Cell
from paceline.store.owner import this_process
from paceline.store.root import Store

CELL = Cell("evaluate-m-t-p-untuned-0123456789ab", "evaluate", {"data": "d"})
HOSTILE = ["plain", "with space", "quote'\"", "new\nline", "ünï", "-dash", "$HOME;`x`"]


@pytest.fixture(params=HOSTILE)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def folder_of(root: Path) -> cell_folder.CellFolder:
    folder = Store(root).cell(CELL.id)
    folder.freeze(CELL)
    return folder


def test_a_cell_reads_back_as_it_was_frozen_whatever_the_path(root: Path) -> None:
    folder = folder_of(root)
    assert folder.read() == CELL
    assert Store(root).find_cell("0123456789").id == CELL.id


def test_a_write_that_fails_leaves_the_old_file_and_no_half_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    files.write_json(path, {"old": 1})

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        files.write_json(path, {"new": 2})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_a_root_that_cannot_be_made_says_so_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="root="):
        files.write_json(tmp_path / "file" / "below" / "x.json", {})


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=6), st.data())
@settings(max_examples=60)
def test_a_file_cut_anywhere_gives_back_its_whole_records(records: list[dict[str, str]], data: st.DataObject) -> None:
    whole = "".join(files.canonical(r) + "\n" for r in records).encode()
    cut = data.draw(st.integers(0, len(whole)))
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"paceline-cut-{os.getpid()}.jsonl"
    path.write_bytes(whole[:cut])
    try:
        assert list(files.read_jsonl(path)) == records[: whole[:cut].count(b"\n")]
    finally:
        path.unlink()


def test_two_processes_never_claim_the_same_attempt(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    claimed: list[int] = []
    threads = [threading.Thread(target=lambda: claimed.append(folder.new_attempt().n)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(1, 21))


def test_only_the_highest_attempt_publishes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    first = folder.new_attempt()
    second = folder.new_attempt()
    files.write_jsonl(folder.predictions, [{"sample": "a"}])
    assert not folder.publish(first, [folder.predictions], {"samples": 1})
    assert folder.done() is None
    assert folder.publish(second, [folder.predictions], {"samples": 1})
    assert folder.done() is not None


@pytest.mark.parametrize("harm", ["remove", "cut", "damage marker"])
def test_a_missing_or_cut_artefact_revokes_done(harm: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    files.write_jsonl(folder.predictions, [{"sample": "a"}])
    folder.publish(folder.new_attempt(), [folder.predictions], {"samples": 1})
    if harm == "remove":
        folder.predictions.unlink()
    elif harm == "cut":
        folder.predictions.write_bytes(folder.predictions.read_bytes()[:-1])
    else:
        folder.done_json.write_text("{")
    assert folder.done() is None


def test_changed_bytes_of_the_same_length_are_found_by_verify(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    files.write_jsonl(folder.predictions, [{"sample": "a"}])
    folder.publish(folder.new_attempt(), [folder.predictions], {"samples": 1})
    assert folder.verify() == []
    folder.predictions.write_bytes(folder.predictions.read_bytes().replace(b"a", b"b"))
    assert folder.verify() == ["predictions.jsonl"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"schema": 2}', "has schema 2"),
        ("{", "is damaged"),
        ('{"schema": 1, "id": "x"}', "no cell file"),
        (json.dumps({**CELL.as_json(), "id": "other"}), "can't be renamed"),
    ],
)
def test_a_cell_file_of_another_kind_is_refused_by_name(content: str, said: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    folder.cell_json.write_text(content)
    with pytest.raises(UserError, match=said):
        folder.read()


def test_a_name_leads_to_its_cell_or_to_the_nearest(tmp_path: Path) -> None:
    folder_of(tmp_path)
    found = Store(tmp_path)
    assert found.find_cell("evaluate-m").id == CELL.id
    with pytest.raises(UserError, match="did you mean"):
        found.find_cell("evaluate-m-t-p-untuned-999999999999")


def test_root_comes_from_the_command_then_the_environment_then_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACELINE_ROOT", "/from/environment")
    assert store.resolve_root("/given", "/yaml") == Path("/given")
    assert store.resolve_root(None, "/yaml") == Path("/from/environment")
    monkeypatch.delenv("PACELINE_ROOT")
    assert store.resolve_root(None, "/yaml") == Path("/yaml")
    with pytest.raises(UserError, match="NOT_SET_ANYWHERE"):
        store.resolve_root("$NOT_SET_ANYWHERE/x", "")


def test_a_mutex_whose_holder_died_here_is_free_at_once(tmp_path: Path) -> None:
    found = Store(tmp_path)
    held = tmp_path / "submitting"
    held.mkdir()
    child = os.fork()
    if child == 0:
        (held / "token").write_text(json.dumps(this_process()))
        os._exit(0)
    os.waitpid(child, 0)
    with found.mutex():
        assert not (held / "token").exists()
    assert not held.exists()


def test_the_mutex_lets_one_decide_at_a_time_and_survives_a_dead_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Store(tmp_path)
    monkeypatch.setattr(lock, "MUTEX_WAIT_SECONDS", 0.3)
    with found.mutex(), pytest.raises(Unavailable, match="another submit is deciding"), found.mutex():
        pass
    held = tmp_path / "submitting"
    held.mkdir()
    os.utime(held, (0, 0))
    with found.mutex():
        pass
    assert not held.exists()


def test_no_secret_or_time_is_part_of_a_cell_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    content: dict[str, Any] = json.loads(folder.cell_json.read_text())
    assert set(content) == {"schema", "id", "kind", "identity", "needs"}
