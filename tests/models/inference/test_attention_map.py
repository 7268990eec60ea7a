"""Attention maps show where a decoder looks on its image, in models whose decoders look by cross-attention."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import TWINS, model_spec
from PIL import Image

from paceline.config.schema import GenerationSpec
from paceline.errors import UserError
from paceline.inference import attention_map
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.registry import says

LOOKING = [name for name in TWINS if says(model_spec(name).family, "cross_attention", ())]


@pytest.fixture(scope="module", params=LOOKING)
def looking(request: pytest.FixtureRequest) -> Family:
    spec = model_spec(request.param)
    return load_family(spec.family).load(spec)


def asked(family: Family, image: Image.Image) -> Conversation:
    return Conversation("What is it?" if "text" in family.spec.inputs else "", [image])


def test_the_captioners_of_the_studies_have_one() -> None:
    assert {model_spec(name).family for name in LOOKING} == {"blip", "blip_vqa", "vision_encoder_decoder"}


def test_a_map_is_a_share_of_the_attention_of_each_place(looking: Family, photo: Callable[..., Image.Image]) -> None:
    question = asked(looking, photo(64, 64, 1))
    (given,) = looking.answer([question], GenerationSpec(new_tokens=5), [0])
    found = attention_map.explain(looking, question, given.text)
    placed = ~found.boxes.isnan().any(dim=1)
    assert (found.relevance[placed] > 0).all()
    # The class token has the rest.
    assert 0.5 < float(found.relevance.sum()) < 1
    assert not found.sums
    assert found.prompt_tokens == given.prompt_tokens


def test_a_part_of_an_answer_has_its_own_attention(looking: Family, photo: Callable[..., Image.Image]) -> None:
    question, answer = asked(looking, photo(64, 64, 1)), "a large map"
    whole = attention_map.explain(looking, question, answer).relevance
    words = [attention_map.explain(looking, question, answer, span).relevance for span in ((0, 1), (1, 7), (7, 11))]
    counts = [len(attention_map.States(looking, question, answer, span).chosen) for span in ((0, 1), (1, 7), (7, 11))]
    mean = sum(n * one for n, one in zip(counts, words, strict=True)) / sum(counts)
    assert torch.allclose(mean, whole, atol=1e-6)
    assert not torch.allclose(words[0], words[2])


def test_looking_changes_no_later_answer(looking: Family, photo: Callable[..., Image.Image]) -> None:
    question = asked(looking, photo(64, 64, 1))
    before = looking.bare_model().config._attn_implementation
    given = looking.answer([question], GenerationSpec(new_tokens=5), [0])
    attention_map.explain(looking, question, "a map")
    assert looking.bare_model().config._attn_implementation == before
    assert looking.answer([question], GenerationSpec(new_tokens=5), [0]) == given


def test_a_decoder_that_reads_image_and_text_as_one_has_none(photo: Callable[..., Image.Image]) -> None:
    family = load_family("qwen2_vl").load(model_spec("tiny_qwen2_vl"))
    with pytest.raises(UserError, match=r"no attention map.*blip.*--method shapley"):
        attention_map.explain(family, Conversation("?", [photo(32, 32)]), "a")
