"""Idefics3 and SmolVLM: the published numbers, their prompts, tiles and pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from conftest import model_spec
from PIL import Image
from published import gradient, images_only, on_meta
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

from paceline.gpu_memory.image_tokens import see
from paceline.gpu_memory.shapes import shape_of
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.families.idefics3 import UTTERANCE
from paceline.models.family import Family
from paceline.models.tensors import IGNORED

PARTS = {
    "smolvlm": {"vision": 412_987_248, "connector": 21_233_664, "language": 1_812_051_968},
    "smolvlm2_500m": {"vision": 86_433_024, "connector": 11_796_480, "language": 409_252_800},
    "idefics3_8b": {"vision": 412_926_192, "connector": 18_874_368, "language": 8_030_285_824},
}
POSITIONS = {"smolvlm": 16_384, "smolvlm2_500m": 8_192, "idefics3_8b": 131_072}
EACH = {"smolvlm": 81, "smolvlm2_500m": 64, "idefics3_8b": 169}
# Width, height: rows and columns of tiles, at four along the longer edge.
TILES = {
    (320, 180): (3, 4), (1280, 720): (3, 4), (64, 64): (4, 4), (1, 1): (4, 4), (2000, 500): (1, 4), (500, 2000): (4, 1),
    (3000, 15): (1, 4), (700, 701): (4, 4),
}  # fmt: skip


@pytest.fixture(scope="module", params=["tiny_idefics3", "tiny_smolvlm"])
def family(request: pytest.FixtureRequest) -> Family:
    spec = model_spec(request.param)
    return load_family(spec.family).load(spec)


@pytest.mark.parametrize("name", PARTS)
def test_the_parts_of_the_published_models_are_counted_to_the_unit(name: str) -> None:
    found = on_meta(name)
    counts: Counter[str | None] = Counter()
    for parameter, tensor in found.model.named_parameters():
        counts[found.component_of(parameter)] += tensor.numel()
    assert counts == PARTS[name]
    assert found.longest == POSITIONS[name]


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("size", TILES)
def test_an_image_becomes_whole_tiles_and_a_view_of_all(name: str, size: tuple[int, int]) -> None:
    found, batch = images_only(name, size)
    rows, columns = TILES[size]
    tiles, words = rows * columns + 1, found.tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist())
    assert words.count("<image>") == tiles * EACH[name]
    marks = [word for word in words if word.startswith("<row_")]
    assert marks == [f"<row_{r}_col_{c}>" for r in range(1, rows + 1) for c in range(1, columns + 1)]
    assert batch["pixel_values"].shape[1] == tiles
    shape = shape_of(model_spec(name))
    assert shape is not None
    seen = see(shape.image, found.spec.processor, size)
    assert seen.pixels == batch["pixel_values"].numel()
    # The twin's words spell two line breaks one by one; what else stands there belongs to the turn.
    around = len(found.batch([Conversation("")])["input_ids"][0]) - 1  # a space less behind "User:"
    assert seen.tokens == len(words) - around


def test_a_tile_has_the_images_own_pixels_from_minus_one_to_one() -> None:
    """An image as large as four by four tiles needs no resizing, its view of the whole alone does."""
    image = gradient(4 * 512, 4 * 512)
    _, batch = images_only("smolvlm2_500m", image.size)
    raw = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(2048, 2048, 3).permute(2, 0, 1)
    tiles = batch["pixel_values"][0, :16].reshape(4, 4, 3, 512, 512)
    torch.testing.assert_close(tiles.permute(2, 0, 3, 1, 4).reshape(3, 2048, 2048), raw / 127.5 - 1)


def test_a_prompt_reads_as_the_published_template_writes_it(family: Family) -> None:
    """That of SmolVLM is in the library; Idefics3's differs in the token that begins it."""
    one, two = gradient(32, 32), gradient(64, 32)
    shot = Conversation("Which?", [one], answer="a")
    opening = "<|im_start|>" if family.spec.name == "tiny_smolvlm" else "<|begin_of_text|>"
    for asked in (
        Conversation("Where?", [one]),
        Conversation("Why?"),
        Conversation("Which is north?", [one, two], system="Be short."),
        Conversation("Where?", [two], shots=[shot], system="Be short."),
    ):
        text = family.processor.apply_chat_template(
            family._messages(asked), chat_template=DEFAULT_CHAT_TEMPLATE, add_generation_prompt=True
        )
        assert family.render(asked) == text.replace("<|im_start|>", opening)
    assert family.render(Conversation("Where?", [one])) == f"{opening}User:<image>Where?{UTTERANCE}\nAssistant:"


def test_an_answer_is_trained_on_as_it_stands_in_an_earlier_turn(family: Family) -> None:
    """With the space behind "Assistant:", which the prompt that asks does not have."""
    batch = family.training_batch([Conversation("Where?", answer="Paris")])
    ids = batch["labels"][batch["labels"] != IGNORED].tolist()
    earlier = family.batch([Conversation("And?", shots=[Conversation("Where?", answer="Paris")])])["input_ids"][0]
    start = len(family.batch([Conversation("Where?")])["input_ids"][0])
    assert ids == earlier[start : start + len(ids)].tolist()
    assert family.decode(ids) == " Paris"


def test_an_answer_ends_with_the_utterance(family: Family) -> None:
    assert family.end_tokens[0] == family.tokenizer.convert_tokens_to_ids(UTTERANCE)


@pytest.mark.parametrize("split", [True, False])
def test_states_lie_where_their_tile_does(split: bool, photo: Callable[..., Image.Image]) -> None:
    spec = model_spec("tiny_idefics3")
    spec.processor["do_image_splitting"] = split
    one = load_family(spec.family).load(spec)
    image = photo(90, 40, 1)
    (seen,) = one.features([image])
    boxes = one.layout(image, seen)
    assert boxes.shape == (len(seen.states), 4)
    whole = boxes[-4:]
    assert whole.tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]
    if split:  # one row of two tiles
        assert boxes[:4, [0, 2]].max() == 0.5
        assert boxes[4:8, [0, 2]].min() == 0.5


def test_a_mixed_batch_takes_pictures_from_one_pixel_to_200_to_1(
    family: Family, photo: Callable[..., Image.Image]
) -> None:
    asked = [Conversation("Where?", [photo(*size)]) for size in ((1, 1), (200, 1), (1, 200), (64, 64), (1000, 5))]
    asked.append(Conversation("Why?"))
    with torch.inference_mode():
        together = family.model(**family.batch(asked)).logits[:, -1]
        for row, one in enumerate(asked):
            assert torch.allclose(together[row], family.model(**family.batch([one])).logits[0, -1], atol=1e-4)
