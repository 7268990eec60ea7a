"""Qwen3-VL: the published numbers, its prompts, its pixels, and the levels that reach the language model's layers."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from conftest import model_spec
from PIL import Image
from published import gradient, images_only, on_meta

from paceline.gpu_memory.image_tokens import see
from paceline.gpu_memory.shapes import shape_of
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family

# Width, height: tokens, by the bounds of the YAML, 256 to 640 of 32 × 32 pixels.
TOKENS = {(320, 180): 264, (1280, 720): 594, (64, 64): 256, (448, 448): 256, (2000, 500): 600, (500, 2000): 600}


@pytest.fixture(scope="module")
def family() -> Family:
    spec = model_spec("tiny_qwen3_vl")
    return load_family(spec.family).load(spec)


def test_the_parts_of_the_published_model_are_counted_to_the_unit() -> None:
    """The sum is that which public code asserts of Qwen/Qwen3-VL-2B-Instruct at the pinned commit."""
    found = on_meta("qwen3_vl_2b")
    counts: Counter[str | None] = Counter()
    for name, tensor in found.model.named_parameters():
        counts[found.component_of(name)] += tensor.numel()
    assert counts == {"vision": 306_242_560, "connector": 100_714_496, "language": 1_720_574_976}
    assert counts.total() == 2_127_532_032
    assert found.longest == 262_144


@pytest.mark.parametrize("size", TOKENS)
def test_an_image_has_a_token_per_four_patches(size: tuple[int, int]) -> None:
    found, batch = images_only("qwen3_vl_2b", size)
    assert int((batch["input_ids"] == found.processor.image_token_id).sum()) == TOKENS[size]
    assert batch["pixel_values"].shape == (4 * TOKENS[size], 3 * 2 * 16 * 16)
    shape = shape_of(model_spec("qwen3_vl_2b"))
    assert shape is not None
    seen = see(shape.image, found.spec.processor, size)
    assert (seen.tokens - 2, seen.pixels) == (TOKENS[size], batch["pixel_values"].numel())


def test_pixels_are_the_images_own_from_minus_one_to_one(family: Family) -> None:
    """An image that needs no resizing: patches in blocks of two by two, each pixel twice (two frames)."""
    image = gradient(32, 32)
    pixels = family.batch([Conversation("", [image])])["pixel_values"].reshape(2, 2, 2, 2, 3, 2, 8, 8)
    assert torch.equal(pixels[..., 0, :, :], pixels[..., 1, :, :])
    # Rows and columns of blocks, rows and columns in a block, colour, rows and columns in a patch.
    made = pixels[..., 0, :, :].permute(4, 0, 2, 5, 1, 3, 6).reshape(3, 32, 32)
    raw = torch.tensor(list(image.tobytes())).reshape(32, 32, 3).permute(2, 0, 1)
    torch.testing.assert_close(made, raw / 127.5 - 1)


def test_a_prompt_reads_as_the_published_template_writes_it(family: Family) -> None:
    """Compared with copies of the template in public code; unlike Qwen2-VL's it invents no system's turn."""
    image = gradient(32, 32)
    seen = "<|vision_start|><|image_pad|><|vision_end|>"
    asked = Conversation("Where?", [image], system="Be short.", shots=[Conversation("Which?", [image], answer="a")])
    assert family.render(asked) == (
        f"<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\n{seen}Which?<|im_end|>\n"
        f"<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\n{seen}Where?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert family.render(Conversation("Why?")) == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"


def test_every_level_of_what_is_seen_reaches_the_answer(family: Family, photo: Callable[..., Image.Image]) -> None:
    (seen,) = family.features([photo(64, 64, 1)])
    assert seen.states.shape == (4, 2 * 128)

    def logits(states: torch.Tensor) -> torch.Tensor:
        shown = Conversation("Where?", [dataclasses.replace(seen, states=states)])
        with torch.inference_mode():
            return family.model(**family.batch([shown])).logits[:, -1]

    whole = logits(seen.states)
    for level in range(2):
        without = seen.states.clone()
        without[:, 128 * level : 128 * (level + 1)] = 0
        assert not torch.allclose(logits(without), whole, atol=1e-4), level


def test_a_place_is_seen_with_all_its_levels(family: Family, photo: Callable[..., Image.Image]) -> None:
    """Were each level a state of its own, the mean of all would mix them, and taking a place away leave half of it."""
    image = photo(64, 64, 1)
    (seen,) = family.features([image])
    boxes = family.layout(image, seen)
    assert boxes.tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]
