"""The image-description study composes whole: who is asked what, and what its settings leave out, with the reason."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from paceline.errors import PacelineError, UserError
from paceline.launch.outlook import together
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders
from paceline.tasks import description

ANSWERERS = {"vilt_vqa", "blip_vqa_base"}
CAPTIONERS = {"vit_gpt2", "blip_caption_large", "git_base_coco"}


def planned(*words: str) -> Sweep:
    return expand(compose(words, conf_folders(None)), lambda task: "d" * 64)


def unpinned(problem: str) -> bool:
    """Whether a problem is the pin alone, which a person gives."""
    return "has no revision" in problem


def asked(sweep: Sweep) -> Counter[tuple[str, str, str]]:
    """How many cells evaluate a model on a task with a prompt."""
    identities = [c.cell.identity for c in sweep.cells if c.cell.kind == "evaluate"]
    return Counter(tuple(i[group]["name"] for group in ("model", "task", "prompt")) for i in identities)


def models(found: Counter[tuple[str, str, str]], task: str) -> set[str]:
    return {model for model, one, _ in found if one == task}


def test_describers_are_asked_both_tasks_captioners_describe_and_answerers_answer_alone() -> None:
    sweep = planned("experiment=image_description")
    found = asked(sweep)
    assert len(sweep.cells) == 391 and all(map(unpinned, sweep.problems))
    describers = models(found, "photo_description") - CAPTIONERS
    assert describers == models(found, "gqa") - ANSWERERS and len(describers) == 6
    assert {prompt for _, task, prompt in found if task == "photo_description"} == {"no_prompt", "describe_detail"}
    assert found["vilt_vqa", "gqa", "vqa_short"] == 1


@pytest.mark.parametrize(
    ("words", "tasks"),
    [
        (["task=photo_description,coco_qa"], {"photo_description", "coco_qa"}),
        (["task=folder_description", "task.options.path=/photos"], {"folder_description"}),
    ],
)
def test_the_study_runs_on_other_questions_and_on_a_folder_of_ones_own(words: list[str], tasks: set[str]) -> None:
    found = asked(planned("experiment=image_description", *words))
    assert {task for _, task, _ in found} == tasks


def test_colours_are_read_off_at_temperature_0_whatever_the_cells_is() -> None:
    sweep = planned("experiment=image_description", "model=moondream2")
    warm = [c.config for c in sweep.cells if c.config.task.kind == "description" and c.config.generation.temperature]
    assert {c.generation.temperature for c in warm} == {0.2, 0.7, 1.0}
    told, colours = description.fields.parts({}, warm[0].task, warm[0].prompt)
    assert not told.generation and colours.generation == {"temperature": 0.0}


@pytest.mark.parametrize(
    ("model", "family_says"),
    [
        ("minicpm_llama3_v25", {"min_new_tokens": 20}),
        ("minicpm_llama3_v25_int4", {"min_new_tokens": 20}),
        ("tinyllava_089b", {"min_new_tokens": 20, "repetition_penalty": 1.2}),
    ],
)
def test_what_a_models_own_call_has_no_argument_for_is_left_out_before_anything_runs(
    model: str, family_says: dict[str, float]
) -> None:
    task = ("task=folder_description", "prompt=describe_detail", "method=untuned", "task.options.path=/photos")
    for name, value in family_says.items():
        words = (f"model={model},moondream2", *task, f"generation.{name}={value}")
        sweep = planned(*words)
        (left,) = sweep.dropped
        assert f"generation.{name}={value}: the call of {model} has no such argument" in left["reason"]
        assert models(asked(sweep), "folder_description") == {"moondream2"}
        with pytest.raises(UserError, match=f"the call of {model} has no such argument; leave it at"):
            planned(f"model={model}", *task, f"generation.{name}={value}")


@pytest.mark.parametrize(
    ("experiment", "model", "temperature"),
    [("describe_fast", "blip_caption_large", 0.0), ("describe_normal", "tinyllava_089b", 0.2)],
)
def test_a_preset_is_one_cell_on_any_folder(experiment: str, model: str, temperature: float) -> None:
    sweep = planned(f"experiment={experiment}", "task.options.path=/photos")
    (cell,) = sweep.cells
    assert all(map(unpinned, sweep.problems)) and not sweep.dropped
    assert (cell.config.model.name, cell.config.task.name) == (model, "folder_description")
    assert cell.config.generation.temperature == temperature


def test_the_twins_sweep_stays_small_and_tunes_descriptions_on_captions() -> None:
    sweep = planned("experiment=image_description_twins")
    assert len(sweep.cells) <= 90 and not sweep.problems
    tuned = {c.config.model.name: c.config.task.name for c in sweep.cells if c.cell.kind == "finetune"}
    assert tuned["tiny_blip"] == "captioning" and tuned["tiny_vilt"] == "coco_qa"


@pytest.mark.parametrize(("axis", "rule"), product(("0,0.7", "0.0,0.7"), ("0", "0.0")))
def test_a_rule_finds_a_number_however_it_is_written(axis: str, rule: str) -> None:
    words = ("model=tiny_blip", "task=captioning", "method=untuned", "prompt=caption_short")
    sweep = planned(*words, f"generation.temperature={axis}", f"only=[{{generation.temperature: {rule}}}]")
    assert [c.config.generation.temperature for c in sweep.cells] == [0.0]


def test_an_error_that_only_joins_others_is_not_told_again() -> None:
    one, two = UserError("a has no revision; pin it"), UserError("b has none; pin it")
    joined = UserError(f"{one}; {two}")
    found: PacelineError = together([one, joined, two])
    assert str(found).startswith("2 things stand in the way") and str(found).count("pin it") == 2


def test_an_experiments_axis_of_one_value_sets_it_and_the_command_line_sets_another(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "short.yaml").write_text(
        "# @package _global_\naxes:\n  model: tiny_blip\n  task: captioning\n  prompt: caption_short\n"
        "  method: untuned\n  generation.new_tokens: 20\n"
    )

    def lengths(*words: str) -> list[int]:
        points = compose(["experiment=short", *words], conf_folders(str(tmp_path))).points()
        return [point.config.generation.new_tokens for point in points]

    assert lengths() == [20]
    assert lengths("generation.new_tokens=32") == [32]
    assert lengths("generation.new_tokens=16,32") == [16, 32]
    assert lengths("~generation.new_tokens") == [128]


def test_a_model_named_on_the_command_line_keeps_what_the_experiment_gives_it() -> None:
    whole = {c.id for c in planned("experiment=image_description_twins").cells}
    one = {c.id for c in planned("experiment=image_description_twins", "model=tiny_vilt,tiny_blip").cells}
    assert len(one) == 12 and one < whole
    given = planned("experiment=image_description_twins", "model=tiny_vilt", "model.config.labels=[red,blue]")
    assert {tuple(c.config.model.config["labels"]) for c in given.cells} == {("red", "blue")}
