"""BLIP's captioner and question answerer: what is public about them, and what is particular to them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from conftest import model_spec
from PIL import Image

from paceline.config.schema import GenerationSpec
from paceline.errors import UserError
from paceline.gpu_memory import count_shape
from paceline.gpu_memory.image_tokens import see
from paceline.models import hub_files, load_family
from paceline.models.conversation import Conversation
from paceline.models.generate import generate


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("blip_caption_large", {"vision": 303_690_752, "language": 142_599_740}),
        ("blip_vqa_base", {"vision": 86_090_496, "language": 275_139_644}),
    ],
)
def test_the_published_models_have_so_many_parameters(name: str, counts: dict[str, int]) -> None:
    shape = count_shape.count(model_spec(name))
    assert shape.parameters == counts
    assert shape.positions == 512
    assert see(shape.image, {}, (640, 480)).states == 577  # 24 × 24 patches and a class token


def test_blip_larges_file_has_the_published_size() -> None:
    """1,879,014,680 bytes in float32, with the output layer stored beside the embeddings, and a header."""
    shape = count_shape.count(model_spec("blip_caption_large"))
    tensors = 4 * (shape.total + shape.embedding) + 8 * shape.positions  # the places' numbers were stored too
    assert 0 < 1_879_014_680 - tensors < 200 * 1024


def test_a_caption_goes_on_from_the_prefix_which_is_no_part_of_the_answer(photo: Callable[..., Image.Image]) -> None:
    family = load_family("blip").load(model_spec("tiny_blip"))
    plain, begun = (Conversation("", [photo(40, 40)], prefix=prefix) for prefix in ("", "a photo of"))
    start = family.model.config.text_config.bos_token_id
    words = family.tokenizer("a photo of", add_special_tokens=False)["input_ids"]
    assert family.batch([plain])["input_ids"].tolist() == [[start]]
    assert family.batch([begun])["input_ids"].tolist() == [[start, *words]]
    one, other = generate(family, [plain, begun], GenerationSpec(new_tokens=6), [0, 0])
    assert one.text != other.text
    assert not other.text.startswith("a photo of")
    assert (one.prompt_tokens, other.prompt_tokens) == (1, 1 + len(words))


@pytest.mark.parametrize("prefix", ["", "a photo of"])
def test_it_captions_as_the_librarys_network_does(
    prefix: str, photo: Callable[..., Image.Image], tmp_path: Path
) -> None:
    family = load_family("blip").load(model_spec("tiny_blip"))
    family.save(family.model, tmp_path)
    plain = transformers.BlipForConditionalGeneration.from_pretrained(tmp_path, attn_implementation="eager").eval()
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    picture = photo(50, 40)
    given = processor(images=picture, text=prefix or None, return_tensors="pt")
    told = plain.generate(**given, max_new_tokens=8, do_sample=False)[0].tolist()
    (answer,) = generate(family, [Conversation("", [picture], prefix=prefix)], GenerationSpec(new_tokens=8), [0])
    assert processor.decode(told, skip_special_tokens=True) == prefix + answer.text


def test_it_answers_as_the_librarys_network_does_and_costs_the_same(
    photo: Callable[..., Image.Image], tmp_path: Path
) -> None:
    family = load_family("blip_vqa").load(model_spec("tiny_blip_vqa"))
    family.save(family.model, tmp_path)
    plain = transformers.AutoModelForVisualQuestionAnswering.from_pretrained(tmp_path, attn_implementation="eager")
    assert type(plain) is transformers.BlipForQuestionAnswering
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    asked = Conversation("Where was this?", [photo(50, 40)], answer="Paris")
    given = dict(processor(images=asked.images[0], text=asked.prompt, return_tensors="pt"))
    told = plain.eval().generate(**given, max_new_tokens=8, do_sample=False)[0].tolist()
    (answer,) = generate(family, [asked], GenerationSpec(new_tokens=8), [0])
    assert processor.decode(told, skip_special_tokens=True) == answer.text
    lesson = family.training_batch([asked])
    with torch.inference_mode():
        cost = plain(**given, decoder_input_ids=lesson["decoder_input_ids"], labels=lesson["labels"]).loss
        assert torch.allclose(cost, family.model(**lesson).loss, atol=1e-6)


def test_each_refuses_the_others_weights_when_planning_and_when_loading(tmp_path: Path) -> None:
    """The library's captioner reads the answerer's files without a word, as far as names agree."""
    for name, other, has in (
        ("blip_vqa", "blip", "BlipForQuestionAnswering"),
        ("blip", "blip_vqa", "BlipForConditionalGeneration"),
    ):
        twin = model_spec(f"tiny_{name}")
        family = load_family(name).load(twin)
        family.save(family.model, tmp_path / name)
        assert json.loads((tmp_path / name / "config.json").read_text())["architectures"] == [has]
        spec = dataclasses.replace(twin, weights=str(tmp_path / name), config={})
        assert hub_files.lacking(spec) == ""
        wrong = dataclasses.replace(spec, family=other)
        assert f"architectures '{has}'" in hub_files.lacking(wrong)
        with pytest.raises(UserError, match=f"architectures '{has}', and family '{other}' reads"):
            load_family(other).load(wrong)


def test_a_question_longer_than_the_positions_is_refused(photo: Callable[..., Image.Image]) -> None:
    family = load_family("blip_vqa").load(model_spec("tiny_blip_vqa"))
    with pytest.raises(UserError, match="reads questions of at most 512 tokens; 'zzz"):
        family.batch([Conversation("z" * 600, [photo(8, 8)]), Conversation("Why?", [photo(8, 8)])])
