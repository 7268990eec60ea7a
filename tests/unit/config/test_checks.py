"""Settings that can't hold are refused when they are asked for, not hours later on a compute node."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.config import build, schema
from paceline.config.checks import check
from paceline.config.schema import Config
from paceline.errors import UserError
from paceline.store.root import Store
from paceline.sweep.cells import Sweep, expand, record
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

BASE = ("model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare")
SPLITS = {"train": 100, "validation": 10, "test_far": 10, "test_near": 10}


def sweep(*overrides: str, splits: dict[str, int] | None = SPLITS) -> Sweep:
    return expand(compose([*BASE, *overrides], conf_folders(None)), lambda task: "d" * 64, lambda task: splits)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("limit=-3", "limit: -3 is out of range; give a number at least 0"),
        ("seed=-1", "seed: -1 is out of range; give a number at least 0 and at most 4294967295"),
        ("generation.batch=0", "generation.batch: 0 is out of range; give a number at least 1"),
        ("generation.top_p=0", "generation.top_p: 0.0 is out of range; give a number above 0 and at most 1"),
        ("generation.top_p=1.5", "above 0 and at most 1"),
        ("generation.temperature=-0.1", "at least 0"),
        ("generation.new_tokens=0", "at least 1"),
        ("generation.beams=0", "at least 1"),
        ("generation.repetition_penalty=0", "above 0"),
        ("method.lora.r=0", "method.lora.r: 0 is out of range; give a number at least 1"),
        ("method.lora.dropout=1", "at least 0 and below 1"),
        ("train.batch=0", "train.batch: 0 is out of range; give a number at least 1"),
        ("train.learning_rate=-1e-3", "train.learning_rate: -0.001 is out of range"),
        ("train.warmup=2", "at most 1"),
        ("train.beta2=1", "below 1"),
        ("train.validations=-1", "at least 0"),
        ("placement.ranks=0", "placement.ranks: 0 is out of range; give a number at least 1"),
        ("placement.keep_checkpoints=0", "at least 1"),
        ("cluster.minutes=0", "cluster.minutes: 0 is out of range"),
        ("seed=1e400", "seed: expected int, got inf"),
        ("seed=nan", "seed: expected int, got nan"),
        ("train.learning_rate=inf", "expected float"),
        ("train.epochs=1" + "0" * 400, "expected float"),
    ],
)
def test_a_number_out_of_its_range_is_refused_with_key_value_and_range(word: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        sweep(word)
    assert said in str(caught.value)


@pytest.mark.parametrize("cls", [*schema.GROUPS.values(), schema.LoraSpec, Config])
def test_every_default_lies_in_the_range_that_its_field_declares(cls: type) -> None:
    values = {k: v for k, v in build.defaults(cls).items() if isinstance(v, int | float)}
    build.build(cls, values, "defaults")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task.evaluate=[test_far,test_far]"], "task.evaluate names 'test_far' twice"),
        (["task.evaluate=[]"], "task.evaluate names no split"),
        (["task.evaluate=[test]"], "task.evaluate: task 'geolocation_earth' has no split 'test'"),
        (["method=full", "task.train=trian"], "has no split 'trian': did you mean 'train'"),
        (["method=full", "task.validation=dev", "train.validations=1"], "task.validation: task"),
        (["method=full", "train.keep=best"], "train.keep=best needs validations"),
        (["method=full", "train.batch=6", "placement.ranks=4"], "train.batch=6 can't be shared by 4 ranks"),
        (["method=full", "train.batch=8", "placement.micro_batch=3"], "choose one of 1, 2, 4, 8"),
        (["method=full", "train.batch=100", "limit=50", "train.validations=3"], "more than the 1 optimiser step of"),
        (["method=full", "train.epochs=0"], "train.epochs=0.0 makes no step"),
        (["model.weights=owner/name"], "has no revision"),
        (["model.weights=owner/name", "model.revision=main"], "main is no commit hash"),
        (["model.weights=/nowhere/at/all"], "neither a folder nor a hub id"),
        (["model.weights='$NOWHERE_AT_ALL/x'"], "names $NOWHERE_AT_ALL, which is not set here"),
    ],
)
def test_settings_that_contradict_each_other_are_planned_and_never_frozen(
    words: list[str], said: str, tmp_path: Path
) -> None:
    found = sweep(*words)
    assert any(said in problem for problem in found.problems), found.problems
    with pytest.raises(UserError) as caught:
        record(found, Store(tmp_path), "code", extend=False)
    assert said in str(caught.value)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "words",
    [
        ["method=untuned", "train.keep=best", "train.batch=6", "placement.ranks=4"],
        ["method=full", "task.validation=none_such"],
        ["model.weights=owner/name", f"model.revision={'0a' * 20}"],
        ["method=full", "train.epochs=0", "train.max_steps=3", "train.validations=3", "train.keep=best"],
    ],
)
def test_settings_that_a_cell_does_not_use_are_not_held_against_it(words: list[str]) -> None:
    assert sweep(*words).problems == []


def test_a_folder_of_weights_needs_no_revision(tmp_path: Path) -> None:
    assert sweep(f"model.weights={tmp_path}").problems == []


def test_variables_in_the_name_of_a_folder_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTS_OF_THE_LAB", str(tmp_path))
    assert sweep("model.weights='$WEIGHTS_OF_THE_LAB'").problems == []


def test_splits_are_not_asked_of_data_that_is_not_prepared() -> None:
    assert sweep("task.evaluate=[whatever]", "method=full", splits=None).problems == []


def test_the_demo_and_every_default_pass_the_check() -> None:
    splits = {"geolocation_earth": SPLITS, "digits": {"train": 832, "validation": 130, "test": 388}}
    demo = expand(compose(["experiment=demo"], conf_folders(None)), lambda t: "d" * 64, lambda t: splits[t.name])
    assert demo.problems == []
    check(Config(), "finetune", None)


def test_an_evaluate_cell_runs_on_one_rank_wherever_its_tuning_runs() -> None:
    found = sweep("method=full", "placement.ranks=2", "placement.nodes=2", "deepspeed=zero2")
    placed = {
        c.cell.kind: (c.config.placement.nodes, c.config.placement.ranks, c.config.deepspeed) for c in found.cells
    }
    assert placed["finetune"][:2] == (2, 2)
    assert placed["finetune"][2].name == "zero2"
    assert placed["evaluate"] == (1, 1, schema.DeepSpeedSpec(name="none"))


def test_a_resume_on_more_ranks_keeps_evaluate_cells_on_one() -> None:
    asked = compose(["placement.ranks=2", "deepspeed=zero2"], conf_folders(None))
    tuned, answered = (asked.replaced(c.config, c.cell.kind) for c in sweep("method=full").cells)
    assert (tuned.placement.ranks, tuned.deepspeed.name) == (2, "zero2")
    assert (answered.placement.ranks, answered.deepspeed.name) == (1, "none")


def test_a_resume_on_ranks_that_do_not_divide_the_batch_is_refused() -> None:
    asked = compose(["placement.ranks=3"], conf_folders(None))
    tuned = sweep("method=full").cells[0]
    with pytest.raises(UserError, match="can't be shared by 3 ranks"):
        asked.replaced(tuned.config, "finetune")
