"""`paceline sync` without W&B: what is pending, what is told, and the log format of the pieces."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.errors import Unavailable, UserError
from paceline.store.cell_folder import CellFolder
from paceline.store.files import write_json
from paceline.store.owner import this_process
from paceline.store.root import Store
from paceline.tracking import sync, wandb_log

CELL = "finetune-toy-0123456789ab"
CommandLine = Callable[..., tuple[int, str, str]]


def cell(root: Path, attempts: int = 3) -> CellFolder:
    """A cell with a piece for each attempt, none of them uploaded."""
    folder = CellFolder(root / "cells" / CELL)
    write_json(folder.tracking, {"schema": 1, "run_id": "abcd", "project": "paceline"})
    for n in range(1, attempts + 1):
        own = folder.path / "attempts" / str(n)
        path = own / "wandb" / f"offline-run-2026010{n}_000000-abcd" / "run-abcd.wandb"
        path.parent.mkdir(parents=True)
        wandb_log.write(path, [b"a record"])
        write_json(own / "end.json", {"schema": 1, "cause": "done", "message": ""})
    write_json(root / "sweeps" / "toy" / "sweep.json", {"schema": 1, "name": "toy", "cells": [CELL]})
    return folder


def answering(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a script answer in the place of the process that holds the SDK; ``asked`` is what it was asked."""
    start = "import json, sys; asked = json.loads(sys.stdin.readline()); say = lambda **v: print(json.dumps(v)); "
    monkeypatch.setattr(sync, "UPLOADER", [sys.executable, "-c", start + script])


UPLOAD_ALL = "[say(piece=p, bytes=__import__('os').path.getsize(p), rows=1) for job in asked for p in job['pieces']]"


# Around the ends of the log's blocks of 32 KiB is where a record is parted.
LENGTHS = st.integers(0, 40) | st.integers(32740, 32780) | st.integers(65500, 65550)


