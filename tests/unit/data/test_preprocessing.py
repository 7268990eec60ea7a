"""Promises about light and contrast: pictures change by the stated formula, and every reader sees the same."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import silent
from PIL import Image, ImageOps

from paceline.cli.prepared_findings import told_of_pictures
from paceline.config.build import build
from paceline.config.schema import PictureSpec, PromptSpec, ShotsSpec, TaskSpec
from paceline.data import prepare, preprocessing, samples
from paceline.data.conversations import Lessons, pictures, question
from paceline.data.shots import prepared_shots, shot_turns
from paceline.errors import DataError, UserError
from paceline.store import files

COSINE = PictureSpec(illumination="cosine")


def random_picture(seed: int, grey: bool = False, size: tuple[int, int] = (23, 31)) -> Image.Image:
    rng = np.random.default_rng(seed)
    low, high = sorted(rng.integers(0, 256, 2))
    values = rng.integers(low, high + 1, (*size, 1 if grey else 3), dtype=np.uint8)
    return Image.fromarray(np.repeat(values, 3, axis=2) if grey else values)


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=40, deadline=None)
def test_equalised_channels_and_luminance_are_what_pillow_makes(seed: int, grey: bool) -> None:
    image = random_picture(seed, grey)
    channels = preprocessing.equalised(image, "channels")
    assert channels.tobytes() == ImageOps.equalize(image).tobytes()
    luminance = np.asarray(preprocessing.equalised(image, "luminance"))
    y, cb, cr = image.convert("YCbCr").split()
    assert luminance.tobytes() == Image.merge("YCbCr", (ImageOps.equalize(y), cb, cr)).convert("RGB").tobytes()
    if grey:
        assert (luminance == luminance[:, :, :1]).all()


def test_equalising_fills_the_scale_and_leaves_one_colour_and_no_pixel_white_alone() -> None:
    dark = Image.fromarray((np.arange(64 * 64).reshape(64, 64) // 64).astype(np.uint8)).convert("RGB")
    for how in ("luminance", "channels"):
        shown = np.asarray(preprocessing.equalised(dark, how))
        assert shown.min() <= 4 and shown.max() >= 250
        flat = Image.new("RGB", (40, 40), (90, 90, 90))
        assert preprocessing.equalised(flat, how).tobytes() == flat.tobytes()
        framed = Image.new("RGB", (64, 640), "white")
        framed.paste(dark, (0, 0))
        inside = np.asarray(preprocessing.equalised(framed, how))
        assert (inside[64:] == 255).all()
        assert np.abs(inside[:64].astype(int) - shown).max() <= 17  # its own brightest counts now


@given(st.integers(0, 2**32), st.floats(0, 89.99), st.floats(1e-4, 1))
@settings(max_examples=40, deadline=None)
def test_illumination_is_brightness_by_the_cosine_cut_off_at_255(seed: int, zenith: float, epsilon: float) -> None:
    image = random_picture(seed)
    shown = np.asarray(preprocessing.illuminated(image, zenith, epsilon)).astype(float)
    exact = np.asarray(image) / (math.cos(math.radians(zenith)) + epsilon)
    assert np.abs(shown - np.clip(exact, 0, 255)).max() <= 0.5 + 1e-9


def test_light_is_corrected_before_the_histogram_is_equalised() -> None:
    image = random_picture(5)
    both = preprocessing.processed(image, PictureSpec(illumination="cosine", equalise="channels"), 60.0)
    assert both.tobytes() == ImageOps.equalize(preprocessing.illuminated(image, 60.0, 0.01)).tobytes()


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        (None, "no sun_zenith"),
        (" ", "no sun_zenith"),
        ("low", "no number"),
        (True, "no number"),
        (float("nan"), "no number"),
        ("inf", "no number"),
        (-1, "below 0"),
        (90, "not above the horizon"),
        ("95.5", "not above the horizon"),
        ([10, 20], "for each picture"),
        ({"a": 1}, "no number"),
    ],
)
def test_a_sun_that_can_not_be_used_is_told_by_its_reason(stated: Any, reason: str) -> None:
    with pytest.raises(preprocessing.NoZenithError, match=reason):
        preprocessing.zeniths({"sun_zenith": stated}, 1)


def test_one_angle_holds_for_all_pictures_and_a_list_for_each() -> None:
    assert preprocessing.zeniths({"sun_zenith": "35.5"}, 2) == [35.5, 35.5]
    assert preprocessing.zeniths({"sun_zenith": [0, "89.9"]}, 2) == [0.0, 89.9]


# What is prepared


def table(tmp_path: Path, angles: list[str], **pictures: Any) -> TaskSpec:
    """A table of as many pictures as there are angles, four of them training samples."""
    folder = tmp_path / "tiles"
    folder.mkdir(exist_ok=True)
    with (folder / "tiles.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image", "label", "split", "sun_zenith"])
        for number, angle in enumerate(angles):
            if not (folder / f"{number}.png").exists():
                random_picture(number).save(folder / f"{number}.png")
            rows.writerow([f"{number}.png", "ab"[number % 2], "train" if number < 4 else "test", angle])
    options = {"path": str(folder / "tiles.csv")}
    rule = build(PictureSpec, pictures, "task.pictures")
    return TaskSpec(
        "t", "classification", reader="table", options=options, pictures=rule, target="{label}", validation="test"
    )


def test_evaluation_and_training_see_the_same_corrected_pixels(tmp_path: Path) -> None:
    angles = ["0", "30", "45.5", "60", "75", "80"]
    task = table(tmp_path, angles, illumination="cosine", equalise="luminance")
    manifest = prepare.prepare(tmp_path, task, silent)
    prompt = PromptSpec("p", text="What is it?")
    records = samples.read_samples(tmp_path, task, ["train", "test"], 0)
    lessons = Lessons(records, prompt, task)
    for number, record in enumerate(records):
        source = Image.open(tmp_path / "tiles" / f"{number}.png").convert("RGB")
        expected = preprocessing.processed(source, task.pictures, float(angles[number]))
        asked, trained = question(record, prompt, task), lessons[number]
        assert asked.images[0].tobytes() == trained.images[0].tobytes() == expected.tobytes()
        assert record["sun_zenith"] == angles[number]
    assert manifest["pictures"]["illuminated"] == 6 and manifest["pictures"]["equalised"] == {"luminance": 6}
    told = list(told_of_pictures(manifest, "x"))
    assert any("6 pictures corrected by the sun's zenith" in line for line in told)
    assert any("equalised histogram (luminance)" in line for line in told)
    lines = list(files.read_jsonl(samples.dataset_folder(tmp_path, task) / "pictures.jsonl"))
    assert [line["sun_zenith"] for line in lines] == [0.0, 30.0, 45.5, 60.0, 75.0, 80.0]


def test_the_rule_is_other_data_and_the_default_is_the_data_of_before(tmp_path: Path) -> None:
    digests = []
    for pictures_rule in ({}, {"equalise": "luminance"}, {"equalise": "channels"}, {"illumination": "cosine"}):
        task = table(tmp_path, ["10"] * 6, **pictures_rule)
        digests.append(prepare.prepare(tmp_path, task, silent)["digest"])
    assert len(set(digests)) == 4
    plain = table(tmp_path, ["10"] * 6)
    assert samples.dataset_folder(tmp_path, plain).name.startswith("table-")
    spelt = table(tmp_path, ["10"] * 6, equalise="none", illumination="none", illumination_epsilon=0.01)
    assert samples.dataset_folder(tmp_path, plain) == samples.dataset_folder(tmp_path, spelt)


def test_samples_without_a_sun_are_counted_and_named_and_nothing_is_left(tmp_path: Path) -> None:
    task = table(tmp_path, ["10", "", "95", "", "x", "20"], illumination="cosine")
    with pytest.raises(DataError) as refused:
        prepare.prepare(tmp_path, task, silent)
    said = str(refused.value)
    assert "4 samples can't be corrected" in said
    assert "2 × no sun_zenith (1.png, 3.png)" in said
    assert "not above the horizon (2.png)" in said and "is no number (4.png)" in said
    assert "task.options.columns.sun_zenith" in said
    assert not list((tmp_path / "data").iterdir())
    prepare.prepare(tmp_path, table(tmp_path, ["10", "", "95", "", "x", "20"], equalise="channels"), silent)


def test_an_epsilon_that_nothing_reads_is_refused() -> None:
    task = TaskSpec("t", "classification", reader="table", pictures=PictureSpec(illumination_epsilon=0.1))
    with pytest.raises(UserError, match="illumination=cosine alone"):
        samples.first_folder(Path("x"), task)


def test_grey_wide_and_transparent_pictures_are_changed_after_they_are_8_bits_on_white(tmp_path: Path) -> None:
    task = table(tmp_path, ["60"] * 6, illumination="cosine")
    folder = tmp_path / "tiles"
    wide = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    Image.fromarray(wide).save(folder / "0.png")
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[:4] = (40, 80, 120, 255)
    Image.fromarray(clear).save(folder / "1.png")
    prepare.prepare(tmp_path, task, silent)
    first, second = samples.read_samples(tmp_path, task, ["train"], 2)
    divisor = 0.5 + 0.01
    shown = np.asarray(pictures(first)[0]).astype(int)
    eight = np.rint(wide / 65535 * 255)
    assert (shown[:, :, 0] == np.minimum(np.rint(eight / divisor), 255)).all() and first["image"].endswith(".pgm")
    shown = np.asarray(pictures(second)[0])
    assert (shown[4:] == 255).all() and shown[0, 0].tolist() == [78, 157, 235]


def test_examples_by_hand_are_changed_as_the_samples_are(tmp_path: Path) -> None:
    random_picture(9).save(tmp_path / "axe.png")
    (tmp_path / "shots.csv").write_text("image,answer,label,sun_zenith\naxe.png,a,a,60\n")
    shots = ShotsSpec(count=1, how="file", file=str(tmp_path / "shots.csv"))
    prompt = PromptSpec("p", text="What is it?", shots=shots)
    task = table(tmp_path, ["60"] * 6, illumination="cosine", equalise="luminance")
    prepare.prepare(tmp_path, task, silent)
    pinned, _ = prepared_shots.prepare(tmp_path, task, prompt, None, lambda model: model, silent)
    turns = shot_turns.ShotTurns(prepared_shots.choice(tmp_path, task, pinned))
    sample = samples.read_samples(tmp_path, task, ["test"], 1)[0]
    (turn,) = turns.turns(sample, ())
    expected = preprocessing.processed(Image.open(tmp_path / "axe.png").convert("RGB"), task.pictures, 60.0)
    assert turn.images[0].tobytes() == expected.tobytes()
    (tmp_path / "shots.csv").write_text("image,answer,label\naxe.png,a,a\n")
    with pytest.raises(UserError, match="give the column sun_zenith"):
        prepared_shots.prepare(tmp_path, task, prompt, None, lambda model: model, silent)
