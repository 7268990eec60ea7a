"""What a task's test data shares with the data that another task trains on is found before anything is tuned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import silent
from PIL import Image

from paceline.config.schema import TaskSpec
from paceline.data import samples, transfer_leakage
from paceline.errors import DataError, UserError
from paceline.store import files

TRAINED = TaskSpec(name="trained", kind="geolocation", reader="earth", options={"seed": 1})
EVALUATED = TaskSpec(name="evaluated", kind="captioning", reader="stamps", evaluate=["test"])


def scene(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)


def prepared(root: Path, task: TaskSpec, pictures: dict[str, list[Image.Image | Path | str]]) -> Path:
    """Data as ``prepare`` leaves it: split -> pictures, files that are there already, or texts."""
    folder = samples.dataset_folder(root, task)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    records = []
    for split, shown in pictures.items():
        for n, one in enumerate(shown):
            record = {"id": f"{split}-{n}", "split": split}
            if isinstance(one, str):
                records.append({**record, ("question" if task is EVALUATED else "text"): one})
                continue
            path = one if isinstance(one, Path) else folder / "images" / f"{split}-{n}.png"
            if not isinstance(one, Path):
                one.save(path)
            records.append({**record, "image": str(path), "sha256": files.file_digest(path)})
    files.write_jsonl(folder / "samples.jsonl", records)
    sizes = {split: len(shown) for split, shown in pictures.items()}
    without = [{k: v for k, v in r.items() if k != "image"} for r in records]
    files.write_json(folder / "manifest.json", {"digest": files.digest(without), "splits": sizes})
    return folder


def test_a_test_image_that_the_other_task_trains_on_is_counted_by_how_it_is_the_same(tmp_path: Path) -> None:
    folder = prepared(tmp_path, TRAINED, {"train": [scene(0), scene(1), scene(2)], "test": [scene(3)]})
    same_pixels = tmp_path / "again.bmp"
    scene(1).save(same_pixels)
    shown = [folder / "images" / "train-0.png", same_pixels, scene(2).resize((48, 48)), scene(3), scene(4)]
    prepared(tmp_path, EVALUATED, {"test": shown, "train": [scene(0)]})
    found = transfer_leakage.compare(tmp_path, TRAINED, EVALUATED, silent)
    assert found == {"test": {"bytes": 1, "pixels": 1, "looks": 1}}  # test data of either task trains nobody
    named = transfer_leakage.place(tmp_path, TRAINED, EVALUATED).with_suffix(".jsonl")
    assert [(r["sample"], r["train"]) for r in files.read_jsonl(named)] == [
        ("test-0", "train-0"),
        ("test-1", "train-1"),
        ("test-2", "train-2"),
    ]
    assert transfer_leakage.read(tmp_path, TRAINED, EVALUATED) == found


@settings(max_examples=15, deadline=None)
@given(shared=st.sets(st.integers(0, 5)), own=st.integers(0, 3))
def test_every_shared_file_is_found_and_no_other(
    shared: set[int], own: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("root")
    folder = prepared(root, TRAINED, {"train": [scene(n) for n in range(6)]})
    prepared(
        root,
        EVALUATED,
        {"test": [*(folder / "images" / f"train-{n}.png" for n in shared), *(scene(100 + n) for n in range(own))]},
    )
    found = transfer_leakage.compare(root, TRAINED, EVALUATED, silent)
    assert found == {"test": {"bytes": len(shared), "pixels": 0, "looks": 0}}


def test_texts_are_compared_whatever_their_fields_are_called(tmp_path: Path) -> None:
    prepared(tmp_path, TRAINED, {"train": ["Which river?", "Which hill?"]})
    prepared(tmp_path, EVALUATED, {"test": ["Which hill?", "Which town?"]})
    found = transfer_leakage.compare(tmp_path, TRAINED, EVALUATED, silent)
    assert found == {"test": {"text": 1}}


def test_a_pair_is_compared_once_and_anew_after_its_data_changed(tmp_path: Path) -> None:
    prepared(tmp_path, TRAINED, {"train": [scene(0)]})
    prepared(tmp_path, EVALUATED, {"test": [scene(5)]})
    with pytest.raises(DataError, match=r"run: paceline prepare task=evaluated train\.task=trained"):
        transfer_leakage.require(tmp_path, TRAINED, EVALUATED)
    transfer_leakage.compare(tmp_path, TRAINED, EVALUATED, silent)
    transfer_leakage.require(tmp_path, TRAINED, EVALUATED)
    for path in samples.dataset_folder(tmp_path, TRAINED).joinpath("images").iterdir():
        path.unlink()  # nothing is read again
    assert transfer_leakage.compare(tmp_path, TRAINED, EVALUATED, silent) == {
        "test": {"bytes": 0, "pixels": 0, "looks": 0}
    }
    prepared(tmp_path, TRAINED, {"train": [scene(5)]})
    assert transfer_leakage.read(tmp_path, TRAINED, EVALUATED) is None
    assert transfer_leakage.compare(tmp_path, TRAINED, EVALUATED, silent)["test"]["bytes"] == 1


def test_counts_that_are_damaged_are_made_again(tmp_path: Path) -> None:
    prepared(tmp_path, TRAINED, {"train": [scene(0)]})
    prepared(tmp_path, EVALUATED, {"test": [scene(0)]})
    found = transfer_leakage.compare(tmp_path, TRAINED, EVALUATED, silent)
    for damage in ("", "{", "[]", '{"splits": 3}'):
        transfer_leakage.place(tmp_path, TRAINED, EVALUATED).write_text(damage)
        assert transfer_leakage.read(tmp_path, TRAINED, EVALUATED) is None
        assert transfer_leakage.compare(tmp_path, TRAINED, EVALUATED, silent) == found


def test_what_can_not_be_compared_is_named(tmp_path: Path) -> None:
    folder = prepared(tmp_path, TRAINED, {"train": [scene(0)]})
    with pytest.raises(DataError, match="task 'evaluated' is not prepared"):
        transfer_leakage.compare(tmp_path, TRAINED, EVALUATED, silent)
    prepared(tmp_path, EVALUATED, {"other": [scene(0)]})
    with pytest.raises(UserError, match="task 'evaluated' has no split 'test'"):
        transfer_leakage.compare(tmp_path, TRAINED, EVALUATED, silent)
    prepared(tmp_path, EVALUATED, {"test": [scene(0)]})
    (folder / "images" / "train-0.png").unlink()
    with pytest.raises(DataError, match="sample 'train-0'"):
        transfer_leakage.compare(tmp_path, TRAINED, EVALUATED, silent)
    assert transfer_leakage.read(tmp_path, TRAINED, EVALUATED) is None
