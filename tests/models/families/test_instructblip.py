"""InstructBLIP on Vicuna and on Flan-T5: what is public about them, and what is particular to them."""

from __future__ import annotations

import dataclasses
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

TWINS = {"instructblip": "tiny_instructblip", "instructblip_t5": "tiny_instructblip_t5"}


@pytest.mark.parametrize(
    ("name", "connector", "language"),
    [
        ("instructblip_flan_t5_xxl", 188_834_560, 11_135_332_352),  # Flan-T5-XXL's published count
        ("instructblip_vicuna_13b", 189_622_016, 13_015_864_320 + 2 * 64 * 5120),  # Llama 13B's, with 64 words more
    ],
)
def test_the_published_models_have_so_many_parameters(name: str, connector: int, language: int) -> None:
    shape = count_shape.count(model_spec(name))
    assert shape.parameters == {"vision": 985_952_256, "connector": connector, "language": language}
    assert see(shape.image, {}, (640, 480)).tokens == 32


@pytest.mark.parametrize("family", TWINS)
def test_it_answers_as_the_librarys_network_does(
    family: str, photo: Callable[..., Image.Image], tmp_path: Path
) -> None:
    loaded = load_family(family).load(model_spec(TWINS[family]))
    loaded.save(loaded.model, tmp_path)
    plain = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    assert type(plain) is transformers.InstructBlipForConditionalGeneration
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    asked = Conversation("Where was this?", [photo(50, 40)], answer="Paris")
    given = dict(processor(images=asked.images[0], text=asked.prompt, return_tensors="pt"))
    ours = loaded.batch([asked])
    assert {name: tensor.tolist() for name, tensor in given.items() if name != "pixel_values"} == {
        name: ours[name].tolist() for name in given if name != "pixel_values"
    }
    assert torch.equal(given["pixel_values"], ours["pixel_values"])
    ends = {"eos_token_id": loaded.end_tokens, "pad_token_id": loaded.tokenizer.pad_token_id}
    plain.language_model.generation_config = transformers.GenerationConfig(
        **ends, decoder_start_token_id=loaded.start_token
    )
    told = plain.generate(**given, max_new_tokens=8, do_sample=False)[0]
    (answer,) = generate(loaded, [asked], GenerationSpec(new_tokens=8), [0])
    assert loaded.decode(told).strip().endswith(answer.text.strip())


@pytest.mark.parametrize("family", TWINS)
def test_the_question_changes_what_is_seen(family: str, photo: Callable[..., Image.Image]) -> None:
    loaded = load_family(family).load(model_spec(TWINS[family]))
    picture = photo(50, 40)

    def tokens(question: str) -> torch.Tensor:
        batch = loaded.batch([Conversation(question, [picture])])
        with torch.inference_mode():
            return loaded.model.tokens_of(
                batch["qformer_input_ids"], batch["qformer_attention_mask"], batch["pixel_values"]
            )

    assert tokens("Where?").shape == (1, 8, 128)
    assert not torch.allclose(tokens("Where?"), tokens("Which sport?"), atol=1e-5)


def test_each_refuses_the_others_weights_when_planning_and_when_loading(tmp_path: Path) -> None:
    for name, other, has in (("instructblip", "instructblip_t5", "llama"), ("instructblip_t5", "instructblip", "t5")):
        twin = model_spec(TWINS[name])
        family = load_family(name).load(twin)
        family.save(family.model, tmp_path / name)
        spec = dataclasses.replace(twin, weights=str(tmp_path / name), config={})
        assert hub_files.lacking(spec) == ""
        wrong = dataclasses.replace(spec, family=other)
        assert f"text_config.model_type '{has}'" in hub_files.lacking(wrong)
        with pytest.raises(UserError, match=f"text_config.model_type '{has}', and family '{other}' reads"):
            load_family(other).load(wrong)


def test_files_from_before_there_was_an_image_token_are_refused(photo: Callable[..., Image.Image]) -> None:
    family = load_family("instructblip").load(model_spec("tiny_instructblip"))
    family.model.config.image_token_index = None
    with pytest.raises(UserError, match=r"has no image_token_index.*take a later revision"):
        family.batch([Conversation("Why?", [photo(8, 8)])])


def test_a_question_longer_than_the_q_former_reads_is_refused(photo: Callable[..., Image.Image]) -> None:
    family = load_family("instructblip").load(model_spec("tiny_instructblip"))
    with pytest.raises(UserError, match="reads questions of at most 512 tokens; 'zzz"):
        family.batch([Conversation("z" * 600, [photo(8, 8)])])


def test_t5s_output_layer_is_its_own(tmp_path: Path) -> None:
    """The library ties that of a new T5 to the embeddings; Flan-T5's files hold both."""
    family = load_family("instructblip_t5").load(model_spec("tiny_instructblip_t5"))
    language = family.model.language_model
    assert not torch.equal(language.lm_head.weight, language.shared.weight)
    assert language.encoder.embed_tokens.weight is language.shared.weight
