"""The measure of whether a model looks tells a twin that learnt to from one that did not, on cells of the product."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "shuffled_pictures.py"
COLOURS = {
    "red": (220, 20, 20), "green": (20, 160, 40), "blue": (20, 40, 220), "white": (250, 250, 250),
    "black": (10, 10, 10), "yellow": (240, 230, 30), "cyan": (30, 230, 230), "purple": (120, 20, 130),
    "orange": (250, 140, 10), "brown": (110, 60, 20), "pink": (250, 170, 190), "grey": (128, 128, 128),
}  # fmt: skip
TUNED = (
    "method=full", "train.max_steps=150", "train.batch=12", "train.learning_rate=2e-3", "train.beta2=0.99",
)  # fmt: skip


def paceline(root: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "paceline", *words, f"root={root}", "--conf", str(root / "conf")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares in twelve colours, four to train on and two to test with; one test square is also trained on."""
    folder = tmp_path_factory.mktemp("squares")
    rows = []
    for n, (colour, pixel) in enumerate(COLOURS.items()):
        for shade in range(6):
            image = Image.new("RGB", (64, 64), tuple(min(255, v + 2 * shade) for v in pixel))
            # A frame of its own, or flat pictures would all look alike.
            image.paste((255 - pixel[0], 255 - pixel[1], 255 - pixel[2]), (0, 0, 6 + n, 4 + shade * 5))
            name = f"{colour}-{shade}"
            image.save(folder / f"{name}.png")
            rows.append({"id": name, "image": f"{name}.png", "reference": f"A {colour} square.",
                         "split": "test" if shade > 3 else "train"})  # fmt: skip
    (folder / "red-4.png").write_bytes((folder / "red-0.png").read_bytes())
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "conf" / "task").mkdir(parents=True)
    (folder / "conf" / "task" / "squares.yaml").write_text(
        f"kind: captioning\nreader: table\noptions:\n  path: {folder}/rows.jsonl\n  images: {folder}\n"
        "  columns: {id: id, image: image, split: split, references: reference}\n"
        'target: "{reference}"\nprompt: caption_short\nevaluate: [test]\n'
    )
    paceline(folder, "prepare", "task=squares")
    settings = ("model=tiny_projector", "task=squares", "prompt=caption_short", "generation=short")
    for tuned in ((), TUNED):
        paceline(folder, "run", *settings, *tuned, "train.prompt=same", "tracking=disabled")
    return folder


def measured(root: Path, method: str) -> tuple[dict[str, Any], str]:
    """What the script tells of the cell, and what it prints."""
    (cell,) = [c.name for c in (root / "cells").glob(f"evaluate-*-{method}-*")]
    told = root / f"{method}.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), cell, "--root", str(root), "--json", str(told)],
        capture_output=True, text=True, check=False, env={**os.environ, "PACELINE_CONF": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(told.read_text()), done.stdout


def test_a_twin_that_learnt_colours_makes_more_of_its_own_pictures(root: Path) -> None:
    told, printed = measured(root, "full")
    found = told["sets"]["held out"]
    assert told["left_out"] == 1, "the square that is also trained on"
    assert (found["samples"], found["references"]) == (23, 12)
    assert found["p_flips"] < 0.01 and found["p_wilcoxon"] < 0.01 and found["p_first"] < 0.01
    assert found["gain"] == pytest.approx(found["shuffled"] - found["own"]) and found["low"] > 0
    assert told["captions"]["gain"] > 0 and told["captions"]["p"] < 0.05
    assert "with a reference of their own" not in told["sets"], "train has all twelve"
    assert f"p: {found['p_flips']:.2g} (sign flips)" in printed
    for sample in told["samples"]:
        assert sample["sample"] not in sample["shown"] and len(set(sample["shown"])) == 9


def test_an_untuned_twin_makes_nothing_of_its_pictures(root: Path) -> None:
    told, _ = measured(root, "untuned")
    assert told["sets"]["held out"]["p_flips"] > 0.01
    assert told["captions"]["low"] <= 0


def test_a_cell_that_answered_nothing_is_refused(root: Path) -> None:
    (cell,) = [c.name for c in (root / "cells").glob("finetune-*")]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), cell, "--root", str(root)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "is no evaluation that is done" in done.stderr and "Traceback" not in done.stderr
