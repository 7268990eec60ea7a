"""The tables of docs/counting.md and docs/landmarks.md are read as the pages say."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from photos import photo, silent

from paceline import tasks
from paceline.config.build import build
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data import prepare, samples

DOCS = Path(__file__).parents[3] / "docs"


def prepared(folder: Path, name: str) -> tuple[TaskSpec, dict[str, Any], list[dict[str, Any]]]:
    """The example of a page, with a picture for each row of its table."""
    page = (DOCS / f"{name}.md").read_text()
    table, task = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)[0] for kind in ("csv", "yaml"))
    written = yaml.safe_load(task)
    path = folder / written["options"]["path"]
    path.write_text(table)
    for n, row in enumerate(csv.DictReader(table.splitlines())):
        photo(folder / row["image"], n)
    spec = build(TaskSpec, {"name": name, **written, "options": {**written["options"], "path": str(path)}}, "task")
    manifest = prepare.prepare(folder / "root", spec, silent)
    assert manifest["skipped"] == {}
    return spec, manifest, samples.read_samples(folder / "root", spec, list(manifest["splits"]), 0)


def test_a_table_of_counts_is_asked(tmp_path: Path) -> None:
    spec, manifest, records = prepared(tmp_path, "counting")
    assert manifest["splits"] == {"test": 1, "train": 2}
    assert {(r["question"], r["count"], r["type"]) for r in records} >= {("How many barns are there?", 12, "barn")}
    lines = list(tasks.load("counting").data_lines(manifest, spec))
    assert lines == [
        "true counts of 0, which MAPE leaves out: train 1 of 2",
        "an answer that was refused or not read counts as 1.5, the median of split 'train'",
    ]


def test_a_table_of_landmarks_is_asked(tmp_path: Path) -> None:
    spec, manifest, records = prepared(tmp_path, "landmarks")
    assert manifest["splits"] == {"test": 4}
    prompt = PromptSpec(name="p", text="{question} {choices}")
    for record in records:
        (part,) = tasks.load("landmark").parts(record, spec, prompt)
        assert len(part.choices) == 3
        assert record["name"] in part.choices


@pytest.mark.parametrize("name", ["counting", "landmarks"])
def test_the_page_names_options_that_there_are(name: str, tmp_path: Path) -> None:
    spec, _, _ = prepared(tmp_path, name)
    assert spec.prompt in {path.stem for path in (DOCS.parent / "conf" / "prompt").glob("*.yaml")}
