"""Promises about augmented pictures: drawn by sample and visit alone, with a truth that follows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from paceline import tasks
from paceline.config.identity import clear_inactive, identity_of
from paceline.config.schema import Config, MethodSpec, PromptSpec, TaskSpec, TrainSpec
from paceline.data.augmentation import COLOUR, LEAST_SIDE, AugmentedLessons, Drawn, draw, lessons
from paceline.data.conversations import Lessons
from paceline.store import files
from paceline.sweep.task_checks import untrainable
from paceline.tasks.picture_change import Change, bears_by_words

WORDS = ("flip", "rotate90", "crop", "colour")
PROMPT = PromptSpec("p", text="Describe it.")
CAPTIONS = TaskSpec("t", "captioning", target="{reference}")


def records(tmp_path: Path, *captions: str, size: tuple[int, int] = (24, 16)) -> list[dict[str, Any]]:
    made = []
    for number, caption in enumerate(captions):
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        path = tmp_path / f"{number}.png"
        sha256 = files.file_digest(path)
        made.append({"id": f"s{number}", "image": str(path), "sha256": sha256, "references": [caption]})
    return made


# What is drawn


def test_what_is_drawn_depends_on_seed_sample_visit_and_word_alone() -> None:
    base = draw(WORDS, 3, "a", 0)
    assert draw(tuple(reversed(WORDS)), 3, "a", 0) == base
    assert draw(("crop",), 3, "a", 0).part == base.part
    assert draw(("flip", "colour"), 3, "a", 0) == Drawn(mirrored=base.mirrored, factors=base.factors)
    for other in (draw(WORDS, 4, "a", 0), draw(WORDS, 3, "b", 0), draw(WORDS, 3, "a", 1)):
        assert other.part != base.part and other.factors != base.factors
    # Recorded: a resume by a later version goes on with the same pictures.
    assert (round(base.part[0], 6), base.mirrored, base.turns) == (0.905192, True, 1)


def test_draws_fill_their_ranges() -> None:
    drawn = [draw(WORDS, 0, f"sample {n}", n % 3) for n in range(4000)]
    assert abs(np.mean([d.mirrored for d in drawn]) - 0.5) < 0.03
    assert np.bincount([d.turns for d in drawn], minlength=4).min() > 900
    sides = [d.part[0] for d in drawn]
    assert LEAST_SIDE <= min(sides) < LEAST_SIDE + 0.01 and 0.99 < max(sides) < 1
    factors = np.array([d.factors for d in drawn])
    assert 1 - COLOUR <= factors.min() < 0.81 and 1.19 < factors.max() <= 1 + COLOUR
    assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.06


# Geometry

changes = st.builds(
    lambda w, h, mirrored, turns, side, x, y: Drawn((side, x, y), mirrored, turns).of((w, h)),
    *(st.integers(8, 60), st.integers(8, 60), st.booleans(), st.integers(0, 3)),
    *(st.sampled_from([1.0, 0.8, 0.93]), st.floats(0, 1), st.floats(0, 1)),
)


@given(changes, st.data())
@settings(max_examples=100, deadline=None)
def test_a_point_lies_where_its_pixel_went(change: Change, data: st.DataObject) -> None:
    width, height = change.size
    left, top, right, bottom = change.crop
    x = data.draw(st.integers(int(np.ceil(left)) + 1, int(right) - 3))
    y = data.draw(st.integers(int(np.ceil(top)) + 1, int(bottom) - 3))
    image = Image.new("RGB", change.size)
    image.paste((255, 255, 255), (x, y, x + 2, y + 2))
    shown = change.image(image)
    assert shown.size == change.new_size
    values = np.asarray(shown.convert("L")).astype(float)
    rows, columns = np.indices(values.shape) + 0.5
    middle = (values * columns).sum() / values.sum(), (values * rows).sum() / values.sum()
    assert np.allclose(middle, change.point(x + 1, y + 1), atol=0.35)
    box = change.box((x, y, x + 2, y + 2))
    assert box is not None and np.allclose(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), middle, atol=0.35)
    area = (box[2] - box[0]) * (box[3] - box[1])
    assert area == pytest.approx(4 * width * height / ((right - left) * (bottom - top)), rel=0.01)


def test_boxes_turn_with_their_picture() -> None:
    whole = (0, 0, 100, 60)
    box = (10, 5, 30, 25)
    assert Change((100, 60), whole).box(box) == box
    assert Change((100, 60), whole, mirrored=True).box(box) == (70, 5, 90, 25)
    assert Change((100, 60), whole, turns=1).box(box) == (5, 70, 25, 90)
    assert Change((100, 60), whole, turns=2).box(box) == (70, 35, 90, 55)
    assert Change((100, 60), whole, turns=3).box(box) == (35, 10, 55, 30)
    assert Change((100, 60), whole, turns=1).new_size == (60, 100)


def test_a_box_is_cut_off_at_the_edge_of_a_crop_and_lost_where_less_than_half_is_left() -> None:
    change = Change((100, 100), (20, 20, 100, 100))
    assert change.box((10, 30, 50, 70)) == (0, 12.5, 37.5, 62.5)
    assert change.box((0, 30, 30, 70)) is None
    assert change.box((0, 0, 10, 10)) is None
    assert change.box((0, 30, 30, 70), least=0.1) == (0, 12.5, 12.5, 62.5)


# Truths


@pytest.mark.parametrize(
    ("text", "sided"),
    [
        ("a dog on the left", True),
        ("the leftmost house", True),
        ("Left-hand side", True),
        ("What is on top of the roof?", True),
        ("north-eastern corner", True),
        ("in the south", True),
        ("two vertically parked cars", True),
        ("a man upside down", True),
        ("the bottom row", True),
        ("a man turns rightwards", True),
        ("a cat underneath a table", True),
        ("the eastern gate", True),
        ("a copyrighted photo of a brightly lit theft", False),
        ("leftovers on a plate at Easter", False),
        ("a laptop and an uppercut", False),
        ("", False),
    ],
)
def test_a_truth_that_names_a_side_is_known(text: str, sided: bool) -> None:
    flipped = Change((10, 10), (0, 0, 10, 10), mirrored=True)
    assert bears_by_words([text], flipped) is not sided
    assert bears_by_words([text], Change((10, 10), (1, 1, 9, 9)))


def test_a_caption_that_names_a_side_is_shown_unturned_and_others_turned(tmp_path: Path) -> None:
    made = AugmentedLessons(records(tmp_path, "a cat on the left", "a cat"), PROMPT, CAPTIONS, ("flip", "rotate90"), 0)
    sided = {made.visited(0, visit).images[0].tobytes() for visit in range(20)}
    assert sided == {Image.open(tmp_path / "0.png").tobytes()}
    assert len({made.visited(1, visit).images[0].tobytes() for visit in range(40)}) == 8
    cropped = AugmentedLessons(made.samples, PROMPT, CAPTIONS, ("flip", "crop"), 0)
    first = cropped.visited(0, 0).images[0]
    assert first.tobytes() == draw(("crop",), 0, "s0", 0).image(Image.open(tmp_path / "0.png")).tobytes()


def test_boxes_of_a_kind_follow_and_a_lost_box_gives_up_the_crop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def augmented(fields: dict[str, Any], change: Change) -> dict[str, Any] | None:
        box = change.box(fields["box"], least=0.99)
        return None if box is None else {"references": [str([round(v) for v in box])]}

    kind = tasks.load("captioning")
    given_by = kind.get
    monkeypatch.setattr(kind, "get", lambda name, *rest: augmented if name == "augmented" else given_by(name, *rest))
    samples = records(tmp_path, "x")
    for box, always in (((8, 6, 16, 10), True), ((0, 0, 24, 1), False)):
        samples[0]["box"] = box
        made = AugmentedLessons(samples, PROMPT, CAPTIONS, WORDS, 1)
        for visit in range(12):
            drawn = draw(WORDS, 1, "s0", visit)
            drawn = drawn if always else Drawn(mirrored=drawn.mirrored, turns=drawn.turns, factors=drawn.factors)
            lesson, change = made.visited(0, visit), drawn.of((24, 16))
            assert lesson.answer == str([round(v) for v in change.box(box) or ()])
            assert lesson.images[0].tobytes() == drawn.image(Image.open(tmp_path / "0.png")).tobytes()


def test_all_pictures_of_a_sample_are_changed_alike(tmp_path: Path) -> None:
    one, two = records(tmp_path, "before", "after")
    paths = [one["image"], two["image"]]
    pair = {"id": "p", "images": paths, "sha256s": [one["sha256"], two["sha256"]], "references": ["a house is new"]}
    made = AugmentedLessons([pair], PROMPT, CAPTIONS, WORDS, 5)
    for visit in range(6):
        drawn = draw(WORDS, 5, "p", visit)
        shown = [image.tobytes() for image in made.visited(0, visit).images]
        assert shown == [drawn.image(Image.open(path)).tobytes() for path in paths]


def test_copies_of_a_sample_that_was_drawn_several_times_are_visits_of_it(tmp_path: Path) -> None:
    first, second = records(tmp_path, "a cat", "a dog")
    once = lessons([first, second], PROMPT, CAPTIONS, WORDS, 0)
    twice = lessons([first, first, second], PROMPT, CAPTIONS, WORDS, 0)
    assert isinstance(once, AugmentedLessons) and isinstance(twice, AugmentedLessons)
    shown = [once.visited(0, visit).images[0].tobytes() for visit in range(4)]
    assert [twice.visited(i, v).images[0].tobytes() for v in (0, 1) for i in (0, 1)] == shown
    assert twice.visited(2, 1).images[0].tobytes() == once.visited(1, 1).images[0].tobytes()


def test_without_words_lessons_are_as_they_were(tmp_path: Path) -> None:
    samples = records(tmp_path, "a cat")
    assert type(lessons(samples, PROMPT, CAPTIONS, [], 0)) is Lessons
    augmented = lessons(samples, PROMPT, CAPTIONS, WORDS, 0)
    assert augmented[0].images[0].tobytes() == Image.open(tmp_path / "0.png").tobytes()  # what probes look at


# What is refused, and what a cell is


def config(kind: str, *words: str, **task: Any) -> Config:
    return Config(
        task=TaskSpec(kind, kind, **task),
        method=MethodSpec("full", trains="all"),
        train=TrainSpec(augment=list(words)),
    )


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("geolocation", ["flip", "colour"], "flip would make the truth of task 'geolocation' wrong"),
        ("geolocation", ["crop"], "it bears colour"),
        ("vqa", ["crop", "flip"], r"augment=\[flip\] is what is left"),
        ("text_question", ["colour"], "shows none"),
        ("classification", ["flip", "rotate90", "crop", "colour"], ""),
        ("geolocation", ["colour"], ""),
    ],
)
def test_a_change_that_makes_a_truth_wrong_is_refused_when_planning(kind: str, words: list[str], said: str) -> None:
    found = "; ".join(untrainable(config(kind, *words), None))
    assert ("train.augment" in found) is bool(said)
    if said:
        import re

        assert re.search(said, found)


def test_the_order_of_the_words_makes_no_other_cell_and_none_leaves_ids_alone() -> None:
    def identity(*words: str) -> dict[str, Any]:
        return identity_of(clear_inactive(config("vqa", *words), "finetune"), "finetune")

    assert identity("flip", "colour") == identity("colour", "flip", "flip") != identity("flip")
    assert "augment" not in identity().get("train", {})
