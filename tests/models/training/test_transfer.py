"""A twin is tuned on one task and evaluated on another, from the command line to the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from two_tasks import write_tasks

from paceline.store.cell_folder import CellFolder
from paceline.store.files import read_jsonl

WORDS = [
    "model=tiny_qwen2_vl",
    "method=untuned,full",
    "task=places,words",
    "train.task=words,places",
    "prompt=geo_bare,caption_short",
    "only=[{task: places, prompt: geo_bare}, {task: words, prompt: caption_short}]",
    "train.max_steps=8",
    "train.batch=2",
    "train.learning_rate=0.01",
    "generation.new_tokens=8",
    "cluster=debug",
    "tracking=disabled",
    "name=across",
]


def paceline(root: Path, *words: str) -> str:
    environment = {**os.environ, "PACELINE_ROOT": str(root), "PACELINE_CONF": str(root / "conf")}
    command = [sys.executable, "-m", "paceline", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_twin_tuned_on_one_task_answers_another_and_the_report_says_so(tmp_path: Path) -> None:
    write_tasks(tmp_path, shared=1)
    paceline(tmp_path, "prepare", "task=places,words", "train.task=words,places")
    paceline(tmp_path, "submit", *WORDS)
    found = json.loads(paceline(tmp_path, "report", "across", "--json"))
    assert not found["missing"]
    rows = {(row["trained_task"], row["task"]): row for row in found["rows"]}
    assert set(rows) == {(t, e) for t in ("", "words", "places") for e in ("words", "places")}
    for evaluated in ("words", "places"):
        texts = {}
        for trained in ("", "words", "places"):
            row = rows[trained, evaluated]
            folder = CellFolder(tmp_path / "cells" / row["id"])
            assert folder.done() is not None
            texts[trained] = [p["text"] for p in read_jsonl(folder.predictions)]
            if trained:
                tuned = CellFolder(tmp_path / "cells" / row["tuned"])
                assert tuned.read().config.task.name == trained
                assert tuned.done() is not None
        # Other weights answer otherwise: neither the untuned nor those of the other task.
        assert len({tuple(answers) for answers in texts.values()}) == 3
    # One tuning on a task serves both tasks.
    assert rows["words", "places"]["tuned"] == rows["words", "words"]["tuned"]
    assert {(r["trained_task"], r["task"], r["n"] > 0) for r in found["transfer"]} <= {(*pair, True) for pair in rows}
    assert any("1 image of test is also in train of words, byte for byte" in note for note in found["notes"])
