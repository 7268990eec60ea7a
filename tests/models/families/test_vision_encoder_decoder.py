"""ViT and GPT-2: the published captioner, and two models that were trained alone, joined."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import model_spec
from PIL import Image
from safetensors.torch import load_file, save_file

from paceline.config.schema import GenerationSpec, MethodSpec, ModelSpec, PartSpec, PartsSpec
from paceline.errors import UserError
from paceline.gpu_memory.count_shape import count
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.families.vision_encoder_decoder import VisionEncoderDecoder
from paceline.models.generate import generate
from paceline.models.hub_files import lacking
from paceline.training import adapters

FAMILY = VisionEncoderDecoder


def published_vit(names: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A ViT's tensors under the names of google/vit-base-patch16-224-in21k."""
    back = (
        (r"^layers\.", "encoder.layer."),
        (r"\.attention\.q_proj\.", ".attention.attention.query."),
        (r"\.attention\.k_proj\.", ".attention.attention.key."),
        (r"\.attention\.v_proj\.", ".attention.attention.value."),
        (r"\.attention\.o_proj\.", ".attention.output.dense."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
    )
    renamed = {}
    for name, tensor in names.items():
        for pattern, new in back:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    return renamed


def published_gpt2(names: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """GPT-2's tensors as openai-community/gpt2 has them: without a prefix, and with a mask in each layer."""
    plain = {n.removeprefix("transformer."): t for n, t in names.items() if not n.startswith("lm_head")}
    return plain | {f"h.{i}.attn.bias": torch.ones(1, 1, 8, 8).tril() for i in range(2)}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders as the hub has the study's models."""
    folder = tmp_path_factory.mktemp("parts")
    spec = model_spec("tiny_joined")
    processor = FAMILY.make_twin(spec, folder)
    processor.image_processor.save_pretrained(folder / "vision")
    processor.tokenizer.save_pretrained(folder / "language")
    for name, rename in (("vision", published_vit), ("language", published_gpt2)):
        path = folder / name / "model.safetensors"
        save_file(rename(load_file(path)), path, metadata={"format": "pt"})
    return folder


def joined(parts: Path, **changed: Any) -> ModelSpec:
    given = PartsSpec(PartSpec(str(parts / "vision")), PartSpec(str(parts / "language")), **changed)
    return ModelSpec(name="mine", family="vision_encoder_decoder", parts=given, inputs=["image"], dtype="float32")


def state(family: Any) -> dict[str, torch.Tensor]:
    return dict(family.model.state_dict())


@pytest.mark.parametrize("name", ["vit_gpt2", "vit_gpt2_joined"])
def test_the_published_models_have_their_published_number_of_parameters(name: str) -> None:
    counted = count(dataclasses.replace(model_spec(name)))
    assert counted.parameters == {"vision": 86_389_248, "language": 124_439_808, "connector": 28_366_848}
    assert counted.image["states"] == 197  # 14 × 14 patches and a token of the class


def test_parts_are_joined_from_files_as_the_hub_has_them(parts: Path) -> None:
    assert lacking(joined(parts)) == ""
    found = state(FAMILY.load(joined(parts)))
    for name, rename, prefix in (("vision", published_vit, "encoder"), ("language", published_gpt2, "decoder")):
        stored = load_file(parts / name / "model.safetensors")
        own = {n.removeprefix(f"{prefix}."): t for n, t in found.items() if n.startswith(f"{prefix}.")}
        same = {n: t for n, t in rename(own).items() if n in stored and "attn.bias" not in n}
        assert {n for n in stored if "attn.bias" not in n} == set(same)
        assert all(torch.equal(tensor, stored[n]) for n, tensor in same.items())
    assert torch.equal(found["decoder.lm_head.weight"], found["decoder.transformer.wte.weight"])


def test_what_no_part_brings_is_drawn_from_the_models_own_seed(parts: Path) -> None:
    torch.manual_seed(1)
    one = FAMILY.load(joined(parts))
    torch.manual_seed(2)
    again, other = state(FAMILY.load(joined(parts))), state(FAMILY.load(joined(parts, seed=5)))
    assert all(torch.equal(tensor, again[name]) for name, tensor in state(one).items())
    differing = {name for name, tensor in state(one).items() if not torch.equal(tensor, other[name])}
    assert {one.component_of(name) for name in differing} == {"connector"}
    assert "18 tensors that no part brings (decoder.transformer.h.0.crossattention.c_attn.weight" in one.new_weights
    # The same on every machine: a value of a uniform spread, by its name.
    weight = state(one)["decoder.transformer.h.0.crossattention.c_attn.weight"]
    assert weight.std() == pytest.approx(0.06, rel=0.02)
    assert weight.flatten()[:2].tolist() == pytest.approx(DRAWN, abs=1e-7)


DRAWN = [0.09606238454580307, 0.024033522233366966]


def test_a_tensor_that_a_part_lacks_is_refused_by_its_name(parts: Path, tmp_path: Path) -> None:
    for name in ("vision", "language"):
        (tmp_path / name).symlink_to(parts / name)
    (tmp_path / "vision").unlink()
    (tmp_path / "vision").mkdir()
    for path in (parts / "vision").iterdir():
        if path.suffix == ".json":
            (tmp_path / "vision" / path.name).write_bytes(path.read_bytes())
    tensors = load_file(parts / "vision" / "model.safetensors")
    del tensors["layernorm.weight"]
    save_file(tensors, tmp_path / "vision" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"not there, and would be random: 1 tensor \(encoder\.layernorm\.weight\)"):
        FAMILY.load(joined(tmp_path))


def test_a_part_without_what_pools_a_picture_is_whole(parts: Path, tmp_path: Path) -> None:
    """A ViT that was trained to classify comes without the pooler, which the decoder does not look at."""
    (tmp_path / "language").symlink_to(parts / "language")
    (tmp_path / "vision").mkdir()
    for path in (parts / "vision").glob("*.json"):
        (tmp_path / "vision" / path.name).write_bytes(path.read_bytes())
    tensors = {n: t for n, t in load_file(parts / "vision" / "model.safetensors").items() if "pooler" not in n}
    save_file(tensors, tmp_path / "vision" / "model.safetensors", metadata={"format": "pt"})
    one, other = state(FAMILY.load(joined(tmp_path))), state(FAMILY.load(joined(tmp_path)))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_captioner_is_read_under_its_published_names(tmp_path: Path, photo: Callable[..., Image.Image]) -> None:
    twin = FAMILY.load(model_spec("tiny_vit_gpt2"))
    twin.save(twin.model, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    vision = {n.removeprefix("encoder."): t for n, t in tensors.items() if n.startswith("encoder.")}
    renamed = {f"encoder.{n}": t for n, t in published_vit(vision).items()}
    renamed |= {n: t for n, t in tensors.items() if not n.startswith("encoder.")}
    save_file(renamed, tmp_path / "model.safetensors", metadata={"format": "pt"})
    spec = dataclasses.replace(twin.spec, weights=str(tmp_path), config={})
    assert all(torch.equal(t, state(twin)[n]) for n, t in state(FAMILY.load(spec)).items())


def test_the_decoder_begins_as_the_published_one(tmp_path: Path) -> None:
    twin = FAMILY.load(model_spec("tiny_vit_gpt2"))
    assert twin.tokenizer.convert_ids_to_tokens(twin.start_token) == "<|endoftext|>"
    twin.save(twin.model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "decoder_start_token_id": 7}))
    spec = dataclasses.replace(twin.spec, weights=str(tmp_path), config={})
    assert FAMILY.load(spec).start_token == 7


def test_pixels_are_scaled_to_minus_one_and_one() -> None:
    twin = FAMILY.load(model_spec("tiny_vit_gpt2"))
    image = Image.new("RGB", (32, 32), (0, 255, 51))
    pixels = twin.batch([Conversation("", [image])])["pixel_values"][0]
    expected = torch.tensor([-1.0, 1.0, -0.6]).view(3, 1, 1).expand(3, 32, 32)
    torch.testing.assert_close(pixels, expected, atol=1e-6, rtol=0)


def test_patches_have_their_places_on_the_picture(photo: Callable[..., Image.Image]) -> None:
    twin = FAMILY.load(model_spec("tiny_joined"))
    image = photo(90, 40, 1)
    seen = twin.features([image])[0]
    boxes = twin.layout(image, seen)
    assert boxes.shape == (17, 4)
    assert boxes[0].isnan().all()
    assert boxes[1].tolist() == [0.0, 0.0, 0.25, 0.25]
    assert boxes[-1].tolist() == [0.75, 0.75, 1.0, 1.0]


def test_a_picture_seen_before_is_captioned_as_its_pixels(photo: Callable[..., Image.Image]) -> None:
    twin = FAMILY.load(model_spec("tiny_joined"))
    pictures = [photo(64, 64, 1), photo(90, 40, 2)]
    asked = [Conversation("", [picture], answer="a map") for picture in pictures]
    again = [dataclasses.replace(c, images=[seen]) for c, seen in zip(asked, twin.features(pictures), strict=True)]
    for settings in (GenerationSpec(new_tokens=8), GenerationSpec(new_tokens=8, beams=2)):
        assert generate(twin, again, settings, [0, 0]) == generate(twin, asked, settings, [0, 0])
    losses = [twin.model(**twin.to_model(twin.training_batch(c))).loss for c in (asked, again)]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("shown", [0, 2])
def test_anything_but_one_picture_is_refused(shown: int, photo: Callable[..., Image.Image]) -> None:
    twin = FAMILY.load(model_spec("tiny_joined"))
    with pytest.raises(UserError, match=f"model tiny_joined reads one image with each question, and was shown {shown}"):
        twin.batch([Conversation("", [photo(32, 32)] * shown)])


def test_a_language_model_that_never_looks_at_a_picture_is_refused(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "vision").symlink_to(parts / "vision")
    FAMILY.twin_processor(model_spec("tiny_joined")).tokenizer.save_pretrained(tmp_path / "language")
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlamaConfig(**small, vocab_size=541, num_key_value_heads=1)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "language")
    with pytest.raises(UserError, match=r"LlamaForCausalLM.* has no cross-attention.* or family: projector"):
        FAMILY.load(joined(tmp_path))


