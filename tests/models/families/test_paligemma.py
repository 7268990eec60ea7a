"""PaliGemma 2: the published numbers, its prefix, its prompts and pixels."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import model_spec
from PIL import Image
from published import gradient, images_only, on_meta, with_older_names

from paceline.errors import UserError
from paceline.gpu_memory.image_tokens import see
from paceline.gpu_memory.shapes import shape_of
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.tensors import IGNORED


@pytest.fixture(scope="module")
def family() -> Family:
    spec = model_spec("tiny_paligemma2")
    return load_family(spec.family).load(spec)


@pytest.mark.parametrize("name", ["paligemma2_3b", "paligemma2_3b_mix"])
def test_the_parts_of_the_published_models_are_counted_to_the_unit(name: str) -> None:
    """The sum is that which public code prints of google/paligemma2-3b-mix-224."""
    found = on_meta(name)
    counts: Counter[str | None] = Counter()
    for parameter, tensor in found.model.named_parameters():
        counts[found.component_of(parameter)] += tensor.numel()
    assert counts == {"vision": 412_442_352, "connector": 2_656_512, "language": 2_617_143_552}
    assert counts.total() == 3_032_242_416
    assert found.longest == 8_192


@pytest.mark.parametrize("size", [(1, 1), (320, 180), (1280, 720), (3000, 15)])
def test_every_image_is_256_tokens(size: tuple[int, int]) -> None:
    found, batch = images_only("paligemma2_3b", size)
    assert int((batch["input_ids"] == found.processor.image_token_id).sum()) == 256
    assert batch["pixel_values"].shape == (1, 3, 224, 224)
    shape = shape_of(model_spec("paligemma2_3b"))
    assert shape is not None
    seen = see(shape.image, {}, size)
    assert (seen.tokens, seen.patches, seen.pixels) == (256, 256, batch["pixel_values"].numel())


def test_pixels_are_the_images_own_from_minus_one_to_one() -> None:
    image = gradient(224, 224)
    _, batch = images_only("paligemma2_3b", image.size)
    raw = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(224, 224, 3).permute(2, 0, 1)
    torch.testing.assert_close(batch["pixel_values"][0], raw / 127.5 - 1)


def test_prompts_and_lessons_are_those_of_the_librarys_own_processor(
    family: Family, photo: Callable[..., Image.Image]
) -> None:
    image = photo(64, 48, 1)
    theirs = family.processor(text="<image>answer en Where?", images=image, suffix="Paris", return_tensors="pt")
    ours = family.training_batch([Conversation("answer en Where?", [image], answer="Paris")])
    for name in ("input_ids", "attention_mask", "token_type_ids", "pixel_values"):
        assert torch.equal(ours[name], theirs[name]), name
    assert torch.equal(ours["labels"], theirs["labels"])
    asked = family.processor(text="<image>answer en Where?", images=image, return_tensors="pt")
    assert torch.equal(family.batch([Conversation("answer en Where?", [image])])["input_ids"], asked["input_ids"])


def test_images_stand_first_those_of_earlier_turns_too(family: Family) -> None:
    one, two = gradient(32, 32), gradient(64, 32)
    shot = Conversation("Which?", [one], answer="a")
    text = family.render(Conversation("Where?", [two], shots=[shot], system="Be short."))
    assert text == "<image><image><bos>Be short.\nWhich?\na\n\nWhere?\n"


def test_a_prompt_is_read_in_both_directions_and_an_answer_forwards(family: Family) -> None:
    image = gradient(32, 32)

    def hidden(prompt: str, answer: str) -> tuple[torch.Tensor, torch.Tensor]:
        batch = family.training_batch([Conversation(prompt, [image], answer=answer)])
        first = int((batch["labels"][0] != IGNORED).nonzero()[0])
        options = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids", "pixel_values")}
        with torch.inference_mode():
            states = family.model(**options, output_hidden_states=True).hidden_states[-1][0]
        return states[0], states[first]

    begins, answers = hidden("Where?", "ab")
    assert not torch.allclose(hidden("Where!", "ab")[0], begins, atol=1e-5)  # the first patch sees the last letter
    other = hidden("Where?", "ac")
    assert torch.allclose(other[0], begins, atol=1e-5)  # the prompt does not see its answer
    assert torch.allclose(other[1], answers, atol=1e-5)  # nor the answer's beginning its end


def test_every_token_of_an_answer_in_a_batch_is_of_type_one(family: Family, photo: Callable[..., Image.Image]) -> None:
    lessons = [
        Conversation("Where?", [photo(64, 64)], answer="(1.5, 2.5)"),
        Conversation("A", [photo(9, 9)], answer="b"),
    ]
    batch = family.training_batch(lessons)
    real = batch["attention_mask"] == 1
    assert torch.equal(batch["token_type_ids"][real], (batch["labels"] != IGNORED).long()[real])


def test_tokens_of_places_are_part_of_what_is_answered(family: Family) -> None:
    ids = family.tokenizer("<loc0123><loc0004> land", add_special_tokens=False)["input_ids"]
    assert len(ids) == 3
    assert family.decode(ids) == "<loc0123><loc0004> land"


def test_it_is_computed_by_the_attention_that_has_caps_and_a_mask() -> None:
    for name in ("paligemma2_3b", "paligemma2_3b_mix", "tiny_paligemma2"):
        spec = model_spec(name)
        assert spec.attention == "eager"
        assert load_family(spec.family).attentions == ("eager",)
    with pytest.raises(UserError, match="attention: sdpa is not among those of family 'paligemma': eager"):
        load_family(spec.family).load(dataclasses.replace(spec, attention="sdpa"))


def test_weights_under_the_names_of_the_published_files_are_read(
    family: Family, photo: Callable[..., Image.Image], tmp_path: Path
) -> None:
    """Those files say `vision_tower.vision_model.…`, as converters in public code do."""
    family.save(family.model, tmp_path)
    with_older_names(tmp_path, {"vision_tower.": "vision_tower.vision_model."})
    again = load_family(family.spec.family).load(dataclasses.replace(family.spec, weights=str(tmp_path), config={}))
    batch = family.batch([Conversation("Where?", [photo(64, 64)])])
    with torch.inference_mode():
        assert torch.equal(again.model(**batch).logits, family.model(**batch).logits)
