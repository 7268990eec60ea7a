"""Boxes of data: made on tiles with exact truth, as DIOR-RSVG and COCO publish them, and on pictures turned by EXIF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from paceline.config.build import build
from paceline.config.schema import TaskSpec
from paceline.data import samples
from paceline.data.images import decode
from paceline.data.prepare import prepare
from paceline.data.readers import Complete, Sample, Skipped, coco_boxes, dior_rsvg
from paceline.errors import DataError, UserError
from paceline.store.code import shipped
from paceline.store.files import read_jsonl


def silent(*progress: Any) -> None:
    pass


def spec(name: str, **options: Any) -> TaskSpec:
    content = yaml.safe_load((shipped("conf") / "task" / f"{name}.yaml").read_text())
    content["options"] = {**content["options"], **options}
    return build(TaskSpec, {"name": name, **content}, name)


def prepared(root: Path, task: TaskSpec) -> dict[str, dict[str, Any]]:
    prepare(root, task, silent)
    splits = samples.splits(root, task)
    assert splits is not None
    return {record["id"]: record for record in samples.read_samples(root, task, list(splits), 0)}


def skipped(root: Path, task: TaskSpec) -> dict[str, int]:
    found: dict[str, int] = samples.read_manifest(root, task)["skipped"]
    return found


def tiles(folder: Path, count: int = 8, side: int = 96) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        noise = np.random.default_rng(n).integers(0, 60, (side, side + 32, 3)) + n * 20
        Image.fromarray(noise.astype("uint8")).save(folder / f"tile {n}.png")
    return folder


# -- made on tiles


def test_the_patch_that_a_phrase_names_fills_its_box_and_nothing_else_of_the_tile_changes(tmp_path: Path) -> None:
    folder = tiles(tmp_path / "tiles")
    records = prepared(tmp_path, spec("boxes_on_tiles", path=str(folder), patches=1, fills=["plain"]))
    assert len(records) == 8 * 4
    for record in records.values():
        ((x0, y0, x1, y1),) = record["boxes"]
        picture, tile = (
            np.asarray(decode(Path(p))).astype(int) for p in (record["image"], folder / f"{record['tile']}.png")
        )
        changed = (picture != tile).any(axis=2)
        assert changed[y0:y1, x0:x1].mean() > 0.99
        changed[y0:y1, x0:x1] = False
        assert not changed.any()
        assert len(np.unique(picture[y0:y1, x0:x1].reshape(-1, 3), axis=0)) == 1
        assert record["phrase"].startswith("the plain ") and record["phrase"].endswith(" patch")


def test_copies_of_a_tile_stay_in_one_split_and_are_the_same_every_time(tmp_path: Path) -> None:
    task = spec("boxes_on_tiles", path=str(tiles(tmp_path / "tiles")))
    first, again = prepared(tmp_path / "a", task), prepared(tmp_path / "b", task)
    assert {n: (r["boxes"], r["phrase"], r["sha256"]) for n, r in first.items()} == {
        n: (r["boxes"], r["phrase"], r["sha256"]) for n, r in again.items()
    }
    by_tile: dict[str, set[str]] = {}
    for record in first.values():
        by_tile.setdefault(record["tile"], set()).add(record["split"])
    assert all(len(splits) == 1 for splits in by_tile.values())
    assert not any("several" in record and record["several"] for record in first.values())
    other = prepared(tmp_path / "c", spec("boxes_on_tiles", path=str(tmp_path / "tiles"), seed=1))
    assert {r["sha256"] for r in other.values()} != {r["sha256"] for r in first.values()}


def test_one_more_tile_moves_none_to_another_split_and_changes_few_copies(tmp_path: Path) -> None:
    folder = tiles(tmp_path / "tiles")
    before = prepared(tmp_path, spec("boxes_on_tiles", path=str(folder)))
    Image.effect_noise((128, 96), 60).convert("RGB").save(folder / "another.png")
    after = prepared(tmp_path / "again", spec("boxes_on_tiles", path=str(folder)))
    assert len(after) == len(before) + 4
    assert all(after[name]["split"] == record["split"] for name, record in before.items())
    same = sum(after[name]["sha256"] == record["sha256"] for name, record in before.items())
    assert 4 * same >= 3 * len(before)


def test_a_phrase_for_several_names_one_patch_or_more_and_none_of_another_colour(tmp_path: Path) -> None:
    records = prepared(tmp_path, spec("detections_on_tiles", path=str(tiles(tmp_path / "tiles")), copies=8))
    assert {len(record["boxes"]) for record in records.values()} >= {1, 2, 3}
    for record in records.values():
        assert record["several"] and record["phrase"] == f"the {record['class'].removesuffix(' patch')} patches"
        for a in record["boxes"]:
            assert sum(not (a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]) for b in record["boxes"]) == 1


def test_tiles_in_two_formats_too_small_or_broken_are_told(tmp_path: Path) -> None:
    folder = tiles(tmp_path / "tiles", 3)
    Image.open(folder / "tile 0.png").save(folder / "tile 0.tif")
    Image.new("RGB", (20, 20)).save(folder / "speck.png")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("tiles")
    task = spec("boxes_on_tiles", path=str(folder), shares={"test": 1})
    assert len(prepared(tmp_path, task)) == 12
    assert skipped(tmp_path, task) == {
        "the same tile in another format": 1,
        "tile of less than 48 pixels a side": 1,
        "broken image": 1,
        "suffix of no picture (.txt)": 1,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fills": ["dotted"]}, "expected some of plain, striped, chequered, piece, got 'dotted'"),
        ({"fills": []}, "got none"),
        ({"smallest": 0.5, "largest": 0.2}, "the smallest first"),
        ({"largest": 2.0}, "at most 0.9"),
        ({"several": True, "fills": ["piece"]}, "pieces of other tiles have no colour"),
        ({"shares": {"test": 2}}, "must add up to 1"),
    ],
)
def test_options_that_make_no_patches_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, spec("boxes_on_tiles", path=str(tiles(tmp_path / "tiles", 1)), **options), silent)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no picture below"):
        prepare(tmp_path, spec("boxes_on_tiles", path=str(tmp_path / "empty")), silent)


def test_one_tile_alone_gives_no_pieces_of_others(tmp_path: Path) -> None:
    task = spec("boxes_on_tiles", path=str(tiles(tmp_path / "tiles", 1)), fills=["piece"], shares={"test": 1})
    assert all("plain" in record["phrase"] for record in prepared(tmp_path, task).values())


# -- DIOR-RSVG

OBJECT = """<object><name>{name}</name><pose>Unspecified</pose><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax>
<ymax>{3}</ymax></bndbox><description>{text}</description></object>"""


def dior(folder: Path, size: int = 200) -> Path:
    """Three pictures with one, two and one object, in the layout of the authors."""
    for name in ("Annotations", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    boxes = {"00002": [(1, 2, 50, 60), (10, 20, 30, 40)], "00001": [(5, 6, 70, 80)], "00010": [(7, 8, 90, 99)]}
    for name, objects in boxes.items():
        inside = "".join(OBJECT.format(*b, name="ship", text=f"A ship {n} of {name}") for n, b in enumerate(objects))
        (folder / "Annotations" / f"{name}.xml").write_text(
            "<?xml version='1.0' encoding='UTF-8'?><annotation>"
            f"<filename>{name}.jpg</filename><size><width>{size}</width>"
            f"<height>{size}</height><depth>3</depth></size>{inside}</annotation>"
        )
        Image.effect_noise((200, 200), int(name)).convert("RGB").save(folder / "JPEGImages" / f"{name}.jpg")
    (folder / "train.txt").write_text("0\n2\n")
    (folder / "val.txt").write_text("3\r\n")
    (folder / "test.txt").write_text("1\n")
    return folder


def test_numbers_of_the_lists_count_objects_over_the_annotations_by_name(tmp_path: Path) -> None:
    records = prepared(tmp_path, spec("dior_rsvg", path=str(dior(tmp_path / "d"))))
    assert {n: (r["split"], r["phrase"], r["boxes"]) for n, r in records.items()} == {
        "00000": ("train", "A ship 0 of 00001", [[5, 6, 70, 80]]),
        "00001": ("test", "A ship 0 of 00002", [[1, 2, 50, 60]]),
        "00002": ("train", "A ship 1 of 00002", [[10, 20, 30, 40]]),
        "00003": ("validation", "A ship 0 of 00010", [[7, 8, 90, 99]]),
    }
    assert records["00001"]["tile"] == records["00002"]["tile"] == "00002"
    assert records["00001"]["class"] == "ship"


def test_a_picture_of_another_size_than_its_annotation_says_is_skipped(tmp_path: Path) -> None:
    task = spec("dior_rsvg", path=str(dior(tmp_path / "d", size=800)))
    with pytest.raises(DataError, match="4 × the size in the data is not that of the picture"):
        prepare(tmp_path, task, silent)


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]>
<annotation><object><name>&y;</name></object></annotation>"""


