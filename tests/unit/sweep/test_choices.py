"""Answers by likelihood: a cell of their own, refused or dropped when planning where nothing could be chosen."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from paceline.config.identity import GENERATED_TEXT, clear_inactive, identity_of
from paceline.config.schema import Config, GenerationSpec
from paceline.data import prepare, samples
from paceline.errors import UserError
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

ASKED = ("model=tiny_qwen2_vl", "task=coco_qa_choices", "prompt=choice_bare", "method=untuned")


def sweep(*words: str) -> Sweep:
    return expand(compose(words, conf_folders(None)), lambda task: "d" * 64)


def ids(*words: str) -> list[str]:
    return [cell.id for cell in sweep(*words).cells]


def test_how_a_question_is_answered_is_identity_and_no_id_changes_at_its_default() -> None:
    (generated,) = ids(*ASKED)
    assert ids(*ASKED, "generation.answer=generate", "generation.choose_by=per_character") == [generated]
    assert len({generated, *ids(*ASKED, "generation.answer=likelihood", "generation.choose_by=sum,per_character")}) == 3


@pytest.mark.parametrize(
    "words",
    [
        "generation.temperature=0.0,0.7", "generation.top_p=0.9", "generation.beams=4", "generation.new_tokens=8",
        "generation.min_new_tokens=2", "generation.repetition_penalty=1.2", "seed=0,1,2",
    ],
)  # fmt: skip
def test_settings_of_generated_text_fold_away(words: str) -> None:
    likely = (*ASKED, "generation.answer=likelihood")
    assert ids(*likely, words) == ids(*likely)


def test_every_setting_of_text_is_known_as_one() -> None:
    """A generation setting that is added must say whether it changes what is chosen."""
    names = {f.name for f in dataclasses.fields(GenerationSpec)}
    assert names == {*GENERATED_TEXT, "name", "answer", "choose_by", "batch", "engine"}


def test_a_tuning_is_the_same_whichever_way_is_answered() -> None:
    likely = Config(generation=GenerationSpec(answer="likelihood"))
    assert identity_of(clear_inactive(likely, "finetune"), "finetune") == {}


def test_a_task_without_choices_is_dropped_with_the_reason_and_refused_alone() -> None:
    both = sweep("model=tiny_qwen2_vl", "task=geolocation_earth,coco_qa_choices", "method=untuned",
                 "generation=greedy,likelihood", "prompt=geo_bare,choice_bare",
                 "only=[{task: geolocation_*, prompt: geo_*}, {task: coco_*, prompt: choice_*}]")  # fmt: skip
    assert len(both.cells) == 3
    assert [d["reason"] for d in both.dropped] == [
        "generation.answer=likelihood scores a question's choices, and geolocation_earth (kind 'geolocation') gives "
        "none; give generation.answer=generate"
    ]
    with pytest.raises(UserError, match=r"geolocation_earth .* gives none; give generation\.answer=generate"):
        sweep("model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare", "generation=likelihood")


def test_weights_tuned_on_a_task_without_choices_may_choose_on_another() -> None:
    words = (
        "model=tiny_qwen2_vl",
        "method=lora",
        "task=coco_qa_choices",
        "prompt=choice_bare",
        "generation=likelihood",
    )
    assert [c.cell.kind for c in sweep(*words, "train.task=geolocation_earth").cells] == ["finetune", "evaluate"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("own_call = True", "family 'stranger' answers by a call that gives text alone"),
        ("served = True", "family 'stranger' answers by a call that gives text alone"),
        ('how = "classifies"', "family 'stranger' classifies, and has no likelihood of a text"),
    ],
)
def test_a_family_that_tells_no_likelihoods_is_dropped_with_the_reason(tmp_path: Path, source: str, why: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "stranger.py").write_text(f"class FAMILY:\n    {source}\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "strange.yaml").write_text("family: stranger\nconfig: {a: 1}\n")
    words = ("model=tiny_qwen2_vl,strange", *ASKED[1:], "generation=greedy,likelihood")
    found = expand(compose(words, conf_folders(str(tmp_path))), lambda task: "d" * 64)
    assert len(found.cells) == 3
    assert [d["reason"] for d in found.dropped] == [
        f"generation.answer=likelihood: strange can't score choices: {why}; give generation.answer=generate"
    ]


# -- prepared samples


def problems(folder: Path, rows: list[dict[str, Any]], *words: str, task: str = "coco_qa_choices") -> list[str]:
    """The problems of a sweep over the rows of a table."""
    for n, row in enumerate(rows):
        Image.effect_noise((40, 30), 10 + n).save(folder / f"{n}.png")
        row |= {"id": f"s{n}", "image": str(folder / f"{n}.png"), "split": "test"}
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = ("task.reader=table", f"task.options={{path: '{folder / 'rows.jsonl'}'}}", "method=untuned")
    composition = compose(["model=tiny_qwen2_vl", f"task={task}", *table, *words], conf_folders(None))
    root = folder / "root"
    prepare.prepare(root, next(composition.points()).config.task, lambda *progress: None)
    return expand(
        composition,
        lambda task: samples.data_digest(root, task),
        lambda task: samples.splits(root, task),
        root=root,
    ).problems


GOOD = {"question": "What is it?", "choices": ["sea", "town"], "answer": "sea"}


def test_choices_of_any_table_can_be_scored(tmp_path: Path) -> None:
    rows = [dict(GOOD), {**GOOD, "choices": ["a", "b", "sea"]}]
    words = ("prompt=choice_bare,choice_letter", "generation=greedy,likelihood", "~task.options.choices")
    assert problems(tmp_path, rows, *words) == []


def test_a_question_without_choices_is_refused_by_its_name(tmp_path: Path) -> None:
    rows = [{"question": "What is it?", "answer": "sea"}]
    words = ("prompt=vqa_short", "generation=likelihood")
    assert problems(tmp_path, rows, *words, task="coco_qa") == [
        "task coco_qa: sample 's0' of split 'test' gives no choices, and generation.answer=likelihood takes the "
        "likeliest of two or more; mend the data, leave such samples out, or give generation.answer=generate"
    ]


def test_a_prompt_that_shows_choices_of_a_question_without_is_refused(tmp_path: Path) -> None:
    rows = [{"question": "What is it?", "answer": "sea"}]
    (found,) = problems(tmp_path, rows, "prompt=choice_letter", task="coco_qa")
    assert "prompt choice_letter names {choices}, and its question has none" in found
