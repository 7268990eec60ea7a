"""Captions of pictures from above, as they were published, and captions that are made by a rule."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from photos import silent
from PIL import Image

from paceline import tasks
from paceline.config.build import build
from paceline.config.schema import TaskSpec
from paceline.data import prepare
from paceline.data import samples as prepared
from paceline.data.readers import Complete, Sample, Skipped, big_earth_net, nwpu_captions, rsvqa_captions
from paceline.errors import DataError, UserError

CONF = Path(__file__).parents[3] / "conf" / "task"
KIND = tasks.load("satellite_captioning")
COMPLETE = Complete(KIND.complete, KIND.group)


def task(name: str, **options: Any) -> TaskSpec:
    """The shipped task, with a user's options."""
    shipped = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    shipped["options"] = {**shipped["options"], **options}
    spec = build(TaskSpec, {**shipped, "name": name, "prompt": ""}, "task")
    assert isinstance(spec, TaskSpec)
    return spec


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


@pytest.mark.parametrize(("name", "pattern"), [("rsicd", "airport_{}.jpg"), ("ucm_captions", "{}.tif")])
def test_rsicd_and_ucm_captions_are_read_with_their_five_captions_and_splits(
    tmp_path: Path, name: str, pattern: str
) -> None:
    images = []
    for n, split in enumerate(["train", "train", "val", "test"]):
        draw(tmp_path / "pictures" / pattern.format(n + 1), n)
        texts = [f"picture {n} shows , once more , many planes number {k} ." for k in range(5)]
        sentences = [
            {"tokens": text.split(), "raw": text, "imgid": n, "sentid": 5 * n + k} for k, text in enumerate(texts)
        ]
        images.append(
            {
                "filename": pattern.format(n + 1),
                "imgid": n,
                "sentences": sentences,
                "split": split,
                "sentids": [s["sentid"] for s in sentences],
            }
        )
    (tmp_path / "dataset.json").write_text(json.dumps({"images": images, "dataset": name}))
    spec = task(name, path=str(tmp_path / "dataset.json"), images=str(tmp_path / "pictures"))
    manifest = prepare.prepare(tmp_path / "root", spec, silent)
    assert manifest["splits"] == {"train": 2, "validation": 1, "test": 1}
    (one,) = prepared.read_samples(tmp_path / "root", spec, ["test"], 0)
    assert one["references"] == [s["raw"] for s in images[3]["sentences"]]


def nwpu(folder: Path) -> Path:
    scenes: dict[str, list[Any]] = {}
    for scene in ("airplane", "sea_ice"):
        for n, split in enumerate(["train", "val", "test"]):
            captions = {key: f"{key} of {scene} {n}" for key in nwpu_captions.CAPTIONS}
            scenes.setdefault(scene, []).append({"filename": f"{scene}_{n:03d}.jpg", "split": split, **captions})
            draw(folder / "pictures" / scene / f"{scene}_{n:03d}.jpg", n + len(scene))
    (folder / nwpu_captions.FILE).write_text(json.dumps(scenes))
    return folder


def read_nwpu(folder: Path, **options: Any) -> tuple[list[Sample], dict[str, str]]:
    given = nwpu_captions.Options(path=str(folder), **options)
    items = list(nwpu_captions.read(given, folder, silent, COMPLETE))
    return [i for i in items if isinstance(i, Sample)], {i.record: i.reason for i in items if isinstance(i, Skipped)}


def test_nwpu_captions_are_read_scene_by_scene_with_the_pictures_in_folders_or_in_one(tmp_path: Path) -> None:
    samples, skipped = read_nwpu(nwpu(tmp_path), images=str(tmp_path / "pictures"))
    assert not skipped
    assert Counter(s.split for s in samples) == Counter({"train": 2, "validation": 2, "test": 2})
    assert samples[0].fields == {
        "references": [f"{key} of airplane 0" for key in ("raw", "raw_1", "raw_2", "raw_3", "raw_4")],
        "scene": "airplane",
    }
    flat = tmp_path / "flat"
    flat.mkdir()
    for picture in (tmp_path / "pictures").rglob("*.jpg"):
        (flat / picture.name).symlink_to(picture)
    assert [s.id for s in read_nwpu(tmp_path / nwpu_captions.FILE, images=str(flat))[0]] == [s.id for s in samples]


def test_what_of_nwpu_captions_cant_be_used_is_told(tmp_path: Path) -> None:
    folder = nwpu(tmp_path)
    scenes = json.loads((folder / nwpu_captions.FILE).read_text())
    first = scenes["airplane"]
    first[0]["split"] = "none"
    first[1] = {"filename": first[1]["filename"], "split": "val", "raw": " "}
    first += [{"split": "test"}, {"filename": "gone.jpg", "split": "test", "raw": "a"}, "text"]
    (folder / nwpu_captions.FILE).write_text(json.dumps(scenes))
    samples, skipped = read_nwpu(folder, images=str(folder / "pictures"))
    assert len(samples) == 4
    assert Counter(skipped.values()) == Counter(
        ["split is none of train, val, test", "no reference caption", "picture not found"]
        + ["picture without a file's name"] * 2
    )
    with pytest.raises(UserError, match=r"give dataset_nwpu\.json: task\.options\.path=FILE"):
        list(nwpu_captions.read(nwpu_captions.Options(), folder, silent, COMPLETE))
    with pytest.raises(DataError, match=r"no file .*; give dataset_nwpu\.json"):
        read_nwpu(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"task\.options\.images: no folder"):
        read_nwpu(folder, images=str(folder / "none"))
    odd = {"filename": "../a.jpg", "split": "test", "raw": "A plane."}
    (folder / nwpu_captions.FILE).write_text(json.dumps({"airplane": [odd]}))
    told = read_nwpu(folder, images=str(folder / "pictures"))[1]
    assert list(told.values()) == ["picture's name leads out of its folder"]
    (folder / nwpu_captions.FILE).write_text('{"airplane": {"filename": "a.jpg"}}')
    with pytest.raises(DataError, match="'airplane' is no list of pictures"):
        read_nwpu(folder, images=str(folder / "pictures"))