@pytest.mark.parametrize("content", [BOMB, "<?xml version='1.0' encoding='no-such'?><annotation/>", "<a>" * 9])
def test_an_annotation_that_declares_entities_or_is_no_xml_is_refused(tmp_path: Path, content: str) -> None:
    folder = dior(tmp_path / "d")
    (folder / "Annotations" / "00002.xml").write_text(content)
    with pytest.raises(DataError, match=r"00002.xml: can't be read .*told by their number"):
        prepare(tmp_path, spec("dior_rsvg", path=str(folder)), silent)


def test_no_name_in_the_data_leads_out_of_the_folder_of_pictures(tmp_path: Path) -> None:
    reason = "picture's name leads out of its folder"
    folder = dior(tmp_path / "d")
    Image.effect_noise((200, 200), 9).convert("RGB").save(tmp_path / "own.jpg")
    annotation = folder / "Annotations" / "00010.xml"
    whole = annotation.read_text()
    for name in ("../../own.jpg", str(tmp_path / "own.jpg")):
        annotation.write_text(whole.replace("00010.jpg", name))
        items = list(dior_rsvg.read(dior_rsvg.Options(path=str(folder)), tmp_path, silent, Complete(dict, "tile")))
        assert [item.reason for item in items if isinstance(item, Skipped)] == [reason]
        assert all(folder in path.parents for item in items if isinstance(item, Sample) for path in item.pictures)
    named = json.loads((coco(tmp_path / "c") / "val.json").read_text())
    named["images"][0]["file_name"] = "../own.jpg"
    (tmp_path / "c" / "val.json").write_text(json.dumps(named))
    given = coco_boxes.Options(path=str(tmp_path / "c"), splits={"test": "val.json"})
    skips = [i for i in coco_boxes.read(given, tmp_path, silent, Complete(dict, "tile")) if isinstance(i, Skipped)]
    assert [item.reason for item in skips].count(reason) == 2


