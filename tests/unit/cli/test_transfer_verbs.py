"""What the verbs say of weights that are tuned on one task and evaluated on another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from two_tasks import write_tasks

Paceline = Callable[..., tuple[int, str, str]]
WORDS = ["model=tiny_qwen2_vl", "prompt=geo_bare", "task=places", "train.task=words", "method=untuned,lora"]


@pytest.fixture
def conf(tmp_path: Path) -> list[str]:
    return ["--conf", str(write_tasks(tmp_path, shared=2))]


def remedy(said: str) -> list[str]:
    return said.rpartition("run: ")[2].split()


def test_data_that_is_not_prepared_is_named_for_both_tasks_with_one_command(
    command_line: Paceline, conf: list[str]
) -> None:
    asked = ["paceline", "prepare", "task=places", "train.task=words", *conf]
    code, _, err = command_line("plan", *WORDS, *conf)
    assert code == 2
    assert "task 'places' is not prepared" in err
    assert "task 'words' is not prepared" in err
    assert remedy(err) == asked
    code, _, err = command_line("submit", *WORDS, *conf)
    assert (code, remedy(err)) == (2, asked)
    plan = json.loads(command_line("plan", *WORDS, *conf, "--json")[1])
    assert plan["unprepared"] == ["places", "words"]
    assert {c["state"] for c in plan["cells"]} == {"unprepared"}
    told = command_line("doctor", "task=places", "train.task=words", *conf)[1]
    assert "data of places: task 'places' is not prepared" in told
    assert "data of words: task 'words' is not prepared" in told


def test_prepare_makes_both_and_says_what_is_trained_on_and_tested(command_line: Paceline, conf: list[str]) -> None:
    code, out, _ = command_line("prepare", "task=places", "train.task=words", *conf)
    assert code == 0
    assert "places: 3 test, 6 train, 3 validation" in out
    assert "words: 3 test, 6 train, 3 validation" in out
    assert "2 images of test are also in train of words or look like one of it: 2 byte for byte" in out
    assert command_line("plan", *WORDS, *conf)[0] == 0
    told = command_line("doctor", "task=places", "train.task=words", *conf)[1]
    assert "training data of words in places: compared" in told


def test_tasks_that_were_prepared_one_by_one_are_compared_before_anything_runs(
    command_line: Paceline, conf: list[str]
) -> None:
    assert command_line("prepare", "task=places,words", *conf)[0] == 0
    for verb in ("plan", "submit", "run"):
        method = "method=lora" if verb == "run" else "method=untuned,lora"
        code, _, err = command_line(verb, *WORDS[:-1], method, *conf)
        assert code == 2
        assert "the test data of task 'places' was not compared with the training data of task 'words'" in err
        assert remedy(err) == ["paceline", "prepare", "task=places", "train.task=words", *conf]
    assert "not compared yet" in command_line("doctor", "task=places", "train.task=words", *conf)[1]
    # An untuned model is trained on nothing.
    assert command_line("plan", *WORDS[:-1], "method=untuned", *conf)[0] == 0


def test_a_task_without_a_training_split_is_refused_as_one_to_train_on(
    command_line: Paceline, tmp_path: Path, conf: list[str]
) -> None:
    path = Path(conf[1]) / "task" / "words.yaml"
    path.write_text(path.read_text() + "train: teaching\n")
    code, _, err = command_line("prepare", "task=places", "train.task=words", *conf)
    assert code == 2
    assert "task 'words' has no split 'teaching'" in err
    code, _, err = command_line("plan", *WORDS, *conf)
    assert code == 2
    assert "task.train: task 'words' has no split 'teaching'" in err


def test_plan_names_the_task_of_each_cell(command_line: Paceline, conf: list[str]) -> None:
    command_line("prepare", "task=places", "train.task=words", *conf)
    cells = json.loads(command_line("plan", *WORDS, *conf, "--json")[1])["cells"]
    assert [(c["kind"], c["task"], c["prompt"], c["variant"]) for c in cells] == [
        ("evaluate", "places", "geo_bare", ""),
        ("finetune", "words", "caption_short", ""),
        ("evaluate", "places", "geo_bare", "train.task=words"),
    ]
