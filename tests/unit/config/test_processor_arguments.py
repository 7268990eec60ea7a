"""Arguments of an image processor that would be passed over, or leave others without effect, are refused at plan."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from paceline.config.build import build
from paceline.config.processor_arguments import arguments_of, check
from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.models.registry import family_names
from paceline.store.code import shipped
from paceline.sweep.cells import expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

SPECS = {
    path.stem: build(ModelSpec, {**yaml.safe_load(path.read_text()), "name": path.stem}, path.stem)
    for path in sorted((shipped("conf") / "model").glob("*.yaml"))
}


@pytest.mark.parametrize("name", SPECS)
def test_every_shipped_model_passes(name: str) -> None:
    check(SPECS[name])


@pytest.mark.parametrize(
    ("family", "processor", "said"),
    [
        ("qwen2_vl", {"maxpixels": 4096}, "of family 'qwen2_vl' takes no 'maxpixels': did you mean 'max_pixels'"),
        ("qwen2_vl", {"patch_size": 14}, "takes no 'patch_size'"),
        ("qwen2_vl", {"max_pixels": "4096"}, "max_pixels: '4096' is not a whole number above 0"),
        ("qwen2_vl", {"max_pixels": 0}, "is not a whole number above 0"),
        ("qwen2_vl", {"min_pixels": 4096, "max_pixels": 1024}, "min_pixels: 4096 is more than max_pixels: 1024"),
        ("qwen2_vl", {"size": {"longest_edge": 4096}}, "has longest_edge; write {longest_edge: …, shortest_edge: …}"),
        ("qwen2_vl", {"size": {"shortest_edge": 9, "longest_edge": 4}}, "shortest_edge: 9 is more than longest_edge"),
        ("qwen2_vl", {"size": {"shortest_edge": 1, "longest_edge": 4}, "max_pixels": 9}, "say the same twice"),
        ("qwen2_vl", {"do_resize": False, "max_pixels": 4096}, "do_resize: false leaves max_pixels without effect"),
        ("pixtral", {"size": {"longestedge": 32}}, "unknown key 'longestedge': did you mean 'longest_edge'"),
        ("pixtral", {"size": 32}, "32 is no mapping; write {longest_edge: …} or {height: …, width: …}"),
        ("pixtral", {"size": {"longest_edge": 32, "height": 32}}, "has longest_edge and height"),
        ("pixtral", {"max_pixels": 4096}, "takes no 'max_pixels'"),
        ("pixtral", {"crop_size": {"height": 8, "width": 8}}, "crop_size has no effect without do_center_crop: true"),
        ("pixtral", {"do_normalize": False, "image_mean": 0.5}, "do_normalize: false leaves image_mean without"),
        ("pixtral", {"do_normalize": "false"}, "is not true or false"),
        ("pixtral", {"image_mean": [0.5, 0.5]}, "is not a number, or a list of three"),
        ("llama_vision", {"max_image_tiles": True}, "is not a whole number above 0"),
        ("llama_vision", {"resample": "bicubic"}, "is not a filter of Pillow by its number"),
        ("idefics", {"image_size": 32, "size": {"height": 32, "width": 32}}, "say the same twice"),
        ("phi35_vision", {"num_crop": 4}, "did you mean 'num_crops'"),
        ("llama", {"max_pixels": 4096}, "takes no 'max_pixels': it takes none"),
        ("remote", {"num_crops": 4}, "it takes none"),
    ],
)
def test_arguments_that_would_do_nothing_are_refused_with_the_remedy(
    family: str, processor: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as caught:
        check(ModelSpec(name="mine", family=family, processor=processor))
    assert said in str(caught.value)
    assert str(caught.value).startswith("conf/model/mine.yaml: processor: ")


def test_a_plan_tells_it_and_a_labs_family_is_left_to_the_load() -> None:
    words = ["model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare"]
    found = expand(compose([*words, "model.processor.maxpixels=9"], conf_folders(None)), lambda task: "d" * 64)
    (problem,) = found.problems
    assert "takes no 'maxpixels'" in problem
    check(ModelSpec(family="a_labs_own", processor={"whatever": 1}))


values = st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.text(max_size=3)
values |= st.lists(values, max_size=3) | st.dictionaries(st.sampled_from(["height", "width", "longest_edge"]), values)


@given(st.sampled_from([n for n in family_names() if arguments_of(n) is not None]), st.text(min_size=1), values)
def test_no_unknown_argument_passes_and_no_value_crashes(family: str, name: str, value: Any) -> None:
    assume(name not in (arguments_of(family) or {}))
    with pytest.raises(UserError):
        check(ModelSpec(family=family, processor={name: value}))
    for known in arguments_of(family) or {}:
        try:
            check(dataclasses.replace(ModelSpec(family=family), processor={known: value}))
        except UserError as error:
            assert known in str(error)