def test_a_data_set_that_is_not_whole_is_refused_as_numbers_would_shift(tmp_path: Path) -> None:
    folder = dior(tmp_path / "d")
    task = spec("dior_rsvg", path=str(folder))
    broken = folder / "Annotations" / "00002.xml"
    whole = broken.read_text()
    broken.write_text(whole[:100])
    with pytest.raises(DataError, match=r"00002.xml: can't be read .*told by their number"):
        prepare(tmp_path, task, silent)
    broken.unlink()
    with pytest.raises(DataError, match="holds 2 objects, and the lists name number 3"):
        prepare(tmp_path, task, silent)
    broken.write_text(whole)
    (folder / "val.txt").write_text("1\n")
    with pytest.raises(DataError, match="object 1 stands in the lists of 'validation' and of 'test'"):
        prepare(tmp_path, task, silent)
    (folder / "val.txt").write_text("00010.jpg\n")
    with pytest.raises(DataError, match="something else than the numbers"):
        prepare(tmp_path, task, silent)
    (folder / "val.txt").unlink()
    with pytest.raises(DataError, match="can't read"):
        prepare(tmp_path, task, silent)
    (folder / "JPEGImages").rename(folder / "images")
    with pytest.raises(DataError, match="no folder JPEGImages"):
        prepare(tmp_path, task, silent)


def test_some_pictures_of_a_split_are_taken_with_all_their_phrases(tmp_path: Path) -> None:
    folder = dior(tmp_path / "d")
    (folder / "test.txt").write_text("1\n2\n3\n")
    (folder / "train.txt").write_text("0\n")
    task = spec("dior_rsvg", path=str(folder), splits={"test": "test.txt"}, pictures={"test": 1})
    taken = prepared(tmp_path, task)
    assert len({record["tile"] for record in taken.values()}) == 1
    assert skipped(tmp_path, task) == {"object in no list that is read": 1}


# -- COCO


