"""Examples as they stand before a question: each row of a file is its own, and what can't be shown is told early."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from few_shot import CAPTIONING, frozen, prepared, scene, shown
from photos import silent
from PIL import Image

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data.shots import prepared_shots, shot_file, shot_turns, vectors
from paceline.errors import DataError, UserError
from paceline.store import files
from paceline.tasks.kind import Part

VQA = TaskSpec(name="v", kind="vqa", reader="table", options={"path": "x.csv"}, target="{answer}")
TEXTS = TaskSpec(name="t", kind="text_question", reader="table", options={"path": "x.csv"}, target="{answer}")
DESCRIBED = TaskSpec(name="d", kind="description", reader="photo_folder", options={"path": "/x"}, target="{reference}")


def file_of(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "shots.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def asking(text: str, **shots: Any) -> PromptSpec:
    return PromptSpec(name="few", text=text, shots=shown(**shots).shots)


def made(root: Path, prompt: PromptSpec, task: TaskSpec) -> PromptSpec:
    return prepared_shots.prepare(root, task, prompt, None, lambda model: model, silent)[0]


def problems(root: Path, prompt: PromptSpec, task: TaskSpec) -> list[str]:
    return shot_turns.problems(root, task, made(root, prompt, task), "paceline prepare it")


def test_rows_about_one_sample_with_one_answer_keep_their_own_questions(tmp_path: Path) -> None:
    records = prepared(tmp_path, VQA, {"train": range(2), "test": [100]}, question=["?"] * 3, answers=[["no"]] * 3)
    rows = [
        {"sample": "train-1", "question": question, "answer": "yes"} for question in ("Is it big?", "Is it an axe?")
    ]
    prompt = made(tmp_path, asking("{question}", how="file", file=file_of(tmp_path, rows)), VQA)
    turns = shot_turns.shot_turns(tmp_path, VQA, prompt)
    assert turns is not None
    asked = turns.turns(records[-1], tasks.load("vqa").parts(records[-1], VQA, prompt))
    assert [turn.prompt for turn in asked] == ["Is it big?", "Is it an axe?"]


def test_a_column_called_as_what_names_a_sample_changes_neither_its_name_nor_its_picture(tmp_path: Path) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(2), "test": [100]})
    rows = [{"sample": "train-1", "id": "77", "split": "x", "sha256": "abc", "answer": "By hand."}]
    prompt = made(tmp_path, shown(count=1, how="file", file=file_of(tmp_path, rows)), CAPTIONING)
    turns = shot_turns.shot_turns(tmp_path, CAPTIONING, prompt)
    assert turns is not None
    assert turns.ids(records[-1], [Part()]) == ["train-1"]
    assert len(turns.turns(records[-1], [Part()])[0].images) == 1


def test_a_text_may_hold_what_only_python_takes_for_the_end_of_a_line(tmp_path: Path) -> None:
    (row,) = shot_file.read(file_of(tmp_path, [{"question": "?", "answer": "One.\u2028Two."}]))
    assert row.answer == "One.\u2028Two."


def test_kept_pictures_that_were_lost_or_changed_are_put_back_when_prepared_again(tmp_path: Path) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(2), "test": [100]})
    for n in range(2):
        scene(60 + n).save(tmp_path / f"{n}.png")
    rows = [{"image": f"{n}.png", "answer": "An axe."} for n in range(2)]
    prompt = shown(how="file", file=file_of(tmp_path, rows))
    pinned = made(tmp_path, prompt, CAPTIONING)
    first, second = sorted((shot_file.folder(tmp_path, pinned.shots.file) / "images").iterdir())
    first.unlink()
    scene(99).save(second)
    turns = shot_turns.shot_turns(tmp_path, CAPTIONING, pinned)
    assert turns is not None
    with pytest.raises(DataError):
        turns.turns(records[-1], [Part()])
    assert made(tmp_path, prompt, CAPTIONING) == pinned
    assert len(turns.turns(records[-1], [Part()])) == 2


# --- told before anything is submitted


@pytest.mark.parametrize("how", ["fixed", "nearest"])
def test_an_example_without_an_answer_is_told_when_planning(tmp_path: Path, how: str) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(4), "test": [100]})
    records[0].pop("references")
    frozen(tmp_path, CAPTIONING, records)
    content = "sha256:" + "a" * 64
    own = {"count": 4} if how == "fixed" else {"count": 1, "embedder": content}
    prompt = made(tmp_path, shown(how=how, **own), CAPTIONING)
    if how == "nearest":
        path = vectors.place(tmp_path, CAPTIONING, prompt)
        files.write_json(path.with_suffix(".json"), {"samples": [r["id"] for r in records]})
        np.save(path, np.eye(5, dtype=np.int16))
    (problem,) = shot_turns.problems(tmp_path, CAPTIONING, prompt, "")
    assert "example 'train-0'" in problem and "no 'reference'" in problem


def test_an_empty_answer_is_no_example(tmp_path: Path) -> None:
    prepared(tmp_path, CAPTIONING, {"train": range(4), "test": [100]}, city=["", " ", "", "", "x"])
    prompt = made(tmp_path, shown(answer="{reference}"), CAPTIONING)
    assert shot_turns.problems(tmp_path, CAPTIONING, prompt, "") == []
    prepared(tmp_path, VQA, {"train": range(2), "test": [100]}, question=["?"] * 3, answers=[[" "], [" "], ["x"]])
    assert "is empty" in problems(tmp_path, asking("{question}", count=1), VQA)[0]


def test_one_target_can_not_answer_two_questions_and_that_is_told_when_planning(tmp_path: Path) -> None:
    prepared(tmp_path, DESCRIBED, {"train": range(3), "test": [100]})
    (problem,) = problems(tmp_path, asking("{question}", count=1), DESCRIBED)
    assert "asks 2 questions about a sample" in problem
    assert problems(tmp_path, asking("Describe it.", count=1), DESCRIBED) == []


def test_a_part_that_nobody_asks_and_one_without_rows_are_told_when_planning(tmp_path: Path) -> None:
    prepared(tmp_path, DESCRIBED, {"train": range(3), "test": [100]})
    scene(60).save(tmp_path / "0.png")
    rows = [{"image": "0.png", "part": part, "answer": "Red."} for part in ("colors", "description")]
    found = problems(tmp_path, asking("{question}", count=1, how="file", file=file_of(tmp_path, rows)), DESCRIBED)
    assert "answers part 'colors'" in found[0] and "colours, description" in found[0]
    assert found[1] == "prompt few shows 1 example, and its file has 0 for question 'colours'"


def test_pairs_of_another_split_make_no_example_too_few(tmp_path: Path) -> None:
    prepared(tmp_path, CAPTIONING, {"train": range(4), "more": range(50, 52), "test": [100]})
    leaks = prepared_shots.samples.dataset_folder(tmp_path, CAPTIONING) / "leakage.jsonl"
    files.write_jsonl(leaks, [{"sample": "test-0", "train": f"train-{n}"} for n in range(4)])
    prompt = made(tmp_path, shown(how="nearest", split="more", embedder="sha256:" + "a" * 64), CAPTIONING)
    assert prompt.shots.count == 2
    path = vectors.place(tmp_path, CAPTIONING, prompt)
    names = [r["id"] for r in files.read_jsonl(leaks.with_name("samples.jsonl"))]
    files.write_json(path.with_suffix(".json"), {"samples": names})
    np.save(path, np.eye(len(names), dtype=np.int16))
    assert shot_turns.problems(tmp_path, CAPTIONING, prompt, "") == []


def test_pictures_of_a_file_may_be_shown_where_all_of_the_data_is_evaluated_and_its_samples_not(tmp_path: Path) -> None:
    task = dataclasses.replace(CAPTIONING, evaluate=["train"])
    prepared(tmp_path, task, {"train": range(2)})
    scene(60).save(tmp_path / "0.png")
    own = shown(count=1, how="file", file=file_of(tmp_path, [{"image": "0.png", "answer": "An axe."}]))
    assert problems(tmp_path, own, task) == []
    (tmp_path / "b").mkdir()
    seen = shown(count=1, how="file", file=file_of(tmp_path / "b", [{"sample": "train-1", "answer": "An axe."}]))
    assert "train-1 of its file is kin to samples that are evaluated" in problems(tmp_path, seen, task)[0]


def test_a_picture_of_more_than_8_bits_is_refused_with_what_to_do(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "0.png")
    with pytest.raises(UserError, match="above 8 bits; save it with 8"):
        shot_file.read(file_of(tmp_path, [{"image": "0.png", "answer": "An axe."}]))


# --- vectors


def test_texts_are_compared_by_what_the_prompt_asks_and_pictures_once_for_all_prompts(tmp_path: Path) -> None:
    for task, alike in ((CAPTIONING, True), (TEXTS, False)):
        record = {"id": "a", "split": "train", "text": "t", "question": "?", "answers": ["x"]}
        frozen(tmp_path, task, [record])
        one, other = (
            vectors.place(tmp_path, task, asking(text, how="nearest", embedder="e")) for text in ("One?", "Other?")
        )
        assert (one == other) == alike


def test_an_empty_file_of_vectors_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    path.write_bytes(b"")
    files.write_json(path.with_suffix(".json"), {"samples": []})
    with pytest.raises(DataError, match="run `paceline prepare`"):
        vectors.Vectors(path)