@settings(max_examples=60, deadline=None)
@given(st.lists(LENGTHS, max_size=5), st.data())
def test_a_log_reads_as_it_was_written_and_a_torn_one_up_to_the_tear(lengths: list[int], data: st.DataObject) -> None:
    contents = [bytes([number]) * length for number, length in enumerate(lengths, start=1)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.wandb"
        wandb_log.write(path, contents)
        assert list(wandb_log.messages(path)) == contents
        size = path.stat().st_size
        os.truncate(path, data.draw(st.integers(0, size)))
        read = list(wandb_log.messages(path))
        assert read == contents[: len(read)]


def test_a_log_with_a_flipped_bit_reads_up_to_it(tmp_path: Path) -> None:
    path = tmp_path / "run.wandb"
    wandb_log.write(path, [b"first", b"second", b"third"])
    path.write_bytes(path.read_bytes().replace(b"second", b"secomd"))
    assert list(wandb_log.messages(path)) == [b"first"]
    path.write_bytes(b"no log at all")
    assert list(wandb_log.messages(path)) == []


def test_what_was_uploaded_is_recorded_beside_each_piece_and_not_pending_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cell(tmp_path)
    answering(monkeypatch, UPLOAD_ALL)
    told = list(sync.upload(Store(tmp_path), [sync.pending(folder)]))
    assert [(t.cell, t.piece.attempt, t.rows) for t in told] == [(CELL, n, 1) for n in (1, 2, 3)]
    assert sync.pending(folder).pieces == []
    assert not list(tmp_path.glob("*syncing*"))


def test_a_piece_that_grew_is_taken_again_with_all_that_follow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cell(tmp_path)
    answering(monkeypatch, UPLOAD_ALL)
    list(sync.upload(Store(tmp_path), [sync.pending(folder)]))
    grown = wandb_log.pieces(folder.attempts()[1])[0].path
    wandb_log.write(grown, [b"a record", b"another"])
    assert [p.attempt for p in sync.pending(folder).pieces] == [2, 3]


def test_a_cell_without_tracking_has_nothing_to_upload(tmp_path: Path) -> None:
    folder = CellFolder(tmp_path / "cells" / "a")
    assert sync.pending(folder).pieces == []
    assert list(sync.upload(Store(tmp_path), [sync.pending(folder)])) == []


def test_pieces_of_one_attempt_come_in_the_order_of_their_time(tmp_path: Path) -> None:
    attempt = cell(tmp_path, attempts=1).attempts()[0]
    earlier = attempt.path / "wandb" / "run-20251231_235959-abcd" / "run-abcd.wandb"
    earlier.parent.mkdir()
    wandb_log.write(earlier, [])
    found = wandb_log.pieces(attempt)
    assert [p.online for p in found] == [True, False]
    assert found[0].path == earlier


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("say(end='no key')", 2, "wandb login"),
        ("say(end='refused', why='401')", 2, "refuses this machine's key"),
        ("say(end='unreachable', why='no route')", 3, "no route"),
        ("sys.exit(7)", 3, "ended with 7"),
        ("say(piece=asked[0]['pieces'][0], bytes=1, rows=1); say(end='unreachable', why='gone')", 3, "gone"),
        (UPLOAD_ALL, 0, ""),
        ("say(piece=asked[0]['pieces'][0], why='W&B did not take it')", 1, "3 pieces of sweep 'toy' are left behind"),
    ],
    ids=["no key", "refused", "unreachable", "crash", "halfway", "well", "not taken"],
)
def test_the_end_is_told_with_the_remedy_and_the_exit_code(
    script: str, code: int, said: str, command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell(tmp_path / "root")
    answering(monkeypatch, script)
    found, out, err = command_line("sync")
    assert found == code
    assert said in err
    assert "Traceback" not in err
    assert "uploaded, " in out.splitlines()[-1]
    uploaded = out.splitlines()[-1].split()[1]
    assert uploaded == {"well": "3", "halfway": "1"}.get(
        {UPLOAD_ALL: "well"}.get(script, "halfway" if "gone" in said else ""), "0"
    )


def test_two_syncs_at_once_are_refused_and_one_that_died_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cell(tmp_path)
    answering(monkeypatch, UPLOAD_ALL)
    write_json(tmp_path / "syncing" / "owner.json", this_process())
    with pytest.raises(Unavailable, match="another sync is at work"):
        list(sync.upload(Store(tmp_path), [sync.pending(folder)]))
    write_json(tmp_path / "syncing" / "owner.json", {**this_process(), "pid_started": "0"})
    assert len(list(sync.upload(Store(tmp_path), [sync.pending(folder)]))) == 3
    assert not list(tmp_path.glob("*syncing*"))


def test_a_sync_that_took_the_place_of_a_dead_one_a_moment_ago_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cell(tmp_path)
    answering(monkeypatch, UPLOAD_ALL)
    owner = tmp_path / "syncing" / "owner.json"
    write_json(owner, this_process())
    seen = iter([False])  # when it was looked at, the dead one was still there
    monkeypatch.setattr(sync, "alive", lambda *found: next(seen, True))
    with pytest.raises(Unavailable, match="another sync is at work"):
        list(sync.upload(Store(tmp_path), [sync.pending(folder)]))
    assert owner.exists()
    assert [p.name for p in tmp_path.glob("*syncing*")] == ["syncing"]


def test_json_names_each_piece(command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell(tmp_path / "root", attempts=2)
    answering(monkeypatch, "say(piece=asked[0]['pieces'][0], bytes=1, rows=5)")
    code, out, _ = command_line("sync", "toy", "--json")
    told = json.loads(out)
    assert code == 1
    assert [(t["attempt"], t["rows"]) for t in told["uploaded"]] == [(1, 5)]
    assert [(t["attempt"], t["why"]) for t in told["left"]] == [(2, "not yet uploaded")]


PASS_OVER_SECOND = (
    "size = __import__('os').path.getsize; p = asked[0]['pieces']; "
    "say(piece=p[1], bytes=size(p[1]), rows=0, empty=True); "
    "[say(piece=x, bytes=size(x), rows=1) for x in (p[0], p[2])]"
)


def test_an_empty_piece_is_passed_over_with_a_note_and_holds_nothing_back(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell(tmp_path / "root")
    answering(monkeypatch, PASS_OVER_SECOND)
    code, out, err = command_line("sync")
    assert (code, err) == (0, "")
    note, last = out.splitlines()
    assert f"passed over: {CELL} attempt 2: nothing is in it" in note
    assert last == "toy: 2 pieces of 1 cell uploaded, 0 left"
    # It is said once.
    assert command_line("sync") == (0, "toy: 0 pieces of 0 cells uploaded, 0 left\n", "")


def test_programs_are_told_which_pieces_were_passed_over(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell(tmp_path / "root")
    answering(monkeypatch, PASS_OVER_SECOND)
    told = json.loads(command_line("sync", "--json")[1])
    assert [t["attempt"] for t in told["uploaded"]] == [1, 3]
    assert [t["attempt"] for t in told["passed_over"]] == [2]
    assert told["left"] == []


def test_metrics_scored_anew_are_shown_by_the_last_piece_with_something_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cell(tmp_path, attempts=2)
    found = {"acc": {"value": 0.5, "low": 0.4, "high": 0.6}}
    write_json(folder.metrics, {"schema": 1, "metrics": found})
    script = (
        "size = __import__('os').path.getsize; p = asked[0]['pieces']; "
        "[say(piece=x, bytes=size(x), rows=0, empty=True) for x in p[1:]]; say(piece=p[0], bytes=size(p[0]), rows=1)"
    )
    answering(monkeypatch, script)
    assert [t.empty for t in sync.upload(Store(tmp_path), [sync.pending(folder)])] == [True, False]
    assert sync.pending(folder).pieces == []
    write_json(folder.metrics, {"schema": 1, "metrics": {"acc": {**found["acc"], "value": 0.55}}})
    assert [p.attempt for p in sync.pending(folder).pieces] == [1]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    folder = cell(tmp_path)
    folder.tracking.write_text("{")
    with pytest.raises(UserError, match=r"tracking\.json is damaged"):
        sync.pending(folder)