def test_bert_may_be_the_language_part(parts: Path, tmp_path: Path, photo: Callable[..., Image.Image]) -> None:
    (tmp_path / "vision").symlink_to(parts / "vision")
    FAMILY.twin_processor(model_spec("tiny_joined")).tokenizer.save_pretrained(tmp_path / "language")
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    transformers.BertForMaskedLM(transformers.BertConfig(**small, vocab_size=541)).save_pretrained(
        tmp_path / "language"
    )
    family = FAMILY.load(joined(tmp_path))
    assert "crossattention" in family.new_weights
    lesson = Conversation("", [photo(64, 64, 1)], answer="a map")
    family.model(**family.training_batch([lesson])).loss.backward()
    assert generate(family, [lesson], GenerationSpec(new_tokens=4), [0])[0].new_tokens


def test_the_connector_is_tuned_alone() -> None:
    twin = FAMILY.load(model_spec("tiny_joined"), training=True)
    counts = adapters.adapt(twin, MethodSpec(trains="all", frozen=["vision", "language"]), 0)
    assert counts["trainable"] == counts["trainable_connector"] == 145_024


def test_an_adapter_takes_the_turned_layers_of_gpt2() -> None:
    names = FAMILY.load(model_spec("tiny_joined")).linear_layers(["language"])
    assert {name.rsplit(".", 2)[-2] + "." + name.rsplit(".", 1)[-1] for name in names} == {
        "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"
    }  # fmt: skip


def test_a_family_that_joins_nothing_refuses_parts(parts: Path) -> None:
    spec = dataclasses.replace(joined(parts), family="llama")
    with pytest.raises(UserError, match=r"mine\.yaml gives parts, and family 'llama' joins none.*projector"):
        load_family("llama").load(spec)
