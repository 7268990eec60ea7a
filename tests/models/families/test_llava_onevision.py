"""LLaVA-OneVision: what is public of the published models, and what is particular to their family.

The configs are those of a public copy of the hub's files; the prompt is that of the template in the library's script
that converted them; the processor's settings are printed in the documents of several projects.
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
COUNTS = {
    # The output layer is the input embeddings.
    "llava_onevision_500m": {"vision": 397_747_744, "connector": 1_837_696, "language": 494_090_112},
    "llava_onevision_7b": {"vision": 397_747_744, "connector": 16_984_576, "language": 7_616_075_264},
}
# Width, height: squares that the tower sees, tokens.
SIZES = {
    (320, 180): (2, 1149),
    (640, 480): (5, 2929),
    (1280, 720): (9, 5967),
    (64, 64): (2, 1485),
    (448, 448): (5, 3699),
    (2000, 500): (13, 7249),
    (500, 2000): (13, 7371),
    (3000, 2000): (25, 7329),
    (200, 1): (2, 757),
}


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return model_spec("tiny_llava_onevision")


@pytest.fixture(scope="module")
def twin(spec: ModelSpec) -> Family:
    return load_family(spec.family).load(spec)


@pytest.mark.parametrize("name", COUNTS)
def test_components_hold_every_parameter_of_the_published_model(name: str) -> None:
    family = on_meta(name)
    counts: Counter[str | None] = Counter()
    for parameter, tensor in family.model.named_parameters():
        counts[family.component_of(parameter)] += tensor.numel()
    assert counts == COUNTS[name]
    assert family.longest == 32_768


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_image_alone_is_the_whole_and_tiles_of_a_grid(size: tuple[int, int]) -> None:
    family, batch = images_only("llava_onevision_500m", size)
    tokens = int((batch["input_ids"] == family.processor.image_token_id).sum())
    squares = batch["pixel_values"].shape[1]
    assert (squares, tokens) == SIZES[size]
    shape = shape_of(model_spec("llava_onevision_500m"))
    assert shape is not None
    seen = see(shape.image, {}, size)
    assert (seen.tokens, seen.pixels) == (tokens, batch["pixel_values"].numel())
    assert tokens <= see(shape.image, {}, None).tokens == 8829


def test_the_planner_counts_any_shape_as_the_processor_does(twin: Family, spec: ModelSpec) -> None:
    shape = shape_of(spec)
    assert shape is not None
    most = see(shape.image, {}, None).tokens
    for width in (1, 7, 31, 40, 64, 77, 150, 333):
        for height in (2, 19, 40, 41, 90, 200, 301):
            batch = twin.batch([Conversation("?", [Image.new("RGB", (width, height))])])
            tokens = int((batch["input_ids"] == twin.processor.image_token_id).sum())
            assert see(shape.image, {}, (width, height)).tokens == tokens <= most, (width, height)


def test_the_whole_is_stretched_and_tiles_keep_the_shape() -> None:
    _, batch = images_only("llava_onevision_500m", (1280, 720))
    image = gradient(1280, 720)
    # Of the grids the one of 1536 × 768 keeps all pixels and wastes least: 1365 × 768 in its middle.
    canvas = Image.new("RGB", (1536, 768))
    canvas.paste(image.resize((1366, 768), Image.Resampling.BICUBIC), (85, 0))
    boxes = [(384 * x, 384 * y, 384 * x + 384, 384 * y + 384) for y in range(2) for x in range(4)]
    shown = [image.resize((384, 384), Image.Resampling.BICUBIC), *map(canvas.crop, boxes)]
    for tile, expected in zip(batch["pixel_values"][0], shown, strict=True):
        assert holds(tile, expected, HALF, HALF)


def test_images_beside_others_are_one_padded_square_each(twin: Family) -> None:
    images = [gradient(64, 32), gradient(40, 40)]
    batch = twin.batch([Conversation("Which?", images)])
    assert int((batch["input_ids"] == twin.processor.image_token_id).sum()) == 2 * 26
    square = Image.new("RGB", (64, 64), (127, 127, 127))
    square.paste(images[0], (0, 16))
    assert holds(batch["pixel_values"][0, 0], square.resize((40, 40), Image.Resampling.BICUBIC), HALF, HALF)
    assert holds(batch["pixel_values"][1, 0], images[1], HALF, HALF)


def test_features_hold_what_is_seen_alone_and_beside_others(twin: Family, photo: Callable[..., Image.Image]) -> None:
    image = photo(64, 32)
    (seen,) = twin.features([image])
    alone = int(seen.shape["alone"])
    assert len(seen.states) == alone + 26
    boxes = twin.layout(image, seen)
    assert len(boxes) == len(seen.states)
    ends = boxes.isnan().all(dim=1)
    # An end behind each row of the tiles.
    assert int(ends[25:alone].sum()) == (alone - 25) // (1 + int((~ends[25:alone]).sum() // ends[25:alone].sum()))
    assert not ends[:25].any()
    # A picture whose answer is explained is alone: the square beside others is not looked at, and has no place.
    assert ends[alone:].all()


def test_a_prompt_is_written_as_the_published_template_writes_it(
    twin: Family, photo: Callable[..., Image.Image]
) -> None:
    image = photo(32, 32)
    assert twin.render(Conversation("What is it?", [image, image], system="Be short.")) == (
        "<|im_start|>system \nBe short.<|im_end|><|im_start|>user <image><image>\nWhat is it?<|im_end|>"
        "<|im_start|>assistant\n"
    )


def test_weights_load_under_the_names_of_the_published_files(twin: Family, tmp_path: Path) -> None:
    again = renamed(twin, tmp_path, "vision_tower.", "vision_tower.vision_model.")
    for name, tensor in twin.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
