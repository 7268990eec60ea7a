"""Faithful without weights: what can be known of the published models from what is public, held to the unit.

The architectures in ``golden/published`` are the hub's, as far as they are known; IDEFICS-9B's is rebuilt from its
class, and its count agrees with a published one. The published tokenizers and chat templates are not at hand: prompts
are those of the twins' templates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TWINS, abilities_of, model_spec
from finetune_twin import method
from PIL import Image
from published import CONFIGS, check, gradient, images_only, on_meta, trained

from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family

COUNTS = {
    "qwen2_vl_2b": {"vision": 631_183_360, "connector": 34_087_936, "language": 1_543_714_304},
    "pixtral_12b": {"vision": 403_489_792, "connector": 31_467_520, "language": 12_247_782_400},
    "llama32_11b_vision": {"vision": 836_288_019, "connector": 31_461_376, "language": 9_775_192_080},
    "llama32_11b_vision_instruct": {"vision": 863_567_379, "connector": 31_461_376, "language": 9_775_192_080},
    # Language: 6,738,432,000 of the text model and 1,434,519,568 of the gated layers.
    "idefics_9b": {"vision": 630_766_080, "connector": 125_961_984, "language": 8_172_951_568},
}
POSITIONS = {
    "qwen2_vl_2b": 32_768,
    "pixtral_12b": 1_024_000,
    "llama32_11b_vision": 131_072,
    "llama32_11b_vision_instruct": 131_072,
    "idefics_9b": 2_048,
}


@pytest.mark.parametrize("name", CONFIGS)
def test_components_hold_every_parameter_of_the_published_model(name: str) -> None:
    family = on_meta(name)
    counts: Counter[str | None] = Counter()
    for parameter, tensor in family.model.named_parameters():
        counts[family.component_of(parameter)] += tensor.numel()
    assert counts == COUNTS[name]
    assert family.longest == POSITIONS[name]


@pytest.mark.parametrize(
    ("name", "study", "changes", "trainable"),
    [
        ("llama32_11b_vision_instruct", "dora_8bit_llama_study", {"dora": False}, 29_491_200),
        ("llama32_11b_vision_instruct", "dora_8bit_llama_study", {}, 31_416_320),
        ("idefics_9b", "qlora_idefics_study", {}, 19_750_912),
    ],
)
def test_the_studies_adapters_have_their_published_size(
    name: str, study: str, changes: dict[str, bool], trainable: int
) -> None:
    assert trained(on_meta(name), method(study, **changes).lora) == trainable


def test_llamas_language_model_has_the_395_tensors_that_were_counted_in_its_files() -> None:
    names = [name for name in on_meta("llama32_11b_vision").model.state_dict() if "language_model" in name]
    assert len(names) + len(["lm_head.weight"]) == 3 + 32 * 9 + 8 * 13


@pytest.mark.asks("tokens")
def test_weights_are_saved_under_the_names_of_the_published_files(twin: Family, tmp_path: Path) -> None:
    """Numbers of layers and blocks are left out of the names.

    Against public sources: all names of Llama's language model, of its connector and of what is no layer of its tower
    (notes on its conversion to another format print them); of Qwen2-VL and Pixtral the names in converters of other
    projects; of IDEFICS those in a printed device map. No index file itself was at hand.
    """
    from safetensors import safe_open

    twin.save(twin.model, tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = {re.sub(r"\.\d+\.", ".N.", name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    check(f"names_{twin.spec.family}", dict.fromkeys(sorted(names), True))


# Width, height: tokens that a study photo, a 720p one and odd ones take. Qwen2-VL's bounds are those of its YAML.
QWEN = {(320, 180): 264, (1280, 720): 594, (64, 64): 256, (2000, 500): 600, (3000, 2000): 600, (700, 701): 625}
PIXTRAL = {(320, 180): 252, (1280, 720): 2340, (64, 64): 20, (2000, 500): 1040, (500, 2000): 1088, (1024, 1024): 4160}
# Rows and columns of tiles.
LLAMA = {(320, 180): (1, 1), (640, 360): (1, 2), (1280, 720): (2, 2), (2000, 500): (1, 4), (500, 2000): (4, 1)}


@pytest.mark.parametrize("size", QWEN)
def test_qwen2_vl_gives_an_image_a_token_per_four_patches(size: tuple[int, int]) -> None:
    family, batch = images_only("qwen2_vl_2b", size)
    assert int((batch["input_ids"] == family.processor.image_token_id).sum()) == QWEN[size]
    assert batch["pixel_values"].shape == (4 * QWEN[size], 3 * 2 * 14 * 14)


@pytest.mark.parametrize("size", PIXTRAL)
def test_pixtral_gives_an_image_a_token_per_patch_and_one_per_row(size: tuple[int, int]) -> None:
    family, batch = images_only("pixtral_12b", size)
    marks = torch.tensor(family.processor.image_token_ids)
    assert int(torch.isin(batch["input_ids"], marks).sum()) == PIXTRAL[size]
    rows, columns = (edge // 16 for edge in batch["pixel_values"].shape[2:])
    assert rows * (columns + 1) == PIXTRAL[size]


@pytest.mark.parametrize("size", LLAMA)
def test_llama_cuts_an_image_into_tiles_that_fit_its_shape(size: tuple[int, int]) -> None:
    family, batch = images_only("llama32_11b_vision", size)
    shapes = family.spec.config["vision_config"]["supported_aspect_ratios"]
    assert tuple(shapes[int(batch["aspect_ratio_ids"]) - 1]) == LLAMA[size]
    rows, columns = LLAMA[size]
    assert int(batch["cross_attention_mask"][0, -1].sum()) == int(batch["aspect_ratio_mask"].sum()) == rows * columns
    assert batch["pixel_values"].shape == (1, 1, 4, 3, 448, 448)


def test_idefics_gives_every_image_64_states_and_three_tokens() -> None:
    family = on_meta("idefics_9b")
    texts = [Conversation("Why?"), Conversation("Why?", [gradient(320, 180)])]
    without, with_image = (family.batch([c])["input_ids"].shape[1] for c in texts)
    assert with_image - without == 3
    assert family.model.model.perceiver_resampler.latents.shape == (64, 1280)


def test_a_fixed_image_is_preprocessed_to_known_pixels() -> None:
    """Shape, mean, spread and a few values, rounded to hundredths: resizing may differ in the last bits."""
    found = {}
    for name in CONFIGS:
        _, batch = images_only(name, (320, 180))
        pixels = batch["pixel_values"].float()
        values = pixels.flatten()[:: pixels.numel() // 7][:7]
        found[name] = {
            "shape": list(pixels.shape),
            "mean": round(float(pixels.mean()), 2),
            "spread": round(float(pixels.std()), 2),
            "values": [round(v, 2) + 0.0 for v in values.tolist()],
        }
    check("pixels", found)


def test_prompts_are_written_as_before(photo: Callable[..., Image.Image]) -> None:
    one, two = photo(32, 32, 1), photo(32, 32, 2)
    shot = Conversation("Where?", [one], answer="(1.5, 2.5)")
    asked = {
        "an image": Conversation("Where was this taken?", [one]),
        "no image": Conversation("What is a map?"),
        "a system's turn": Conversation("Where was this taken?", [one], system="Be short."),
        "two images": Conversation("Which is north?", [one, two]),
        "a shot": Conversation("Where was this taken?", [two], shots=[shot]),
        "a shot and a system's turn": Conversation("Where?", [two], shots=[shot], system="Be short."),
    }
    found = {}
    for name in TWINS:
        if not {"tokens", "question", "image"} <= abilities_of(name):
            continue  # what others are asked stands bare, or is tested with their families
        spec = model_spec(name)
        cls = load_family(spec.family)
        family = cls.__new__(cls)
        family.spec, family.processor = spec, cls.twin_processor(spec)
        for case, conversation in asked.items():
            if getattr(family.processor, "chat_template", None):
                found[f"{name}, {case}"] = family.render(conversation)
        family.processor.chat_template = None
        for case, conversation in asked.items():
            found[f"{name} as a base model, {case}"] = family.render(conversation)
    check("prompts", found)
