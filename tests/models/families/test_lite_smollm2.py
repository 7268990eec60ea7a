"""The small real model joined of EfficientNet-Lite0 and SmolLM2-135M-Instruct, on its published weights.

Skipped without them: PACELINE_WEIGHTS=FOLDER, as docs/captioning.md has it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import model_spec
from PIL import Image, ImageDraw

from paceline.config.schema import GenerationSpec, MethodSpec
from paceline.models.conversation import Conversation
from paceline.models.families.projector import FAMILY
from paceline.models.generate import generate
from paceline.models.hub_files import facts
from paceline.training import adapters

PARTS = ("efficientnet-lite0", "smollm2-135m-instruct")


def weights() -> bool:
    """Whether both folders are there."""
    named = os.environ.get("PACELINE_WEIGHTS")
    return bool(named) and all((Path(str(named)).expanduser() / part).is_dir() for part in PARTS)


pytestmark = pytest.mark.skipif(
    not weights(), reason=f"needs real weights: PACELINE_WEIGHTS=FOLDER that holds {' and '.join(PARTS)}"
)


@pytest.fixture(scope="module")
def family() -> Any:
    spec = model_spec("lite_smollm2")
    found = FAMILY.load(spec, training=True)
    found.model.eval()
    return found


def drawing(shape: str, colour: str) -> Image.Image:
    image = Image.new("RGB", (160, 120), "white")
    getattr(ImageDraw.Draw(image), shape)((30, 20, 130, 100), fill=colour)
    return image


def test_both_parts_are_whole_and_only_the_projector_is_new(family: Any) -> None:
    known = facts(model_spec("lite_smollm2"))
    assert family.model.num_parameters() == known["parameters"] == 138_956_224
    assert "4 tensors that no part brings (connector.linear_1.weight" in family.new_weights
    assert "1,070,208 numbers" in family.new_weights
    batch = family.batch([Conversation("What is this?", [drawing("ellipse", "red")])])
    assert int(batch["mm_token_type_ids"].sum()) == known["image_tokens"] == 49


def test_the_language_part_still_knows_what_it_knew(family: Any) -> None:
    question = Conversation("In which country is the city of Lyon?")
    (said,) = generate(family, [question], GenerationSpec(new_tokens=12), [0])
    assert "France" in said.text or "French" in said.text


def test_the_vision_part_tells_pictures_apart_and_ignores_what_stands_beside_them(family: Any) -> None:
    images = [drawing("ellipse", "red"), drawing("rectangle", "blue")]
    seen = [f.states.float() for f in family.features(images)]
    alone = [family.features([image])[0].states.float() for image in images]
    torch.testing.assert_close(seen, alone, atol=0.05, rtol=0.05)
    assert seen[0].shape == (49, 576)
    assert (seen[0] - seen[1]).abs().mean() > 0.1 * seen[0].abs().mean()


def test_the_projector_learns_two_drawings_in_a_dozen_steps(family: Any) -> None:
    adapters.adapt(family, MethodSpec(trains="all", frozen=["vision", "language"]), 0)
    family.model.float().train()
    pictures = [drawing("ellipse", "red"), drawing("rectangle", "blue")]
    lessons = [
        Conversation("Describe this picture in one short sentence.", [picture], answer=answer)
        for picture, answer in zip(pictures, ("A red ball.", "A blue box."), strict=True)
    ]
    rule = torch.optim.AdamW([p for p in family.model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(12):
        family.model(**family.training_batch(lessons)).loss.backward()
        rule.step()
        rule.zero_grad()
    family.model.eval()
    asked = [Conversation(lesson.prompt, lesson.images) for lesson in lessons]
    said = [answer.text for answer in generate(family, asked, GenerationSpec(new_tokens=8), [0, 0])]
    assert said == ["A red ball.", "A blue box."]