def coco(folder: Path) -> Path:
    folder.mkdir()
    for n in (1, 2, 3):
        Image.effect_noise((100, 80), 20 * n).convert("RGB").save(folder / f"{n}.jpg")
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 100, "height": 80} for n in (1, 2, 3)],
        "categories": [{"id": 7, "name": "ship"}, {"id": 9, "name": "plane"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 20], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 7, "bbox": [50, 2, 10, 20], "iscrowd": 0},
            {"id": 3, "image_id": 1, "category_id": 9, "bbox": [1, 2, 10, 20], "iscrowd": 0},
            {"id": 4, "image_id": 2, "category_id": 9, "bbox": [1, 2, 10, 20], "iscrowd": 1},
            {"id": 5, "image_id": 2, "category_id": 5, "bbox": [1, 2, 10, 20], "iscrowd": 0},
            {"id": 6, "image_id": 2, "category_id": 7, "bbox": [1, 2, 0, 20], "iscrowd": 0},
        ],
    }
    (folder / "val.json").write_text(json.dumps(content))
    return folder


def test_annotations_of_coco_ask_for_all_objects_of_a_class_on_a_picture(tmp_path: Path) -> None:
    folder = coco(tmp_path / "c")
    content = {"kind": "localisation", "reader": "coco_boxes", "evaluate": ["test"]}
    options = {"path": str(folder), "splits": {"test": "val.json"}, "phrase": "every {class}"}
    task = build(TaskSpec, {"name": "c", **content, "options": options}, "c")
    records = prepared(tmp_path, task)
    assert {n: (r["phrase"], r["boxes"], r["several"]) for n, r in records.items()} == {
        "test/1/ship": ("every ship", [[1, 2, 11, 22], [50, 2, 60, 22]], True),
        "test/1/plane": ("every plane", [[1, 2, 11, 22]], True),
    }
    assert skipped(tmp_path, task) == {
        "annotation of no picture or class of the file": 1,
        "class with a group that is one annotation": 1,
        "a box without an area": 1,
        "picture without an annotation": 1,
    }
    wrong = build(TaskSpec, {"name": "c", **content, "options": {**options, "splits": {"test": "no.json"}}}, "c")
    with pytest.raises(DataError, match="no file"):
        prepare(tmp_path, wrong, silent)


# -- a table of one's own


def table(folder: Path, rows: list[dict[str, Any]], **constants: Any) -> TaskSpec:
    (folder / "boxes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = {"path": str(folder / "boxes.jsonl"), "shares": {"test": 1}, "constants": constants}
    content = {"kind": "localisation", "reader": "table", "evaluate": ["test"], "options": options}
    return build(TaskSpec, {"name": "t", **content}, "t")


def test_boxes_of_a_table_are_of_the_picture_as_exif_turns_it_and_those_of_the_stored_one_are_skipped(
    tmp_path: Path,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter: 80 x 120
    Image.effect_noise((120, 80), 50).convert("RGB").save(tmp_path / "turned.jpg", exif=exif)
    rows = [
        {"image": "turned.jpg", "phrase": "upright", "box": [10, 90, 70, 110]},
        {"image": "turned.jpg", "phrase": "stored", "box": [90, 10, 110, 70]},
        {"image": "turned.jpg", "phrase": "told", "box": [1, 1, 9, 9], "width": 120, "height": 80},
        {"image": "turned.jpg", "phrase": "no box"},
    ]
    task = table(tmp_path, rows)
    (record,) = prepared(tmp_path, task).values()
    assert (record["phrase"], record["boxes"], record["width"], record["height"]) == (
        "upright",
        [[10, 90, 70, 110]],
        80,
        120,
    )
    assert skipped(tmp_path, task) == {
        "a box reaches beyond the upright picture": 1,
        "boxes of the picture as it is stored, before EXIF turns it": 1,
        "no box": 1,
    }
    assert {line["reason"] for line in read_jsonl(samples.dataset_folder(tmp_path, task) / "skipped.jsonl")}


def test_a_table_says_in_a_constant_how_its_boxes_are_written(tmp_path: Path) -> None:
    Image.effect_noise((200, 100), 50).convert("RGB").save(tmp_path / "a.png")
    task = table(tmp_path, [{"image": "a.png", "phrase": "p", "bbox": [0.05, 0.2, 0.1, 0.3]}], box_format="unit_xywh")
    (record,) = prepared(tmp_path, task).values()
    assert record["boxes"] == [[10, 20, 30, 50]]
