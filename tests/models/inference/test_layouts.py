"""Places lie where a family says: what changes in a part of a picture moves the states of that part most.

Of families whose twins mix patches so much that the tests of maps can't tell: here their towers' layers add little.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import model_spec
from PIL import Image

from paceline.models import load_family
from paceline.models.family import Family

SIZES = [(64, 64), (96, 40), (40, 96), (200, 30)]
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3_vl": ("tiny_qwen3_vl", {"min_pixels": 4096, "max_pixels": 4096}),
    "idefics3": ("tiny_idefics3", {}),
    "smolvlm": ("tiny_smolvlm", {}),
    "gemma3": ("tiny_gemma3", {}),
    "gemma3 in crops": ("tiny_gemma3", {"do_pan_and_scan": True, "pan_and_scan_min_crop_size": 16}),
    "paligemma": ("tiny_paligemma2", {}),
}
# The last layers of attention and MLP, in SigLIP's and in Qwen's towers.
ADDED = (".out_proj.", ".mlp.fc2.", ".attn.proj.", ".mlp.linear_fc2.")


@pytest.fixture(scope="module", params=CASES)
def family(request: pytest.FixtureRequest) -> Family:
    name, processor = CASES[request.param]
    spec = model_spec(name)
    loaded = load_family(spec.family).load(dataclasses.replace(spec, processor={**spec.processor, **processor}))
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if loaded.component_of(name) == "vision" and any(part in name for part in ADDED):
                parameter.mul_(0.1)
    return loaded


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_change_moves_the_states_that_lie_there_most(
    family: Family, photo: Callable[..., Image.Image], size: tuple[int, int]
) -> None:
    image = Image.new("RGB", size, "gray")
    (before,) = family.features([image])
    boxes = family.layout(image, before)
    assert len(boxes) == before.states.shape[:-1].numel()
    for x in (0, 1, 2):
        for y in (0, 1, 2):
            part = tuple(round(n * edge / 3) for n, edge in zip((x, y, x + 1, y + 1), size * 2, strict=True))
            changed = image.copy()
            changed.paste(photo(part[2] - part[0], part[3] - part[1], 5), part[:2])
            (after,) = family.features([changed])
            moved = (after.states - before.states).norm(dim=-1).flatten()
            left, top, right, bottom = (n / edge for n, edge in zip(part, size * 2, strict=True))
            apart = (boxes[:, 0] >= right) | (boxes[:, 2] <= left) | (boxes[:, 1] >= bottom) | (boxes[:, 3] <= top)
            if apart.any():
                assert moved[~apart].max() > 1.3 * moved[apart].max(), part
                assert moved[~apart].mean() > 1.3 * moved[apart].mean(), part
