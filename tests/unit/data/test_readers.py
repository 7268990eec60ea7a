"""Promises about readers: bad records are counted and never fatal, wrong options are told, splits do not
leak."""

from __future__ import annotations

import csv
import io
import json
import os
import string
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from photos import PLACES, bomb, photo, sidecars, silent, street
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from paceline import tasks
from paceline.config.build import build
from paceline.config.schema import TaskSpec
from paceline.data import prepare as data_prepare
from paceline.data import prompts, readers
from paceline.data import samples as prepared
from paceline.data.readers import Sample, Skipped, exif, sidecar
from paceline.errors import DataError, UserError
from paceline.store import files as store_files
from paceline.tasks.geolocation import gazetteer
from paceline.tasks.geolocation.fields import FIELDS, fields

CONF = Path(__file__).parents[3] / "conf" / "task"


def prepare(root: Path, reader: str, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    task = TaskSpec(name="t", kind="geolocation", reader=reader, options=options)
    manifest = data_prepare.prepare(root, task, silent)
    return manifest, prepared.read_samples(root, task, list(manifest["splits"]), 0)


# Every reader


@pytest.mark.parametrize("name", readers.names())
def test_each_reader_keeps_the_contract(name: str) -> None:
    module = readers.load(name)
    assert build(module.Options, {}, "task.options") == module.Options()
    assert set(module.made(module.Options())) >= {"source", "licence"}
    assert callable(module.read)


# sidecar


def test_sidecars_give_the_truth_from_the_gazetteer_and_keep_the_nearest_region(tmp_path: Path) -> None:
    _, samples = prepare(tmp_path, "sidecar", path=str(sidecars(tmp_path / "photos")))
    by_id = {s["id"]: s for s in samples}
    zurich = by_id["location_000000"]
    assert (zurich["country"], zurich["region"], zurich["nearest_region"]) == ("CH", "Zurich", "Here_There_HT")
    assert (zurich["latitude"], zurich["longitude"]) == PLACES[0]
    assert [by_id[f"location_{n:06d}"]["country"] for n in range(1, 6)] == ["AU", "US", "JP", "KE", "IS"]


def test_photos_are_referred_to_and_not_copied(tmp_path: Path) -> None:
    folder = sidecars(tmp_path / "photos")
    _, samples = prepare(tmp_path, "sidecar", path=str(folder))
    assert all(Path(s["image"]).parent == folder for s in samples)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"coordinates": [47.0, NaN]}', "coordinates are not finite"),
        ('{"coordinates": [Infinity, 8]}', "coordinates are not finite"),
        ('{"coordinates": [91, 8]}', "coordinates out of range"),
        ('{"coordinates": [47, 180.5]}', "coordinates out of range"),
        ('{"coordinates": [47]}', "coordinates are no pair"),
        ('{"coordinates": {"lat": 47}}', "no coordinates"),
        ('{"coordinates": "47, 8"}', "coordinates are no pair"),
        ('{"coordinates": [0, 0.0]}', "coordinates are 0, 0, which stands for no place"),
        ('{"lat": "0", "lng": "-0"}', "coordinates are 0, 0, which stands for no place"),
        ('{"coordinates": ["north", "east"]}', "coordinates are not numbers"),
        ('{"coordinates": [true, false]}', "coordinates are not numbers"),
        ('{"coordinates": [null, 8]}', "no coordinates"),
        ('{"coordinates": null}', "no coordinates"),
        ("{}", "no coordinates"),
        ("[]", "no coordinates"),
        ('{"coordinates": [47,', "broken JSON"),
        ("", "broken JSON"),
        ("[" * 100_000, "broken JSON"),
        (b"\xff\xfe\x00", "broken JSON"),
    ],
)
def test_a_bad_sidecar_is_skipped_by_name(tmp_path: Path, content: str | bytes, reason: str) -> None:
    folder = sidecars(tmp_path / "photos")
    (folder / "location_000003.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    manifest, samples = prepare(tmp_path, "sidecar", path=str(folder))
    assert manifest["skipped"] == {reason: 1}
    assert len(samples) == len(PLACES) - 1
    skipped = store_files.read_jsonl(next((tmp_path / "data").glob("*/skipped.jsonl")))
    assert [s["detail"] for s in skipped] == ["location_000003.json"]


def test_missing_halves_and_broken_images_are_skipped_and_counted(tmp_path: Path) -> None:
    folder = sidecars(tmp_path / "photos")
    (folder / "location_000000.json").unlink()
    (folder / "location_000001.png").unlink()
    (folder / "location_000002.png").write_bytes(b"no image")
    bomb(folder / "location_000003.png")
    photo(folder / "location_000004.jpg")
    (folder / "notes.txt").write_text("not a record")
    manifest, samples = prepare(tmp_path, "sidecar", path=str(folder))
    assert manifest["skipped"] == {
        "no JSON beside the image": 1,
        "no image beside the JSON": 1,
        "broken image": 1,
        "image has too many pixels": 1,
        "several images of one name": 1,
        "suffix of no picture (.txt)": 1,
    }
    assert [s["id"] for s in samples] == ["location_000005"]


@pytest.mark.parametrize("regions", ["null", "[]", "[[]]", '"x"', "{}", "[null]"])
def test_a_sidecar_without_regions_still_has_a_place(tmp_path: Path, regions: str) -> None:
    photo(tmp_path / "photos" / "a.jpeg")
    (tmp_path / "photos" / "a.json").write_text('{"coordinates": [47.37, 8.54], "regions": ' + regions + "}")
    _, samples = prepare(tmp_path, "sidecar", path=str(tmp_path / "photos"))
    assert "nearest_region" not in samples[0] or samples[0]["nearest_region"] == "x"
    assert fields(samples[0])["country_name"] == "Switzerland"


@pytest.mark.parametrize(
    "record",
    [
        {"lat": 47.37, "lng": 8.54},
        {"Latitude": "47.37", "LONGITUDE": "8.54"},
        {"coordinates": {"lat": 47.37, "lon": 8.54}},
        {"coordinates": None, "lat": 47.37, "long": 8.54},
        {"coordinates": [47.37, 8.54], "lat": 1, "lng": 1},
    ],
)
def test_a_sidecar_may_name_its_two_numbers(tmp_path: Path, record: dict[str, Any]) -> None:
    photo(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "a.json").write_text(json.dumps(record))
    _, samples = prepare(tmp_path, "sidecar", path=str(tmp_path / "photos"))
    assert (samples[0]["latitude"], samples[0]["longitude"]) == (47.37, 8.54)


POINT = {"type": "Point", "coordinates": [8.54, 47.37]}


@pytest.mark.parametrize(
    "record",
    [
        POINT,
        {"coordinates": POINT},
        {"type": "Feature", "geometry": POINT, "properties": {"country": "CH"}},
        {"geometry": {"type": "Point", "coordinates": [8.54, 47.37, 408.0]}},
    ],
)
def test_a_point_of_geojson_has_its_longitude_first(tmp_path: Path, record: dict[str, Any]) -> None:
    photo(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "a.json").write_text(json.dumps(record))
    _, samples = prepare(tmp_path, "sidecar", path=str(tmp_path / "photos"))
    assert (samples[0]["latitude"], samples[0]["longitude"]) == (47.37, 8.54)


def test_geojson_of_anything_but_a_point_is_no_place(tmp_path: Path) -> None:
    for name, found in (("line", {"type": "LineString", "coordinates": [[8.5, 47.3], [8.6, 47.4]]}), ("a", POINT)):
        photo(tmp_path / "photos" / f"{name}.png")
        (tmp_path / "photos" / f"{name}.json").write_text(json.dumps(found))
    manifest, _ = prepare(tmp_path, "sidecar", path=str(tmp_path / "photos"))
    assert manifest["skipped"] == {"GeoJSON of no point": 1}


@pytest.mark.parametrize(
    "record",
    [
        {"country": "Chile"},
        {"country": "CL"},
        {"regions": [["Chile_Santiago Metropolitan_CL", "POINT(-70.6 -33.4)"]]},
    ],
)
def test_a_pair_that_is_in_its_own_country_only_when_swapped_is_told(tmp_path: Path, record: dict[str, Any]) -> None:
    for name, pair in (("right", [-33.45, -70.66]), ("swapped", [-70.66, -33.45])):
        photo(tmp_path / "photos" / f"{name}.png")
        (tmp_path / "photos" / f"{name}.json").write_text(json.dumps({"coordinates": pair, **record}))
    manifest, samples = prepare(tmp_path, "sidecar", path=str(tmp_path / "photos"))
    assert manifest["swapped_truths"] == ["swapped"]
    assert {s["id"] for s in samples} == {"right", "swapped"}
    assert all("stated_country" not in s for s in samples if s["id"] == "right"), "the data keeps its digest"


def test_one_name_of_a_jpeg_and_of_another_format_is_the_jpeg_and_the_other_is_counted(tmp_path: Path) -> None:
    folder = sidecars(tmp_path / "photos")
    photo(folder / "location_000001.webp")
    manifest, samples = prepare(tmp_path, "sidecar", path=str(folder))
    assert len(samples) == len(PLACES)
    assert manifest["skipped"] == {"a PNG or JPEG of that name is read (.webp)": 1}


def test_whatever_lies_beside_the_photos_is_counted_by_suffix_and_reason(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    gps_photo(folder / "good.JPG", (47.0, 22.0, 12.0), "N", (8.0, 32.0, 24.0), "E")
    for name in ("a.txt", "b.TXT", "c.dng", "sub/notes", "d.20240101", ".DS_Store", ".git/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (folder / "there.jpg").symlink_to(folder / "good.JPG")
    (folder / "around").symlink_to(folder)
    os.mkfifo(folder / "pipe.jpg")
    manifest, samples = prepare(tmp_path, "exif", path=str(folder))
    assert [s["id"] for s in samples] == ["good.JPG", "there.jpg"]
    assert manifest["skipped"] == {
        "suffix of no picture (.txt)": 2,
        "hidden file": 2,
        "suffix of no picture (.dng)": 1,
        "suffix of no picture (none)": 1,
        "suffix of no picture (unusual)": 1,
        "broken link": 1,
        "linked folder, which is not followed": 1,
        "no regular file": 1,
    }


def test_a_folder_that_is_not_named_or_not_there_is_told_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task\.options\.path=FOLDER"):
        prepare(tmp_path, "sidecar")
    with pytest.raises(DataError, match="nowhere"):
        prepare(tmp_path, "exif", path="nowhere")


def test_home_and_variables_in_the_path_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecars(tmp_path / "photos with spaces")
    monkeypatch.setenv("PHOTOS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for n, path in enumerate(("$PHOTOS/photos with spaces", "~/photos with spaces")):
        assert len(prepare(tmp_path / f"{n}", "sidecar", path=path)[1]) == len(PLACES)


def many(folder: Path, n: int) -> list[Sample]:
    """Samples of n photos, two at each place, read without preparing."""
    for i in range(n):
        (folder / f"p{i}.png").write_bytes(b"")
        (folder / f"p{i}.json").write_text(json.dumps({"coordinates": [i // 2 / 10, 1e-5 * (i % 2)]}))
    found = sidecar.read(sidecar.Options(path=str(folder)), folder, silent)
    return [s for s in found if isinstance(s, Sample)]


def test_photos_of_one_spot_never_stand_on_both_sides_of_a_split(tmp_path: Path) -> None:
    splits: dict[str, set[str]] = {}
    for s in many(tmp_path, 400):
        splits.setdefault(f"{s.fields['latitude']:.3f}", set()).add(s.split)
    assert len(splits) == 200
    assert all(len(found) == 1 for found in splits.values())


def test_splits_follow_the_shares_and_new_photos_move_no_old_one(tmp_path: Path) -> None:
    few = {s.id: s.split for s in many(tmp_path, 300)}
    more = {s.id: s.split for s in many(tmp_path, 900)}
    assert all(more[name] == split for name, split in few.items())
    counts = Counter(more.values())
    assert counts["train"] == pytest.approx(630, abs=60)
    assert counts["validation"] == pytest.approx(135, abs=45)


def test_a_sample_is_taken_at_random_and_grows_by_adding(tmp_path: Path) -> None:
    folder = sidecars(tmp_path / "photos", [(n, n) for n in range(30)])
    ids = [{s["id"] for s in prepare(tmp_path, "sidecar", path=str(folder), sample=n)[1]} for n in (5, 10)]
    assert len(ids[0]) == 5
    assert ids[0] < ids[1]
    assert ids[0] != {f"location_{n:06d}" for n in range(5)}


@pytest.mark.parametrize(
    "shares", [{"train": 0.5}, {"train": 1.5, "test": -0.5}, {"train": "x"}, {}, {"train": float("nan")}]
)
def test_shares_that_are_no_shares_are_refused(tmp_path: Path, shares: dict[str, Any]) -> None:
    folder = sidecars(tmp_path / "photos")
    with pytest.raises(UserError, match=r"task\.options\.shares"):
        data_prepare.prepare(tmp_path, street(folder, shares=shares), silent)


# exif


def gps_photo(path: Path, lat: tuple[Any, ...], north: str, lon: tuple[Any, ...], east: str) -> Path:
    image = Image.new("RGB", (8, 8), (len(path.name), 0, 0))
    exif = image.getexif()
    exif[ExifTags.Base.Make] = "Camera"
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps.update({1: north, 2: lat, 3: east, 4: lon})
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)
    return path


def test_gps_in_exif_is_read_on_all_four_quarters_of_the_earth(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    gps_photo(folder / "a.jpg", (47.0, 22.0, 12.0), "N", (8.0, 32.0, 24.0), "E")
    gps_photo(folder / "b.jpg", (33.0, 52.0, 12.0), "S", (151.0, 12.0, 36.0), "E")
    gps_photo(folder / "sub" / "c.png", (22.0, 54.5, 0.0), "S", (43.0, 10.0, 0.0), "W")
    manifest, samples = prepare(tmp_path, "exif", path=str(folder))
    assert manifest["splits"] == {"test": 3}
    assert [s["id"] for s in samples] == ["a.jpg", "b.jpg", "sub/c.png"]
    assert [(round(s["latitude"], 4), round(s["longitude"], 4), s["country"]) for s in samples] == [
        (47.37, 8.54, "CH"),
        (-33.87, 151.21, "AU"),
        (-22.9083, -43.1667, "BR"),
    ]


def test_photos_without_a_position_are_skipped_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    gps_photo(folder / "good.jpg", (47.0, 22.0, 12.0), "N", (8.0, 32.0, 24.0), "E")
    gps_photo(folder / "nofix.jpg", (0.0, 0.0, 0.0), "N", (0.0, 0.0, 0.0), "E")
    gps_photo(folder / "far.jpg", (97.0, 0.0, 0.0), "N", (0.0, 0.0, 0.0), "E")
    gps_photo(folder / "nan.jpg", (IFDRational(0, 0),) * 3, "N", (8.0, 0.0, 0.0), "E")
    photo(folder / "plain.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe1 no jpeg")
    bomb(folder / "bomb.png")
    manifest, samples = prepare(tmp_path, "exif", path=str(folder))
    assert [s["id"] for s in samples] == ["good.jpg"]
    assert sum(manifest["skipped"].values()) == 6
    assert manifest["skipped"] == {
        "coordinates are 0, 0, which stands for no place": 1,
        "coordinates out of range": 1,
        "coordinates are not finite": 1,
        "no GPS in EXIF": 1,
        "broken image": 1,
        "image has too many pixels": 1,
    }


@pytest.mark.parametrize(
    ("south", "west"),
    [
        ("S", "W"),
        ("s", "w"),
        ("S\0", "W\0"),
        ("South", "West"),
        ("SOUTH ", "west."),
        ("Sur", "Oeste"),
        ("sud", "Ouest"),
    ],
)
def test_a_hemisphere_may_be_spelled_out(tmp_path: Path, south: str, west: str) -> None:
    gps_photo(tmp_path / "photos" / "a.jpg", (33.0, 27.0, 0.0), south, (70.0, 39.6, 0.0), west)
    _, samples = prepare(tmp_path, "exif", path=str(tmp_path / "photos"))
    assert (round(samples[0]["latitude"], 2), round(samples[0]["longitude"], 2)) == (-33.45, -70.66)
    assert samples[0]["country"] == "CL"


@pytest.mark.parametrize(
    ("north", "east", "latitude", "reason"),
    [
        ("", "", (33.0, 27.0, 0.0), "GPS in EXIF without a hemisphere"),
        ("\0", "W", (33.0, 27.0, 0.0), "GPS in EXIF without a hemisphere"),
        ("S", " ", (33.0, 27.0, 0.0), "GPS in EXIF without a hemisphere"),
        ("W", "S", (33.0, 27.0, 0.0), "GPS in EXIF with a hemisphere that is not understood"),
        ("S", "O", (33.0, 27.0, 0.0), "GPS in EXIF with a hemisphere that is not understood"),
        ("S", "W", (33.0, 61.0, 0.0), "broken GPS in EXIF"),
        ("S", "W", (33.0, 0.0, 1620.0), "broken GPS in EXIF"),
    ],
)
def test_a_position_whose_hemisphere_is_not_known_is_no_place_on_the_other_side_of_the_earth(
    tmp_path: Path, north: str, east: str, latitude: tuple[float, ...], reason: str
) -> None:
    folder = tmp_path / "photos"
    gps_photo(folder / "good.jpg", (47.0, 22.0, 12.0), "N", (8.0, 32.0, 24.0), "E")
    gps_photo(folder / "odd.jpg", latitude, north, (70.0, 39.6, 0.0), east)
    manifest, samples = prepare(tmp_path, "exif", path=str(folder))
    assert [s["id"] for s in samples] == ["good.jpg"]
    assert manifest["skipped"] == {reason: 1}


@given(st.one_of(st.text(max_size=9), st.binary(max_size=9), st.none(), st.integers()))
def test_no_text_beside_the_degrees_is_taken_for_a_hemisphere_by_chance(text: Any) -> None:
    try:
        degrees = exif._degrees((33, 27, 0), text, exif.NORTH_SOUTH)
    except ValueError as error:
        assert "hemisphere" in str(error)
        return
    assert abs(degrees) == 33.45
    begin = (text.decode() if isinstance(text, bytes) else text).strip(" .\t\r\n").casefold()[0]
    assert begin in ("n" if degrees > 0 else "sz")


def test_a_photo_of_chile_that_says_no_hemisphere_at_all_is_not_read_as_pakistan(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8))
    exif = image.getexif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({2: (33.0, 27.0, 0.0), 4: (70.0, 39.6, 0.0)})
    (tmp_path / "photos").mkdir()
    image.save(tmp_path / "photos" / "a.jpg", exif=exif)
    with pytest.raises(DataError, match="1 × GPS in EXIF without a hemisphere"):
        prepare(tmp_path, "exif", path=str(tmp_path / "photos"))


# hf_datasets


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def png(colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def rows() -> list[dict[str, Any]]:
    return [
        {"key": "a", "img": png(1), "lat": "47.37", "lon": "8.54"},
        {"key": "b", "img": b"no image", "lat": "47", "lon": "8"},
        {"key": "c", "img": png(2), "lat": "nan", "lon": "8"},
        {"key": "d", "img": None, "lat": "47", "lon": "8"},
        {"key": "e", "img": png(3), "lat": "", "lon": ""},
        {"key": "f", "img": png(4), "lat": "-33.87", "lon": "151.21"},
    ]


COLUMNS = {"id": "key", "image": "img", "latitude": "lat", "longitude": "lon"}


def parquet(path: Path) -> Path:
    import pyarrow
    from pyarrow import parquet as files

    files.write_table(pyarrow.Table.from_pylist(rows()), path)
    return path


@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_rows_become_samples_and_bad_rows_are_counted(tmp_path: Path, streaming: bool) -> None:
    files = {"test": str(parquet(tmp_path / "rows.parquet"))}
    manifest, samples = prepare(
        tmp_path,
        "hf_datasets",
        builder="parquet",
        files=files,
        columns=COLUMNS,
        streaming=streaming,
        limit_rows=6 if streaming else 0,
    )
    assert [(s["id"], s["country"], s["latitude"]) for s in samples] == [("a", "CH", 47.37), ("f", "AU", -33.87)]
    assert manifest["skipped"] == {
        "broken image": 1,
        "coordinates are not finite": 1,
        "no image": 1,
        "no coordinates": 1,
    }
    folder = next((tmp_path / "data").iterdir())
    assert sorted(p.name for p in folder.iterdir()) == [
        "folders.jsonl",
        "images",
        "leakage.jsonl",
        "manifest.json",
        "pictures.jsonl",
        "samples.jsonl",
        "skipped.jsonl",
        "sources.jsonl",
    ]
    assert sorted(p.name for p in (folder / "images").iterdir()) == ["000000.png", "000001.png"]


def test_streaming_reads_the_first_rows_only(tmp_path: Path) -> None:
    files = {"test": str(parquet(tmp_path / "rows.parquet"))}
    given: dict[str, Any] = {"builder": "parquet", "files": files, "columns": COLUMNS, "streaming": True}
    assert [s["id"] for s in prepare(tmp_path, "hf_datasets", **given, limit_rows=2)[1]] == ["a"]
    with pytest.raises(UserError, match="limit_rows"):
        prepare(tmp_path, "hf_datasets", **given)


@pytest.mark.parametrize("builder", ["csv", "json"])
def test_csv_and_json_name_their_images_by_path(tmp_path: Path, builder: str) -> None:
    records = [{"image": str(photo(tmp_path / f"{n}.png", n)), "label": f"class {n}"} for n in range(3)]
    records.append({"image": "https://example.org/a.png", "label": "link"})
    records.append({"image": str(tmp_path / "gone.png"), "label": "gone"})
    path = tmp_path / f"rows.{builder}"
    with path.open("w", newline="") as stream:
        if builder == "csv":
            writer = csv.DictWriter(stream, ["image", "label"])
            writer.writeheader()
            writer.writerows(records)
        else:
            stream.writelines(json.dumps(r) + "\n" for r in records)
    columns = {"image": "image", "label": "label"}
    manifest, samples = prepare(
        tmp_path / "root", "hf_datasets", builder=builder, files={"train": [str(path)]}, columns=columns
    )
    assert [(s["id"], s["split"], s["label"]) for s in samples] == [
        (f"train_{n:06d}", "train", f"class {n}") for n in range(3)
    ]
    assert manifest["skipped"] == {"image is a link, which is not fetched": 1, "image is missing": 1}


def test_an_image_folder_and_a_saved_dataset_are_read(tmp_path: Path) -> None:
    import datasets

    for split in ("train", "test"):
        photo(tmp_path / "pictures" / split / "cat" / "a.png", len(split))
    files = {split: str(tmp_path / "pictures" / split) for split in ("train", "test")}
    manifest, _ = prepare(tmp_path / "a", "hf_datasets", builder="imagefolder", files=files)
    assert manifest["splits"] == {"test": 1, "train": 1}

    features = datasets.Features({"image": datasets.Image(), "n": datasets.Value("int64")})
    one = datasets.Dataset.from_dict({"image": [{"bytes": png(7), "path": None}], "n": [3]}, features=features)
    datasets.DatasetDict({"dev": one}).save_to_disk(str(tmp_path / "saved"))
    given: dict[str, Any] = {"folder": str(tmp_path / "saved"), "columns": {"image": "image", "n": "n"}}
    _, samples = prepare(tmp_path / "b", "hf_datasets", **given, splits={"test": "dev"})
    assert samples[0]["n"] == 3
    with pytest.raises(UserError, match="'dev'"):
        prepare(tmp_path / "b", "hf_datasets", **given, splits={"test": "de"})


def test_a_missing_column_lists_the_columns_there_are_nearest_first(tmp_path: Path) -> None:
    files = {"test": str(parquet(tmp_path / "rows.parquet"))}
    for streaming in (False, True):
        with pytest.raises(DataError, match=r"no column 'imgs': did you mean 'img'\?.*key.*lat.*lon"):
            prepare(
                tmp_path,
                "hf_datasets",
                builder="parquet",
                files=files,
                columns={"image": "imgs"},
                streaming=streaming,
                limit_rows=1,
            )


@pytest.mark.parametrize("revision", ["", "main", "v1.0", "abc123"])
def test_a_hub_dataset_without_a_pinned_commit_is_refused(tmp_path: Path, revision: str) -> None:
    with pytest.raises(UserError, match="pin a revision"):
        prepare(tmp_path, "hf_datasets", hub="owner/name", revision=revision, splits={"test": "test"})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "give one of hub, files and folder"),
        ({"hub": "a/b", "folder": "x"}, "given: hub, folder"),
        ({"files": {"test": "x.csv"}}, "task.options.builder"),
        ({"files": {"test": "nowhere.csv"}, "builder": "csv"}, "no file"),
        ({"folder": "nowhere"}, "task.options.splits"),
        ({"folder": "nowhere", "splits": {"test": "test"}}, "can't read nowhere"),
        ({"files": {"test": "x"}, "builder": "csv", "columns": {"label": "x"}}, "'image'"),
        ({"files": {"test": "x"}, "builder": "csv", "limit_rows": -1}, "limit_rows"),
    ],
)
def test_options_without_sense_are_told_by_name(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        prepare(tmp_path, "hf_datasets", **options)


# The kind geolocation, and the shipped tasks


def test_reverse_geocoding_is_right_near_the_date_line_and_the_poles() -> None:
    found = gazetteer.nearest_places([(-16.5, -179.99), (66.3, -179.1), (89.9, 0.0), (47.37, 8.54), (40.71, -74.0)])
    assert [p.country for p in found] == ["FJ", "RU", "SJ", "CH", "US"]


def test_fields_are_filled_in_from_the_place_alone() -> None:
    found = fields({"id": "a", "latitude": 47.37, "longitude": 8.54})
    assert set(found) == set(FIELDS)
    assert found["country_name"] == "Switzerland"
    assert found["nearest_region"] == found["region"] == "Zurich"
    assert fields({"nearest_region": "United States_New York_US"})["nearest_region"] == "New York"


def test_every_country_of_the_gazetteer_has_an_english_name() -> None:
    codes = {p.country for p in gazetteer.cities()}
    assert codes <= set(gazetteer.country_names())
    assert all(name[0] in string.ascii_uppercase + "Å" for name in gazetteer.country_names().values())
    assert gazetteer.country_name("kp") == "North Korea"
    assert gazetteer.country_name("??") == "??"


@pytest.mark.parametrize("path", sorted(CONF.glob("geolocation_*.yaml")), ids=lambda p: p.stem)
def test_each_shipped_task_fits_its_reader_and_its_target_can_be_written(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    task = build(TaskSpec, yaml.safe_load(text), str(path))
    assert prepared.options_of(task) is not None
    kind = tasks.load(task.kind)
    target = prompts.render(task.target, kind.fields({"latitude": 47.36667, "longitude": -8.55}, task))
    assert "{" not in target
    assert "47.37" in target or "47.3667" in target
    assert (CONF.parent / "prompt" / f"{task.prompt}.yaml").exists()


def test_the_streamed_task_asks_for_a_pinned_revision(tmp_path: Path) -> None:
    raw = yaml.safe_load((CONF / "geolocation_yfcc.yaml").read_text(encoding="utf-8"))
    with pytest.raises(UserError, match="pin a revision of dalle-mini/YFCC100M_OpenAI_subset"):
        data_prepare.prepare(tmp_path, build(TaskSpec, {**raw, "name": "geolocation_yfcc"}, "x"), silent)


def test_a_skipped_record_needs_a_reason() -> None:
    assert Skipped("a", "b").detail == ""
