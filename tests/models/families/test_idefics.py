"""IDEFICS: plain text or a dialogue, which image a token sees, and a loss over all of its words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from conftest import model_spec
from PIL import Image

from paceline.config.schema import GenerationSpec
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.generate import generate

SPEC = model_spec("tiny_idefics")


@pytest.fixture(scope="module")
def family() -> Family:
    return load_family("idefics").load(SPEC)


@pytest.fixture(scope="module")
def instructed() -> Family:
    return load_family("idefics").load(dataclasses.replace(SPEC, config={**SPEC.config, "additional_vocab_size": 3}))


def test_a_batch_is_the_processors(family: Family, photo: Callable[..., Image.Image]) -> None:
    one, two, three = photo(64, 64, 1), photo(90, 40, 2), photo(20, 60, 3)
    shot = Conversation("Where?", [three], answer="(1.5, 2.5)")
    ours = family.batch(
        [
            Conversation("Where was this photo taken?", [one]),
            Conversation("Which?", [one, two]),
            Conversation("Why?"),
            Conversation("And?", [two], shots=[shot]),
        ]
    )
    prompts = [
        [one, "Where was this photo taken?\n"],
        [one, two, "Which?\n"],
        ["Why?\n"],
        [three, "Where?\n(1.5, 2.5)\n", two, "And?\n"],
    ]
    theirs = family.processor(text=prompts, padding=True, padding_side="left")
    assert ours.keys() == set(theirs.keys())
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_a_batch_without_an_image_is_the_processors(family: Family) -> None:
    theirs = family.processor(text=[["Why?\n"], ["What is a map?\n"]], padding=True, padding_side="left")
    for name, tensor in family.batch([Conversation("Why?"), Conversation("What is a map?")]).items():
        assert torch.equal(tensor, theirs[name].to(tensor.dtype)), name


def test_a_prompt_that_is_a_web_address_is_text(family: Family) -> None:
    asked = Conversation("https://nowhere.invalid/image.png")
    assert "nowhere.invalid" in family.decode(family.batch([asked])["input_ids"][0])
    assert (family.batch([asked])["input_ids"] == family.processor.image_token_id).sum() == 0


def test_of_two_images_the_question_sees_the_second(family: Family, photo: Callable[..., Image.Image]) -> None:
    batch = family.batch([Conversation("Which?", [photo(32, 32, 1), photo(32, 32, 2)])])
    first, second = (batch["input_ids"][0] == family.processor.image_token_id).nonzero().flatten().tolist()
    seen = batch["image_attention_mask"][0]
    assert seen[:first].sum() == 0
    assert seen[first:second].tolist() == [[1, 0]] * (second - first)
    assert seen[second:].tolist() == [[0, 1]] * (len(seen) - second)


def test_the_loss_counts_the_words_behind_the_vocabulary(instructed: Family) -> None:
    """The end of an utterance is one of them: the library's own loss fails on it."""
    lesson = instructed.training_batch([Conversation("Why?", answer="So.")])
    assert instructed.tokenizer.decode(lesson["labels"][0, -1]) == "<end_of_utterance>"
    assert int(lesson["labels"][0, -1]) >= instructed.model.config.vocab_size
    output = instructed.model(**lesson)
    logits, labels = output.logits[0].float(), lesson["shift_labels"][0]
    assert torch.allclose(output.loss, torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100))


def test_an_instructed_model_is_asked_in_a_dialogue(instructed: Family, photo: Callable[..., Image.Image]) -> None:
    image = photo(32, 32)
    shot = Conversation("Where?", [image], answer="Bern.")
    around = "<fake_token_around_image><image><fake_token_around_image>"
    assert instructed.render(Conversation("And this?", [image], shots=[shot], system="Be short.")) == (
        f"<s>Be short.\nUser:{around}Where?<end_of_utterance>\nAssistant: Bern.<end_of_utterance>\n"
        f"User:{around}And this?<end_of_utterance>\nAssistant:"
    )
    assert instructed.stops == ()
    assert instructed.tokenizer.convert_ids_to_tokens(instructed.end_tokens[0]) == "<end_of_utterance>"


def test_the_base_model_answers_in_a_line(family: Family, photo: Callable[..., Image.Image]) -> None:
    assert family.stops == ("\n",)
    asked = [Conversation("Question: Which sport is this? Answer:", [photo(40, 40, seed)]) for seed in range(8)]
    for answer in generate(family, asked, GenerationSpec(new_tokens=30, temperature=1.5), list(range(8))):
        assert "\n" not in answer.text.strip()


def test_a_prompt_begins_once(family: Family, instructed: Family) -> None:
    for one in (family, instructed):
        ids = one.batch([Conversation("Why?"), Conversation("What is a map?")])["input_ids"]
        assert (ids == one.tokenizer.bos_token_id).sum(dim=1).tolist() == [1, 1]


def test_features_are_the_perceivers(family: Family, photo: Callable[..., Image.Image]) -> None:
    assert family.features([photo(64, 20)])[0].states.shape == (8, 64)


def test_without_a_perceiver_features_are_the_towers(photo: Callable[..., Image.Image]) -> None:
    plain = {**SPEC.config, "use_resampler": False}
    family = load_family("idefics").load(dataclasses.replace(SPEC, config=plain))
    picture = Conversation("Where?", [photo(32, 32)])
    kept = Conversation("Where?", list(family.features(picture.images)))
    settings = GenerationSpec(new_tokens=6)
    assert generate(family, [kept], settings, [0]) == generate(family, [picture], settings, [0])
