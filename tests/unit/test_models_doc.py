"""The page about models says what is true now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from paceline.config.checks import locate_weights
from paceline.config.schema import ModelSpec
from paceline.models.hub_files import facts
from paceline.models.registry import says

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def page() -> ModuleType:
    found = importlib.util.spec_from_file_location("models_page", DOCS / "models.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_page_is_what_files_and_tests_say(page: ModuleType) -> None:
    assert (DOCS / "models.md").read_text() == page.text(), "docs/models.md is stale: run `make docs`"


def test_every_hub_model_is_pinned_or_waits_for_its_user_and_is_known_by_its_figures(page: ModuleType) -> None:
    for model in page.models():
        if model.weights and not model.served:
            assert facts(model), f"{model.weights} has no entry in src/paceline/models/facts/"
            if model.revision:
                locate_weights(model)


def test_code_from_the_hub_is_allowed_only_to_families_that_need_it(page: ModuleType) -> None:
    for model in page.models():
        assert model.remote_code == says(model.family, "own_call", False), model.name
        assert bool(model.transformers) == model.remote_code, model.name


def test_facts_are_counts_of_known_models() -> None:
    for source in ("Qwen/Qwen2-VL-2B-Instruct", "microsoft/Phi-3.5-vision-instruct"):
        assert facts(ModelSpec(weights=source))["parameters"] > 10**9
    assert facts(ModelSpec(weights="nobody/nothing")) == {}