# -- made captions


def test_a_caption_made_of_labels_names_each_of_them_and_nothing_else() -> None:
    labels = ["Arable land", "Beaches, dunes, sands", "Pastures"]
    assert big_earth_net.sentences_of(labels) == [
        "A satellite image of arable land; beaches, dunes, sands; and pastures.",
        "The image shows arable land; beaches, dunes, sands; and pastures.",
    ]
    assert big_earth_net.sentences_of(["Pastures"])[0] == "A satellite image of pastures."


ASKED = [
    ("Is it a rural or an urban area", "rural"),
    ("Is there a road?", "yes"),
    ("Is a water area present?", "yes"),
    ("Is there a forest in the image?", "yes"),
    ("Is a road present?", "yes"),
    ("Is there a school?", "no"),
    ("Is there a small building?", "yes"),
    ("Is a square building next to a road present?", "yes"),
    ("Is a building at the top of a road present?", "yes"),
    ("How many roads are there?", "47"),
    ("What is the number of beaches in the image?", "1"),
    ("What is the amount of churches?", "0"),
    ("How many large roads are there?", "3"),
    ("What is the amount of roads?", "48"),
    ("Are there more roads than forests?", "yes"),
    ("What is the area covered by roads?", "9658m2"),
]


def test_a_caption_made_of_answers_says_what_is_there_and_how_many_by_the_stated_rule() -> None:
    assert rsvqa_captions.sentences_of(ASKED) == [
        "A rural area with a road, a water area and a forest.",
        "There are 47 roads and 1 beach.",
    ]
    assert rsvqa_captions.sentences_of(
        [("Is there an island?", "yes"), ("Is it a rural or an urban area", "urban")]
    ) == ["An urban area with an island."]
    assert rsvqa_captions.sentences_of([("How many cities are there?", "1")]) == ["There is 1 city."]
    assert rsvqa_captions.sentences_of([("Is there a road?", "no"), ("How many roads are there?", "0")]) == []


def rsvqa(folder: Path) -> Path:
    """Two tiles of the test split, one without a yes, one without its picture, beside records of other splits."""
    asked = [(7, *pair) for pair in ASKED] + [(8, "Is there a road?", "no"), (9, "Is there a road?", "yes")]
    questions = [
        {"id": n, "img_id": tile, "type": "presence", "question": text, "answers_ids": [n], "active": True}
        for n, (tile, text, _) in enumerate(asked)
    ]
    answers = [{"id": n, "question_id": n, "answer": said, "active": True} for n, (*_, said) in enumerate(asked)]
    images = [{"id": tile, "active": True} for tile in (7, 8, 9)]
    for kind, records in (("questions", questions), ("answers", answers), ("images", images)):
        content = {kind: [{"id": 99, "active": False}, *records]}
        (folder / f"LR_split_test_{kind}.json").write_text(json.dumps(content))
    for tile in (7, 8):
        draw(folder / "Images_LR" / f"{tile}.tif", tile)
    return folder


def read_rsvqa(folder: Path, **options: Any) -> tuple[list[Sample], dict[str, str]]:
    given = rsvqa_captions.Options(path=str(folder), **options)
    items = list(rsvqa_captions.read(given, folder, silent, COMPLETE))
    return [i for i in items if isinstance(i, Sample)], {i.record: i.reason for i in items if isinstance(i, Skipped)}


def test_tiles_get_the_captions_of_their_answers(tmp_path: Path) -> None:
    samples, skipped = read_rsvqa(rsvqa(tmp_path))
    assert [(s.id, s.split, s.fields["tile"]) for s in samples] == [("test_7", "test", "7")]
    assert samples[0].fields["references"] == rsvqa_captions.sentences_of(ASKED)
    assert skipped == {"test_8": "no answer says what is there", "test_9": "tile not found"}
    assert len([*read_rsvqa(tmp_path, pictures={"test": 1})[0], *read_rsvqa(tmp_path, pictures={"test": 1})[1]]) == 1


def test_a_folder_without_rsvqas_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds none of"):
        read_rsvqa(tmp_path)
    rsvqa(tmp_path)
    (tmp_path / "LR_split_test_answers.json").unlink()
    with pytest.raises(DataError, match=r"has no LR_split_test_answers\.json beside it"):
        read_rsvqa(tmp_path)


@pytest.mark.parametrize("name", ["big_earth_net_captions", "rsvqa_captions"])
def test_made_captions_are_told_as_made_in_the_task_and_in_the_manifest(name: str) -> None:
    assert "MADE" in (CONF / f"{name}.yaml").read_text()
    options = {"big_earth_net_captions": big_earth_net.Options(sentences=True)}.get(name)
    told = big_earth_net.made(options) if options else rsvqa_captions.made(rsvqa_captions.Options())
    assert "nobody wrote them" in told["source"]
