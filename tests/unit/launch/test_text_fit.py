"""A plan knows how long prompts get by the texts of a task's own samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paceline.config.schema import Config, ModelSpec, PromptSpec, TaskSpec
from paceline.data import samples
from paceline.data.text_lengths import own_letters
from paceline.gpu_memory import choose
from paceline.gpu_memory.choose import sample_of
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

RECORDS = [
    {"id": "a", "split": "test", "text": "x" * 900, "question": "Who?", "answers": ["me"]},
    {"id": "b", "split": "test", "text": "x" * 3000, "question": "Who?", "answers": ["me"]},
]


def letters(monkeypatch: pytest.MonkeyPatch, kind: str, text: str = "{text}\n{question}") -> int:
    monkeypatch.setattr(samples, "splits", lambda root, task: {"test": 2})
    monkeypatch.setattr(samples, "read_samples", lambda *args: RECORDS)
    task = TaskSpec(name="t", kind=kind, evaluate=["test"])
    config = Config(task=task, prompt=PromptSpec(name="p", text=text), model=ModelSpec(inputs=["text"]))
    return own_letters(config, "evaluate", Path("nowhere"))


def test_the_longest_text_of_the_first_samples_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert letters(monkeypatch, "text_question") == 3000 + len("Who?") - len("{text}{question}")


def test_questions_about_pictures_and_samples_that_cant_be_asked_add_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert letters(monkeypatch, "vqa", "{question}") == 0
    assert letters(monkeypatch, "document_questions", "{passage}") == 0  # these are no documents


def test_placement_auto_and_a_rung_count_the_texts_that_are_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(samples, "splits", lambda root, task: {"train": 2, "test": 2})
    monkeypatch.setattr(samples, "read_samples", lambda root, task, splits, *rest: read.extend(splits) or RECORDS)
    words = ["model=tiny_qwen2_vl", "task=geolocation_earth", "task.kind=text_question", "task.needs=[text]"]
    words += ["prompt=geo_bare", "prompt.text='{text}'", "method=full", "placement=auto", "cluster.gpu=a100_40"]
    seen: list[int] = []

    def settle(config: Config, *found: Any) -> Config:
        seen.append(found[-1])
        return config

    monkeypatch.setattr(choose, "settle", settle)
    monkeypatch.setattr(samples, "largest_picture", lambda root, task: None)
    monkeypatch.setattr(samples, "images_per_sample", lambda root, task: 0)
    composition = compose(words, conf_folders(None))
    composition.placed(next(composition.points()).config, "finetune")
    assert read == ["train"] and seen == [3000 - len("{text}")]


def test_such_a_sample_takes_more_tokens() -> None:
    config = Config(prompt=PromptSpec(name="p", text="{text}"))
    assert sample_of(config, None, 0, letters=3000).text == sample_of(config, None, 0).text + 1000
