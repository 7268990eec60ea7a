"""LLaVA-1.5: what is public of the published model, and what is particular to its family.

Its config is the one that a public run log prints; its prompt that of the template published with it, of which several
repositories hold copies; the end of a turn that of the library's page on the model.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import model_spec
from PIL import Image
from published import gradient, holds, images_only, on_meta, renamed
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.gpu_memory.image_tokens import see
from paceline.gpu_memory.shapes import shape_of
from paceline.models import hub_files, load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family

SIZES = ((320, 180), (1280, 720), (64, 64), (500, 2000), (1, 1), (200, 1))


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return model_spec("tiny_llava")


@pytest.fixture(scope="module")
def twin(spec: ModelSpec) -> Family:
    return load_family(spec.family).load(spec)


def test_components_hold_every_parameter_of_the_published_model() -> None:
    family = on_meta("llava15_7b")
    counts: Counter[str | None] = Counter()
    for parameter, tensor in family.model.named_parameters():
        counts[family.component_of(parameter)] += tensor.numel()
    # In all 7,063,427,072: a public run log counts 7,067,621,376 with an adapter of 4,194,304.
    assert counts == {"vision": 303_507_456, "connector": 20_979_712, "language": 6_738_939_904}
    assert family.longest == 4_096


def test_the_last_layer_of_the_tower_is_never_read() -> None:
    family = on_meta("llava15_7b")
    idle = {name for name, _ in family.model.named_parameters() if family.is_idle(name)}
    assert all(".layers.23." in name or ".post_layernorm." in name for name in idle)
    assert len(idle) == 16 + 2


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_image_is_576_tokens(size: tuple[int, int]) -> None:
    family, batch = images_only("llava15_7b", size)
    shape = shape_of(model_spec("llava15_7b"))
    assert shape is not None
    assert int((batch["input_ids"] == family.processor.image_token_id).sum()) == 576
    assert see(shape.image, {}, size).tokens == 576
    assert see(shape.image, {}, size).pixels == batch["pixel_values"].numel()
    assert batch["pixel_values"].shape == (1, 3, 336, 336)


@pytest.mark.parametrize(("size", "box"), [((448, 336), (56, 0, 392, 336)), ((336, 400), (0, 32, 336, 368))])
def test_what_is_seen_is_the_middle_of_a_picture(size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    _, batch = images_only("llava15_7b", size)
    assert holds(batch["pixel_values"][0], gradient(*size).crop(box), OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)


def test_a_large_picture_is_scaled_by_its_shorter_edge() -> None:
    _, batch = images_only("llava15_7b", (1344, 672))
    scaled = gradient(1344, 672).resize((672, 336), Image.Resampling.BICUBIC).crop((168, 0, 504, 336))
    assert holds(batch["pixel_values"][0], scaled, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)


def test_a_prompt_is_written_as_the_published_template_writes_it(
    twin: Family, photo: Callable[..., Image.Image]
) -> None:
    image = photo(32, 32)
    assert twin.render(Conversation("What is it?", [image])) == "USER: <image>\nWhat is it? ASSISTANT:"
    shot = Conversation("Where?", [image], answer="Bern")
    assert twin.render(Conversation("And it?", [image], system="Be short.", shots=[shot])) == (
        "Be short. USER: <image>\nWhere? ASSISTANT: Bern</s> USER: <image>\nAnd it? ASSISTANT:"
    )


def test_an_answer_begins_with_a_space_once(twin: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    assert twin.answer_opening == " "
    # The published tokenizer begins every text with one.
    monkeypatch.setattr(twin.tokenizer, "tokenize", lambda text: [f"▁{text}"], raising=False)
    assert twin.answer_opening == ""


def test_weights_load_under_the_names_of_the_published_files(twin: Family, tmp_path: Path) -> None:
    again = renamed(twin, tmp_path, "vision_tower.", "vision_tower.vision_model.")
    for name, tensor in twin.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name


def test_the_patches_of_the_middle_have_places_and_nothing_beside_it_has(twin: Family) -> None:
    image = gradient(90, 40)
    boxes = twin.layout(image, twin.features([image])[0])
    assert boxes.shape == (16, 4)
    assert torch.allclose(boxes[:, 0].min(), torch.tensor(25 / 90), atol=1e-3)
    assert torch.allclose(boxes[:, 2].max(), torch.tensor(65 / 90), atol=1e-3)
    assert torch.allclose(boxes[:, [1, 3]].aminmax().max, torch.tensor(1.0), atol=1e-6)


@pytest.mark.parametrize(("weights", "family"), [("tiny_llava", "pixtral"), ("tiny_pixtral", "llava")])
def test_llavas_and_pixtrals_weights_are_told_apart_by_their_tower(weights: str, family: str, tmp_path: Path) -> None:
    """Both are of model_type llava."""
    spec = model_spec(weights)
    twin = load_family(spec.family).load(spec)
    twin.save(twin.model, tmp_path)
    tower = json.loads((tmp_path / "config.json").read_text())["vision_config"]["model_type"]
    wrong = dataclasses.replace(spec, family=family, weights=str(tmp_path), config={}, processor={})
    told = f"vision_config.model_type '{tower}', and family '{family}' reads"
    assert told in hub_files.lacking(wrong)
    with pytest.raises(UserError, match=f"model {weights}: .*{told}"):
        load_family(family).load(wrong)
