"""Pairs of pictures: made on tiles with exact truth, of xView2 as it is published, and of any table."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from photos import photo, silent
from PIL import Image

from paceline.cli.prepared_findings import told_of_leakage
from paceline.config.build import build
from paceline.config.schema import TaskSpec
from paceline.data import prepare, samples, source_files
from paceline.data.readers import Sample, Skipped, changed_tiles, xview2
from paceline.data.readers.changed_tiles import drawn_pairs
from paceline.data.shots.kinship import Kin
from paceline.errors import DataError, UserError
from paceline.store import files
from paceline.tasks.kind import digests_of, images_of

KIND = "change_detection"
Run = Callable[..., tuple[int, str, str]]
SPLITS = ["train", "validation", "test"]


def tiles(folder: Path, count: int = 4, side: int = 160) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        rng = np.random.default_rng(n)
        small = rng.integers(40, 200, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(folder / f"tile {n}.png")
    return folder


def made(folder: Path, **options: Any) -> TaskSpec:
    given = {"path": str(folder), "pairs": 6, "pixels": 64, **options}
    return TaskSpec(name="changes", kind=KIND, reader="changed_tiles", options=given, target="{counts}")


def drawn(task: TaskSpec, root: Path) -> list[dict[str, Any]]:
    prepare.prepare(root, task, silent)
    return samples.read_samples(root, task, SPLITS, 0)


# -- made on tiles


def test_pairs_of_a_tile_stay_in_one_split_and_every_split_has_tiles(tmp_path: Path) -> None:
    found = drawn(made(tiles(tmp_path / "tiles")), tmp_path)
    assert len(found) == 24
    splits = {(r["group"], r["split"]) for r in found}
    assert len(splits) == 4 and {split for _, split in splits} == set(SPLITS)
    assert all(len(images_of(r)) == 2 and len(set(digests_of(r))) == 2 for r in found)


def test_counts_are_those_of_the_boxes_and_the_pictures_differ_there(tmp_path: Path) -> None:
    found = drawn(made(tiles(tmp_path / "tiles"), shift=0, unchanged=0), tmp_path)
    for record in found:
        assert Counter(place["class"] for place in record["places"]) == Counter(record["counts"])
        before, after = (np.asarray(Image.open(path), dtype=float).mean(axis=2) for path in images_of(record))
        differs = np.abs(_levelled(before) - _levelled(after))
        inside = np.zeros(differs.shape, dtype=bool)
        for place in record["places"]:
            left, top, right, bottom = (round(share * 64) for share in place["box"])
            assert 0 <= left < right <= 64 and 0 <= top < bottom <= 64
            inside[top:bottom, left:right] = True
            assert differs[top:bottom, left:right].mean() > 3 * np.median(differs)
        assert differs[inside].mean() > 3 * differs[~inside].mean()


def _levelled(grey: np.ndarray) -> np.ndarray:
    middle = np.median(grey)
    return (grey - middle) / max(1.0, float(np.median(np.abs(grey - middle))))


def test_an_unchanged_pair_differs_in_its_pixels_all_the_same(tmp_path: Path) -> None:
    found = drawn(made(tiles(tmp_path / "tiles"), unchanged=1), tmp_path)
    assert not any(sum(r["counts"].values()) for r in found)
    for record in found:
        before, after = (np.asarray(Image.open(path), dtype=float) for path in images_of(record))
        assert (before != after).mean() > 0.5


@pytest.mark.parametrize(("pixels", "shift", "most"), [(64, 8, 6), (64, 0, 1), (144, 8, 6), (160, 0, 6)])
def test_every_size_and_shift_that_may_be_given_has_room_for_roofs(pixels: int, shift: int, most: int) -> None:
    tile = np.full((160, 160, 3), 90, dtype=np.uint8)
    options = changed_tiles.Options(pixels=pixels, shift=shift, most=most, unchanged=0)
    for n in range(20):
        pair = drawn_pairs.Pair(tile, options, str(n))
        assert pair.before.size == pair.after.size == (pixels, pixels)
        assert sum(pair.counts.values()) == len(pair.places) > 0
        assert all(0 <= share <= 1 for place in pair.places for share in place["box"])


def test_the_same_seed_draws_the_same_pairs_and_another_draws_others(tmp_path: Path) -> None:
    folder = tiles(tmp_path / "tiles")
    one, same, other = (
        [digests_of(r) for r in drawn(made(folder, seed=seed), tmp_path / place)]
        for place, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one == same != other


def test_a_pair_is_the_same_on_every_machine() -> None:
    tile = (np.arange(160 * 160 * 3) % 251).astype(np.uint8).reshape(160, 160, 3)
    pair = drawn_pairs.Pair(tile, changed_tiles.Options(pixels=64, unchanged=0), "tile 0")
    assert pair.counts == {"built": 3, "removed": 2, "damaged": 2}
    assert int(np.asarray(pair.after).astype(int).sum()) == 1_433_735


def test_tiles_that_are_too_small_or_broken_are_told_and_too_few_are_refused(tmp_path: Path) -> None:
    folder = tiles(tmp_path / "tiles")
    photo(folder / "small.png", size=(60, 300))
    Image.fromarray(np.full((200, 200), 4000, dtype=np.uint16)).save(folder / "deep.png")
    (folder / "broken.tif").write_bytes(b"II*\0 no picture")
    (folder / "notes.txt").write_text("x")
    (folder / "empty.png").write_bytes(b"")
    manifest = prepare.prepare(tmp_path, made(folder), silent)
    assert manifest["skipped"] == {
        "suffix of no picture (.txt)": 1, "broken image": 2, "tile smaller than a crop with its shift": 1,
        "tile has values above 8 bits": 1,
    }  # fmt: skip
    with pytest.raises(DataError, match="2 tiles can't fill the splits train, validation, test"):
        prepare.prepare(tmp_path, made(tiles(tmp_path / "two", 2)), silent)
    assert prepare.prepare(tmp_path, made(tiles(tmp_path / "one", 1), shares={"test": 1.0}), silent)["splits"] == {
        "test": 6
    }
    with pytest.raises(DataError, match="no usable sample"):
        prepare.prepare(tmp_path, made(photo(tmp_path / "none" / "a.png").parent), silent)


def test_a_tile_that_lies_there_in_two_formats_is_read_once(tmp_path: Path) -> None:
    folder = tiles(tmp_path / "tiles")
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            image.save(path.with_suffix(".tif"))
            image.save(path.with_suffix(".webp"), quality=70)
    manifest = prepare.prepare(tmp_path, made(folder), silent)
    assert manifest["skipped"] == {"looks like a tile before it": 8}
    assert manifest["groups"]["count"] == 4 and not manifest["groups"]["shared"]


def test_a_tile_that_is_exchanged_later_is_told(tmp_path: Path) -> None:
    task = made(tiles(tmp_path / "tiles"))
    prepare.prepare(tmp_path, task, silent)
    assert not source_files.changes(tmp_path, task).note("paceline prepare")
    photo(tmp_path / "tiles" / "tile 1.png", 9, (200, 200))
    changed = source_files.changes(tmp_path, task)
    assert changed.other == ("tile 1.png",) and not changed.broken
    assert "1 file is changed (tile 1.png)" in changed.note("paceline prepare")


def test_shares_of_few_tiles_leave_no_split_empty() -> None:
    shares = {"train": 0.9, "validation": 0.05, "test": 0.05}
    for count in range(3, 30):
        names = [f"t{n}" for n in range(count)]
        parted = changed_tiles.splits(names, shares, 0)
        assert set(parted) == set(names) and set(parted.values()) == set(shares)


# -- what is seen of both pictures


def pairs_table(folder: Path, rows: list[dict[str, Any]]) -> TaskSpec:
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"images": ["before", "after"], "counts": "counts", "split": "split"}
    options = {"path": str(folder / "pairs.jsonl"), "columns": columns}
    return TaskSpec(name="table", kind=KIND, reader="table", options=options, target="{counts}", evaluate=["test"])


def patterned(path: Path, seed: int, quality: int = 0) -> None:
    noise = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC)
    image.save(path, **({"quality": quality} if quality else {}))


def test_a_picture_before_that_was_trained_on_as_a_picture_after_is_a_leak(tmp_path: Path) -> None:
    for n in range(6):
        patterned(tmp_path / f"{n}.png", n)
    patterned(tmp_path / "1.jpg", 1, quality=80)  # looks like 1.png
    rows = [
        {"split": "train", "before": "0.png", "after": "1.png", "counts": {"built": 1}},
        {"split": "test", "before": "1.png", "after": "2.png", "counts": {"built": 1}},
        {"split": "test", "before": "3.png", "after": "1.jpg", "counts": {"built": 0}},
        {"split": "test", "before": "4.png", "after": "5.png", "counts": {"built": 0}},
    ]
    task = pairs_table(tmp_path, rows)
    manifest = prepare.prepare(tmp_path, task, silent)
    assert manifest["leaks"] == {"test": 1}
    assert manifest["leakage"]["test"] == {"bytes": 1, "pixels": 0, "looks": 1}
    folder = samples.dataset_folder(tmp_path, task)
    found = [
        (t["kind"], Path(t["image"]).name, Path(t["train_image"]).name)
        for t in files.read_jsonl(folder / "leakage.jsonl")
    ]
    assert found == [("bytes", "1.png", "1.png"), ("looks", "1.jpg", "1.png")]
    assert list(told_of_leakage(manifest, "train", str(folder)))


def test_an_example_that_shows_a_picture_of_the_sample_is_never_shown_with_it(tmp_path: Path) -> None:
    for n in range(5):
        patterned(tmp_path / f"{n}.png", n)
    rows = [
        {"split": "train", "before": "0.png", "after": "1.png", "counts": {"built": 1}},
        {"split": "train", "before": "3.png", "after": "4.png", "counts": {"built": 1}},
        {"split": "test", "before": "1.png", "after": "2.png", "counts": {"built": 1}},
    ]
    task = pairs_table(tmp_path, rows)
    prepare.prepare(tmp_path, task, silent)
    first, _, tested = samples.read_samples(tmp_path, task, ["train", "test"], 0)
    kin = Kin(task, samples.read_samples(tmp_path, task, ["train"], 0), ())
    assert kin.of(tested) == {first["id"]}


def test_models_that_read_one_picture_are_left_out_with_the_reason(command_line: Run, tmp_path: Path) -> None:
    words = ("task=changes_on_tiles", f"task.options.path={tiles(tmp_path / 'tiles')}", "task.options.pixels=64")
    prepared, _, err = command_line("prepare", *words, "task.options.pairs=2", f"root={tmp_path}")
    assert prepared == 0, err
    models = "model=tiny_qwen2_vl,tiny_blip_vqa,tiny_causal_lm,tiny_vit_gpt2"
    code, out, _ = command_line(
        "plan", *words, "task.options.pairs=2", f"root={tmp_path}", models, "prompt=change_counts"
    )
    assert code == 0
    for name in ("tiny_blip_vqa", "tiny_causal_lm", "tiny_vit_gpt2"):
        assert f"changes_on_tiles shows several images, which {name} can't read" in " ".join(out.split())


def test_a_table_of_pairs_has_a_column_for_each_class(tmp_path: Path) -> None:
    for n in range(4):
        patterned(tmp_path / f"{n}.png", n)
    (tmp_path / "pairs.csv").write_text(
        "old,new,n_built,no-damage,part\n0.png,1.png,2,4,train\n2.png,3.png,0,1,test\n2.png,gone.png,0,1,test\n"
        "0.png,1.png,,3,test\n"
    )
    columns = {"images": ["old", "new"], "built": "n_built", "no-damage": "no-damage", "split": "part"}
    options = {
        "path": str(tmp_path / "pairs.csv"),
        "columns": columns,
        "constants": {"classes": ["built", "no-damage"]},
    }
    task = TaskSpec(name="t", kind=KIND, reader="table", options=options, target="{counts}")
    manifest = prepare.prepare(tmp_path, task, silent)
    assert manifest["skipped"] == {
        "image is missing": 1, "a count is no whole number from 0, or is missing": 1,
    }  # fmt: skip
    (trained,) = samples.read_samples(tmp_path, task, ["train"], 0)
    assert trained["counts"] == {"built": 2, "no-damage": 4} and trained["classes"] == ["built", "no-damage"]


def test_a_row_with_one_picture_is_skipped_with_the_reason(tmp_path: Path) -> None:
    patterned(tmp_path / "0.png", 0)
    patterned(tmp_path / "1.png", 1)
    rows = [
        {"split": "test", "pictures": ["0.png", "1.png"], "counts": {"built": 1}},
        {"split": "test", "pictures": ["0.png"], "counts": {"built": 1}},
        {"split": "test", "pictures": ["0.png", "1.png", "0.png"], "counts": {"built": 1}},
    ]
    task = pairs_table(tmp_path, rows)
    task.options["columns"]["images"] = "pictures"
    assert prepare.prepare(tmp_path, task, silent)["skipped"] == {"not two pictures": 2}


def test_the_table_of_the_page_is_read_as_the_page_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "changes.md").read_text()
    (written,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    columns = written.splitlines()[0].rpartition(" ")[2]
    rows = [f"{n}.png,{n + 1}.png,{n},0,{n},district {n % 5}" for n in range(20)]
    (tmp_path / "pairs.csv").write_text("\n".join([columns, *rows]))
    for n in range(21):
        patterned(tmp_path / f"{n}.png", n)
    content = yaml.safe_load(written)
    content["options"]["path"] = str(tmp_path / "pairs.csv")
    task = build(TaskSpec, {"name": "sites", **content}, "task")
    manifest = prepare.prepare(tmp_path, task, silent)
    assert manifest["skipped"] == {} and sum(manifest["splits"].values()) == 20
    assert manifest["common"]["unchanged_classes"] == ["untouched"]
    assert manifest["groups"]["field"] == "group" and not manifest["groups"]["shared"]


# -- xView2


def feature(subtype: str | None, kind: str = "building") -> dict[str, Any]:
    properties = {"feature_type": kind, "uid": "u", **({"subtype": subtype} if subtype else {})}
    return {"properties": properties, "wkt": "POLYGON ((1 1, 9 1, 9 9, 1 1))"}


def pair_of(
    folder: Path, name: str, damage: list[str | None], suffix: str = ".png", event: str | None = "palu-tsunami"
) -> None:
    seed = sum(map(ord, str(folder.name) + name))
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    for n, when in enumerate(("pre", "post")):
        (folder / "images").mkdir(exist_ok=True)
        patterned(folder / "images" / f"{name}_{when}_disaster{suffix}", 2 * seed + n)
        subtypes = damage if when == "post" else [None] * len(damage)
        found = [feature(s) for s in subtypes]
        metadata = {"disaster": event, "disaster_type": "tsunami", "width": 1024} if event else {}
        label = {"features": {"lng_lat": found, "xy": found}, "metadata": metadata}
        (folder / "labels" / f"{name}_{when}_disaster.json").write_text(json.dumps(label))


@pytest.fixture
def xbd(tmp_path: Path) -> Path:
    root = tmp_path / "xbd"
    pair_of(root / "train", "palu-tsunami_00000001", ["no-damage", "destroyed", "destroyed", "un-classified", None])
    pair_of(root / "tier3", "moore-tornado_00000007", ["minor-damage"], event=None)
    pair_of(root / "hold", "palu-tsunami_00000002", [])
    pair_of(root / "test", "palu-tsunami_00000003", ["major-damage", "no-damage"])
    pair_of(root / "test", "santa-rosa-wildfire_00000004", ["destroyed"], ".tif", "santa-rosa-wildfire")
    return root


def read_xbd(root: Path, **options: Any) -> dict[str, Sample | Skipped]:
    given = xview2.Options(path=str(root), **options)
    items = list(xview2.read(given, root, silent, lambda fields: fields))  # type: ignore[arg-type]
    return {item.id if isinstance(item, Sample) else item.record: item for item in items}


def test_xview2_is_read_as_it_is_published(xbd: Path, tmp_path: Path) -> None:
    found = read_xbd(xbd, splits={"train": ["train", "tier3"], "validation": "hold", "test": "test"})
    first = found["train/palu-tsunami_00000001"]
    assert isinstance(first, Sample) and first.split == "train"
    assert first.fields == {
        "counts": {"no-damage": 1, "minor-damage": 0, "major-damage": 0, "destroyed": 2},
        "unchanged": ["no-damage"],
        "group": "palu-tsunami",
        "unclassified": 2,
        "disaster_type": "tsunami",
    }
    assert [p.name for p in first.images] == [
        "palu-tsunami_00000001_pre_disaster.png", "palu-tsunami_00000001_post_disaster.png",
    ]  # fmt: skip
    tornado = found["tier3/moore-tornado_00000007"]
    assert isinstance(tornado, Sample) and tornado.fields["group"] == "moore-tornado"  # of its name
    assert len(found) == 5
    task = TaskSpec(name="xview2", kind=KIND, reader="xview2", options={"path": str(xbd)}, target="{counts}")
    manifest = prepare.prepare(tmp_path, task, silent)
    assert manifest["splits"] == {"test": 2, "train": 1, "validation": 1}
    assert manifest["common"] == {"classes": list(xview2.CLASSES), "unchanged_classes": ["no-damage"]}
    assert manifest["groups"]["shared"] == {"test, train, validation": 1}


def test_pairs_of_xview2_that_can_t_be_used_are_told_with_the_reason(xbd: Path) -> None:
    labels, images = xbd / "test" / "labels", xbd / "test" / "images"
    for name in "abcdef":
        pair_of(xbd / "test", f"e_{name}", ["destroyed"])
    (labels / "e_a_post_disaster.json").write_text('{"features": ')
    (labels / "e_b_post_disaster.json").unlink()
    (images / "e_c_pre_disaster.png").unlink()
    (images / "e_d_post_disaster.png").unlink()
    (labels / "e_e_post_disaster.json").write_text(json.dumps({"features": {"xy": [feature("burnt")]}}))
    (labels / "e_f_post_disaster.json").write_text("[]")
    (images / "._e_g_pre_disaster.png").write_bytes(b"x")
    (images / "thumbs.db").write_bytes(b"x")
    found = {name: item.reason for name, item in read_xbd(xbd).items() if isinstance(item, Skipped)}
    assert found == {
        "test/e_a": "label is damaged",
        "test/e_b": "no label of the picture after",
        "test/e_c": "no picture before",
        "test/e_d": "no picture after",
        "test/e_e": "a damage that xBD does not have",
        "test/e_f": "label is damaged",
    }


def test_some_pairs_and_some_events_of_xview2_are_taken(xbd: Path) -> None:
    assert len([i for i in read_xbd(xbd, pairs={"test": 1}).values() if i.split == "test"]) == 1  # type: ignore[union-attr]
    assert set(read_xbd(xbd, events=["santa-rosa-wildfire"])) == {"test/santa-rosa-wildfire_00000004"}


def test_a_folder_that_is_not_xview2_is_refused_with_what_is_there(xbd: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no folder images and labels; sets there: hold, test, tier3, train"):
        read_xbd(xbd, splits={"test": "tests"})
    with pytest.raises(DataError, match="no folder in it holds images and labels"):
        read_xbd(photo(tmp_path / "other" / "a.png").parent)
    with pytest.raises(UserError, match=r"task.options.pairs: no split 'tests'; splits: train, validation, test"):
        read_xbd(xbd, pairs={"tests": 1})
    with pytest.raises(UserError, match=r"task.options.pairs.test: expected a number of pairs"):
        read_xbd(xbd, pairs={"test": -1})
    with pytest.raises(UserError, match=r"task.options.path is not set"):
        list(xview2.read(xview2.Options(), tmp_path, silent, lambda fields: fields))  # type: ignore[arg-type]


def test_xview2_is_read_through_linked_folders(xbd: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    for name in ("train", "hold", "test"):
        (tmp_path / "linked" / name).symlink_to(xbd / name)
    assert len(read_xbd(tmp_path / "linked")) == 4
