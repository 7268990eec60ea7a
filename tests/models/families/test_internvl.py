"""InternVL3: what is public of the published models, and what is particular to their family.

The configs are those of a public copy of the hub's files; the prompt is that of the template in the library's script
that converted them, and so are the processor's settings.
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
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from paceline.config.schema import ModelSpec
from paceline.gpu_memory.image_tokens import see
from paceline.gpu_memory.shapes import shape_of
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family

COUNTS = {
    # 938 million in all, and no output layer of its own would leave 802.
    "internvl3_1b": {"vision": 304_012_288, "connector": 4_482_816, "language": 629_697_920},
    "internvl3_2b": {"vision": 304_012_288, "connector": 8_662_016, "language": 1_776_283_136},
}
# Width, height: tiles across and down.
GRIDS = {
    (320, 180): (2, 1),
    (640, 480): (4, 3),
    (1280, 720): (4, 2),
    (64, 64): (1, 1),
    (448, 448): (1, 1),
    (900, 900): (2, 2),
    (1000, 1000): (3, 3),
    (2000, 500): (4, 1),
    (500, 2000): (1, 4),
    (1, 1): (1, 1),
    (200, 1): (12, 1),
}


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return model_spec("tiny_internvl")


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


@pytest.mark.parametrize("size", GRIDS, ids=str)
def test_an_image_is_cut_into_the_grid_of_the_nearest_shape(size: tuple[int, int]) -> None:
    family, batch = images_only("internvl3_1b", size)
    tiles = GRIDS[size][0] * GRIDS[size][1]
    squares = tiles + (tiles > 1)
    marks = torch.tensor(family.processor.image_token_ids)
    tokens = int(torch.isin(batch["input_ids"], marks).sum())
    assert batch["pixel_values"].shape == (squares, 3, 448, 448)
    assert tokens == 256 * squares + 2
    shape = shape_of(model_spec("internvl3_1b"))
    assert shape is not None
    seen = see(shape.image, {}, size)
    assert (seen.tokens, seen.pixels) == (tokens, batch["pixel_values"].numel())
    assert see(shape.image, {}, None).tokens == 256 * 13 + 2


@pytest.mark.parametrize(
    "bounds", [{"max_patches": 1}, {"max_patches": 5}, {"min_patches": 3}, {"crop_to_patches": False}]
)
@pytest.mark.parametrize("size", [(64, 64), (90, 40), (40, 200)], ids=str)
def test_tiles_are_counted_as_the_file_bounds_them(
    spec: ModelSpec, bounds: dict[str, int], size: tuple[int, int], photo: Callable[..., Image.Image]
) -> None:
    bounded = dataclasses.replace(spec, processor=bounds)
    family = load_family(spec.family).load(bounded)
    batch = family.batch([Conversation("?", [photo(*size)])])
    shape = shape_of(spec)
    assert shape is not None
    assert see(shape.image, bounds, size).pixels == batch["pixel_values"].numel()
    assert torch.equal(family.features([photo(*size)])[0].states.flatten(0, 1), _states(family, batch))


def _states(family: Family, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        seen = family.bare_model().get_image_features(pixel_values=batch["pixel_values"], return_dict=True)  # type: ignore[operator]
    return seen.pooler_output.flatten(0, 1)


def test_tiles_are_the_stretched_image_row_by_row_and_then_the_whole() -> None:
    _, batch = images_only("internvl3_1b", (1280, 720))
    image = gradient(1280, 720)
    stretched = image.resize((4 * 448, 2 * 448), Image.Resampling.BICUBIC)
    boxes = [(448 * x, 448 * y, 448 * x + 448, 448 * y + 448) for y in range(2) for x in range(4)]
    shown = [*map(stretched.crop, boxes), image.resize((448, 448), Image.Resampling.BICUBIC)]
    for tile, expected in zip(batch["pixel_values"], shown, strict=True):
        assert holds(tile, expected, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)


def test_a_prompt_is_written_as_the_published_template_writes_it(
    twin: Family, photo: Callable[..., Image.Image]
) -> None:
    image = photo(32, 32)
    assert twin.render(Conversation("What is it?", [image, image], system="Be short.")) == (
        "<|im_start|>system\nBe short.<|im_end|>\n"
        "<|im_start|>user\n<IMG_CONTEXT>\n<IMG_CONTEXT>\nWhat is it?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_output_layer_of_its_own_stays_so_where_an_older_file_says_nothing(
    twin: Family, spec: ModelSpec, tmp_path: Path
) -> None:
    """As the hub's: its config was written where the text's part decided, and today's class would tie."""
    twin.save(twin.model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for values in (config, config["text_config"]):
        values.pop("tie_word_embeddings")
    (tmp_path / "config.json").write_text(json.dumps(config))
    again = load_family(spec.family).load(dataclasses.replace(spec, weights=str(tmp_path), config={}))
    assert not again.bare_model().config.tie_word_embeddings
    assert torch.equal(again.model.lm_head.weight, twin.model.lm_head.weight)
    assert not torch.equal(again.model.lm_head.weight, again.bare_model().get_input_embeddings().weight)


def test_weights_load_under_the_names_of_the_published_files(twin: Family, tmp_path: Path) -> None:
    """They are saved under these; newer releases write ``model.`` before them."""
    again = renamed(twin, tmp_path, "vision_tower.", "model.vision_tower.")
    for name, tensor in twin.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
