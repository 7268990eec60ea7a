"""Shapley values explain an answer of any family by its patches: they sum to the whole, and find what matters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import model_spec
from PIL import Image

from paceline.cli.verbs import explain as verb
from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.errors import UserError
from paceline.inference import explain as explaining
from paceline.inference import shapley_map
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family

pytestmark = [pytest.mark.asks("image"), pytest.mark.every_family]


@pytest.fixture(autouse=True)
def few_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapley_map, "ORDERS", 1)
    monkeypatch.setattr(shapley_map, "patches", lambda width, height: PATCHES)


PATCHES = np.array([(x / 2, y / 2, (x + 1) / 2, (y + 1) / 2) for y in range(2) for x in range(2)])


def asked(spec: ModelSpec, image: Image.Image) -> Conversation:
    return Conversation("What is it?" if "text" in spec.inputs else "", [image])


def test_patches_of_every_family_sum_to_the_whole(
    spec: ModelSpec, twin: Family, photo: Callable[..., Image.Image]
) -> None:
    question = asked(spec, photo(64, 64, 1))
    (given,) = twin.answer([question], GenerationSpec(new_tokens=4), [0])
    found = shapley_map.explain(twin, question, given.text or "a")
    added = found.log_probability - found.without_all
    assert float(found.relevance.sum()) == pytest.approx(added, abs=1e-4)
    assert found.boxes.shape == (4, 4)


def test_a_patch_in_the_mean_colour_adds_nothing(
    spec: ModelSpec, twin: Family, photo: Callable[..., Image.Image]
) -> None:
    noise = np.asarray(photo(32, 32, 1))
    pixels = np.full((64, 64, 3), 128, dtype=np.uint8)
    pixels[:32, 32:], pixels[32:, 32:] = noise, 255 - noise  # so that the mean is grey
    found = shapley_map.explain(twin, asked(spec, Image.fromarray(pixels)), label_of(twin))
    assert found.relevance[[0, 2]].tolist() == pytest.approx([0, 0], abs=1e-5)
    assert found.relevance[[1, 3]].abs().min() > 1e-4


def label_of(twin: Family) -> str:
    return twin.labels[0] if hasattr(twin, "labels") else "a"


def test_the_command_offers_the_methods_there_are() -> None:
    assert set(verb.METHODS) == set(explaining.METHODS)


def test_more_than_one_picture_is_refused(photo: Callable[..., Image.Image]) -> None:
    family = load_family("qwen2_vl").load(model_spec("tiny_qwen2_vl"))
    with pytest.raises(UserError, match="2 images"):
        shapley_map.explain(family, Conversation("?", [photo(8, 8), photo(8, 8)]), "a")
    assert torch.is_grad_enabled()
