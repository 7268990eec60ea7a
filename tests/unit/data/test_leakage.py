"""What a test image shares with the training images is found, named and counted, whatever was done to its file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from photos import fake_reader, photo, silent
from PIL import Image, ImageEnhance

from paceline.config.schema import TaskSpec
from paceline.data import leakage, prepare, samples
from paceline.data.readers import Progress, Sample
from paceline.store import files


def scene(seed: int, side: int = 160) -> Image.Image:
    """A picture with large and small shapes, like no other seed's."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    fine = Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8))
    return Image.blend(coarse, fine, 0.15)


def compressed(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=30)
    return Image.open(stream).convert("RGB")


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "compressed": compressed,
    "half the size": lambda i: i.resize((i.width // 2, i.height // 2)),
    "wider": lambda i: i.resize((i.width * 2, i.height)),
    "brighter": lambda i: ImageEnhance.Brightness(i).enhance(1.2),
    "grey": lambda i: i.convert("L").convert("RGB"),
    "slightly cropped": lambda i: i.crop((1, 1, i.width - 1, i.height - 1)),
}


def twins(images: list[tuple[str, Image.Image]]) -> list[leakage.Twin]:
    records = [
        {"id": str(n), "split": split, "image": str(n), "sha256": files.digest(n)}
        for n, (split, _) in enumerate(images)
    ]
    thumbnails = [leakage.thumbnail(image) for _, image in images]
    pixels = {str(n): str(image.size) + files.digest(image.tobytes().hex()) for n, (_, image) in enumerate(images)}
    return list(leakage.twins(records, thumbnails, "train", pixels.__getitem__, silent))


@pytest.mark.parametrize("change", CHANGES)
def test_a_training_image_that_was_changed_a_little_is_known_again(change: str) -> None:
    train = [("train", scene(n)) for n in range(20)]
    test = [("test", CHANGES[change](scene(n))) for n in range(20)]
    found = twins(train + test)
    assert [(t.sample, t.train, t.kind) for t in found] == [(str(20 + n), str(n), "looks") for n in range(20)]
    assert all(t.bits <= leakage.MOST_BITS and t.correlation >= leakage.LEAST_CORRELATION for t in found)


def test_other_pictures_are_not_taken_for_each_other() -> None:
    assert twins([("train" if n < 200 else "test", scene(n)) for n in range(300)]) == []


def test_flat_pictures_are_equal_only_pixel_for_pixel() -> None:
    flat = [Image.new("RGB", (40, 40), colour) for colour in ((9, 9, 9), (200, 10, 10), (9, 9, 9))]
    smaller = Image.new("RGB", (20, 20), (9, 9, 9))
    found = twins([("train", flat[0]), ("test", flat[1]), ("test", flat[2]), ("validation", smaller)])
    assert [(t.sample, t.kind) for t in found] == [("2", "pixels")]


def test_without_a_training_split_nothing_is_compared() -> None:
    assert twins([("test", scene(1)), ("test", scene(1))]) == []


@pytest.fixture
def leaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, TaskSpec]:
    """Data whose test split holds a training file, its pixels in another file, its look, and something new."""

    def read(options: object, images: Path, progress: Progress) -> object:
        scene(1).save(images / "train.png")
        scene(2).save(images / "other.png")
        (images / "bytes.png").write_bytes((images / "train.png").read_bytes())
        scene(1).save(images / "pixels.png", compress_level=1)
        CHANGES["half the size"](scene(1)).save(images / "looks.png")
        scene(3).save(images / "new.png")
        for name in ("train", "other"):
            yield Sample(name, "train", images / f"{name}.png")
        for name in ("bytes", "pixels", "looks", "new"):
            yield Sample(name, "test", images / f"{name}.png")
        yield Sample("validation", "validation", photo(images / "v.png"))

    return tmp_path, fake_reader(monkeypatch, read)  # type: ignore[arg-type]


def test_prepare_counts_what_is_on_both_sides_and_names_it(leaking: tuple[Path, TaskSpec]) -> None:
    manifest = prepare.prepare(*leaking, silent)
    assert manifest["leakage"] == {
        "test": {"bytes": 1, "pixels": 1, "looks": 1},
        "validation": {"bytes": 0, "pixels": 0, "looks": 0},
    }
    named = list(files.read_jsonl(samples.dataset_folder(*leaking) / "leakage.jsonl"))
    assert [(t["sample"], t["kind"], t["train"]) for t in named] == [
        ("bytes", "bytes", "train"),
        ("pixels", "pixels", "train"),
        ("looks", "looks", "train"),
    ]
    assert manifest["splits"] == {"test": 4, "train": 2, "validation": 1}, "nothing is dropped"


def test_prepare_tells_the_leak_the_file_and_the_remedy(leaking: tuple[Path, TaskSpec]) -> None:
    from paceline.cli.prepared_findings import told_of_leakage

    manifest = prepare.prepare(*leaking, silent)
    lines = list(told_of_leakage(manifest, "train", "data/x"))
    assert lines[0].startswith("3 images of test are also in train or look like one of it: 1 byte for byte, 1 pixel")
    assert "data/x/leakage.jsonl" in lines[0] and "take one of each pair out" in lines[0]
    assert lines[1] == "no image of validation is in train too, by bytes, pixels or looks"
    del manifest["leakage"]
    assert "an earlier version prepared it" in next(told_of_leakage(manifest, "train", "data/x"))


def test_the_digest_of_prepared_data_knows_nothing_of_what_was_found(leaking: tuple[Path, TaskSpec]) -> None:
    manifest = prepare.prepare(*leaking, silent)
    records = list(files.read_jsonl(samples.dataset_folder(*leaking) / "samples.jsonl"))
    assert manifest["digest"] == files.digest([{k: v for k, v in r.items() if k != "image"} for r in records])
    assert set(records[0]) == {"id", "split", "image", "sha256"}


def test_truths_with_swapped_coordinates_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(options: object, images: Path, progress: Progress) -> object:
        for n, (lat, lon) in enumerate([(47.57, 18.44), (18.44, 47.57)]):
            place = {"latitude": lat, "longitude": lon, "country": "HU"}
            yield Sample(f"{n}", "test", photo(images / f"{n}.png", n), place)

    manifest = prepare.prepare(tmp_path, fake_reader(monkeypatch, read), silent)  # type: ignore[arg-type]
    assert manifest["swapped_truths"] == ["1"]
