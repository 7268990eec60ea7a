"""Every twin answers each kind of task that it can, untuned and tuned, and a sweep that is killed ends with its bits.

Half an hour on two cores: run by PACELINE_MATRIX=1 alone.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import MATRIX, TWINS
from two_tasks import SPLITS, scene

from paceline.store.cell_folder import CellFolder

pytestmark = pytest.mark.skipif(not MATRIX, reason="takes half an hour: PACELINE_MATRIX=1")

KIND = """
from paceline.tasks.kind import Asks
from paceline.tasks.metrics import MALFORMED, PARSED, Judged, Metric, Reading

ASKS = Asks(answer="labels", question=False)
FIELDS = {"label": "dark or bright"}
METRICS = (Metric("accuracy", score="right", hits=True, leads=True),)


def fields(sample, task):
    return {"label": sample["label"]}


def read(answer, part, task, prompt):
    named = [name for name in ("dark", "bright") if name in answer.text]
    return Reading(PARSED.name, named[0]) if len(named) == 1 else Reading(MALFORMED.name)


def score(answers, task, prompt):
    return [Judged(a.sample["label"], {"right": a.reading.value == a.sample["label"]}) for a in answers]
"""
TASKS = {
    "words": ("captioning", "caption_short", "{reference}"),
    "places": ("geolocation", "geo_bare", "({latitude:.2f}, {longitude:.2f})"),
    "asked": ("vqa", "vqa_short", "{answer}"),
    "chosen": ("multiple_choice", "choice_words", "{answer}"),
    "told": ("text_question", "text_short", "{answer}"),
    "classes": ("light", "caption_short", "{label}"),
    "sorted": ("classification", "choice_words", "{label}"),
    "described": ("description", "describe_detail", "{reference}"),
    "agreed": ("vqa_consensus", "vqa_short", "{answer}"),
}
COLUMNS = {
    "captioning": ("reference",),
    "geolocation": ("latitude", "longitude"),
    "vqa": ("question", "answers"),
    "multiple_choice": ("question", "choices", "answer"),
    "text_question": ("text", "question", "answers"),
    "light": ("label",),
    "classification": ("label",),
    "description": ("references",),
    "vqa_consensus": ("question", "answers"),
}
SOURCE = {("vqa_consensus", "answers"): "people", ("description", "references"): "reference"}
"""Columns of another name than the field."""


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine small tasks, one of each kind, on twelve pictures and texts."""
    folder = tmp_path_factory.mktemp("tasks")
    for part in ("task", "tasks"):
        (folder / part).mkdir()
    (folder / "tasks" / "light.py").write_text(KIND)
    (folder / "method").mkdir()
    rows = []
    for n in range(12):
        scene(n).point(lambda v, n=n: v // 3 + 150 * (n % 2)).save(folder / f"{n}.png")
        rows.append({
            "id": f"s{n}", "image": f"{n}.png", "split": SPLITS[n // 3], "reference": f"a drawing of {n} things",
            "latitude": 10.0 + n, "longitude": -20.0 + n, "question": "Is it bright?",
            "answers": '["yes"]' if n % 2 else '["no"]', "answer": "yes" if n % 2 else "no",
            "choices": '["no", "yes", "red"]', "label": "bright" if n % 2 else "dark",
            "people": json.dumps(["yes", "yes", "no", "yes"] if n % 2 else ["no", "no", "no", "dark"]),
            "text": f"The picture of number {n} is {'bright' if n % 2 else 'dark'}.",
        })  # fmt: skip
    with (folder / "table.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    for name, (kind, prompt, target) in TASKS.items():
        shown = () if kind == "text_question" else ("image",)
        taken = {c: SOURCE.get((kind, c), c) for c in ("id", "split", *shown, *COLUMNS[kind])}
        columns = ", ".join(f"{field}: {column}" for field, column in taken.items())
        (folder / "task" / f"{name}.yaml").write_text(
            f"kind: {kind}\nreader: table\noptions: {{path: {folder / 'table.csv'}, columns: {{{columns}}}}}\n"
            f'target: "{target}"\nprompt: {prompt}\nevaluate: [test]\n'
        )
    return folder


# A task that a twin is tuned on, where that is not captioning, and the method.
TUNED = {
    "tiny_causal_lm": ("told", "lora"),
    "tiny_blip_vqa": ("asked", "lora"),
    "tiny_vilt": ("asked", "lora"),
    "tiny_resnet": ("classes", "head"),
}


def words(conf: Path, root: Path) -> list[str]:
    points = [f"{{task: {name}, prompt: {prompt}, method: untuned}}" for name, (_, prompt, _) in TASKS.items()]
    for model in TWINS:
        task, method = TUNED.get(model, ("words", "lora"))
        points.append(f"{{model: {model}, task: {task}, prompt: {TASKS[task][1]}, method: {method}}}")
    return [
        f"model={','.join(TWINS)}",
        f"task={','.join(TASKS)}",
        f"prompt={','.join(sorted({prompt for _, prompt, _ in TASKS.values()}))}",
        "method=untuned,lora,head",
        f"only=[{', '.join(points)}]",
        "train=quick",
        "train.batch=3",
        "train.max_steps=2",
        "generation.new_tokens=6",
        "cluster.slots=2",
        "name=every",
        "--conf",
        str(conf),
        f"root={root}",
    ]


def paceline(verb: str, *given: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "paceline", verb, *given], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def done(verb: str, *given: str) -> str:
    process = paceline(verb, *given)
    out, err = process.communicate()
    assert process.returncode == 0, f"{verb}: {out[-3000:]}\n{err[-3000:]}"
    return out


def results(root: Path) -> dict[str, tuple[str, str]]:
    """Cell -> the digests of what it published, and its predictions."""
    found = {}
    for path in sorted((root / "cells").iterdir()):
        folder = CellFolder(path)
        told = folder.done()
        assert told is not None, path.name
        predictions = folder.predictions.read_text() if folder.predictions.exists() else ""
        # What training.json says took its time.
        artefacts = {name: kept for name, kept in told["artefacts"].items() if not name.endswith("training.json")}
        found[path.name] = json.dumps(artefacts, sort_keys=True), predictions
    return found


def test_a_sweep_over_every_twin_and_task_is_done_and_a_killed_one_ends_with_its_bits(
    conf: Path, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for root in (whole, cut):
        done("prepare", f"task={','.join(TASKS)}", "--conf", str(conf), f"root={root}")
    planned = done("plan", *words(conf, whole))
    done("submit", *words(conf, whole))
    stream = random.Random(0)
    submitted = False
    for _ in range(6):
        process = paceline("resume", "every", f"root={cut}") if submitted else paceline("submit", *words(conf, cut))
        time.sleep(stream.uniform(20, 60))
        submitted = submitted or (cut / "sweeps" / "every" / "sweep.json").exists()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    for _ in range(3):  # what was killed a moment ago looks as if it ran, for a minute
        resumed = paceline("resume", "every", f"root={cut}")
        resumed.communicate()
        if resumed.returncode == 0:
            break
        time.sleep(70)
    expected, ended = results(whole), results(cut)
    assert ended.keys() == expected.keys()
    assert [name for name in expected if expected[name] != ended[name]] == []
    answered = {name.split("-")[1] for name in expected if name.startswith("evaluate")}
    assert answered == set(TWINS), planned
    tuned = {name.split("-")[1] for name in expected if name.startswith("finetune")}
    assert tuned == set(TWINS), planned
