"""Phi-3.5-vision as written here is the published one: its outputs, its parameters, its prompts and its pixels."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from conftest import model_spec
from finetune_twin import method
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from published import trained
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.errors import UserError
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.families.phi35_vision import FAMILY
from paceline.models.families.phi35_vision.modeling import LongRotaryEmbedding, Phi3VConfig, Phi3VForCausalLM
from paceline.models.families.phi35_vision.processing import Phi3VImageProcessor
from paceline.models.family import Family
from paceline.models.generate import generate
from paceline.training import adapters

REFERENCE = Path(__file__).parents[1] / "phi35_reference"
CASES = ("small_image", "four_crops")
PUBLISHED = json.loads((REFERENCE / "published_config.json").read_text())
SPEC = model_spec("tiny_phi35_vision")


@pytest.fixture(scope="module")
def phi() -> Family:
    return FAMILY.load(SPEC)


def case(name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    folder = REFERENCE / name
    return json.loads((folder / "reference.json").read_text()), load_file(folder / "reference.safetensors")


def reference_pixels(info: dict[str, Any]) -> transformers.BatchFeature:
    """What our processor makes of the image that ``reference.json`` describes."""
    width, height = (int(n) for n in re.findall(r"\d+", info["image"])[:2])
    y, x = np.mgrid[:height, :width]
    chequered = np.where((x // 16 + y // 16) % 2 == 1, 255, 0)
    image = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), chequered], axis=-1).astype(np.uint8)
    return Phi3VImageProcessor(num_crops=info["num_crops"])([Image.fromarray(image)])


def reference_model(name: str, folder: Path, attention: str = "eager") -> Phi3VForCausalLM:
    """The reference's weights, read by the library from a folder laid out as the hub's."""
    info, _ = case(name)
    config = {"model_type": "phi3_v", **info["config"], "vision_config": info["clip_config"]}
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(REFERENCE / name / "model.safetensors", folder)
    return Phi3VForCausalLM.from_pretrained(folder, attn_implementation=attention, dtype=torch.float32).eval()


# -- the published outputs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", CASES)
def test_the_published_code_is_reproduced(name: str, attention: str, tmp_path: Path) -> None:
    info, expected = case(name)
    model = reference_model(name, tmp_path, attention)
    pixels = reference_pixels(info)
    images = {"pixel_values": pixels["pixel_values"], "image_sizes": pixels["image_sizes"]}
    ids = expected["input_ids"]
    with torch.inference_mode():
        logits = model(input_ids=ids, **images).logits[0]
    torch.testing.assert_close(logits[:4], expected["logits_head"], rtol=0, atol=1e-4)
    torch.testing.assert_close(logits[-6:], expected["logits_tail"], rtol=0, atol=1e-4)
    mask = torch.ones_like(ids)
    answer = model.generate(
        input_ids=ids, attention_mask=mask, **images, max_new_tokens=8, do_sample=False, eos_token_id=None
    )
    assert answer[0, -8:].tolist() == expected["generated"].tolist()


@pytest.mark.parametrize("name", CASES)
def test_the_published_processors_pixels_are_reproduced(name: str) -> None:
    info, expected = case(name)
    made = reference_pixels(info)
    pixels = made["pixel_values"]
    assert list(pixels.shape) == expected["pixel_shape"].tolist()
    assert made["image_sizes"].tolist() == expected["image_sizes"].tolist()
    assert made["num_img_tokens"] == [info["num_image_tokens"]]
    torch.testing.assert_close(pixels[0, ..., ::48, ::48], expected["pixel_sample"], rtol=0, atol=1e-4)
    means = [t / (336 * 336) for t in (pixels.sum((-2, -1)), expected["pixel_sums"])]
    torch.testing.assert_close(*means, rtol=0, atol=1e-5)


@pytest.mark.parametrize("image", [-1, -7, 399])
def test_an_image_goes_where_an_id_is_negative_or_the_tokenizers(image: int, tmp_path: Path) -> None:
    info, expected = case("small_image")
    model = reference_model("small_image", tmp_path)
    model.config.image_token_id = 399
    pixels = reference_pixels(info)
    ids = expected["input_ids"].clone()
    ids[ids < 0] = image
    with torch.inference_mode():
        logits = model(ids, pixels["pixel_values"], pixels["image_sizes"]).logits[0]
    torch.testing.assert_close(logits[-6:], expected["logits_tail"], rtol=0, atol=1e-4)


def test_too_few_places_for_an_image_are_refused(tmp_path: Path) -> None:
    info, expected = case("small_image")
    pixels = reference_pixels(info)
    with pytest.raises(ValueError, match="312 places for images, and 313 features"):
        reference_model("small_image", tmp_path)(
            torch.cat([expected["input_ids"][:, :4], expected["input_ids"][:, 5:]], dim=1),
            pixels["pixel_values"],
            pixels["image_sizes"],
        )


# -- the published checkpoint --------------------------------------------------------------------------------------


def published_on_meta() -> Phi3VForCausalLM:
    with torch.device("meta"):
        return Phi3VForCausalLM(Phi3VConfig(**PUBLISHED))


def test_the_published_model_has_4_146_621_440_parameters() -> None:
    model = published_on_meta()
    counts = dict.fromkeys(FAMILY.components, 0)
    for name, parameter in model.named_parameters():
        counts[FAMILY.component_of(name)] += parameter.numel()
    assert counts == {"vision": 303_507_456, "connector": 22_034_432, "language": 3_821_079_552}
    assert model.num_parameters() == 4_146_621_440


def test_parameters_bear_the_published_names(tmp_path: Path) -> None:
    with safe_open(REFERENCE / "four_crops" / "model.safetensors", "pt") as published:
        names = set(published.keys())
    model = reference_model("four_crops", tmp_path)
    assert set(model.state_dict()) == names
    model.save_pretrained(tmp_path / "saved")
    with safe_open(tmp_path / "saved" / "model.safetensors", "pt") as saved:
        assert set(saved.keys()) == names
    again = Phi3VForCausalLM.from_pretrained(tmp_path / "saved")
    assert all(torch.equal(t, again.state_dict()[n]) for n, t in model.state_dict().items())


def test_the_published_copy_of_the_embedding_is_passed_over_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    model = reference_model("small_image", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    copy = weights["model.embed_tokens.weight"].clone()
    save_file({**weights, "model.vision_embed_tokens.wte.weight": copy}, tmp_path / "model.safetensors")
    caplog.clear()
    capfd.readouterr()
    again, found = Phi3VForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(found.values()), found
    assert set(again.state_dict()) == set(model.state_dict())
    assert not caplog.records
    assert "wte" not in "".join(capfd.readouterr())


def test_the_studys_adapter_has_its_published_size_and_is_refused_unless_it_is_meant(phi: Family) -> None:
    # The fused layers bear other names than the study's list: of the language model it meets `o_proj` alone.
    family = FAMILY(SPEC, published_on_meta(), phi.processor)
    study, whole = method("lora_phi35_study").lora, method("lora_phi35").lora
    found = adapters.targets(family, study)
    met = {name: n for name, (n, _) in found.table["language"].items() if n}
    assert met == {"o_proj": 32}
    with pytest.raises(UserError, match=r"(?s)leaves out 75% .*language 32/128: down_proj 0/32, gate_up_proj 0/32"):
        adapters.targets(family, dataclasses.replace(study, allow_partial_targets=False))
    assert trained(family, study) == 9_437_184
    family = FAMILY(SPEC, published_on_meta(), phi.processor)
    assert adapters.targets(family, whole).share("language") == 1.0
    assert trained(family, whole) == 32 * 16 * (4 * 3072 + 2 * 3072 + (3072 + 2 * 8192) + (8192 + 3072))


def test_a_folder_as_the_hub_has_it_loads_without_its_code(phi: Family, tmp_path: Path) -> None:
    phi.save(phi.model, tmp_path)
    for name in ("processor_config.json", "chat_template.jinja"):
        (tmp_path / name).unlink()
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = PUBLISHED["auto_map"]
    rope = config.pop("rope_parameters")
    config |= {"rope_theta": 10000.0, "rope_scaling": {k: rope[k] for k in ("short_factor", "long_factor")}}
    config["rope_scaling"]["type"] = "su"
    (tmp_path / "config.json").write_text(json.dumps(config))
    images = {
        "auto_map": {"AutoImageProcessor": "image_processing_phi3_v.Phi3VImageProcessor"},
        "image_processor_type": "Phi3VImageProcessor",
        "num_crops": 2,
        "num_img_tokens": 4,
        "edge": 32,
        "image_mean": [0.5, 0.5, 0.5],
        "processor_class": "Phi3VProcessor",
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
    spec = ModelSpec(name="local", family="phi35_vision", weights=str(tmp_path), dtype="float32")
    family = FAMILY.load(spec)
    assert type(family.model) is Phi3VForCausalLM
    found = family.processor.image_processor
    assert (found.num_crops, found.num_img_tokens, found.image_mean) == (2, 4, [0.5, 0.5, 0.5])
    four = ModelSpec(**{**vars(spec), "processor": {"num_crops": 4}})
    asked = [Conversation("Where?", [Image.new("RGB", (64, 64), "red")])]
    assert FAMILY.load(four).batch(asked)["input_ids"].tolist() == phi.batch(asked)["input_ids"].tolist()


def test_another_arrangement_of_the_crops_is_refused() -> None:
    with pytest.raises(ValueError, match="hd_transform_order is 'glb_sub'"):
        Phi3VConfig(embd_layer={"hd_transform_order": "glb_sub"})


# -- the long rotary positions -------------------------------------------------------------------------------------


def test_rotary_factors_are_the_librarys() -> None:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = Phi3VConfig(**PUBLISHED)
    rotary = LongRotaryEmbedding(config)
    positions = torch.tensor([[0, 4095], [4095, 4096]])
    cosine, sine = rotary(torch.zeros(1), positions)
    for row, length in enumerate((4096, 4097)):
        frequencies, scaling = ROPE_INIT_FUNCTIONS["longrope"](config, "cpu", seq_len=length)
        angles = (positions[row][:, None].float() * frequencies).repeat(1, 2)
        torch.testing.assert_close(cosine[row], angles.cos() * scaling)
        torch.testing.assert_close(sine[row], angles.sin() * scaling)


def test_far_positions_differ_in_bfloat16() -> None:
    rotary = LongRotaryEmbedding(Phi3VConfig(**PUBLISHED)).bfloat16()
    cosine, _ = rotary(torch.zeros(1), torch.tensor([[60_000, 60_001]]))
    assert (cosine[0, 0] - cosine[0, 1]).abs().max() > 0.1


def straddling(photo: Callable[..., Image.Image]) -> list[Conversation]:
    """Prompts under, just under (it outgrows the first window in its answer) and over the first window of 256."""
    return [
        Conversation("Where?", [photo(64, 64, 1)]),
        Conversation("a " * 113, [photo(90, 40, 2)]),
        Conversation("b " * 200, [photo(40, 90, 3)]),
    ]


def test_a_batch_across_the_first_window_answers_as_one_by_one(phi: Family, photo: Callable[..., Image.Image]) -> None:
    asked = straddling(photo)
    lengths = phi.batch(asked)["attention_mask"].sum(dim=1).tolist()
    assert lengths[0] < 200 < 245 < lengths[1] < 256 < lengths[2]
    with torch.inference_mode():
        together = phi.model(**phi.batch(asked)).logits[:, -1]
        alone = torch.cat([phi.model(**phi.batch([c])).logits[:, -1] for c in asked])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    for settings_ in (GenerationSpec(new_tokens=16), GenerationSpec(new_tokens=12, beams=2)):
        answers = generate(phi, asked, settings_, [0, 1, 2])
        assert answers == [generate(phi, [c], settings_, [0])[0] for c in asked]


def test_a_cache_across_the_first_window_changes_no_logit(phi: Family, photo: Callable[..., Image.Image]) -> None:
    batch = phi.batch(straddling(photo))
    options = {"max_new_tokens": 16, "min_new_tokens": 16, "do_sample": False, "return_dict_in_generate": True}
    runs = [phi.model.generate(**batch, **options, output_logits=True, use_cache=cache) for cache in (True, False)]
    assert torch.equal(runs[0].sequences, runs[1].sequences)
    torch.testing.assert_close(torch.stack(runs[0].logits), torch.stack(runs[1].logits), rtol=0, atol=1e-4)


def test_a_sequence_is_read_again_once(
    phi: Family, photo: Callable[..., Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[int] = []
    inner = phi.model.model.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        widths.append(kwargs["input_ids"].shape[1])
        return inner(*args, **kwargs)

    monkeypatch.setattr(phi.model.model, "forward", counted)
    batch = phi.batch(straddling(photo)[1:2])
    phi.model.generate(**batch, max_new_tokens=16, min_new_tokens=16, do_sample=False)
    assert [w for w in widths if w > 1] == [batch["input_ids"].shape[1], 257]
    assert len(widths) == 16


# -- training ------------------------------------------------------------------------------------------------------


def test_checkpointed_gradients_are_the_same(conversations: list[Conversation]) -> None:
    gradients = []
    for checkpointing in (False, True):
        family = FAMILY.load(SPEC, training=True)
        if checkpointing:
            family.model.gradient_checkpointing_enable()
            assert family.model.is_gradient_checkpointing
        family.model(**family.training_batch(conversations)).loss.backward()
        gradients.append({n: p.grad for n, p in family.model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=name)


def test_only_clips_last_layer_and_norm_are_idle(phi: Family) -> None:
    tower = "model.vision_embed_tokens.img_processor.vision_model"
    idle = {n for n, _ in phi.model.named_parameters() if phi.is_idle(n)}
    assert {re.sub(r"\.(?:self_attn|mlp|layer_norm\d)?\.?\w*\.?(?:weight|bias)$", "", n) for n in idle} == {
        f"{tower}.encoder.layers.2",
        f"{tower}",
    }
    assert {n for n in idle if "encoder" not in n} == {f"{tower}.post_layernorm.{p}" for p in ("weight", "bias")}


# -- prompts -------------------------------------------------------------------------------------------------------


def test_prompts_are_written_as_published(phi: Family) -> None:
    image = Image.new("RGB", (64, 64))
    assert phi.render(Conversation("Where is this?", [image])) == (
        "<|user|>\n<|image_1|>\nWhere is this?<|end|>\n<|assistant|>\n"
    )
    assert phi.render(Conversation("Where is this?", [image], system="Be short.")) == (
        "<|system|>\nBe short.<|end|>\n<|user|>\n<|image_1|>\nWhere is this?<|end|>\n<|assistant|>\n"
    )
    assert phi.render(Conversation("Which is north?", [image, image])) == (
        "<|user|>\n<|image_1|>\n<|image_2|>\nWhich is north?<|end|>\n<|assistant|>\n"
    )
    shots = [Conversation("Where?", [image], answer="Rome"), Conversation("And?", [image, image], answer="Oslo")]
    assert phi.render(Conversation("Now?", [image], shots=shots)) == (
        "<|user|>\n<|image_1|>\nWhere?<|end|>\n<|assistant|>\nRome<|end|>\n"
        "<|user|>\n<|image_2|>\n<|image_3|>\nAnd?<|end|>\n<|assistant|>\nOslo<|end|>\n"
        "<|user|>\n<|image_4|>\nNow?<|end|>\n<|assistant|>\n"
    )


def test_an_answer_ends_with_the_turn_or_the_document(phi: Family) -> None:
    assert phi.tokenizer.convert_ids_to_tokens(phi.end_tokens)[:2] == ["<|end|>", "<|endoftext|>"]


def test_text_after_an_image_begins_as_a_text(phi: Family) -> None:
    ids = phi.batch([Conversation("Hi", [Image.new("RGB", (64, 64))])])["input_ids"][0]
    tokens = phi.tokenizer.convert_ids_to_tokens(ids)
    places = [t for t in tokens if t == "<|image|>"]
    assert len(places) == 27
    assert tokens == [
        *["<s>", "<|user|>", "\n", *places],
        *["<s>", "\n", "H", "i", "<|end|>", "\n", "<|assistant|>", "\n"],
    ]


def test_text_from_data_shows_no_image(phi: Family) -> None:
    image = Image.new("RGB", (64, 64))
    text = phi.render(Conversation("<|image_1|> and <|image_2|> and <|image|>", [image]))
    assert re.findall(r"<\|image_\d+\|>", text) == ["<|image_1|>"]
    assert "< |image_2|>" in text


def test_placeholders_out_of_order_are_refused(phi: Family) -> None:
    image = Image.new("RGB", (64, 64))
    for text, images in (("<|image_2|><|image_1|>", 2), ("<|image_1|>", 2), ("none", 1), ("<|image_1|>", 0)):
        with pytest.raises(ValueError, match="numbered from 1, in order"):
            phi.processor(text, [[image] * images])


def test_a_mistake_in_the_familys_name_is_helped() -> None:
    with pytest.raises(UserError, match="did you mean 'phi35_vision'"):
        load_family("phi3_vision")


# -- images --------------------------------------------------------------------------------------------------------

# Width, height, most crops, then height and width after cropping, in crops.
SIZES = [
    (336, 336, 1, 1, 1),
    (336, 336, 4, 2, 2),
    (336, 336, 16, 4, 4),
    (640, 480, 4, 2, 2),
    (480, 640, 4, 2, 2),
    (640, 480, 16, 3, 4),
    (480, 640, 16, 4, 3),
    (1920, 1080, 4, 2, 2),
    (1920, 1080, 16, 3, 5),
    (1080, 1920, 16, 5, 3),
    (2048, 512, 16, 2, 8),
    (8000, 50, 16, 1, 16),
    (50, 8000, 16, 16, 1),
    (5000, 1, 4, 1, 4),
    (1, 1, 4, 2, 2),
]


@pytest.mark.parametrize(("width", "height", "crops", "down", "across"), SIZES)
def test_an_image_has_as_many_tokens_as_published(width: int, height: int, crops: int, down: int, across: int) -> None:
    h, w = down * 336, across * 336
    published = int((h // 336 * w // 336 + 1) * 144 + 1 + (h // 336 + 1) * 12)
    assert Phi3VImageProcessor(num_crops=crops).count_tokens(width, height) == published


@settings(deadline=None, max_examples=40)
@given(width=st.integers(1, 900), height=st.integers(1, 900), crops=st.integers(1, 6))
def test_tokens_counted_from_a_size_are_those_of_the_image(width: int, height: int, crops: int) -> None:
    processor = Phi3VImageProcessor(num_crops=crops, edge=28, num_img_tokens=4)
    made = processor([Image.new("RGB", (width, height))])
    assert made["num_img_tokens"] == [processor.count_tokens(width, height)]
    (down, across) = (made["image_sizes"][0] // 28).tolist()
    assert 1 <= down * across <= crops
    assert made["pixel_values"].shape == (1, 1 + down * across, 3, 28, 28)


def test_crops_are_read_line_by_line_under_white_margins() -> None:
    # Four columns of colours, and scaled to whole crops nothing is blended within a column.
    image = Image.new("RGB", (112, 20))
    for column, colour in enumerate(((255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0))):
        image.paste(colour, (column * 28, 0, column * 28 + 28, 20))
    plain = Phi3VImageProcessor(num_crops=4, edge=28, num_img_tokens=4, image_mean=[0] * 3, image_std=[1] * 3)
    crops = plain([image])["pixel_values"][0, 1:]
    assert torch.equal(crops[:, :, 14, 14], torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]))
    assert (crops[:, :, [0, 3, 24, 27]] == 1).all()
    assert not (crops[3, :, 4:24] == 1).any()
    upright = plain([image.transpose(Image.Transpose.TRANSPOSE)])["pixel_values"][0, 1:]
    assert torch.equal(upright, crops.transpose(-1, -2))


def test_beams_keep_the_images_of_their_row(phi: Family, photo: Callable[..., Image.Image]) -> None:
    one, two, three = photo(64, 64, 1), photo(90, 40, 2), photo(30, 90, 3)
    asked = [Conversation("Which is north?", [one, two]), Conversation("Why?"), Conversation("Where?", [three])]
    beams = GenerationSpec(new_tokens=6, beams=3)
    assert generate(phi, asked, beams, [0, 1, 2]) == [generate(phi, [c], beams, [0])[0] for c in asked]
