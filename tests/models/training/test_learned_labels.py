"""An image classifier from a folder for each class to the report: its labels, a kill, a resume, what explains it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paceline.store.files import read_jsonl

CLASSES = ("across", "down", "plain", "rare")
KIND = '''
"""The class of a picture."""

from paceline.tasks.kind import Asks
from paceline.tasks.metrics import MALFORMED, PARSED, Judged, Metric, Reading

ASKS = Asks(answer="labels", question=False)
FIELDS = {"label": "the class"}
METRICS = (Metric("accuracy", score="right", hits=True, leads=True),)


def fields(sample, task):
    return {"label": sample["label"]}


def read(answer, part, task, prompt):
    return Reading(PARSED.name, answer.text) if answer.text else Reading(MALFORMED.name)


def score(answers, task, prompt):
    return [Judged(a.sample["label"], {"right": a.reading.value == a.sample["label"]}) for a in answers]
'''
TASK = """
kind: one_class
reader: table
options: {path: "%s", columns: {label: class}}
target: "{label}"
prompt: caption_short
"""
WORDS = [
    "model=tiny_resnet",
    "method=untuned,head",
    "task=stripes",
    "prompt=caption_short,geo_bare",
    "generation=greedy,sampled",
    "train.max_steps=60",
    "train.batch=8",
    "train.learning_rate=0.02",
    "train.validations=2",
    "placement.checkpoint_steps=10",
    "limit=30",
    "cluster=debug",
    "tracking=disabled",
    "name=classes",
]


def draw(root: Path) -> None:
    """A folder for each class: stripes across, stripes down, neither; and one that the limit leaves out."""
    noise = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 3), ("test", 8)):
        for name in CLASSES:
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(2 if name == "rare" else count):
                line = (np.arange(48) + noise.integers(0, 8)) // 4 % 2 * 200
                shown = {"across": line[:, None], "down": line[None, :], "plain": np.array([[100]])}
                grey = np.broadcast_to(shown.get(name, np.array([[250]])), (48, 48))[..., None]
                pixels = (grey + noise.integers(0, 50, (48, 48, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")


def paceline(root: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "paceline", *words, f"root={root}"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    lab = tmp_path_factory.mktemp("lab")
    draw(lab / "pictures")
    for name, content in (("tasks/one_class.py", KIND), ("task/stripes.yaml", TASK % (lab / "pictures"))):
        (lab / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (lab / "conf" / name).write_text(content)
    return {**os.environ, "PACELINE_CONF": str(lab / "conf")}


def run(root: Path, environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(paceline(root, *words), capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def results(root: Path) -> dict[str, bytes]:
    names = ("cell.json", "predictions.jsonl", "metrics.json", "weights/model.safetensors", "weights/config.json")
    found = {f"{p.parent.relative_to(root)}/{p.name}": p.read_bytes() for n in names for p in root.glob(f"cells/*/{n}")}
    assert len(list(root.glob("cells/*/DONE.json"))) == 3
    return found


def test_a_head_tuned_on_folders_of_classes_is_killed_and_resumed_and_beats_chance(
    environment: dict[str, str], tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for root in (whole, cut):
        run(root, environment, "prepare", "task=stripes")
    run(whole, environment, "submit", *WORDS)

    child = subprocess.Popen(
        paceline(cut, "submit", *WORDS), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while child.poll() is None and not list(cut.glob("cells/finetune-*/attempts/1/checkpoints/*")):
        time.sleep(0.01)
    child.kill()
    child.wait()
    run(cut, environment, "resume", "classes")
    assert results(cut) == results(whole)

    (weights,) = whole.glob("cells/finetune-*/weights/config.json")
    # Of the whole train split: the limit takes its first 30 samples, none of which is rare.
    assert list(json.loads(weights.read_text())["id2label"].values()) == sorted(CLASSES)
    rows = {row["method"]: row for row in json.loads(run(whole, environment, "report", "classes", "--json"))["rows"]}
    assert set(rows) == {"untuned", "head"}
    by_cell = {p.parent.name: list(read_jsonl(p)) for p in whole.glob("cells/*/predictions.jsonl")}
    tuned = next(found for name, found in by_cell.items() if "-head-" in name)
    common = [p for p in tuned if "rare" not in p["sample"]]
    right = sum(p["text"] in p["sample"].split("/") for p in common) / len(common)
    assert right > 0.6  # chance is a third
    assert all(p["text"] in CLASSES and p["new_tokens"] == 0 for p in tuned)

    (cell,) = (name for name in by_cell if "-head-" in name)
    told = json.loads(run(whole, environment, "explain", cell, common[0]["sample"], "--json"))
    (entry,) = told if isinstance(told, list) else told["explained"]
    assert Path(entry["path"]).is_file()
    assert entry["part"] == common[0]["text"]
    assert "without" in entry["check"]


def test_a_class_to_validate_on_that_is_not_trained_on_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    draw(pictures)
    (pictures / "val" / "rare").rename(pictures / "val" / "other")
    words = [w for w in WORDS if not w.startswith(("method", "limit"))]
    words += ["method=head", f"task.options.path={pictures}"]
    run(tmp_path, environment, "prepare", "task=stripes", f"task.options.path={pictures}")
    done = subprocess.run(paceline(tmp_path, "submit", *words), capture_output=True, text=True, env=environment)
    assert "learns the 4 targets of split 'train' of task 'stripes'" in done.stderr
    assert "has others: 'other'" in done.stderr
