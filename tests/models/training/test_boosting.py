"""Rounds of boosting on scans of digits: tuned in order, killed, resumed to the same bytes, and told as an ensemble."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from paceline.scoring import boosting
from paceline.store.cell_folder import CellFolder
from paceline.store.files import read_json

WORDS = [
    *("model=tiny_resnet", "task=digits", "prompt=digit", "method=head", "train.boost=0,1,2"),
    *("train.max_steps=24", "train.batch=8", "train.learning_rate=0.02", "placement.checkpoint_steps=6", "limit=60"),
    *("cluster=debug", "tracking=disabled", "name=rounds"),
]


def paceline(root: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "paceline", *words, f"root={root}"]


def run(root: Path, *words: str) -> str:
    done = subprocess.run(paceline(root, *words), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def results(root: Path) -> dict[str, bytes]:
    names = ("cell.json", "predictions.jsonl", "metrics.json", "boosting.json", "weights/model.safetensors")
    return {f"{p.parent.relative_to(root)}/{p.name}": p.read_bytes() for n in names for p in root.glob(f"cells/*/{n}")}


def test_rounds_are_tuned_on_what_was_answered_wrong_and_a_kill_changes_no_byte(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for root in (whole, cut):
        run(root, "prepare", "task=digits")
    run(whole, "submit", *WORDS)

    child = subprocess.Popen(paceline(cut, "submit", *WORDS), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # In the middle of a boosted round: its weights are drawn, and a checkpoint is on the disk.
    while child.poll() is None and not [p for p in cut.glob("cells/*/boosting.json") if checkpoints(p.parent)]:
        time.sleep(0.01)
    child.kill()
    child.wait()
    run(cut, "submit", *WORDS)
    assert results(cut) == results(whole)

    tunings = [CellFolder(path) for path in whole.glob("cells/finetune-*")]
    rounds = {len(folder.read().boosted_on): folder for folder in tunings}
    assert sorted(rounds) == [0, 1, 2]
    answered = [CellFolder(whole / "cells" / name) for name in rounds[2].read().boosted_on]
    found = boosting.of_rounds(answered, whole, "a test needs")
    recorded = read_json(rounds[2].path / "boosting.json")
    assert recorded["samples"] == dict(found.weights) and len(recorded["samples"]) == 60
    assert read_json(rounds[2].weights / "training.json")["boosting"] == found.as_json()
    assert found.classes == 10 and 0 < found.rounds[0].error < 1
    assert len(set(found.weights.values())) > 1

    report = json.loads(run(whole, "report", "rounds", "--json"))
    assert len(report["rows"]) == 3  # answers to the training samples are no results
    text = " ".join(run(whole, "report", "rounds").split())
    assert "over rounds" in text and "boosting of 3 rounds" in text

    # Answers that changed behind the back of a round are refused.
    predictions = answered[0].predictions
    predictions.write_bytes(b"".join(reversed(predictions.read_bytes().splitlines(keepends=True))))
    folder = rounds[2]
    folder.done_json.unlink()
    refused = subprocess.run(paceline(whole, "submit", *WORDS), capture_output=True, text=True, timeout=600)
    assert refused.returncode != 0 and not folder.done()


def checkpoints(cell: Path) -> list[Path]:
    return list(cell.glob("attempts/*/checkpoints/*"))
