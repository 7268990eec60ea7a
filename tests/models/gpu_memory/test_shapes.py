"""Shapes are what the networks say, images cost what the processors make, and formulas what autograd keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import full_size
import pytest
from activation_cases import CASES, GOLDEN, Case, planned
from conftest import CONF, model_spec
from published import images_only

from paceline.config.schema import LoraSpec, MethodSpec, ModelSpec
from paceline.errors import UserError
from paceline.gpu_memory import count_shape
from paceline.gpu_memory.image_tokens import see
from paceline.gpu_memory.shapes import shape_of, trainable
from paceline.models import load_family
from paceline.models.families.phi35_vision.processing import Phi3VImageProcessor
from paceline.training import adapters

SHIPPED = [s for p in sorted(CONF.glob("*.yaml")) if shape_of(s := model_spec(p.stem)) is not None]


@pytest.mark.parametrize("spec", SHIPPED, ids=lambda s: s.name)
@pytest.mark.asks("tokens")
def test_the_shipped_shape_is_what_the_network_says(spec: ModelSpec) -> None:
    assert count_shape.count(spec) == shape_of(spec), "stale: python -m paceline.gpu_memory.count_shape --ship"


def test_a_model_without_a_network_of_ours_is_refused() -> None:
    with pytest.raises(UserError, match="can't be planned"):
        count_shape.count(model_spec("llama31_8b_vision_378"))


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (500, 2000), (336, 336), (1000, 999), (3000, 200)])
def test_phis_crops_are_counted_as_its_processor_cuts_them(size: tuple[int, int]) -> None:
    spec = model_spec("phi35_vision")
    processor = Phi3VImageProcessor(edge=336, num_img_tokens=144, **spec.processor)
    found = shape_of(spec)
    assert found is not None
    assert see(found.image, spec.processor, size).tokens == processor.count_tokens(*size)


@pytest.mark.parametrize("name", ["qwen2_vl_2b", "pixtral_12b", "llama32_11b_vision"])
@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (360, 640), (100, 900)])
def test_pixels_are_counted_as_the_processor_makes_them(name: str, size: tuple[int, int]) -> None:
    spec = model_spec(name)
    found = shape_of(spec)
    assert found is not None
    _, batch = images_only(name, size)
    assert see(found.image, spec.processor, size).pixels == batch["pixel_values"].numel()


@pytest.mark.parametrize(
    "name", ["tiny_qwen2_vl", "tiny_llama32_vision", "tiny_pixtral", "tiny_idefics", "tiny_phi35_vision"]
)
@pytest.mark.parametrize(
    "method",
    [
        MethodSpec(trains="all"),
        MethodSpec(trains="all", frozen=["vision"]),
        MethodSpec(trains="adapter"),
        MethodSpec(trains="all", frozen_layers={"vision": 1, "language": 1}),
        MethodSpec(trains="adapter", lora=LoraSpec(components=["vision", "language"]), frozen_layers={"language": 1}),
    ],
    ids=["full", "frozen", "lora", "frozen_layers", "lora_frozen_layers"],
)
def test_what_is_planned_to_be_trained_is_what_is_trained(name: str, method: MethodSpec) -> None:
    found = shape_of(model_spec(name))
    assert found is not None
    family = load_family(found.family).load(model_spec(name), training=True)
    counts = adapters.adapt(family, method, 0)
    assert sum(trainable(found, method).values()) == counts["trainable"]


@pytest.mark.parametrize("case", [CASES[16], CASES[3]], ids=lambda c: c.name)
def test_full_size_networks_keep_what_was_measured(case: Case) -> None:
    """Two of the golden figures anew; the unit lane holds the formulas to all of them."""
    found = full_size.measure(case)
    golden = json.loads(GOLDEN.read_text())[case.name]
    assert found["kept"] == pytest.approx(golden["kept"], rel=0.01)
    assert found["peak"] == pytest.approx(golden["peak"], rel=0.01)
    assert planned(case)["kept"] == pytest.approx(found["kept"], rel=0.10)


def test_prepare_counts_a_model_that_is_not_shipped(tmp_path: Path) -> None:
    words = ["model=tiny_qwen2_vl", "model.config.text_config.num_hidden_layers=3", f"root={tmp_path}"]
    for verb in ("prepare", "fit"):
        done = subprocess.run(
            [sys.executable, "-m", "paceline", verb, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "shapes").glob("*.json"))) == 1
    assert "tiny_qwen2_vl" in done.stdout
