"""Gemma 3: the published numbers, its prompts and pixels, crops, and images whose tokens see each other."""

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

from paceline.config.schema import GenerationSpec
from paceline.gpu_memory.image_tokens import see
from paceline.gpu_memory.shapes import shape_of
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.generate import generate

SPEC = model_spec("tiny_gemma3")
PANNED = {"do_pan_and_scan": True, "pan_and_scan_min_crop_size": 16}


@pytest.fixture(scope="module")
def family() -> Family:
    return load_family(SPEC.family).load(SPEC)


@pytest.fixture(scope="module")
def panned() -> Family:
    return load_family(SPEC.family).load(dataclasses.replace(SPEC, processor=PANNED))


def test_the_parts_of_the_published_model_are_counted_to_the_unit() -> None:
    """The sum is that which public code asserts of google/gemma-3-4b-it."""
    found = on_meta("gemma3_4b")
    counts: Counter[str | None] = Counter()
    for name, tensor in found.model.named_parameters():
        counts[found.component_of(name)] += tensor.numel()
    assert counts == {"vision": 416_866_032, "connector": 2_950_272, "language": 3_880_263_168}
    assert counts.total() == 4_300_079_472
    assert found.longest == 131_072


@pytest.mark.parametrize("size", [(1, 1), (320, 180), (1280, 720), (3000, 15)])
def test_every_image_is_256_tokens_between_two_marks(size: tuple[int, int]) -> None:
    found, batch = images_only("gemma3_4b", size)
    words = found.tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist())
    first = words.index("<start_of_image>")
    assert words[first : first + 258] == ["<start_of_image>", *["<image_soft_token>"] * 256, "<end_of_image>"]
    assert words.count("<image_soft_token>") == 256
    assert batch["pixel_values"].shape == (1, 3, 896, 896)
    shape = shape_of(model_spec("gemma3_4b"))
    assert shape is not None
    seen = see(shape.image, {}, size)
    assert (seen.tokens, seen.patches, seen.pixels) == (260, 4096, batch["pixel_values"].numel())


def test_pixels_are_the_images_own_from_minus_one_to_one() -> None:
    image = gradient(896, 896)
    _, batch = images_only("gemma3_4b", image.size)
    raw = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(896, 896, 3).permute(2, 0, 1)
    torch.testing.assert_close(batch["pixel_values"][0], raw / 127.5 - 1)


def test_a_prompt_reads_as_the_published_template_writes_it(family: Family) -> None:
    """Compared with copies of the template in public code: a system's text opens the first turn, texts are trimmed."""
    image = gradient(32, 32)
    asked = Conversation("Where? ", [image], system="Be short.", shots=[Conversation("Which?", [image], answer="a")])
    assert family.render(asked) == (
        "<bos><start_of_turn>user\nBe short.\n\n<start_of_image>Which?<end_of_turn>\n"
        "<start_of_turn>model\na<end_of_turn>\n"
        "<start_of_turn>user\n<start_of_image>Where?<end_of_turn>\n<start_of_turn>model\n"
    )
    assert family.tokenizer.convert_ids_to_tokens(family.end_tokens) == ["<end_of_turn>", "<eos>"]


def test_an_images_tokens_see_each_other_and_text_only_what_stands_before(family: Family) -> None:
    """The first state of an image changes with the last one; with a text behind it, it does not."""
    (seen,) = family.features([gradient(32, 32)])

    def hidden(states: torch.Tensor, text: str) -> torch.Tensor:
        shown = Conversation(text, [dataclasses.replace(seen, states=states)])
        batch = family.batch([shown])
        first = int((batch["input_ids"][0] == family.tokenizer.image_token_id).nonzero()[0])
        with torch.inference_mode():
            output = family.model(**batch, output_hidden_states=True)
        return output.hidden_states[-1][0, first]

    changed = seen.states.clone()
    changed[0, -1] += 1
    assert not torch.allclose(hidden(changed, "Where?"), hidden(seen.states, "Where?"), atol=1e-5)
    assert torch.allclose(hidden(seen.states, "Which?"), hidden(seen.states, "Where?"), atol=1e-5)


def test_token_types_mark_the_tokens_of_images_in_lessons_too(
    family: Family, photo: Callable[..., Image.Image]
) -> None:
    lessons = [Conversation("Where?", [photo(64, 64)], answer="(1.5, 2.5)"), Conversation("Why?", answer="a")]
    batch = family.training_batch(lessons)
    assert torch.equal(batch["token_type_ids"], (batch["input_ids"] == family.tokenizer.image_token_id).long())
    assert batch["token_type_ids"].sum(1).tolist() == [4, 0]


@pytest.mark.parametrize(("size", "crops"), [((90, 30), 3), ((30, 100), 3), ((40, 40), 0), ((20, 30), 0)])
def test_a_long_image_is_shown_in_crops_too_where_the_models_file_says_so(
    panned: Family, photo: Callable[..., Image.Image], size: tuple[int, int], crops: int
) -> None:
    image = photo(*size)
    batch = panned.batch([Conversation("Where?", [image])])
    assert batch["pixel_values"].shape[0] == 1 + crops
    shape = shape_of(SPEC)
    assert shape is not None
    assert see(shape.image, PANNED, size).pixels == batch["pixel_values"].numel()
    (seen,) = panned.features([image])
    boxes = panned.layout(image, seen)
    assert boxes.shape == ((1 + crops) * 4, 4)
    assert (boxes.min(), boxes.max()) == (0, 1)
    if crops:  # the crops follow each other along the longer edge
        along = boxes[4:].reshape(crops, 4, 4)[:, 0, 0 if size[0] > size[1] else 1]
        assert torch.equal(along, along.sort().values)
        assert (along > 0).sum() == crops - 1


def test_crops_are_asked_about_by_their_features_as_by_their_pixels(
    panned: Family, photo: Callable[..., Image.Image]
) -> None:
    pictures = [photo(90, 30, 1), photo(40, 40, 2), photo(30, 100, 3)]
    asked = [Conversation("Where?", [image]) for image in pictures]
    asked.append(Conversation("Which?", pictures[:2]))
    seen = panned.features(pictures)
    kept = [Conversation("Where?", [one]) for one in seen] + [Conversation("Which?", seen[:2])]
    with torch.inference_mode():
        one, other = (panned.model(**panned.batch(c)).logits[:, -1] for c in (asked, kept))
    assert torch.allclose(one, other, atol=1e-5)
    settled = GenerationSpec(new_tokens=6)
    assert generate(panned, kept, settled, [0] * 4) == generate(panned, asked, settled, [0] * 4)


def test_flash_attention_which_would_drop_the_mask_is_refused(family: Family) -> None:
    assert "flash_attention_2" not in family.attentions


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
