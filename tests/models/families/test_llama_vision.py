"""Llama 3.2 Vision: what its prompts look like, which tokens see which tiles, and that its gates let something in."""

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

SPEC = model_spec("tiny_llama32_vision")
# What the published template does and the twin's does not: it refuses a system's turn beside an image, and writes
# today's date into a prompt without one.
STRICT = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{% set seen = namespace(image=false) %}"
    "{% for m in messages %}{% for part in m.content %}{% if part.type == 'image' %}"
    "{% set seen.image = true %}{% endif %}{% endfor %}{% endfor %}"
    "{% if seen.image and messages[0].role == 'system' %}{{ raise_exception('images and a system turn') }}{% endif %}"
    "{{ bos_token }}{% if not seen.image %}<|start_header_id|>system<|end_header_id|>\n\nToday: {{ date_string }}\n\n"
    "{% if messages[0].role == 'system' %}{{ messages[0].content | trim }}{% endif %}<|eot_id|>{% endif %}"
    "{% for m in messages %}{% if m.role != 'system' %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{% for part in m.content %}{% if part.type == 'image' %}<|image|>{% else %}{{ part.text | trim }}{% endif %}"
    "{% endfor %}<|eot_id|>{% endif %}{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n"
)


@pytest.fixture(scope="module")
def family() -> Family:
    return load_family("llama_vision").load(SPEC)


@pytest.fixture
def strict(family: Family, monkeypatch: pytest.MonkeyPatch) -> Family:
    monkeypatch.setattr(family.processor, "chat_template", STRICT)
    return family


@pytest.fixture
def base(family: Family, monkeypatch: pytest.MonkeyPatch) -> Family:
    monkeypatch.setattr(family.processor, "chat_template", None)
    return family


def test_a_systems_turn_opens_the_users_where_the_template_refuses_it(
    strict: Family, photo: Callable[..., Image.Image]
) -> None:
    text = strict.render(Conversation("Where?", [photo(32, 32)], system="Be short."))
    assert "user<|end_header_id|>\n\n<|image|>Be short.\n\nWhere?<|eot_id|>" in text
    shot = Conversation("Which?", [photo(32, 32)], answer="a")
    text = strict.render(Conversation("Where?", system="Be short.", shots=[shot]))
    assert text.index("Be short.") < text.index("Which?") < text.index("Where?")


def test_without_an_image_the_system_keeps_its_turn_and_the_date_stands_still(strict: Family) -> None:
    text = strict.render(Conversation("What is a map?", system="Be short."))
    assert "system<|end_header_id|>\n\nToday: 26 Jul 2024\n\nBe short.<|eot_id|>" in text


def test_a_prompt_begins_once(strict: Family, photo: Callable[..., Image.Image]) -> None:
    for template in (STRICT, None):
        strict.processor.chat_template = template
        for images in ([], [photo(32, 32)], [photo(32, 32), photo(64, 32)]):
            ids = strict.batch([Conversation("Where?", images)])["input_ids"]
            assert int((ids == strict.tokenizer.bos_token_id).sum()) == 1


def test_the_base_models_text_begins_behind_its_first_images(base: Family, photo: Callable[..., Image.Image]) -> None:
    image = photo(32, 32)
    assert base.render(Conversation("Where?", [image, image])) == "<|image|><|image|><|begin_of_text|>Where?\n"
    assert base.render(Conversation("Why?")) == "<|begin_of_text|>Why?\n"
    shot = Conversation("Where?", [image], answer="a")
    assert base.render(Conversation("And?", [image], shots=[shot])) == (
        "<|image|><|begin_of_text|>Where?\na\n\n<|image|>And?\n"
    )


def test_a_batch_is_the_processors(family: Family, photo: Callable[..., Image.Image]) -> None:
    conversations = [
        Conversation("Where was this photo taken?", [photo(64, 64, 1)]),
        Conversation("Which?", [photo(90, 20, 2), photo(20, 60, 3)]),
    ]
    texts = [family.render(c) for c in conversations]
    options = {"padding": True, "padding_side": "left", "add_special_tokens": False, "return_tensors": "pt"}
    theirs = family.processor(images=[c.images for c in conversations], text=texts, **options)
    ours = family.batch(conversations)
    assert ours.keys() == set(theirs.keys())
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_a_token_sees_the_image_before_it_and_images_side_by_side_together(
    family: Family, photo: Callable[..., Image.Image]
) -> None:
    shot = Conversation("One?", [photo(32, 32)], answer="a")
    batch = family.batch([Conversation("Two?", [photo(64, 32), photo(64, 64)], shots=[shot])])
    places = (batch["input_ids"][0] == family.processor.image_token_id).nonzero().flatten().tolist()
    mask = batch["cross_attention_mask"][0]
    tiles = mask.sum(dim=(1, 2)).tolist()
    first, second, third = places
    assert third == second + 1
    assert set(tiles[:first]) == {0}
    assert set(tiles[first:second]) == {1}
    assert set(tiles[third:]) == {2 + 4}


def test_a_question_is_not_moved_by_the_images_of_its_neighbours(
    family: Family, photo: Callable[..., Image.Image]
) -> None:
    """The header before an image sees nothing: neither its own tiles nor the empty places of the batch."""
    asked = [Conversation("Where?", [photo(32, 32, 1)]), Conversation("Why?")]
    beside = Conversation("Which of these?", [photo(90, 40, 2), photo(64, 64, 3)])
    settings = GenerationSpec(new_tokens=8)
    alone = [generate(family, [c], settings, [0])[0] for c in asked]
    assert generate(family, [*asked, beside], settings, [0, 0, 0])[:2] == alone


def test_closed_gates_let_nothing_in_which_is_why_a_twins_are_open(photo: Callable[..., Image.Image]) -> None:
    family = load_family("llama_vision").load(SPEC)
    asked = [Conversation("Where?", [photo(32, 32, seed)]) for seed in (1, 2)]

    def logits() -> list[torch.Tensor]:
        with torch.inference_mode():
            return [family.model(**family.batch([c])).logits[0, -1] for c in asked]

    one, other = logits()
    assert not torch.allclose(one, other, atol=1e-3)
    with torch.no_grad():
        for name, parameter in family.model.named_parameters():
            if name.endswith(("cross_attn_attn_gate", "cross_attn_mlp_gate")):
                parameter.zero_()
    assert torch.equal(*logits())


def test_the_image_token_is_never_said(family: Family) -> None:
    assert family.model.get_output_embeddings().out_features == family.processor.image_token_id


def test_features_keep_the_tiles_that_an_image_fills(family: Family, photo: Callable[..., Image.Image]) -> None:
    found = family.features([photo(32, 32), photo(64, 32), photo(64, 64)])
    assert [len(f.states) for f in found] == [1, 2, 4]
    assert {tuple(f.states.shape[1:]) for f in found} == {(17, 128)}


def test_an_instructed_model_trains_on_the_end_of_its_turn(family: Family) -> None:
    batch = family.training_batch([dataclasses.replace(Conversation("Why?"), answer="So.")])
    assert family.tokenizer.decode(batch["labels"][0, -1]) == "<|eot_id|>"
