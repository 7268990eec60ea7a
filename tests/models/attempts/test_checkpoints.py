"""Checkpoints: only a marked and undamaged one is resumed from, over all attempts, and old ones go away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paceline.attempts import checkpoints
from paceline.store.cell_folder import CellFolder


def cell(tmp_path: Path) -> CellFolder:
    return CellFolder(tmp_path / "cell")


def write(
    folder: CellFolder, step: int, *, attempt: int = 1, kind: str = "checkpoint", best: int | None = None
) -> Path:
    """A whole checkpoint of two files, one of them in a folder as DeepSpeed makes it."""
    path = half_write(folder, step, attempt=attempt, kind=kind)
    checkpoints.complete(path, step=step, world=1, micro_batch=4, engine="torch", seconds=0.5, best=best)
    return path


def half_write(folder: CellFolder, step: int, *, attempt: int = 1, kind: str = "checkpoint") -> Path:
    while len(folder.attempts()) < attempt:
        folder.new_attempt()
    path = folder.attempts()[attempt - 1].checkpoints / f"{kind}-{step}"
    (path / f"global_step{step}").mkdir(parents=True)
    (path / "optimizer.pt").write_bytes(b"state " * 100)
    (path / f"global_step{step}" / "rank 0.pt").write_bytes(bytes([step]) * 50)
    return path


def names(folder: CellFolder) -> list[str]:
    return [f"{a.n}/{p.name}" for a in folder.attempts() for p in sorted(a.checkpoints.glob("*"))]


def test_the_newest_step_of_any_attempt_is_resumed_from(tmp_path: Path) -> None:
    folder = cell(tmp_path)
    assert checkpoints.latest(folder) is None
    write(folder, 9)
    write(folder, 100)
    write(folder, 20, attempt=2)
    found = checkpoints.latest(folder)
    assert found is not None
    assert (found.step, found.world, found.micro_batch, found.engine) == (100, 1, 4, "torch")
    assert found.seconds >= 0.5  # as told, and the digests
    assert set(found.files) == {"optimizer.pt", "global_step100/rank 0.pt"}


def test_the_marker_tells_names_sizes_and_digests(tmp_path: Path) -> None:
    path = write(cell(tmp_path), 5)
    marker = json.loads((path / checkpoints.MARKER).read_text())
    assert marker["schema"] == 1
    assert marker["files"]["optimizer.pt"]["bytes"] == 600
    assert len(marker["files"]["global_step5/rank 0.pt"]["sha256"]) == 64


@pytest.mark.parametrize("harm", ["no marker", "torn marker", "flipped", "shorter", "gone"])
def test_a_checkpoint_that_is_not_whole_is_passed_over_and_named(harm: str, tmp_path: Path) -> None:
    folder = cell(tmp_path)
    write(folder, 10)
    newest = write(folder, 20, attempt=2)
    state = newest / "optimizer.pt"
    match harm:
        case "no marker":
            (newest / checkpoints.MARKER).unlink()
        case "torn marker":
            (newest / checkpoints.MARKER).write_text('{"schema": 1, "step"')
        case "flipped":
            state.write_bytes(b"State " + state.read_bytes()[6:])
        case "shorter":
            state.write_bytes(state.read_bytes()[:-1])
        case "gone":
            state.unlink()
    notes: list[str] = []
    found = checkpoints.latest(folder, notes.append)
    assert found is not None and found.step == 10
    assert len(notes) == 1 and "2/checkpoints/checkpoint-20" in notes[0]


def test_a_checkpoint_whose_best_weights_are_lost_is_passed_over(tmp_path: Path) -> None:
    folder = cell(tmp_path)
    write(folder, 5)
    best = write(folder, 8, kind="best")
    write(folder, 10, best=8)
    assert getattr(checkpoints.latest(folder), "step", None) == 10
    (best / "optimizer.pt").write_bytes(b"other")
    assert getattr(checkpoints.latest(folder), "step", None) == 5


def test_only_the_newest_checkpoints_over_all_attempts_are_kept(tmp_path: Path) -> None:
    folder = cell(tmp_path)
    for step in (1, 2, 3):
        write(folder, step)
    half_write(folder, 4)
    for step in (4, 5):
        write(folder, step, attempt=2)
    half_write(folder, 6, attempt=2)
    checkpoints.keep(folder, 2)
    # Step 6 is perhaps being written at this moment.
    assert names(folder) == ["2/checkpoint-4", "2/checkpoint-5", "2/checkpoint-6"]


def test_best_weights_stay_while_a_kept_checkpoint_needs_them(tmp_path: Path) -> None:
    folder = cell(tmp_path)
    write(folder, 2, kind="best")
    write(folder, 3, best=2)
    write(folder, 4, kind="best")
    write(folder, 5, best=4)
    write(folder, 6, kind="best")
    checkpoints.keep(folder, 2)
    assert names(folder) == ["1/best-2", "1/best-4", "1/best-6", "1/checkpoint-3", "1/checkpoint-5"]
    checkpoints.keep(folder, 1)
    assert names(folder) == ["1/best-4", "1/best-6", "1/checkpoint-5"]


def test_a_universal_state_that_a_killed_attempt_left_goes_with_the_next_save(tmp_path: Path) -> None:
    folder = cell(tmp_path)
    write(folder, 4)
    half_write(folder, 4, attempt=2, kind="universal")
    write(folder, 6, attempt=3)
    assert getattr(checkpoints.latest(folder), "step", None) == 6
    checkpoints.keep(folder, 2)
    assert names(folder) == ["1/checkpoint-4", "3/checkpoint-6"]


def test_the_longest_save_is_known_to_the_launcher(tmp_path: Path) -> None:
    folder = cell(tmp_path)
    assert checkpoints.longest_save(folder) == 0.0
    write(folder, 4)
    assert 0.5 <= checkpoints.longest_save(folder) < 5.0


def test_unfinished_checkpoints_alone_are_not_deleted(tmp_path: Path) -> None:
    folder = cell(tmp_path)
    half_write(folder, 4)
    checkpoints.keep(folder, 2)
    assert names(folder) == ["1/checkpoint-4"]


def test_clearing_leaves_no_checkpoint_and_touches_nothing_else(tmp_path: Path) -> None:
    folder = cell(tmp_path)
    write(folder, 4)
    write(folder, 4, kind="best")
    half_write(folder, 5, attempt=2)
    other = folder.attempts()[0].path / "history.jsonl"
    other.write_text("{}\n")
    checkpoints.clear(folder)
    assert names(folder) == []
    assert other.exists()
    assert not any(attempt.checkpoints.exists() for attempt in folder.attempts())
