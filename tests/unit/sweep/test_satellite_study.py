"""The study of satellite images is planned whole by one command, with its settings, before its data is there."""

from __future__ import annotations

from collections import Counter

import pytest

from paceline.cli.verbs.prepare import tasks
from paceline.config.cell_kinds import kind_of
from paceline.sweep.cells import PlannedCell, Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

FOLDERS = (
    "RSICD RSICD_IMAGES UC_MERCED EUROSAT BIGEARTHNET RSVQA RSVQA_HR RSVQA_LR DIOR_RSVG XVIEW2 TILES TILES_BY_CLASS "
    "GCOMPRIS PACELINE_WEIGHTS"
)
GENERAL = {"gpt4v", "instructblip_flan_t5_xxl", "instructblip_vicuna_13b", "llava15_7b", "qwen_vl_chat"}


@pytest.fixture(autouse=True)
def no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FOLDERS.split():
        monkeypatch.delenv(name, raising=False)


def sweep(experiment: str) -> Sweep:
    return expand(compose([f"experiment={experiment}"], conf_folders(None)), lambda task: "d" * 64)


def trained(cells: Sweep) -> list[PlannedCell]:
    return [one for one in cells.cells if kind_of(one.cell.kind).trains]


def test_each_general_model_is_asked_everything_untuned_and_one_of_one_picture_no_changes_for_that_reason() -> None:
    study = sweep("satellite")
    asked = Counter(c.config.model.name for c in study.cells if c.config.prompt.scored and not c.cell.needs)
    assert {m for m in asked if m in GENERAL} == GENERAL
    tasks = {name: {c.config.task.name for c in study.cells if c.config.model.name == name} for name in GENERAL}
    every = {
        "rsicd",
        "uc_merced",
        "eurosat",
        "big_earth_net",
        "landmarks",
        "satellite_counting",
        "dior_rsvg",
        "xview2",
    }
    assert {name for name, of in tasks.items() if of == every} == {"gpt4v", "llava15_7b", "qwen_vl_chat"}
    assert all(of == every - {"xview2"} for name, of in tasks.items() if name.startswith("instructblip"))
    assert {c.config.method.name for c in study.cells if c.config.model.name in GENERAL} == {"untuned"}
    reasons = [str(d["reason"]) for d in study.dropped]
    assert len(reasons) == 2
    assert all("xview2 shows several images, which instructblip_" in reason for reason in reasons)


def test_the_joined_model_is_trained_as_in_the_study_and_with_one_thing_changed_at_a_time() -> None:
    study = sweep("satellite")
    joined = [c.config for c in trained(study) if c.config.model.name == "vit_gpt2_joined"]
    assert {(c.task.name, c.train.epochs, c.train.batch) for c in joined} == {("rsicd", 3, 4)}
    changed = Counter(
        (
            c.task.pictures.equalise,
            tuple(c.train.augment),
            c.train.masked_image.epochs > 0,
            tuple(c.method.frozen_layers.items()),
        )
        for c in joined
    )
    turned = ("flip", "rotate90", "colour")
    assert changed == {
        ("none", (), False, ()): 1,
        ("luminance", (), False, ()): 1,
        ("none", turned, False, ()): 1,
        ("none", (), True, ()): 1,
        ("none", (), False, (("vision", 6),)): 1,
    }


def test_the_plain_baseline_learns_a_head_alone_on_land_cover_of_one_label() -> None:
    baseline = [c.config for c in trained(sweep("satellite")) if c.config.model.name == "resnet50"]
    assert {(c.task.name, c.method.name, tuple(c.method.frozen)) for c in baseline} == {
        ("uc_merced", "head", ("backbone",)),
        ("eurosat", "head", ("backbone",)),
    }
    assert Counter(c.task.pictures.equalise for c in baseline) == {"none": 4, "luminance": 2}


def test_landmarks_are_asked_about_again_after_the_models_own_description() -> None:
    study = sweep("satellite")
    ids = {c.cell.id: c for c in study.cells}
    described = [c for c in study.cells if c.config.prompt.name == "choice_described"]
    assert {c.config.model.name for c in described} == GENERAL
    assert {ids[c.cell.needs[-1]].config.prompt.name for c in described} == {"place_details"}


def test_the_twins_tune_on_every_task_but_landmarks_and_join_a_model_of_real_parts() -> None:
    twins = sweep("satellite_twins")
    assert len(twins.cells) == 53
    tuned = trained(twins)
    assert {c.config.task.name for c in tuned} == {c.config.task.name for c in twins.cells} - {"landmarks"}
    assert Counter(c.config.model.name for c in tuned) == {
        "tiny_joined": 5,
        "tiny_qwen2_vl": 6,
        "tiny_resnet": 3,
        "lite_smollm2": 1,
    }
    (frozen,) = (c.config.method for c in tuned if c.config.method.name == "full_last_layers")
    assert frozen.frozen_layers == {"vision": 1}
    assert [str(d["reason"]) for d in twins.dropped] == [
        "changes_on_tiles shows several images, which tiny_instructblip can't read"
    ]


def test_data_is_prepared_equalised_only_where_a_point_of_the_study_asks_for_it() -> None:
    prepared = Counter(
        (task.name, task.pictures.equalise)
        for task in tasks(compose(["experiment=satellite_twins"], conf_folders(None)))
    )
    assert {name for name, equalise in prepared if equalise != "none"} == {"rsvqa_captions", "tiles_by_class"}
    assert sum(prepared.values()) == 9
