"""Captions are read as they were published: Flickr30k's files, COCO's, Karpathy's splits, and sports out of them."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from paceline.config.build import build
from paceline.config.schema import TaskSpec
from paceline.data import prepare
from paceline.data import samples as prepared
from paceline.data.readers.table.where import NOT_CHOSEN
from paceline.errors import DataError, UserError

CONF = Path(__file__).parents[3] / "conf" / "task"
PICTURES = [f"{1000092795 + i}.jpg" for i in range(12)]
SPLITS = ["train"] * 8 + ["val"] * 2 + ["test"] * 2


def task(name: str, **options: Any) -> TaskSpec:
    """The shipped task, with a user's options."""
    shipped = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    shipped["options"] = {**shipped["options"], **options}
    spec = build(TaskSpec, {**shipped, "name": name, "prompt": ""}, "task")
    assert isinstance(spec, TaskSpec)
    return spec


def captions(i: int) -> list[str]:
    """Five captions, as people write them: commas, quotation marks, an ampersand."""
    return [f'Two young, "shaggy" guys look at hand {i} .', *(f"A man & {k} friends; picture {i}." for k in range(4))]


def draw(folder: Path, names: list[str]) -> Path:
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng([i, len(name)]).integers(0, 255, (8, 9, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return folder


def read(root: Path, spec: TaskSpec) -> tuple[dict[str, dict[str, list[str]]], dict[str, Any]]:
    """Split -> name -> references, and the manifest."""
    manifest = prepare.prepare(root, spec, lambda *_: None)
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for sample in prepared.read_samples(root, spec, list(manifest["splits"]), 0):
        found[sample["split"]][Path(sample["image"]).name] = sample["references"]
    return dict(found), manifest


def wanted(splits: list[str]) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for i, (name, split) in enumerate(zip(PICTURES, splits, strict=True)):
        found[{"val": "validation"}.get(split, split)][name] = captions(i)
    return dict(found)


def annotations(path: Path, texts: list[list[str]] | None = None) -> Path:
    """``flickr_annotations_30k.csv``: lists as JSON in cells."""
    import csv

    with path.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["raw", "sentids", "split", "filename", "img_id"])
        for i, (name, split) in enumerate(zip(PICTURES, SPLITS, strict=True)):
            raw = json.dumps(texts[i] if texts else captions(i))
            out.writerow([raw, json.dumps(list(range(5 * i, 5 * i + 5))), split, name, i])
    return path


def karpathy(path: Path, folder: bool) -> Path:
    images = []
    for i, (name, split) in enumerate(zip(PICTURES, [*SPLITS[:7], "restval", *SPLITS[8:]], strict=True)):
        sentences = [{"tokens": text.lower().split(), "raw": text, "imgid": i, "sentid": i} for text in captions(i)]
        place = {"filepath": "train2014" if split == "train" else "val2014", "cocoid": i} if folder else {}
        images.append({"sentids": [i], "imgid": i, "sentences": sentences, "split": split, "filename": name, **place})
    path.write_text(json.dumps({"images": images, "dataset": "coco" if folder else "flickr30k"}))
    return path


def test_flickr30k_annotations_come_in_their_published_splits_with_five_captions(tmp_path: Path) -> None:
    images = draw(tmp_path / "flickr30k-images", PICTURES)
    spec = task("flickr30k", path=str(annotations(tmp_path / "flickr_annotations_30k.csv")), images=str(images))
    assert read(tmp_path / "root", spec)[0] == wanted(SPLITS)


@pytest.mark.parametrize("layout", ["token", "captions.txt", "results.csv"])
def test_captions_with_a_line_each_stay_together_in_one_split(layout: str, tmp_path: Path) -> None:
    images = draw(tmp_path / "images", PICTURES)
    lines = [(name, k, text) for i, name in enumerate(PICTURES) for k, text in enumerate(captions(i))]
    spec_options: dict[str, Any] = {"images": str(images)}
    if layout == "token":
        path = tmp_path / "results_20130124.token"
        path.write_text("".join(f"{name}#{k}\t{text}\n" for name, k, text in lines))
    elif layout == "captions.txt":
        path = tmp_path / "captions.txt"
        quoted = [(name, text.replace('"', '""')) for name, _, text in lines]
        path.write_text("image,caption\n" + "".join(f'{name},"{text}"\n' for name, text in quoted))
        spec_options["format"] = "csv"
    else:
        path = tmp_path / "results.csv"
        path.write_text("image_name| comment_number| comment\n" + "".join(f"{a}| {k}| {c}\n" for a, k, c in lines))
        spec_options["columns"] = {"id": "image_name", "image": "image_name", "references": "comment"}
    found, manifest = read(tmp_path / "root", task("flickr30k_token", path=str(path), **spec_options))
    assert {name: texts for split in found.values() for name, texts in split.items()} == {
        name: captions(i) for i, name in enumerate(PICTURES)
    }
    assert sum(map(len, found.values())) == len(PICTURES) == sum(manifest["splits"].values())


def test_a_damaged_line_of_a_token_file_is_skipped_and_counted(tmp_path: Path) -> None:
    images = draw(tmp_path / "images", PICTURES[:1])
    path = tmp_path / "results_20130124.token"
    path.write_bytes(f"\n{PICTURES[0]}#0\tA man .\nno caption\n{PICTURES[0]}#x\tA\n".encode() + b"a.jpg#0\t\xff\n")
    found, manifest = read(tmp_path / "root", task("flickr30k_token", path=str(path), images=str(images)))
    assert [texts for split in found.values() for texts in split.values()] == [["A man ."]]
    assert manifest["skipped"] == {
        "line is no caption of a numbered picture": 2,
        "row is not in the encoding of the file": 1,
    }
    path.write_text("image,caption\na.jpg,A man\n")
    with pytest.raises(DataError, match="first lines are no captions"):
        read(tmp_path / "other", task("flickr30k_token", path=str(path), images=str(images)))


def test_coco_captions_come_in_the_splits_of_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "annotations"
    folder.mkdir()
    parts = {"train2017": range(8), "val2017": range(8, 12)}
    for split, numbers in parts.items():
        draw(tmp_path / split, [PICTURES[i] for i in numbers])
        images = [{"id": i, "file_name": PICTURES[i], "height": 8, "width": 9, "license": 3} for i in numbers]
        texts = [
            {"image_id": i, "id": 100 * k + i, "caption": captions(i)[k]} for k in range(5) for i in reversed(numbers)
        ]
        content = {"info": {}, "licenses": [{"id": 3}], "images": images, "annotations": texts}
        (folder / f"captions_{split}.json").write_text(json.dumps(content))
    (folder / "instances_val2017.json").write_text("{}")
    images_of = {"train": str(tmp_path / "train2017"), "validation": str(tmp_path / "val2017")}
    found, _ = read(tmp_path / "root", task("coco_captions", path=str(folder), images=images_of))
    assert found == wanted(["train"] * 8 + ["val"] * 4)


@pytest.mark.parametrize("folder", [True, False], ids=["dataset_coco.json", "dataset_flickr30k.json"])
def test_karpathys_splits_are_read_as_published_and_restval_trains(folder: bool, tmp_path: Path) -> None:
    names = [f"{'train2014' if i < 7 else 'val2014'}/{name}" if folder else name for i, name in enumerate(PICTURES)]
    images = draw(tmp_path / "pictures", names)
    path = karpathy(tmp_path / "dataset.json", folder)
    found, _ = read(tmp_path / "root", task("coco_karpathy", path=str(path), images=str(images)))
    assert found == wanted(SPLITS)


def test_sports_are_pictures_of_which_two_captions_name_a_sport(tmp_path: Path) -> None:
    images = draw(tmp_path / "images", PICTURES)
    sport = ["A man plays Tennis.", "A  TENNIS player", "A man.", "Someone", "A person"]
    shirt = ["A man in a football shirt.", "A man.", "A man sits", "Someone", "A person"]
    part = ["A footballer of the tennisclub", "golfclub", "skis", "boxed goods", "a fence"]
    texts = [[sport, shirt, part, ["A soccer ball, and ice  skating", "hockey"]][i % 4] for i in range(12)]
    path = str(annotations(tmp_path / "flickr_annotations_30k.csv", texts))
    found, manifest = read(tmp_path / "root", task("sport_captioning", path=path, images=str(images)))
    assert sorted(name for split in found.values() for name in split) == [PICTURES[i] for i in (0, 3, 4, 7, 8, 11)]
    assert manifest["skipped"] == {NOT_CHOSEN: 6}
    few = read(tmp_path / "root", task("sport_captioning", path=path, images=str(images), sample=2))[0]
    assert {split: len(names) for split, names in few.items()} == {"train": 2, "validation": 1, "test": 1}
    again = read(tmp_path / "other", task("sport_captioning", path=path, images=str(images), sample=2))[0]
    assert few == again


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"raw": ["golf"]}, "no field 'raw'.*references"),
        ({"references": []}, "names no word"),
        ({"references": [3]}, "expected a list of words"),
        ({"references": [" "]}, "expected a list of words"),
    ],
)
def test_words_that_can_choose_nothing_are_refused(words: dict[str, Any], message: str, tmp_path: Path) -> None:
    images = draw(tmp_path / "images", PICTURES)
    path = str(annotations(tmp_path / "flickr_annotations_30k.csv"))
    with pytest.raises(UserError, match=message):
        read(tmp_path / "root", task("sport_captioning", path=path, images=str(images), where=words))


def test_one_word_may_stand_for_a_list_and_signs_in_it_are_signs(tmp_path: Path) -> None:
    images = draw(tmp_path / "images", PICTURES)
    path = str(annotations(tmp_path / "flickr_annotations_30k.csv"))
    spec = task("sport_captioning", path=path, images=str(images), where={"references": "hand 3 ."}, where_least=1)
    assert [name for split in read(tmp_path / "root", spec)[0].values() for name in split] == [PICTURES[3]]
