"""A model that is joined of two parts, each with weights of its own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from paceline.config.build import build
from paceline.config.checks import check
from paceline.config.identity import identity_of, model_placement, placement_of, with_placement
from paceline.config.joined_parts import is_joined, is_twin, not_joined, source_name, sources
from paceline.config.schema import Config, ModelSpec, PartSpec, PartsSpec
from paceline.errors import DataError, UserError
from paceline.gpu_memory import shapes
from paceline.models import hub_files, local_weights


def folders(root: Path) -> ModelSpec:
    """A model of two small folders that are whole as far as can be told without torch."""
    for name, kind in (("vision", "vit"), ("language", "gpt2")):
        folder = root / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"model_type": kind}))
        header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    (root / "vision" / "preprocessor_config.json").write_text("{}")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (root / "language" / name).write_text("{}")
    parts = PartsSpec(PartSpec(str(root / "vision")), PartSpec(str(root / "language")))
    return ModelSpec(name="mine", family="vision_encoder_decoder", parts=parts, inputs=["image"])


def quiet(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def prepared(model: ModelSpec, root: Path) -> ModelSpec:
    for source in sources(model):
        local_weights.prepare(source, root, quiet)
    return local_weights.pin(model, root)


def test_parts_are_identity_and_their_absence_changes_no_id() -> None:
    assert "parts" not in identity_of(ModelSpec(name="m", weights="a/b", revision="0" * 40), "evaluate")
    given = {"vision": {"weights": "a/b", "revision": "0" * 40}, "language": {"weights": "c/d", "revision": "1" * 40}}
    model = build(ModelSpec, {"name": "m", "family": "projector", "parts": given}, "model")
    assert identity_of(model, "evaluate")["parts"] == given
    seeded = dataclasses.replace(model, parts=dataclasses.replace(model.parts, seed=3))
    assert identity_of(seeded, "evaluate")["parts"]["seed"] == 3
    assert is_joined(model)
    assert not is_twin(model)
    assert source_name(model) == "a/b + c/d"


def test_a_part_is_known_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    model = folders(tmp_path / "one")
    with pytest.raises(DataError, match=r"model mine, part vision: .*paceline prepare model=mine model\.parts\.vision"):
        local_weights.pin(model, tmp_path)
    pinned = prepared(model, tmp_path)
    assert [local_weights.pin(source, tmp_path) for source in sources(model)] == sources(pinned)
    assert all(s.weights.startswith("sha256:") for s in sources(pinned))
    elsewhere = prepared(folders(tmp_path / "two"), tmp_path)
    assert identity_of(elsewhere, "evaluate") == identity_of(pinned, "evaluate")
    assert model_placement(pinned)["parts.vision.folder"] == str(tmp_path / "one" / "vision")
    (tmp_path / "one" / "language" / "tokenizer.json").write_text('{"a": 1}')
    assert "part language" in called_difference(model, tmp_path)
    with pytest.raises(DataError, match=r"part language: the weights in .*language are not those"):
        local_weights.require(pinned, tmp_path)


def called_difference(model: ModelSpec, root: Path) -> str:
    with pytest.raises(DataError) as error:
        local_weights.pin(model, root)
    return str(error.value)


def test_a_cell_is_resumed_where_its_parts_lie_now(tmp_path: Path) -> None:
    pinned = prepared(folders(tmp_path), tmp_path)
    recorded = placement_of(Config(model=pinned))
    bare = Config(model=build(ModelSpec, identity_of(pinned, "evaluate"), "model"))
    assert with_placement(bare, recorded).model == pinned


def test_each_part_must_be_whole(tmp_path: Path) -> None:
    model = folders(tmp_path)
    assert hub_files.lacking(model) == ""
    (tmp_path / "language" / "tokenizer_config.json").unlink()
    assert "its tokenizer is not whole" in hub_files.lacking(model)
    (tmp_path / "language" / "tokenizer_config.json").write_text("{}")
    (tmp_path / "vision" / "preprocessor_config.json").unlink()
    assert "no preprocessor_config.json" in hub_files.lacking(model)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"parts": {"vision": {"weights": "a/b"}}}, "gives parts.vision: a model that is joined"),
        ({"parts": {"vision": {"weights": "a/b"}, "language": {"weights": "c/d"}}, "weights": "e/f"}, "and weights"),
        (
            {"parts": {"vision": {"weights": "a/b", "revision": "0" * 40}, "language": {"weights": "c/d"}}},
            "parts.language: c/d has no revision",
        ),
    ],
)
def test_half_a_joined_model_is_refused(given: dict[str, object], named: str) -> None:
    model = build(ModelSpec, {"name": "mine", "family": "projector", **given}, "model")
    with pytest.raises(UserError, match=named):
        check(Config(model=model), "evaluate", None)


def test_a_family_that_joins_nothing_is_named(tmp_path: Path) -> None:
    model = folders(tmp_path)
    assert not_joined(model) == ""
    assert "family 'llama' joins none" in not_joined(dataclasses.replace(model, family="llama"))


def test_shapes_of_other_parts_are_other_shapes(tmp_path: Path) -> None:
    model = folders(tmp_path)
    other = dataclasses.replace(model, parts=dataclasses.replace(model.parts, vision=PartSpec("a/b")))
    assert shapes.place(tmp_path, model) != shapes.place(tmp_path, other)
