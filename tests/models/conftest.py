"""Every twin of conf/model/ is a fixture: a new ``tiny_*.yaml`` is tested by being there.

Not every family can do everything: a test says what it asks of one (``@pytest.mark.asks``). And not every family runs
every test each time: those of ``CORE`` do, the others run what is marked ``every_family``, unless PACELINE_MATRIX=1.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from functools import cache
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
from paceline.models.registry import says

CONF = Path(__file__).parents[2] / "conf" / "model"
TWINS = sorted(path.stem for path in CONF.glob("tiny_*.yaml"))

CORE = ("tiny_idefics", "tiny_llama32_vision", "tiny_phi35_vision", "tiny_pixtral", "tiny_qwen2_vl")
MATRIX = os.environ.get("PACELINE_MATRIX", "") not in ("", "0")

torch.set_num_threads(1)


def model_spec(name: str) -> ModelSpec:
    """The spec of ``conf/model/<name>.yaml``, without Hydra."""
    return build(ModelSpec, {"name": name, **yaml.safe_load((CONF / f"{name}.yaml").read_text())}, name)


def abilities(spec: ModelSpec) -> set[str]:
    """What a twin can do, by the words of ``@pytest.mark.asks``.

    ``image``: be shown one; ``several``: more than one at a time, interleaved with text; ``question``: be asked one, as
    a text that a chat template or a line break frames; ``imageless``: answer without an image; ``features``: take what
    it saw before in place of pixels; ``tokens``: its answer is text that it writes token by token; ``joint``: prompt
    and answer are one sequence of its network.
    """
    reads, family = set(spec.inputs), spec.family
    able = {
        "image": "image" in reads,
        "several": "images" in reads,
        "question": "text" in reads and not says(family, "bare_prompt", False),
        "imageless": "text" in reads and not says(family, "needs_image", False),
        "features": "image" in reads and says(family, "takes_features", True),
        "tokens": says(family, "how", "generates") == "generates",
        "joint": not says(family, "decoder_apart", False),
    }
    return {name for name, can in able.items() if can}


@cache
def abilities_of(name: str) -> set[str]:
    return abilities(model_spec(name))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "asks(abilities): what a test asks of a family; see abilities()")
    config.addinivalue_line("markers", "every_family: run on each twin each time, and not in the full matrix alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept, left = [], []
    for item in items:
        name = getattr(item, "callspec", None) and item.callspec.params.get("spec")
        wanted = {w for mark in item.iter_markers("asks") for w in mark.args}
        runs = (
            not isinstance(name, str)
            or name not in TWINS
            or (
                wanted <= abilities_of(name)
                and (MATRIX or name in CORE or item.get_closest_marker("every_family") is not None)
            )
        )
        (kept if runs else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


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


@pytest.fixture
def conversations(request: pytest.FixtureRequest, photo: Callable[..., Image.Image]) -> list[Conversation]:
    """Prompts of unequal length on images of unequal size, with their answers; no more than the twin can be asked."""
    asked = [
        Conversation("Where was this photo taken?", [photo(64, 64, 1)], answer="(46.95, 7.44)"),
        Conversation("Where?", [photo(90, 40, 2)], system="Be short.", answer="(-33.9, 151.2)"),
        Conversation("Give the pair (latitude, longitude), nothing else.", [photo(48, 80, 3)], answer="(0.0, 0.0)"),
    ]
    reads = request.getfixturevalue("spec").inputs if "spec" in request.fixturenames else ["image", "text"]
    if "text" not in reads:
        asked = [dataclasses.replace(c, prompt="", system="") for c in asked]
    return asked if "image" in reads else [dataclasses.replace(c, images=[]) for c in asked]
