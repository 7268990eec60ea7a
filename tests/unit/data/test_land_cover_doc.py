"""The examples of docs/land_cover.md work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import yaml
from photos import silent
from PIL import Image

from paceline import tasks
from paceline.config.build import build
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data import prepare, samples
from paceline.data.readers.big_earth_net import CLASSES
from paceline.tasks.kind import Answer

PAGE = (Path(__file__).parents[3] / "docs" / "land_cover.md").read_text()


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_a_table_of_tiles_with_several_labels_is_a_task(tmp_path: Path) -> None:
    (tmp_path / "tiles").mkdir()
    for n in (1, 2, 3):
        noise = np.random.default_rng(n).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "tiles" / f"{n}.png")
    (tmp_path / "tiles.csv").write_text(example("csv"))
    written = yaml.safe_load(example("yaml"))
    written["options"]["path"] = str(tmp_path / "tiles.csv")
    task = build(TaskSpec, {"name": "our_tiles", **written}, "task")
    prepare.prepare(tmp_path / "root", task, silent)
    one, *_ = samples.read_samples(tmp_path / "root", task, ["train"], 0)
    assert one["labels"] == ["heath", "bog"]
    kind, prompt = tasks.load(task.kind), PromptSpec(name="p", text="{classes}")
    (part,) = kind.parts(one, task, prompt)
    assert kind.read(Answer("A mire."), part, task, prompt).value == ["bog"]


def test_the_table_of_answers_says_what_is_read() -> None:
    kind, task, prompt = (
        tasks.load("multi_label"),
        TaskSpec(name="t", kind="multi_label"),
        PromptSpec(name="p", text=""),
    )
    (part,) = kind.parts({"labels": ["Pastures"], "classes": list(CLASSES)}, task, prompt)
    names = sorted(CLASSES, key=len, reverse=True)
    told = dict(re.findall(r"^\| `([^|]+?)` \| ([^|]+) \|$", PAGE, re.MULTILINE))
    for answer, claimed in told.items():
        expected = {name for name in names if name in claimed}
        if expected and "`" not in answer:
            assert set(kind.read(Answer(answer), part, task, prompt).value) == expected, answer
