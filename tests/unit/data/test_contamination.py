"""What is found of test data that is trained on in another form, and what is not: pictures and texts."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import fake_reader, silent
from PIL import Image, ImageOps

from paceline.cli.prepared_findings import leaks
from paceline.config.schema import TaskSpec
from paceline.data import leakage, prepare, samples, text_leakage, transfer_leakage
from paceline.data.readers import Progress, Sample
from paceline.data.text_leakage import Fields, near_twins
from paceline.report.read.report_notes import held_out
from paceline.store import files

PLAIN = Fields(("reference", "references"), (), "group")


def scene(seed: int, side: int = 160) -> Image.Image:
    """A picture with large and small shapes, like no other seed's, and as little like itself when turned."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    return Image.blend(coarse, Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)), 0.15)


def jpeg(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    return Image.open(stream).convert("RGB")


def cropped(image: Image.Image, share: float) -> Image.Image:
    edge = round(image.width * (1 - share) / 2)
    return image.crop((edge, edge, image.width - edge, image.height - edge))


FORMS: dict[str, tuple[Callable[[Image.Image], Image.Image], str]] = {
    "as it is": (lambda i: i, "pixels"),
    "JPEG": (jpeg, "looks"),
    "half the size": (lambda i: i.resize((80, 80)), "looks"),
    "nearly whole": (lambda i: cropped(i, 0.985), "looks"),
    "mirrored": (ImageOps.mirror, "turned"),
    "mirrored, half, JPEG": (lambda i: jpeg(ImageOps.mirror(i).resize((80, 80))), "turned"),
    "upside down": (lambda i: i.rotate(180), "turned"),
    "a quarter turn": (lambda i: i.rotate(90, expand=True), "turned"),
    "a quarter turn, mirrored": (lambda i: ImageOps.mirror(i.rotate(90, expand=True)), "turned"),
    # What is not found.
    "turned by 10 degrees": (lambda i: i.rotate(10), ""),
    "its middle": (lambda i: cropped(i, 0.7), ""),
    "inverted": (ImageOps.invert, ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_in_what_forms_a_trained_picture_is_known_again(form: str) -> None:
    change, kind = FORMS[form]
    shown = [*(("train", scene(n)) for n in range(12)), *(("test", change(scene(n))) for n in range(12))]
    records = [{"id": f"{n}", "split": split, "image": f"{n}", "sha256": f"{n}"} for n, (split, _) in enumerate(shown)]
    pixels = {str(n): image.tobytes().hex() for n, (_, image) in enumerate(shown)}
    thumbnails = [leakage.thumbnail(image) for _, image in shown]
    found = list(leakage.twins(records, thumbnails, "train", pixels.__getitem__, silent))
    expected = [(str(12 + n), str(n), kind) for n in range(12)] if kind else []
    assert [(twin.sample, twin.train, twin.kind) for twin in found] == expected


def test_other_pictures_are_no_turned_ones_of_each_other() -> None:
    records = [
        {"id": f"{n}", "split": "train" if n < 200 else "test", "image": f"{n}", "sha256": f"{n}"} for n in range(300)
    ]
    thumbnails = [leakage.thumbnail(scene(n, 64)) for n in range(300)]
    assert list(leakage.twins(records, thumbnails, "train", str, silent)) == []


# Texts

CAPTION = "Two brown dogs run along the wet beach, chasing a red ball."


def captions(*texts: str, split: str = "test") -> list[dict[str, Any]]:
    return [{"id": f"{split}{n}", "split": split, "image": "x", "references": [t]} for n, t in enumerate(texts)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (CAPTION, True),
        ("two brown dogs run along the wet beach chasing a red ball", True),
        ("  TWO brown dogs — run along the wet beach; chasing a 'red' ball!!", True),
        ("Ｔwo brown dogs run along the wet beach, chasing a red ball", True),
        (CAPTION + " Again.", True),
        ("A red ball is chased along the beach by two brown dogs.", False),
        ("Two brown dogs", False),
        ("Two grey cats run along the dry street, chasing a blue mouse.", False),
    ],
)
def test_a_caption_with_other_punctuation_or_a_word_more_is_known_again(text: str, found: bool) -> None:
    records = [*captions(CAPTION, "A man", split="train"), *captions("a short one", text)]
    twins = near_twins(records, lambda record: PLAIN, "train")
    assert [(t.sample, t.train, t.kind) for t in twins] == ([("test1", "train0", "words")] if found else [])


def test_questions_about_pictures_are_no_contamination_and_texts_that_are_asked_about_are() -> None:
    words = "How many residential buildings are there in the north of the image?"
    of_vqa = Fields(("question", "answer", "answers"), (), "sha256")
    asked = [{"id": s, "split": s, "image": s, "question": words, "answers": ["3"]} for s in ("train", "test")]
    assert near_twins(asked, lambda record: of_vqa, "train") == []
    of_text = Fields(("text", "question", "answer"), ("text",), "group")
    document = " ".join(f"word{n % 91} is {n}" for n in range(400))
    read = [{"id": s, "split": s, "text": document + end} for s, end in (("train", "."), ("test", "; the end"))]
    assert [t.kind for t in near_twins(read, lambda record: of_text, "train")] == ["words"]
    assert near_twins(read, lambda record: of_text, "train", {"test"}) == []


@given(st.integers(0, 10**6), st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_a_text_is_found_where_three_words_in_a_row_agree_by_three_quarters(seed: int, changed: int) -> None:
    rng = random.Random(seed)
    words = [f"w{rng.randrange(3000)}" for _ in range(60)]
    other = list(words)
    for at in rng.sample(range(60), changed):
        other[at] = "changed"
    agreement = text_leakage.agreement(" ".join(words), " ".join(other))
    records = [*captions(" ".join(words), split="train"), *captions(" ".join(other))]
    found = near_twins(records, lambda record: PLAIN, "train")
    if agreement < text_leakage.LEAST_AGREEMENT:
        assert found == []
    elif agreement > 0.8:  # at the threshold one of a hundred is missed
        assert [t.correlation for t in found] == [pytest.approx(agreement, abs=1e-4)]


def test_a_template_of_thousands_of_texts_costs_no_product(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    agreement = text_leakage.agreement
    monkeypatch.setattr(text_leakage, "agreement", lambda a, b: compared.append(1) or agreement(a, b))
    start = "this satellite image shows a scene with the land cover class number"
    records = [
        *captions(*(f"{start} {n}" for n in range(1000)), split="train"),
        *captions(*(f"{start} {n}" for n in range(1000, 1200))),
    ]
    assert len(near_twins(records, lambda record: PLAIN, "train")) == 200
    assert len(compared) <= 200 * 16 * 16


# What prepare and a report say


@pytest.fixture
def contaminated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, TaskSpec]:
    def read(options: object, images: Path, progress: Progress) -> Iterator[Sample]:
        for n in range(3):
            scene(n).save(images / f"train{n}.png")
            yield Sample(f"train{n}", "train", images / f"train{n}.png", {"references": [CAPTION, f"scene {n}"]})
        tests = (ImageOps.mirror(scene(0)), scene(7), scene(8))
        for n, (image, caption) in enumerate(zip(tests, (CAPTION, CAPTION.upper(), "a wide field"), strict=True)):
            image.save(images / f"test{n}.png")
            yield Sample(f"test{n}", "test", images / f"test{n}.png", {"references": [caption]})

    task = fake_reader(monkeypatch, read)  # type: ignore[arg-type]
    return tmp_path, TaskSpec("fake", "captioning", reader="fake", options=task.options)


def test_prepare_and_the_report_tell_what_was_found_and_the_remedy(contaminated: tuple[Path, TaskSpec]) -> None:
    root, task = contaminated
    manifest = prepare.prepare(root, task, silent)
    # A sample counts once, by the strongest form.
    assert manifest["leakage"] == {"test": {"bytes": 0, "pixels": 0, "looks": 0, "turned": 1, "words": 1}}
    named = list(files.read_jsonl(samples.dataset_folder(root, task) / "leakage.jsonl"))
    assert [(t["sample"], t["train"], t["kind"]) for t in named] == [
        ("test0", "train0", "turned"),
        ("test1", "train0", "words"),
    ]
    told = "\n".join(leaks(manifest["leakage"], "train", "x.jsonl"))
    assert "1 image of test is also in train, mirrored or turned (named in x.jsonl). To keep" in told
    assert "1 sample of test has a text of eight words or more that stands in train too" in told
    notes = "\n".join(held_out("fake", task, manifest))
    assert "mirrored or turned" in notes and "in nearly the same words" in notes


def test_two_tasks_are_compared_in_the_same_ways(contaminated: tuple[Path, TaskSpec]) -> None:
    root, task = contaminated
    prepare.prepare(root, task, silent)
    other = TaskSpec("other", "captioning", reader="fake", options=task.options, evaluate=["test"])
    assert transfer_leakage.compare(root, task, other, silent)["test"] == {
        "bytes": 0,
        "pixels": 0,
        "looks": 0,
        "turned": 1,
        "words": 1,
    }
