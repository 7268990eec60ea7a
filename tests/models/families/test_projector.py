"""Any vision model and any language model, joined by a projector."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import model_spec
from PIL import Image

from paceline.config.schema import GenerationSpec, LoraSpec, MethodSpec, ModelSpec, PartSpec, PartsSpec
from paceline.errors import UserError
from paceline.models.conversation import Conversation
from paceline.models.families.projector import FAMILY, IMAGE
from paceline.models.families.projector.efficientnet_lite import PICTURES, EfficientNetLite, EfficientNetLiteConfig
from paceline.models.families.projector.network import tokens_of
from paceline.models.generate import generate
from paceline.training import adapters

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SEEN = {"image_size": 32, "patch_size": 8}
TEXT = {"model_type": "clip_text_model", **SMALL, "vocab_size": 50}
SIGLIP_TEXT = {**TEXT, "model_type": "siglip_text_model", "max_position_embeddings": 16}
# What a lab may name as its vision part: a tower alone, or both towers of a model that compares texts with pictures.
VISION: dict[str, dict[str, Any]] = {
    "vit": {"model_type": "vit", **SMALL, **SEEN},
    "dinov2": {"model_type": "dinov2", **SMALL, **SEEN},
    "clip": {"model_type": "clip", "vision_config": {**SMALL, **SEEN}, "text_config": TEXT},
    "siglip": {"model_type": "siglip", "vision_config": {**SMALL, **SEEN}, "text_config": SIGLIP_TEXT},
    "resnet": {
        "model_type": "resnet", "embedding_size": 16, "hidden_sizes": [16, 24, 32, 40], "depths": [1, 1, 1, 1],
        "layer_type": "basic",
    },
    "efficientnet": {
        "model_type": "efficientnet", "image_size": 64, "width_coefficient": 0.25, "depth_coefficient": 0.3,
        "hidden_dim": 320, "initializer_range": 0.3, "depthwise_padding": [],
    },
    "efficientnet_lite": {
        "model_type": "efficientnet_lite", "stem": 8, "hidden_size": 40, "image_size": 64,
        "stages": [[3, 1, 1, 8, 1], [3, 2, 2, 12, 2], [5, 2, 2, 16, 1], [3, 2, 2, 24, 1], [3, 2, 2, 24, 2]],
    },
}  # fmt: skip
LANGUAGE: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **SMALL, "num_key_value_heads": 1, "tie_word_embeddings": True},
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512},
    "qwen2": {"model_type": "qwen2", **SMALL, "num_key_value_heads": 1},
}


def write_parts(folder: Path, vision: str, language: str) -> ModelSpec:
    """Two folders, as their models' own classes save them, and the model that is joined of them."""
    config = transformers.AutoConfig.for_model(**VISION[vision])
    torch.manual_seed(3)
    transformers.AutoModel.from_config(config).save_pretrained(folder / "vision")
    edge = {"height": 64, "width": 64} if vision in ("resnet", "efficientnet", "efficientnet_lite") else None
    edge = edge or {"height": 32, "width": 32}
    transformers.ViTImageProcessor(size=edge).save_pretrained(folder / "vision")
    tokenizer = FAMILY.twin_processor(model_spec("tiny_projector")).tokenizer
    own = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    settings = transformers.AutoConfig.for_model(**{**LANGUAGE[language], **own})
    transformers.AutoModelForCausalLM.from_config(settings).save_pretrained(folder / "language")
    tokenizer.save_pretrained(folder / "language")
    parts = PartsSpec(PartSpec(str(folder / "vision")), PartSpec(str(folder / "language")))
    inputs = ["image", "images", "text"]
    return ModelSpec(name="mine", family="projector", parts=parts, inputs=inputs, dtype="float32")


