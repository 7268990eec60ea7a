"""The GeoLocator study is planned with its settings: its own target for one model, and its second source."""

from __future__ import annotations

from paceline.config.cell_kinds import kind_of
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders


def sweep(experiment: str, *words: str) -> Sweep:
    return expand(compose([f"experiment={experiment}", *words], conf_folders(None)), lambda task: "d" * 64)


def test_qwen2_vl_alone_is_tuned_on_the_second_form_of_target() -> None:
    cells = sweep("geolocator", "task.options.path=/photos").cells
    targets = {c.config.model.name: c.config.task.target for c in cells if kind_of(c.cell.kind).trains}
    own = targets.pop("qwen2_vl_2b")
    assert own == "latitude: {latitude:.4f}, longitude: {longitude:.4f}, country_name: {country_name}"
    assert len(set(targets.values())) == 1 and "This photo was taken in {country_name}" in targets["phi35_vision"]


def test_the_second_source_is_asked_about_a_thousand_photos_in_the_same_eight_ways() -> None:
    first, second = sweep("geolocator", "task.options.path=/photos"), sweep("geolocator_yfcc")
    assert len(second.cells) == 40
    assert {c.config.limit for c in second.cells} == {1000}
    assert {c.config.task.name for c in second.cells} == {"geolocation_yfcc"}
    alike = {(c.config.model.name, c.config.prompt.name, c.config.generation.new_tokens) for c in second.cells}
    untuned = [c for c in first.cells if c.config.method.name == "untuned"]
    assert alike == {(c.config.model.name, c.config.prompt.name, c.config.generation.new_tokens) for c in untuned}


def test_retrieved_facts_are_no_part_of_the_study_and_one_word_asks_with_them() -> None:
    names = {c.config.prompt.name for c in sweep("geolocator", "task.options.path=/photos").cells}
    assert not {"place_facts", "place_details"} & names
    asked = sweep("geolocator", "task.options.path=/photos", "prompt=place_facts", "method=untuned")
    assert len(asked.cells) == 10 and sum(bool(c.cell.built_on) for c in asked.cells) == 5
