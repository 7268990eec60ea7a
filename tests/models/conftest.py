"""Every twin of conf/model/ is a fixture: a new ``tiny_*.yaml`` is tested by being there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from paceline.config.build import build
from paceline.config.schema import ModelSpec
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family

CONF = Path(__file__).parents[2] / "conf" / "model"
TWINS = sorted(path.stem for path in CONF.glob("tiny_*.yaml"))

torch.set_num_threads(1)


def model_spec(name: str) -> ModelSpec:
    """The spec of ``conf/model/<name>.yaml``, without Hydra."""
    return build(ModelSpec, {"name": name, **yaml.safe_load((CONF / f"{name}.yaml").read_text())}, name)


@pytest.fixture(scope="session", params=TWINS)
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return model_spec(request.param)


@pytest.fixture(scope="session")
def twin(spec: ModelSpec) -> Family:
    """A loaded twin, shared: a test that changes weights loads its own."""
    return load_family(spec.family).load(spec)


@pytest.fixture(scope="session")
def photo() -> Callable[..., Image.Image]:
    """``photo(width, height, seed)``: noise, the same for the same arguments."""

    def make(width: int, height: int, seed: int = 0) -> Image.Image:
        pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    return make


@pytest.fixture(scope="session")
def conversations(photo: Callable[..., Image.Image]) -> list[Conversation]:
    """Prompts of unequal length on images of unequal size, with their answers."""
    return [
        Conversation("Where was this photo taken?", [photo(64, 64, 1)], answer="(46.95, 7.44)"),
        Conversation("Where?", [photo(90, 40, 2)], system="Be short.", answer="(-33.9, 151.2)"),
        Conversation("Give the pair (latitude, longitude), nothing else.", [photo(48, 80, 3)], answer="(0.0, 0.0)"),
    ]