@pytest.fixture
def lessons(photo: Callable[..., Image.Image]) -> list[Conversation]:
    one, two = photo(64, 64, 1), photo(90, 40, 2)
    return [
        Conversation("Why?", answer="a"),
        Conversation("Where was this photo taken?", [one], answer="(46.95, 7.44)"),
        Conversation("Which is north?", [two, one], answer="the first"),
    ]


@pytest.mark.parametrize(
    ("vision", "language"), [*((name, "llama") for name in VISION), ("vit", "gpt2"), ("efficientnet_lite", "qwen2")]
)
def test_two_models_are_joined_and_learn(
    vision: str, language: str, lessons: list[Conversation], tmp_path: Path
) -> None:
    spec = write_parts(tmp_path, vision, language)
    family = FAMILY.load(spec)
    assert "4 tensors that no part brings (connector.linear_1.weight" in family.new_weights
    # One by one as together, with pictures as with what was seen of them.
    settings = GenerationSpec(new_tokens=6, beams=2)
    together = generate(family, lessons, settings, [0] * 3)
    assert together == [generate(family, [c], settings, [0])[0] for c in lessons]
    kept = [dataclasses.replace(c, images=list(family.features(c.images))) for c in lessons]
    assert generate(family, kept, settings, [0] * 3) == together
    family = FAMILY.load(spec, training=True)
    family.model(**family.training_batch(lessons)).loss.backward()
    without = [n for n, p in family.model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == [n for n, _ in family.model.named_parameters() if family.is_idle(n)]
    names = [name for name, _ in family.model.named_parameters()]
    assert {family.component_of(name) for name in names} == {"vision", "connector", "language"}


def test_the_connector_is_tuned_alone_saved_and_read_as_a_whole(lessons: list[Conversation], tmp_path: Path) -> None:
    spec = write_parts(tmp_path / "parts", "efficientnet_lite", "llama")
    family = FAMILY.load(spec, training=True)
    before = {name: tensor.clone() for name, tensor in family.model.state_dict().items()}
    adapters.adapt(family, MethodSpec(trains="all", frozen=["vision", "language"]), 0)
    rule = torch.optim.AdamW([p for p in family.model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(8):
        loss = family.model(**family.training_batch(lessons)).loss
        loss.backward()
        rule.step()
        rule.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    after = family.model.state_dict()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"connector"}  # and no running mean of a batch norm
    family.model.eval()
    family.save(family.model, tmp_path / "tuned")
    answers = generate(family, lessons, GenerationSpec(new_tokens=6), [0] * 3)
    again = FAMILY.load(spec, tuned=tmp_path / "tuned")
    assert again.new_weights == ""
    assert generate(again, lessons, GenerationSpec(new_tokens=6), [0] * 3) == answers
    whole = ModelSpec(
        name="whole", family="projector", weights=str(tmp_path / "tuned"), inputs=spec.inputs, dtype="float32"
    )
    loaded = FAMILY.load(whole, training=True)
    assert all(torch.equal(tensor, after[name]) for name, tensor in loaded.model.state_dict().items())
    # On it, an adapter of the language model alone.
    counts = adapters.adapt(loaded, MethodSpec(trains="adapter", lora=LoraSpec(r=2)), 0)
    assert counts["trainable"] == counts["trainable_language"] > 0


def test_the_language_models_vocabulary_stays_as_it_was_published(tmp_path: Path) -> None:
    family = FAMILY.load(write_parts(tmp_path / "parts", "vit", "llama"))
    family.save(family.model, tmp_path / "saved")
    published = transformers.AutoTokenizer.from_pretrained(tmp_path / "parts" / "language")
    saved = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert saved.get_vocab() == published.get_vocab() == family.tokenizer.get_vocab()
    assert len(family.model.get_input_embeddings().weight) == len(published)


def test_a_text_cannot_write_the_place_of_a_picture(photo: Callable[..., Image.Image]) -> None:
    family = FAMILY.load(model_spec("tiny_projector"))
    batch = family.batch([Conversation(f"a {IMAGE} b", [photo(32, 32)], system=IMAGE)])
    assert int(batch["mm_token_type_ids"].sum()) == 16
    assert family.render(Conversation("Where?", [photo(32, 32)], system="Short.")) == (
        "<|im_start|>system\nShort.<|im_end|>\n<|im_start|>user\n<image>\nWhere?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_places_of_a_cropped_picture_are_those_of_the_crop(photo: Callable[..., Image.Image]) -> None:
    spec = dataclasses.replace(model_spec("tiny_projector"))
    family = FAMILY.load(spec)
    family.processor.image_processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    image = photo(64, 32, 1)
    boxes = family.layout(image, family.features([image])[0])
    assert boxes[0].tolist() == [0.25, 0.0, 0.375, 0.25]
    assert boxes[-1].tolist() == [0.625, 0.75, 0.75, 1.0]


def test_pictures_of_several_sizes_are_refused(photo: Callable[..., Image.Image]) -> None:
    family = FAMILY.load(model_spec("tiny_projector"))
    family.processor.image_processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, do_center_crop=False)
    with pytest.raises(UserError, match=r"makes pictures of several sizes .*: give the model's file a square"):
        family.batch([Conversation("Where?", [photo(64, 32)])])


@pytest.mark.parametrize(
    ("vision", "edge", "tokens"),
    [
        ({"model_type": "clip_vision_model", "patch_size": 14}, 336, 576),
        ({"model_type": "siglip_vision_model", "patch_size": 16}, 224, 196),
        ({"model_type": "vit", "patch_size": 16}, 384, 576),
        ({"model_type": "resnet"}, 224, 49),
        ({"model_type": "efficientnet_lite"}, 224, 49),
        ({"model_type": "efficientnet_lite"}, 300, 100),
    ],
)
def test_a_picture_becomes_as_many_tokens_as_its_map_has_places(vision: dict[str, Any], edge: int, tokens: int) -> None:
    assert tokens_of(transformers.AutoConfig.for_model(**vision), (edge, edge)) == tokens


# -- EfficientNet-Lite -----------------------------------------------------------------------------------------------


def test_lite0_has_the_published_tensors() -> None:
    with torch.device("meta"):
        network = EfficientNetLite(EfficientNetLiteConfig())
    # Of the published 4,652,008 parameters 1,281,000 are those of the classifier, which is left out.
    assert network.num_parameters() == 4_652_008 - 1_281_000
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert len(shapes) == 49 + 5 * 49  # convolutions, and five tensors of the batch norm behind each
    assert shapes["_conv_stem.weight"] == (32, 3, 3, 3)
    assert shapes["_blocks.0._depthwise_conv.weight"] == (32, 1, 3, 3)
    assert shapes["_blocks.15._project_conv.weight"] == (320, 1152, 1, 1)
    assert shapes["_conv_head.weight"] == (1280, 320, 1, 1)


def test_lite_pads_as_tensorflow_does() -> None:
    """Of a picture whose edge is even, a stride of two begins at its first pixel: the lack is filled on the right."""
    with torch.device("cpu"):
        network = EfficientNetLite(EfficientNetLiteConfig(**{k: v for k, v in LITE.items() if k != "model_type"}))
    stem = network._conv_stem
    with torch.no_grad():
        stem.weight.zero_()
        stem.weight[:, :, 0, 0] = 1.0
        pixels = torch.arange(48.0).view(1, 3, 4, 4)
        assert torch.equal(stem(pixels)[0, 0], pixels.sum(1)[0, ::2, ::2])


LITE = VISION["efficientnet_lite"]


def test_lites_pictures_go_from_minus_one_to_one(tmp_path: Path) -> None:
    import json

    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PICTURES))
    images = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="torchvision")
    pixels = images([Image.new("RGB", (500, 80), (255, 127, 0))], return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 224, 224)
    torch.testing.assert_close(pixels[0, :, 5, 5], torch.tensor([1.0, 0.0, -127 / 128]), atol=1e-6, rtol=0)
