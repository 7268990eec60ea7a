"""What W&B's SDK leaves of an ended attempt is few files, from which a sync uploads all that it would have before."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
from pathlib import Path

import pytest
from tracked_sweep import answered, tuned

from paceline.config.schema import MethodSpec
from paceline.errors import Unavailable
from paceline.store.cell_folder import Attempt, CellFolder
from paceline.store.root import Store
from paceline.tracking import wandb_log, wandb_pack

METHOD = MethodSpec(name="lora", trains="adapter")


def unpacked_sweep(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Attempt, Path]:
    """An evaluate cell as the SDK leaves it; its attempt and its log."""
    with monkeypatch.context() as patched:
        patched.setattr(wandb_pack, "pack", lambda attempt: None)
        store = Store(root)
        cell = answered(store, METHOD, "wandb", (tuned(store, METHOD, "wandb").id,))
    (attempt,) = store.cell(cell.id).attempts()
    (piece,) = wandb_log.pieces(attempt)
    return attempt, piece.path


def files_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_packed_piece_has_all_that_an_upload_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, log = unpacked_sweep(tmp_path / "root", monkeypatch)
    before = wandb_log.files(log), wandb_log.artifacts(log)
    assert all(before)
    wandb_log.write_rest(tmp_path / "before", log, -1)
    content = log.read_bytes()
    wandb_pack.pack(attempt)
    assert files_in(attempt.path / "wandb") == sorted([f"{log.parent.name}/{log.name}", f"{log.parent.name}/files.tar"])
    assert log.read_bytes() == content
    held = wandb_pack.unpack(log, tmp_path / "held")
    assert (wandb_log.files(log, held), wandb_log.artifacts(log, held)) == before
    wandb_log.write_rest(tmp_path / "after", log, -1, unpacked=held)
    kinds = [[r.WhichOneof("record_type") for r, _ in wandb_log.records(tmp_path / n)] for n in ("before", "after")]
    assert kinds[0] == kinds[1]


def test_a_packed_cell_that_was_moved_still_has_its_artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, log = unpacked_sweep(tmp_path / "root", monkeypatch)
    before = wandb_log.artifacts(log)
    wandb_pack.pack(attempt)
    (tmp_path / "root").rename(tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere" / log.relative_to(tmp_path / "root")
    assert wandb_log.artifacts(moved, wandb_pack.unpack(moved, tmp_path / "held")) == before


@pytest.mark.parametrize("step", range(6))
def test_packing_that_is_killed_anywhere_loses_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    attempt, log = unpacked_sweep(tmp_path / "root", monkeypatch)
    before = wandb_log.files(log), wandb_log.artifacts(log)
    left, delete = [step], shutil.rmtree

    def counted(path: Path, ignore_errors: bool) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        delete(path, ignore_errors)

    with monkeypatch.context() as patched:
        patched.setattr(wandb_pack.shutil, "rmtree", counted)
        with contextlib.suppress(KeyboardInterrupt):
            wandb_pack.pack(attempt)
    for _ in range(2):
        held = wandb_pack.unpack(log, tmp_path / "held")
        assert (wandb_log.files(log, held), wandb_log.artifacts(log, held)) == before
        shutil.rmtree(tmp_path / "held")
        wandb_pack.pack(attempt)


def test_a_disk_that_is_full_leaves_all_as_the_sdk_wrote_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, _ = unpacked_sweep(tmp_path / "root", monkeypatch)
    before = files_in(attempt.path / "wandb")

    def full(path: Path, content: bytes) -> None:
        raise Unavailable("no space")

    monkeypatch.setattr(wandb_pack, "write_bytes", full)
    with pytest.raises(Unavailable):
        wandb_pack.pack(attempt)
    assert files_in(attempt.path / "wandb") == before


def test_what_nobody_packed_is_read_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, log = unpacked_sweep(tmp_path / "root", monkeypatch)
    assert wandb_pack.unpack(log, tmp_path / "held") is None
    assert wandb_log.files(log) and wandb_log.artifacts(log)
    shutil.rmtree(attempt.path / "wandb")
    wandb_pack.pack(attempt)  # nothing there, nothing to do


def test_what_killed_attempts_left_is_packed_by_the_one_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, log = unpacked_sweep(tmp_path / "root", monkeypatch)
    before = wandb_log.files(log), wandb_log.artifacts(log)
    folder = CellFolder(killed.path.parents[1])
    last = folder.new_attempt()
    (tmp_path / "root" / "syncing").mkdir()
    wandb_pack.pack_cell(folder, last)
    assert not (log.parent / wandb_pack.ARCHIVE).exists()  # a sync may be reading it
    (tmp_path / "root" / "syncing").rmdir()
    for _ in range(2):
        wandb_pack.pack_cell(folder, last)
        held = wandb_pack.unpack(log, tmp_path / "held")
        assert (wandb_log.files(log, held), wandb_log.artifacts(log, held)) == before


def test_the_archive_holds_no_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, log = unpacked_sweep(tmp_path / "root", monkeypatch)
    wandb_pack.pack(attempt)
    with tarfile.open(log.parent / wandb_pack.ARCHIVE) as tar:
        names = tar.getnames()
    assert names and all(n.startswith(("artifacts/", f"{log.parent.name}/files/")) for n in names)
