"""Land cover: BigEarthNet as LMDB and as folders, EuroSAT's and UC Merced's folders, and what in them can't be used."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pyarrow
import pytest
from photos import silent
from PIL import Image
from pyarrow import parquet
from safetensors.numpy import save

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data import prepare
from paceline.data import samples as prepared
from paceline.data.readers import Complete, Sample, Skipped, big_earth_net
from paceline.errors import DataError, UserError
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders
from paceline.tasks.kind import Answer

KIND = tasks.load("multi_label")
COMPLETE = Complete(KIND.complete, KIND.group)
SCENE = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"
FOREST = ["Mixed forest", "Inland waters"]
ROWS = [
    (f"{SCENE}_26_57", FOREST, "train"),
    (f"{SCENE}_26_58", ["Pastures"], "train"),
    (f"{SCENE}_27_00", ["Beaches, dunes, sands"], "validation"),
    ("S2B_MSIL2A_20171101T094131_N9999_R036_T35VNJ_00_01", ["Pastures", "Arable land"], "test"),
]


def bands(red: int = 1000, **more: Any) -> dict[str, np.ndarray]:
    values = {"B04": red, "B03": 500, "B02": 0, "B01": 7}
    made = {band: np.full((120, 120), value, dtype=np.uint16) for band, value in values.items()}
    return made | more


def table(folder: Path, rows: list[tuple[Any, ...]] = ROWS, name: str = big_earth_net.TABLE, **columns: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    patches, labels, splits = zip(*rows, strict=True)
    content = {"patch_id": patches, "labels": labels, "split": splits, "country": ["Austria"] * len(rows), **columns}
    parquet.write_table(pyarrow.table({k: list(v) for k, v in content.items() if v is not None}), folder / name)
    return folder


def database(folder: Path, values: dict[str, bytes]) -> Path:
    with (
        lmdb.open(str(folder / "BigEarthNet-V2-LMDB"), map_size=1 << 24) as opened,
        opened.begin(write=True) as written,
    ):
        for patch, value in values.items():
            written.put(patch.encode(), value)
    return folder


def as_folders(folder: Path, patches: list[str], **more: Any) -> Path:
    for patch in patches:
        place = folder / "BigEarthNet-S2" / big_earth_net.scene_of(patch) / patch
        place.mkdir(parents=True)
        for band, values in bands(**more).items():
            Image.fromarray(values).save(place / f"{patch}_{band}.tif")
    return folder


def read(folder: Path, images: Path, **options: Any) -> tuple[list[Sample], dict[str, str]]:
    images.mkdir(exist_ok=True)
    items = list(big_earth_net.read(big_earth_net.Options(path=str(folder), **options), images, silent, COMPLETE))
    return [i for i in items if isinstance(i, Sample)], {i.record: i.reason for i in items if isinstance(i, Skipped)}


NAMES = [row[0] for row in ROWS]


@pytest.mark.parametrize("layout", ["lmdb", "folders"])
def test_a_patch_is_shown_in_true_colour_with_its_labels_in_either_layout(tmp_path: Path, layout: str) -> None:
    folder = table(tmp_path / "ben")
    if layout == "lmdb":
        database(folder, {name: save(bands()) for name in NAMES})
    else:
        as_folders(folder, NAMES)
    samples, skipped = read(folder, tmp_path / "images")
    assert not skipped
    assert [(s.id, s.split) for s in samples] == [(row[0], row[2]) for row in ROWS]
    assert samples[0].fields["labels"] == FOREST
    assert [s.fields["group"] for s in samples][:2] == [SCENE, SCENE]
    assert samples[0].image is not None
    with Image.open(samples[0].image) as image:
        assert image.size == (120, 120)
        assert image.getpixel((3, 3)) == (128, 64, 0)  # of 2,000, which is white


def test_white_is_an_option_and_what_is_brighter_is_cut_off(tmp_path: Path) -> None:
    folder = database(table(tmp_path / "ben"), {name: save(bands(red=9000)) for name in NAMES})
    samples, _ = read(folder, tmp_path / "images", white=1000)
    assert samples[0].image is not None
    with Image.open(samples[0].image) as image:
        assert image.getpixel((3, 3)) == (255, 128, 0)


def test_a_patch_that_cant_be_used_is_skipped_with_the_reason(tmp_path: Path) -> None:
    rows = [(f"{SCENE}_0_{n}", FOREST, "train") for n in range(6)]
    rows += [(f"{SCENE}_0_1", FOREST, "train"), (f"{SCENE}_0_7", [], "train"), (f"{SCENE}_0_8", FOREST, "other"),
             ("../x", FOREST, "train")]  # fmt: skip
    wide = np.zeros((60, 60), dtype=np.uint16)
    without = {band: values for band, values in bands().items() if band != "B03"}
    values = [save(bands()), save(bands()), b"\x80\x04K\x01.", save(bands(B03=wide)), save(without)]
    folder = database(table(tmp_path / "ben", rows), {rows[n][0]: value for n, value in enumerate(values)})
    samples, skipped = read(folder, tmp_path / "images")
    assert [s.id for s in samples] == [rows[0][0], rows[1][0]]
    assert Counter(skipped.values()) == Counter(
        [
            "value in the LMDB is no safetensors; version 1 holds pickles, not read",
            "bands are of different sizes",
            "band is missing",
            "patch is not in the LMDB",
            "patch stands in the table twice",
            "no label",
            "split is none of train, validation, test",
            "patch has no name that a file may have",
        ]
    )


def test_folders_that_lack_a_band_or_hold_a_broken_one_are_skipped(tmp_path: Path) -> None:
    folder = as_folders(table(tmp_path / "ben"), NAMES[:3])
    place = folder / "BigEarthNet-S2" / SCENE
    (place / NAMES[0] / f"{NAMES[0]}_B03.tif").unlink()
    (place / NAMES[1] / f"{NAMES[1]}_B03.tif").write_bytes(b"")
    samples, skipped = read(folder, tmp_path / "images")
    assert [s.id for s in samples] == [NAMES[2]]
    assert list(skipped.values()) == ["band is missing", "band can't be read", "patch has no folder"]


def test_a_folder_without_what_is_needed_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"give the folder of BigEarthNet: metadata\.parquet and the patches"):
        list(big_earth_net.read(big_earth_net.Options(), tmp_path, silent, COMPLETE))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"holds no metadata\.parquet; give the folder that holds"):
        read(empty, tmp_path / "images")
    with pytest.raises(DataError, match="holds no patches; give the folder that holds"):
        read(table(tmp_path / "bare"), tmp_path / "images")
    with pytest.raises(DataError, match="no column 'labels'"):
        read(table(tmp_path / "other", labels=None), tmp_path / "images")
    (empty / big_earth_net.TABLE).write_bytes(b"")
    with pytest.raises(DataError, match="no table of Parquet"):
        read(empty, tmp_path / "images")
    broken = table(tmp_path / "broken")
    (broken / "BigEarthNet-V2-LMDB").mkdir()
    (broken / "BigEarthNet-V2-LMDB" / "data.mdb").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no LMDB"):
        read(broken, tmp_path / "images")


def test_patches_are_taken_at_random_but_alike_and_clouded_ones_where_asked(tmp_path: Path) -> None:
    cloudy = (f"{SCENE}_40_40", ["Pastures"], "train")
    folder = table(table(tmp_path / "ben"), [cloudy], name=big_earth_net.CLOUDED)
    database(folder, {name: save(bands()) for name in (*NAMES, cloudy[0])})
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    one, _ = read(linked, tmp_path / "images", pictures={"train": 1})
    assert Counter(s.split for s in one) == Counter({"train": 1, "validation": 1, "test": 1})
    assert [s.id for s in one] == [s.id for s in read(folder, tmp_path / "images", pictures={"train": 1})[0]]
    every, _ = read(folder, tmp_path / "images", clouded=True)
    assert {s.id for s in every} == {*NAMES, cloudy[0]}


def test_all_nineteen_classes_may_be_answered_though_the_patches_show_few(tmp_path: Path) -> None:
    folder = database(table(tmp_path / "ben"), {name: save(bands()) for name in NAMES})
    task = TaskSpec(
        name="ben", kind="multi_label", reader="big_earth_net", options={"path": str(folder)}, target="{labels}"
    )
    prepare.prepare(tmp_path / "root", task, silent)
    (kept,) = prepared.read_samples(tmp_path / "root", task, ["test"], 0)
    assert kept["classes"] == sorted(big_earth_net.CLASSES)
    prompt = PromptSpec(name="p", text="{classes}")
    (part,) = KIND.parts(kept, task, prompt)
    assert KIND.read(Answer("Marine waters; Pastures"), part, task, prompt).value == ["Marine waters", "Pastures"]


EUROSAT = ("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop",
           "Residential", "River", "SeaLake")  # fmt: skip
UC_MERCED = ("agricultural", "airplane", "baseballdiamond", "beach", "buildings", "chaparral", "denseresidential",
             "forest", "freeway", "golfcourse", "harbor", "intersection", "mediumresidential", "mobilehomepark",
             "overpass", "parkinglot", "river", "runway", "sparseresidential", "storagetanks",
             "tenniscourt")  # fmt: skip
SAID = {
    "AnnualCrop": ["annual crops", "This is an annual crop field.", "Annual Crop"],
    "Forest": ["forest", "The image shows a forest."],
    "HerbaceousVegetation": ["herbaceous vegetation", "Herbaceous Vegetation."],
    "Highway": ["a highway", "motorway", "It shows a freeway."],
    "Industrial": ["industrial buildings", "An industrial area"],
    "Pasture": ["pastures", "Pasture"],
    "PermanentCrop": ["Permanent crop", "a vineyard", "orchards"],
    "Residential": ["residential area", "Residential buildings"],
    "River": ["river", "a river"],
    "SeaLake": ["sea or lake", "Sea/Lake", "a lake", "the sea", "Sea & Lake"],
    "agricultural": ["agricultural", "agricultural fields", "farmland"],
    "airplane": ["airplanes", "a plane", "aircraft"],
    "baseballdiamond": ["baseball diamond", "A baseball field."],
    "beach": ["a beach"],
    "buildings": ["buildings", "building"],
    "chaparral": ["chaparral"],
    "denseresidential": ["dense residential", "a dense residential area", "dense-residential"],
    "freeway": ["freeway", "a highway", "motorway"],
    "golfcourse": ["golf course", "a golf-course"],
    "harbor": ["harbour", "a marina"],
    "intersection": ["an intersection", "crossroads"],
    "mobilehomepark": ["mobile home park", "a trailer park"],
    "overpass": ["an overpass"],
    "parkinglot": ["parking lot", "a car park"],
    "runway": ["runway"],
    "sparseresidential": ["sparse residential area"],
    "mediumresidential": ["medium residential", "Medium density residential."],
    "storagetanks": ["storage tanks", "a storage tank"],
    "tenniscourt": ["tennis courts", "a tennis court"],
}


@pytest.mark.parametrize(("name", "labels"), [("eurosat", EUROSAT), ("uc_merced", UC_MERCED)])
def test_folders_of_classes_are_read_and_their_joined_names_are_understood(
    tmp_path: Path, name: str, labels: tuple[str, ...]
) -> None:
    for n, label in enumerate(labels):
        (tmp_path / "tiles" / label).mkdir(parents=True)
        for copy in range(4):
            shown = Image.effect_noise((64, 64), 40 + n).convert("RGB")
            shown.save(tmp_path / "tiles" / label / f"{label}_{copy + 1}.{'jpg' if name == 'eurosat' else 'tif'}")
    words = [f"task={name}", f"task.options.path={tmp_path / 'tiles'}"]
    task = compose(words, conf_folders(None)).spec("task", name, {})
    prepare.prepare(tmp_path / "root", task, silent)
    found = prepared.read_samples(tmp_path / "root", task, ["train", "test"], 0)
    assert {s["label"] for s in found} <= set(labels)
    kind = tasks.load(task.kind)
    one = found[0]
    assert one["labels"] == sorted(labels)
    prompt = PromptSpec(name="p", text="Which?")
    (part,) = kind.parts(one, task, prompt)
    for label in labels:
        for text in SAID.get(label, ()):
            assert kind.read(Answer(text), part, task, prompt).value == label, text


def test_words_that_may_mean_several_of_uc_merceds_classes_are_unread(tmp_path: Path) -> None:
    kind = tasks.load("classification")
    one = {"id": "s", "label": "beach", "labels": list(UC_MERCED)}
    task, prompt = TaskSpec(name="t", kind="classification"), PromptSpec(name="p", text="Which?")
    (part,) = kind.parts(one, task, prompt)
    for text in ("residential", "a road", "forest or river", "not a beach", "maybe a harbor"):
        assert kind.read(Answer(text), part, task, prompt).outcome == "malformed", text


def test_the_manifest_says_whose_patches_they_are() -> None:
    told = big_earth_net.made(big_earth_net.Options(sentences=True))
    assert "nobody wrote them" in told["source"]
    assert "Copernicus" in json.dumps(big_earth_net.made(big_earth_net.Options()))
