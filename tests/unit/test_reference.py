"""The reference says what is true now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

DOCS = Path(__file__).parents[2] / "docs"


def generator() -> ModuleType:
    found = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_code_says() -> None:
    assert (DOCS / "reference.md").read_text() == generator().text(), "docs/reference.md is stale: run `make docs`"


def test_the_examples_of_keys_that_shape_a_sweep_are_taken_as_they_stand(tmp_path: Path) -> None:
    examples = {key: example for key, (_, _, example) in generator().SHAPE.items()}
    axes = examples.pop("axes")
    point = ["model=tiny_pixtral", "task=geolocation_earth", "prompt=geo_bare", "method=untuned"]
    for example in examples.values():
        assert list(compose([*point, example], conf_folders(None)).points()), example
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "shown.yaml").write_text(axes.replace('"a,b"', '"tiny_pixtral,tiny_qwen2_vl"'))
    shown = compose(["task=geolocation_earth", "method=lora", "experiment=shown"], conf_folders(str(tmp_path)))
    assert {axis.key for axis in shown.axes} == {"model", "method.lora.r", "prompt"}


def test_every_config_file_says_in_a_first_line_what_it_is() -> None:
    for path in sorted((DOCS.parent / "conf").glob("*/*.yaml")):
        assert path.read_text().startswith("# "), path
