"""GIT: what is public about it, and what is particular to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from conftest import model_spec
from PIL import Image

from paceline.config.schema import GenerationSpec
from paceline.gpu_memory import count_shape
from paceline.gpu_memory.image_tokens import see
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.generate import generate


def test_the_published_model_has_so_many_parameters() -> None:
    shape = count_shape.count(model_spec("git_base_coco"))
    assert shape.parameters == {"vision": 85_799_424, "connector": 592_128, "language": 90_227_514}
    assert shape.positions == 1024
    assert see(shape.image, {}, (640, 480)).tokens == 197  # 14 × 14 patches and a class token


@pytest.mark.parametrize("prefix", ["", "a photo of"])
def test_it_captions_as_the_librarys_network_does_and_costs_the_same(
    prefix: str, photo: Callable[..., Image.Image], tmp_path: Path
) -> None:
    family = load_family("git").load(model_spec("tiny_git"))
    family.save(family.model, tmp_path)
    plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert type(plain) is transformers.GitForCausalLM
    asked = Conversation("", [photo(50, 40)], prefix=prefix, answer="Paris")
    given = family.batch([asked])
    assert given["input_ids"][0, 0] == family.tokenizer.cls_token_id
    told = plain.generate(**given, max_new_tokens=8, do_sample=False)[0].tolist()
    (answer,) = generate(family, [asked], GenerationSpec(new_tokens=8), [0])
    assert family.decode(told) == prefix + answer.text
    lesson = family.training_batch([asked])
    alike = {name: tensor for name, tensor in lesson.items() if name not in ("logits_to_keep", "shift_labels")}
    with torch.inference_mode():
        assert torch.allclose(plain(**alike).loss, family.model(**lesson).loss, atol=1e-5)


def test_the_images_tokens_are_counted_though_the_prompt_does_not_hold_them(photo: Callable[..., Image.Image]) -> None:
    family = load_family("git").load(model_spec("tiny_git"))
    (answer,) = generate(family, [Conversation("", [photo(50, 40)])], GenerationSpec(new_tokens=2), [0])
    assert answer.prompt_tokens == 17 + 1
