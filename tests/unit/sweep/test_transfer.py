"""Weights that are tuned on one task and evaluated on another: which cells they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.config.schema import TaskSpec
from paceline.errors import UserError
from paceline.store.root import Store
from paceline.sweep.cell_labels import variants
from paceline.sweep.cells import PlannedCell, Sweep, expand, record, recorded
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

TASKS = ("captioning", "geolocation_earth", "geolocation_exif")
BASE = ("model=tiny_qwen2_vl", "prompt=geo_bare", "method=lora")


def data_of(task: TaskSpec) -> str:
    return f"data of {task.kind} by {task.reader} {task.options}"


def expanded(*words: str, conf: Path | None = None) -> Sweep:
    return expand(compose(words, conf_folders(str(conf) if conf else None)), data_of)


def ids(*words: str) -> list[str]:
    return [c.id for c in expanded(*words).cells]


def by_kind(sweep: Sweep, kind: str) -> list[PlannedCell]:
    return [c for c in sweep.cells if c.cell.kind == kind]


@settings(max_examples=20, deadline=None)
@given(task=st.sampled_from(TASKS), prompt=st.sampled_from(["", "same", "geo_training"]), seed=st.integers(0, 3))
def test_naming_the_evaluated_task_gives_the_same_cells_as_naming_none(task: str, prompt: str, seed: int) -> None:
    words = (*BASE, f"task={task}", f"seed={seed}", f"train.prompt={prompt}")
    assert ids(*words) == ids(*words, f"train.task={task}") == ids(*words, "train.task=null")


@settings(max_examples=20, deadline=None)
@given(trained=st.sampled_from(TASKS), evaluated=st.sampled_from(TASKS), epochs=st.integers(1, 3))
def test_weights_tuned_on_a_task_are_one_cell_whatever_they_are_evaluated_on(
    trained: str, evaluated: str, epochs: int
) -> None:
    words = (*BASE, f"train.epochs={epochs}")
    (alone,) = by_kind(expanded(*words, f"task={trained}"), "finetune")
    (shared,) = by_kind(expanded(*words, f"task={evaluated}", f"train.task={trained}"), "finetune")
    assert shared.cell == alone.cell


def test_an_evaluate_cell_of_one_task_needs_the_tuning_on_the_other() -> None:
    sweep = expanded(*BASE, "task=geolocation_earth", "train.task=captioning")
    tuned, evaluated = sweep.cells
    assert (tuned.config.task.name, tuned.cell.identity["task"]["name"]) == ("captioning", "captioning")
    assert tuned.cell.identity["prompt"]["name"] == tuned.config.prompt.name == "caption_short"
    assert tuned.cell.data == data_of(tuned.config.task)
    assert (evaluated.config.task.name, evaluated.config.prompt.name) == ("geolocation_earth", "geo_bare")
    assert evaluated.cell.needs == (tuned.id,)
    assert evaluated.cell.data == data_of(evaluated.config.task)
    assert [(a.name, b.name) for a, b in sweep.transfers] == [("captioning", "geolocation_earth")]


def test_the_task_trained_on_is_an_axis_and_an_untuned_cell_has_none() -> None:
    words = ("task=geolocation_earth,captioning", "train.task=geolocation_earth,captioning")
    sweep = expanded("model=tiny_qwen2_vl", "prompt=geo_bare", "method=untuned,lora", *words)
    assert {c.config.task.name for c in by_kind(sweep, "finetune")} == {"geolocation_earth", "captioning"}
    evaluated = by_kind(sweep, "evaluate")
    assert len(evaluated) == 6  # each task untuned, tuned on itself and on the other
    assert sweep.folded == 2
    assert {(a.name, b.name) for a, b in sweep.transfers} == {
        ("captioning", "geolocation_earth"),
        ("geolocation_earth", "captioning"),
    }
    assert set(ids("model=tiny_qwen2_vl", "prompt=geo_bare", "method=untuned,lora", words[0])) < {
        c.id for c in sweep.cells
    }


def test_points_are_filtered_by_the_task_trained_on() -> None:
    words = ("task=geolocation_earth,captioning", "train.task=geolocation_earth,captioning")
    sweep = expanded(*BASE, *words, "only=[{task: captioning, train.task: geolocation_*}]")
    assert [c.config.task.name for c in sweep.cells] == ["geolocation_earth", "captioning"]


def test_every_cell_says_that_it_was_tuned_on_another_task() -> None:
    sweep = expanded(*BASE, "task=captioning", "train.task=geolocation_earth,captioning")
    shown = variants(c.cell for c in sweep.cells)
    assert [shown[c.id] for c in sweep.cells if c.cell.kind == "evaluate"] == ["train.task=geolocation_earth", ""]
    alone = expanded(*BASE, "task=captioning", "train.task=geolocation_earth")
    assert variants(c.cell for c in alone.cells)[alone.cells[-1].id] == "train.task=geolocation_earth"
    ranks = expanded(*BASE, "task=captioning", "train.task=geolocation_earth", "method.lora.r=8,16")
    shown = variants(c.cell for c in ranks.cells)
    assert {shown[c.id] for c in by_kind(ranks, "evaluate")} == {
        "train.task=geolocation_earth r=8",
        "train.task=geolocation_earth r=16",
    }


def test_what_is_said_of_a_task_trained_on_alone_is_how_it_is_trained_on() -> None:
    words = ("task=geolocation_exif", "train.task=geolocation_earth")
    said = ("task.options.path=/photos", "task.target='{latitude}'", "task.evaluate=[other]")
    tuned, evaluated = expanded(*BASE, *words, *said).cells
    assert evaluated.config.task.options["path"] == "/photos"
    assert "path" not in tuned.config.task.options
    assert tuned.config.task.target == "{latitude}"
    # Of a task that is evaluated too, the words hold as they do without train.task.
    alone = by_kind(expanded(*BASE, "task=geolocation_earth", "task.options.pixels=32"), "finetune")
    both = expanded(*BASE, "task=geolocation_earth", "train.task=geolocation_earth", "task.options.pixels=32")
    assert [c.cell for c in by_kind(both, "finetune")] == [c.cell for c in alone]


def test_rules_that_adjust_a_task_hold_for_the_tuning_on_it_and_not_for_that_on_another() -> None:
    rules = "adjust=[{match: {task: captioning}, set: {train.epochs: 7}}]"
    (on_other,) = by_kind(expanded(*BASE, "task=captioning", "train.task=geolocation_earth", rules), "finetune")
    assert on_other.config.train.epochs == 1.0
    (on_it,) = by_kind(expanded(*BASE, "task=geolocation_earth", "train.task=captioning", rules), "finetune")
    assert on_it.config.train.epochs == 7.0


def test_a_rule_that_would_tune_one_model_and_evaluate_another_is_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "formats.yaml").write_text(
        "axes: {model: tiny_qwen2_vl, method: lora, task: geolocation_earth, prompt: geo_bare}\n"
        "train: {task: captioning}\nadjust: [{match: {task: captioning}, set: {model.dtype: float16}}]\n"
    )
    with pytest.raises(UserError, match="tuned as one model and evaluated as another"):
        expanded("experiment=formats", conf=tmp_path)


def test_a_rule_places_a_tuning_by_the_task_that_it_is_on() -> None:
    rule = "place=[{match: {task: captioning, kind: finetune}, set: {placement.micro_batch: 4}}]"
    tuned, evaluated = expanded(*BASE, "task=geolocation_earth", "train.task=captioning", rule).cells
    assert (tuned.config.placement.micro_batch, evaluated.config.placement.micro_batch) == (4, 0)


def test_a_prompt_whose_fields_the_task_trained_on_lacks_is_refused_at_plan(tmp_path: Path) -> None:
    ask = "plugin kinds may ask several questions"
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "asks.py").write_text(
        "from paceline.tasks.captioning.score import *\nfrom paceline.tasks.captioning.fields import *\n"
        "from paceline.tasks.captioning.fields import fields\nfrom paceline.tasks.captioning.score import read, score\n"
        "FIELDS = {'question': 'what is asked', 'reference': 'a'}\nSHOWN = ('question',)\n"
    )
    for group, name, text in (
        ("task", "asking", "kind: asks\nreader: table\noptions: {path: /x.csv}\ntarget: a\nprompt: asked\n"),
        ("prompt", "asked", f"version: 1\ntext: '{ask}: {{question}}'\n"),
    ):
        (tmp_path / group).mkdir()
        (tmp_path / group / f"{name}.yaml").write_text(text)
    words = ("model=tiny_qwen2_vl", "method=lora", "task=asking", "prompt=asked", "train.task=captioning")
    (problem,) = expanded(*words, "train.prompt=same", conf=tmp_path).problems
    assert "prompt 'asked' names {question}" in problem
    assert "'captioning', the task trained on, does not" in problem
    assert "train.prompt=NAME" in problem
    assert not expanded(*words, conf=tmp_path).problems


def test_a_task_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"train\.task: no task 'captionin': did you mean 'captioning'"):
        expanded(*BASE, "task=geolocation_earth", "train.task=captionin")


def test_a_recorded_sweep_of_a_transfer_is_read_back_with_both_tasks(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sweep = expanded(*BASE, "task=geolocation_earth", "train.task=captioning", "name=across")
    again = recorded(record(sweep, store, "code", extend=False), store)
    assert [c.config.task.name for c in again.cells] == ["captioning", "geolocation_earth"]
    assert again.cells[0].config.train.task is None


def test_a_rule_can_say_what_a_task_is_trained_on() -> None:
    rule = "adjust=[{match: {task: geolocation_earth}, set: {train.task: captioning}}]"
    by_rule = expanded(*BASE, "task=geolocation_earth,captioning", rule)
    assert [c.config.task.name for c in by_rule.cells] == ["captioning", "geolocation_earth", "captioning"]
    words = expanded(*BASE, "task=geolocation_earth", "train.task=captioning")
    assert {c.id for c in words.cells} < {c.id for c in by_rule.cells}
