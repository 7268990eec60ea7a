"""Promises about tables that other tools wrote: what can be read is read, else a message has place and remedy."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from photos import photo, silent

from paceline.config.build import build
from paceline.config.schema import TaskSpec
from paceline.data import prepare
from paceline.data.readers import Complete, Sample, Skipped, coco_boxes, table
from paceline.errors import DataError


def read(folder: Path, text: str | bytes, **options: Any) -> list[Sample | Skipped]:
    path = folder / "rows.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    built = build(table.Options, {"path": str(path), **options}, "task.options")
    return list(table.read(built, folder, silent, Complete(dict)))


def prepared(folder: Path, text: str, kind: str = "classification", **options: Any) -> dict[str, Any]:
    path = folder / "rows.csv"
    path.write_text(text)
    options = {"path": str(path), "shares": {"test": 1.0}, **options}
    return prepare.prepare(folder / "root", TaskSpec(name="t", kind=kind, reader="table", options=options), silent)


def test_folders_that_windows_parts_by_backslashes_are_found(tmp_path: Path) -> None:
    (tmp_path / "tiles").mkdir()
    photo(tmp_path / "tiles" / "a.png")
    photo(tmp_path / "b\\c.png")
    found = read(tmp_path, "image;label\r\ntiles\\a.png;x\r\nb\\c.png;y\r\n".encode("utf-16"))
    assert [item.image for item in found if isinstance(item, Sample)] == [
        tmp_path / "tiles" / "a.png",
        tmp_path / "b\\c.png",
    ]
    assert next(item.id for item in found if isinstance(item, Sample)) == "tiles/a.png"


def test_a_path_with_a_drive_tells_how_to_write_it(tmp_path: Path) -> None:
    (only,) = read(tmp_path, "image,label\nC:\\data\\a.png,x\n")
    assert isinstance(only, Skipped)
    assert "Windows" in only.reason and "task.options.images" in only.reason


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark_names_the_encoding(tmp_path: Path, encoding: str) -> None:
    text = "image,label\na.png,x\n".encode(encoding)
    with pytest.raises(DataError, match=f"rows.csv holds zero bytes.*task.options.encoding={encoding}"):
        read(tmp_path, text)
    assert isinstance(read(tmp_path, text, encoding=encoding)[0], Sample)


def test_where_nothing_is_usable_the_first_row_of_each_reason_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 × image is missing, the first: gone\.png"):
        prepared(tmp_path, "image,label\ngone.png,x\nlost.png,y\n")


def test_a_column_that_differs_in_case_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no label \(a column is called 'Label': task\.options\.columns\.label=Label\)"
    ):
        prepared(tmp_path, "image,Label\na.png,x\n")


def test_labels_that_are_read_as_one_name_the_task(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        photo(tmp_path / name)
    with pytest.raises(DataError, match=r"task 't': labels .* are read as one"):
        prepared(tmp_path, "image,label\na.png,Forest\nb.png,forest\n")


def test_tables_below_a_folder_are_named_with_the_option_that_reads_them(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "d" / split).mkdir(parents=True)
        photo(tmp_path / "d" / split / "a.png")
        (tmp_path / "d" / split / "metadata.csv").write_text("file_name,label\na.png,x\n")
    built = build(table.Options, {"path": str(tmp_path / "d")}, "task.options")
    with pytest.raises(DataError, match=r"splits: \{test: test/metadata\.csv, train: train/metadata\.csv\}"):
        list(table.read(built, tmp_path, silent, Complete(dict)))
    named = {
        "path": str(tmp_path / "d"),
        "splits": {"test": "test/metadata.csv", "train": "train/metadata.csv"},
        "columns": {"image": "file_name", "label": "label"},
    }
    items = list(table.read(build(table.Options, named, "task.options"), tmp_path, silent, Complete(dict)))
    assert Counter(item.split for item in items if isinstance(item, Sample)) == {"train": 1, "test": 1}


def test_tables_in_one_folder_below_are_named_by_that_folder(tmp_path: Path) -> None:
    (tmp_path / "d" / "data").mkdir(parents=True)
    (tmp_path / "d" / "data" / "train-00000-of-00001.parquet").write_bytes(b"")
    built = build(table.Options, {"path": str(tmp_path / "d")}, "task.options")
    with pytest.raises(DataError, match=r"its folder 'data' holds tables: task\.options\.path=.*/d/data"):
        list(table.read(built, tmp_path, silent, Complete(dict)))


def test_annotations_of_coco_given_as_a_file_say_how_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "ships.json").write_text("{}")
    built = build(coco_boxes.Options, {"path": str(tmp_path / "ships.json")}, "task.options")
    with pytest.raises(DataError, match=r"ships\.json is a file; give its folder.*splits: \{test: ships\.json\}"):
        list(coco_boxes.read(built, tmp_path, silent, Complete(dict)))


def test_several_labels_parted_by_commas_are_told(tmp_path: Path) -> None:
    for name in "abcd":
        photo(tmp_path / f"{name}.png")
    rows = ["a.png;forest", 'b.png;"forest, water"', "c.png;water", 'd.png;"Beaches, dunes, sands"']
    manifest = prepared(tmp_path, "\n".join(["image;labels", *rows]), "multi_label", delimiter=";")
    assert manifest["labels_with_commas"] == ["forest, water"]


def test_shares_that_are_not_said_to_be_shares_are_no_boxes_of_a_pixel(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    text = "image,phrase,x,y,w,h\na.png,barn,0.1,0.2,0.3,0.2\n"
    with pytest.raises(DataError, match=r"of numbers up to 1 alone.*box_format"):
        prepared(tmp_path, text, "localisation")
    assert prepared(tmp_path, text, "localisation", constants={"box_format": "unit_xywh"})["splits"] == {"test": 1}
