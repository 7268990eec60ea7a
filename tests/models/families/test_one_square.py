"""What captioners and answerers promise that see one image, scaled to a square: BLIP, BLIP-VQA, GIT, InstructBLIP."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import model_spec
from finetune_twin import FULL, attempt, config, curve, tune
from PIL import Image

from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.errors import FailedAudit, UserError
from paceline.inference.explain import explain
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.generate import generate
from paceline.training import audits

TWINS = ["tiny_blip", "tiny_blip_vqa", "tiny_git", "tiny_instructblip", "tiny_instructblip_t5"]
HOW = [
    GenerationSpec(new_tokens=8),
    GenerationSpec(new_tokens=8, beams=2),
    GenerationSpec(new_tokens=8, temperature=1.0, top_p=0.9),
    GenerationSpec(new_tokens=8, min_new_tokens=3, repetition_penalty=1.3),
]
# CLIP's mean and standard deviation of red, green and blue, which all of them were trained with.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@pytest.fixture(scope="module", params=TWINS)
def one(request: pytest.FixtureRequest) -> Family:
    spec: ModelSpec = model_spec(request.param)
    return load_family(spec.family).load(spec)


@pytest.fixture
def asked(one: Family, photo: Callable[..., Image.Image]) -> list[Conversation]:
    """Questions, or beginnings of captions, of unequal length."""
    words = ["Where was this photo taken?", "Where?", ""]
    told = ["(46.95, 7.44)", "Paris", "(0.0, 0.0)"]
    sizes = [(64, 64), (90, 40), (48, 80)]
    takes = "prompt" if "text" in one.spec.inputs else "prefix"
    rows = enumerate(zip(words, told, sizes, strict=True))
    return [Conversation(**{"prompt": "", takes: w}, images=[photo(*s, i)], answer=a) for i, (w, a, s) in rows]


@pytest.mark.parametrize("how", HOW, ids=["greedy", "beams", "sampled", "held_back"])
def test_a_batch_answers_as_its_samples_one_by_one_by_pixels_and_by_features(
    how: GenerationSpec, one: Family, asked: list[Conversation]
) -> None:
    seeds = [5, 6, 7]
    together = generate(one, asked, how, seeds)
    assert together == [generate(one, [c], how, [s])[0] for c, s in zip(asked, seeds, strict=True)]
    seen = [dataclasses.replace(c, images=list(one.features(c.images))) for c in asked]
    assert generate(one, seen, how, seeds) == together
    assert generate(one, [asked[0], seen[1], asked[2]], how, seeds) == together


def test_a_lesson_costs_the_same_by_pixels_and_by_features(one: Family, asked: list[Conversation]) -> None:
    seen = [dataclasses.replace(c, images=list(one.features(c.images))) for c in asked]
    with torch.inference_mode():
        losses = [float(one.model(**one.training_batch(c)).loss) for c in (asked, seen)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_tokens_are_counted_as_they_are_read(one: Family, asked: list[Conversation]) -> None:
    answers = generate(one, asked, GenerationSpec(new_tokens=4), [0, 0, 0])
    counts = one.tokens_read(one.batch(asked)).tolist()
    assert [a.prompt_tokens for a in answers] == counts
    assert counts[0] - counts[1] == len(
        one.tokenizer("Where was this photo taken?", add_special_tokens=False)["input_ids"]
    ) - len(one.tokenizer("Where?", add_special_tokens=False)["input_ids"])
    lessons = one.tokens_read(one.training_batch(asked)).tolist()
    said = [len(one.tokenizer(c.answer, add_special_tokens=False)["input_ids"]) + 1 for c in asked]
    assert lessons == [read + new for read, new in zip(counts, said, strict=True)]


def test_pictures_of_any_size_are_answered_alike_in_any_company(one: Family, photo: Callable[..., Image.Image]) -> None:
    sizes = [(1, 1), (1, 200), (200, 1), (3, 2), (640, 360), (33, 31)]
    mixed = [Conversation("Why?", [photo(*size, i)]) for i, size in enumerate(sizes)]
    how = GenerationSpec(new_tokens=4)
    assert generate(one, mixed, how, [0] * len(mixed)) == [generate(one, [c], how, [0])[0] for c in mixed]


def test_the_pixels_are_the_pictures_own_where_nothing_is_scaled(one: Family) -> None:
    picture = np.random.default_rng(3).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    expected = (picture / 255 - np.array(MEAN)) / np.array(STD)
    found = one.batch([Conversation("Why?", [Image.fromarray(picture)])])["pixel_values"][0].permute(1, 2, 0)
    assert np.abs(found.numpy() - expected).max() < 1e-5
    trained = one.training_batch([Conversation("Why?", [Image.fromarray(picture)], answer="a")])["pixel_values"][0]
    assert torch.equal(trained.permute(1, 2, 0), found)


def test_a_prompt_without_one_picture_is_refused(one: Family, photo: Callable[..., Image.Image]) -> None:
    for images, shown in (([], 0), ([photo(8, 8), photo(8, 8)], 2)):
        with pytest.raises(
            UserError, match=f"{one.spec.name} reads one image with each question, and was shown {shown}"
        ):
            one.batch([Conversation("Why?", images)])


def test_worked_examples_are_refused(one: Family, photo: Callable[..., Image.Image]) -> None:
    shot = Conversation("Where?", answer="there")
    with pytest.raises(UserError, match="reads one question and no earlier turns"):
        one.batch([Conversation("Why?", [photo(8, 8)], shots=[shot])])


def test_every_state_has_its_patch_and_the_class_token_none(one: Family, photo: Callable[..., Image.Image]) -> None:
    picture = photo(96, 32)
    (seen,) = one.features([picture])
    boxes = one.layout(picture, seen)
    assert boxes.shape == (17, 4)
    assert boxes[0].isnan().all()
    left, top, right, bottom = boxes[1:, 0].min(), boxes[1:, 1].min(), boxes[1:, 2].max(), boxes[1:, 3].max()
    # GIT sees the middle square.
    assert (float(left), float(right)) == pytest.approx((1 / 3, 2 / 3) if one.spec.family == "git" else (0, 1))
    assert (float(top), float(bottom)) == pytest.approx((0, 1))


def test_an_answer_is_explained(one: Family, asked: list[Conversation]) -> None:
    found = explain(one, asked[0], "Paris")
    assert found.prompt_tokens == int(one.tokens_read(one.batch(asked[:1])).sum())
    assert float(found.relevance.sum()) == pytest.approx(found.log_probability - found.without_all, abs=0.05)


def test_labels_that_are_not_the_answer_are_found(
    one: Family, asked: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [found.text for found in audits.labels(one, asked)] == [
        f"{c.answer}{one.tokenizer.convert_ids_to_tokens(one.end_tokens[0])}" for c in asked
    ]
    make = one.training_batch

    def shifted(lessons: list[Conversation], by: int) -> dict[str, torch.Tensor]:
        batch = make(lessons)
        return {**batch, "labels": batch["labels"].roll(by, dims=1)}

    for by in (-1, 1):
        monkeypatch.setattr(one, "training_batch", lambda lessons, by=by: shifted(lessons, by))
        with pytest.raises(FailedAudit, match="mislabels sample 1"):
            audits.labels(one, asked)


def test_micro_batches_weigh_by_their_tokens(one: Family, tmp_path: Path) -> None:
    """The network's own mean over each micro-batch would weigh a batch of short answers as one of long ones."""
    whole, parts = (config(FULL, model=one.spec, max_steps=2, batch=4, micro_batch=micro) for micro in (4, 1))
    tune(attempt(tmp_path / "whole", whole))
    tune(attempt(tmp_path / "parts", parts))
    for step, point in curve(tmp_path / "whole").items():
        other = curve(tmp_path / "parts")[step]
        assert point["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert point["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)
