"""DeepSeek-VL: what is public of the published model, and what is particular to its family.

Its config and its processor's settings are those of a public copy of the hub's files; its prompt that of the template
in the library's script that converted it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import model_spec
from PIL import Image
from published import gradient, holds, images_only, on_meta, renamed

from paceline.config.schema import ModelSpec
from paceline.gpu_memory.image_tokens import see
from paceline.gpu_memory.shapes import shape_of
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family

HALF = (0.5, 0.5, 0.5)
SIZES = ((320, 180), (1280, 720), (64, 64), (500, 2000), (1, 1), (200, 1))


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return model_spec("tiny_deepseek_vl")


@pytest.fixture(scope="module")
def twin(spec: ModelSpec) -> Family:
    return load_family(spec.family).load(spec)


def test_components_hold_every_parameter_of_the_published_model() -> None:
    family = on_meta("deepseek_vl_1b_chat")
    counts: Counter[str | None] = Counter()
    for parameter, tensor in family.model.named_parameters():
        counts[family.component_of(parameter)] += tensor.numel()
    assert counts == {"vision": 303_688_704, "connector": 6_295_552, "language": 1_652_656_128}
    assert family.longest == 16_384


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_image_is_576_tokens(size: tuple[int, int]) -> None:
    family, batch = images_only("deepseek_vl_1b_chat", size)
    shape = shape_of(model_spec("deepseek_vl_1b_chat"))
    assert shape is not None
    assert int((batch["input_ids"] == family.processor.image_token_id).sum()) == 576
    assert see(shape.image, {}, size).tokens == 576
    assert see(shape.image, {}, size).pixels == batch["pixel_values"].numel()
    assert batch["pixel_values"].shape == (1, 3, 384, 384)


@pytest.mark.parametrize("size", [(768, 384), (300, 600), (200, 1)], ids=str)
def test_an_image_stands_in_the_middle_of_a_grey_square(size: tuple[int, int]) -> None:
    _, batch = images_only("deepseek_vl_1b_chat", size)
    scaled = [max(round(edge * 384 / max(size)), 14) for edge in size]
    square = Image.new("RGB", (384, 384), (127, 127, 127))
    middle = [(384 - edge) // 2 for edge in scaled]
    square.paste(gradient(*size).resize((scaled[0], scaled[1]), Image.Resampling.BICUBIC), (middle[0], middle[1]))
    assert holds(batch["pixel_values"][0], square, HALF, HALF)


def test_a_prompt_is_written_as_the_published_template_writes_it(
    twin: Family, photo: Callable[..., Image.Image]
) -> None:
    """But for the wide bars and low blanks of the published end token."""
    image = photo(32, 32)
    system = (
        "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
        "provides, and assist the user with a variety of tasks using natural language."
    )
    asked = twin.render(Conversation("What is it?", [image]))
    assert asked == f"{system}\n\nUser: <image_placeholder>What is it?\n\nAssistant:"
    shot = Conversation("Where?", [image], answer="Bern")
    assert twin.render(Conversation("And it?", [image, image], shots=[shot])) == (
        f"{system}\n\nUser: <image_placeholder>Where?\n\nAssistant: Bern<|end_of_sentence|>"
        "User: <image_placeholder><image_placeholder>And it?\n\nAssistant:"
    )


def test_weights_load_under_the_names_of_the_published_files(twin: Family, tmp_path: Path) -> None:
    again = renamed(twin, tmp_path, "model.vision_model.", "model.vision_model.vision_model.")
    for name, tensor in twin.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name


def test_grey_pictures_are_read_where_the_published_file_leaves_open_whether_they_may_be(
    twin: Family, tmp_path: Path, photo: Callable[..., Image.Image]
) -> None:
    twin.processor.image_processor.do_convert_rgb = None
    try:
        again = renamed(twin, tmp_path, "lm_head.", "lm_head.")
    finally:
        twin.processor.image_processor.do_convert_rgb = True
    grey = photo(64, 48).convert("L")
    pixels = [family.batch([Conversation("?", [grey])])["pixel_values"] for family in (twin, again)]
    assert torch.equal(*pixels)


def test_what_lies_beside_the_image_has_places_beyond_it(twin: Family) -> None:
    image = gradient(64, 32)
    boxes = twin.layout(image, twin.features([image])[0]).view(4, 4, 4)
    assert torch.allclose(boxes[:, 0, 1], torch.tensor([-0.5, 0.0, 0.5, 1.0]))
    assert torch.allclose(boxes[0, :, 0], torch.tensor([0.0, 0.25, 0.5, 0.75]))
