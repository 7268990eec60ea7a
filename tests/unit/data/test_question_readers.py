"""Questions on photos and texts are read as their authors publish them, and asked in the shipped prompts' words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from paceline import tasks
from paceline.config.build import build
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data import samples
from paceline.data.conversations import conversations_of, lesson, question
from paceline.data.prepare import prepare
from paceline.errors import DataError
from paceline.store.code import shipped

ROWS = {
    "train": [("what color is the car", "red", 7, 2), ("how many dogs are there", "two", 8, 1)],
    "test": [
        ("what color is the door", "blue", 7, 2),
        ("what color is the sky", "grey", 9, 2),
        ("what holds the food", "tray", 404, 0),
    ],
}


def silent(*progress: Any) -> None:
    pass


def spec(group: str, name: str, **changed: Any) -> Any:
    content = yaml.safe_load((shipped("conf") / group / f"{name}.yaml").read_text())
    cls = {"task": TaskSpec, "prompt": PromptSpec}[group]
    return build(cls, {"name": name, **content, **changed}, name)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "train2014"
    folder.mkdir(parents=True)
    for n in (7, 8, 9):
        Image.effect_noise((40, 30), 10 * n).save(folder / f"COCO_train2014_{n:012d}.jpg")
    return tmp_path


def as_authors(folder: Path) -> None:
    for split, rows in ROWS.items():
        (folder / "cocoqa-2015-05-17" / split).mkdir(parents=True)
        for n, name in enumerate(("questions", "answers", "img_ids", "types")):
            text = "".join(f"{row[n]}\n" for row in rows)
            (folder / "cocoqa-2015-05-17" / split / f"{name}.txt").write_text(text)


def as_json(folder: Path) -> None:
    types = ("object", "number", "color", "location")
    for split, rows in ROWS.items():
        listed = {
            str(n): {"question": q, "answer": a, "img_id": str(i), "type": types[t]}
            for n, (q, a, i, t) in enumerate(rows)
        }
        (folder / f"COCO-QA_QA_{split}.json").write_text(json.dumps(listed))


def prepared(root: Path, task: TaskSpec) -> list[dict[str, Any]]:
    prepare(root, task, silent)
    splits = samples.splits(root, task)
    assert splits is not None
    return samples.read_samples(root, task, list(splits), 0)


@pytest.mark.parametrize("layout", [as_authors, as_json])
def test_coco_qa_is_read_in_both_layouts(photos: Path, layout: Any) -> None:
    layout(photos)
    task = spec("task", "coco_qa", options={"path": str(photos)})
    records = prepared(photos / "root", task)
    told = [(r["split"], r["question"], r["answers"], r["type"], Path(r["image"]).stem[-2:]) for r in records]
    assert sorted(told) == [
        ("test", "what color is the door", ["blue"], "color", "07"),
        ("test", "what color is the sky", ["grey"], "color", "09"),
        ("train", "how many dogs are there", ["two"], "number", "08"),
        ("train", "what color is the car", ["red"], "color", "07"),
    ]
    assert samples.read_manifest(photos / "root", task)["skipped"] == {"photo not found": 1}


def test_choices_of_coco_qa_are_answers_to_questions_of_the_same_type(photos: Path) -> None:
    as_authors(photos)
    records = prepared(photos / "root", spec("task", "coco_qa_choices", options={"path": str(photos), "choices": 3}))
    assert {r["question"]: sorted(r["choices"]) for r in records} == {
        "what color is the car": ["blue", "grey", "red"],
        "what color is the door": ["blue", "grey", "red"],
        "what color is the sky": ["blue", "grey", "red"],
    }


def test_files_of_unequal_length_are_refused(photos: Path) -> None:
    as_authors(photos)
    (photos / "cocoqa-2015-05-17" / "test" / "answers.txt").write_text("blue\n")
    with pytest.raises(DataError, match=r"not as many lines each: .*'question': 3, 'answer': 1"):
        prepared(photos / "root", spec("task", "coco_qa", options={"path": str(photos)}))


@pytest.mark.parametrize("content", ["[]", "{", '{"1": {"question": "why"}}', '{"1": 2}'])
def test_a_json_file_of_another_form_is_refused_by_name(photos: Path, content: str) -> None:
    (photos / "COCO-QA_QA_test.json").write_text(content)
    with pytest.raises(DataError, match=r"COCO-QA_QA_test.json: is no object of questions|holds neither"):
        prepared(photos / "root", spec("task", "coco_qa", options={"path": str(photos)}))


def addresses(folder: Path) -> Path:
    names = ("George Washington", "John Adams", "Abraham Lincoln", "Calvin Coolidge", "Barack Obama")
    for n in range(20):
        name = names[n % len(names)]
        content = {"year": 1800 + n, "name": name, "party": "none", "text": f"Fellow citizens: {n} words " * 100}
        (folder / f"{1800 + n}_{n}.json").write_text(json.dumps(content))
    (folder / "1900_broken.json").write_text('{"year": 1900}')
    return folder


def test_addresses_are_asked_for_their_president_among_others(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    task = spec("task", "state_of_the_union", options={"path": str(addresses(tmp_path / "data")), "words": 5})
    records = prepared(tmp_path / "root", task)
    assert len(records) == 20
    assert samples.read_manifest(tmp_path / "root", task)["skipped"] == {"no object with year, name and text": 1}
    for record in records:
        assert len(record["text"].split()) == 5
        assert len(set(record["choices"])) == 4
        assert record["answers"][0] in record["choices"]


# -- what a model is asked

RECORDS: dict[str, dict[str, Any]] = {
    "coco_qa": {"question": "what is blue", "answers": ["the sky"]},
    "coco_qa_choices": {"question": "what is blue", "choices": ["sky", "car", "dog"], "answer": "sky"},
    "state_of_the_union": {
        "text": "Fellow citizens: be well.",
        "question": "Who said so?",
        "answers": ["John Adams"],
        "choices": ["John Adams", "Barack Obama"],
    },
}
ASKED = {
    ("coco_qa", "vqa_short"): ("what is blue\nAnswer with a word or a few.", "the sky"),
    ("coco_qa_choices", "choice_bare"): ("what is blue", "sky"),
    ("coco_qa_choices", "choice_letter"): (
        "what is blue\nA. sky\nB. dog\nC. car\nAnswer with the letter of the right choice.",
        "sky",
    ),
    ("coco_qa_choices", "choice_words"): (
        "what is blue\nA. sky\nB. dog\nC. car\nAnswer with one of these choices, and nothing else.",
        "sky",
    ),
    ("state_of_the_union", "text_short"): (
        "Fellow citizens: be well.\n\nWho said so?\nAnswer with a word or a few.",
        "John Adams",
    ),
    ("state_of_the_union", "text_choice"): (
        "Fellow citizens: be well.\n\nWho said so?\nA. Barack Obama\nB. John Adams\n"
        "Answer with one of these choices, and nothing else.",
        "John Adams",
    ),
}


@pytest.mark.parametrize(("task_name", "prompt_name"), ASKED)
def test_a_sample_is_asked_and_taught_in_these_words(task_name: str, prompt_name: str) -> None:
    task, prompt = spec("task", task_name), spec("prompt", prompt_name)
    record = {"id": "s1", **RECORDS[task_name]}
    ((part,),) = conversations_of(record, prompt, task)
    asked = question(record, prompt, task, parts=(part,))
    assert (asked.prompt, lesson(record, prompt, task).answer) == ASKED[task_name, prompt_name]
    assert set(asked.choices) == set(record.get("choices", ()))
    truth = tasks.load(task.kind).fields(record, task)["answer"]
    assert truth not in asked.prompt or truth in asked.choices
