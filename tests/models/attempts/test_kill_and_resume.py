"""A kill at any moment loses nothing: after a resume the numbers are byte for byte those of an undisturbed run.

``PACELINE_KILLS=20`` runs twenty random moments instead of three: full tuning, an adapter and two ranks under ZeRO-2
take turns.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

KILLS = int(os.environ.get("PACELINE_KILLS", "3"))
SWEEP = [
    "model=tiny_qwen2_vl",
    "task=geolocation_earth",
    "task.options={train: 64, validation: 8, test_near: 24, test_far: 24, spacing: 2.0}",
    "prompt=geo_bare",
    "train=quick",
    "train.max_steps=24",
    "generation.batch=8",
    "generation.new_tokens=24",
    "placement.checkpoint_steps=4",
    "tracking=disabled",
    "name=killed",
]
WAYS = {
    "full": ["method=full"],
    "lora": ["method=lora"],
    "zero2": ["method=full", "deepspeed=zero2", "placement.ranks=2"],
}


def paceline(root: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "paceline", *words, f"root={root}"]


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(paceline(root, *words), capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    done = run(root, "prepare", *(w for w in SWEEP if w.startswith("task")))
    assert done.returncode == 0, done.stderr
    return root


def fresh(data: Path, root: Path) -> Path:
    """A root that holds the prepared data and nothing else."""
    shutil.copytree(data / "data", root / "data")
    return root


def results(root: Path) -> dict[str, bytes]:
    """Everything of the cells that must not depend on what happened on the way."""
    weights = ("weights/model.safetensors", "weights/adapter_model.safetensors")
    names = ("cell.json", "predictions.jsonl", "scores.jsonl", "metrics.json", *weights)
    found = {}
    for folder in sorted((root / "cells").iterdir()):
        assert (folder / "DONE.json").exists(), folder.name
        found |= {f"{folder.name}/{n}": (folder / n).read_bytes() for n in names if (folder / n).exists()}
    return found


@pytest.fixture(scope="module")
def undisturbed(
    data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[dict[str, bytes], float]]:
    """``undisturbed(way)``: the results of a run that nobody kills, and its seconds."""

    @functools.cache
    def run_through(way: str) -> tuple[dict[str, bytes], float]:
        root = fresh(data, tmp_path_factory.mktemp("undisturbed"))
        began = time.monotonic()
        done = run(root, "submit", *SWEEP, *WAYS[way], f"cluster={'local' if way == 'zero2' else 'debug'}")
        assert done.returncode == 0, done.stderr
        return results(root), time.monotonic() - began

    return run_through


def test_scoring_again_generates_nothing_and_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    root = fresh(data, tmp_path)
    words = [w for w in SWEEP if not w.startswith("train")] + ["limit=8", "cluster=debug"]
    assert run(root, "submit", *words).returncode == 0
    before = results(root)
    stamps = {p: p.stat().st_mtime_ns for p in root.rglob("predictions.jsonl")}
    (metrics,) = (root / "cells").glob("*/metrics.json")
    metrics.write_text("{}")
    done = run(root, "score", "killed")
    assert "scored 1 cell again, 1 with other metrics" in done.stdout, done.stderr
    assert results(root) == before
    assert {p: p.stat().st_mtime_ns for p in root.rglob("predictions.jsonl")} == stamps
    assert len(list((root / "cells").glob("*/attempts/*"))) == 1
    again = run(root, "submit", *words)
    assert again.returncode == 0
    assert "nothing to start" in again.stderr


def test_what_only_a_running_cell_needs_is_gone_once_it_is_done(data: Path, tmp_path: Path) -> None:
    root = fresh(data, tmp_path)
    words = [*SWEEP, "method=lora", "train.max_steps=4", "placement.checkpoint_steps=2", "limit=8", "cluster=local"]
    assert run(root, "submit", *words).returncode == 0
    logs = [p.read_text() for p in (root / "cells").glob("finetune-*/attempts/1/log")]
    assert "checkpoint of step 2" in logs[0]
    for pattern in ("**/checkpoints", "**/*.pkl", "cells/*/attempts/*/heartbeat", "cells/*/weights/README.md"):
        assert list(root.glob(pattern)) == [], pattern
    assert len(list((root / "cells").glob("*/DONE.json"))) == 2
    assert "nothing to start" in run(root, "submit", *words).stderr


@pytest.mark.parametrize("moment", range(KILLS))
def test_a_kill_at_a_random_moment_changes_no_number(
    moment: int, data: Path, tmp_path: Path, undisturbed: Callable[[str], tuple[dict[str, bytes], float]]
) -> None:
    way = list(WAYS)[moment % len(WAYS)]
    wanted, seconds = undisturbed(way)
    words = [*SWEEP, *WAYS[way]]
    chance = random.Random(f"kill {moment} {os.environ.get('PACELINE_KILL_SEED', '')}")
    root = fresh(data, tmp_path)
    # Debug: launcher and worker are one process. Local: the worker dies and its launcher lives on.
    cluster = "debug" if way != "zero2" and (moment + moment // len(WAYS)) % 2 == 0 else "local"
    child = subprocess.Popen(
        paceline(root, "submit", *words, f"cluster={cluster}"),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    kills = chance.randint(1, 2)
    for _ in range(kills):
        wait_for_an_attempt(root, child)
        # Begun attempts live for the share of the run that is not start-up.
        time.sleep(chance.uniform(0, seconds * 0.6))
        kill_workers(root, child, launcher_too=cluster == "debug")
        if cluster == "debug":
            break
    child.wait(timeout=600)
    for _ in range(3):
        done = run(root, "resume", "killed") if (root / "sweeps").exists() else run(root, "submit", *words)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    found = results(root)
    changed = {
        n: differing(wanted.get(n, b""), found.get(n, b"")) for n in wanted | found if wanted.get(n) != found.get(n)
    }
    assert not changed, changed
    for predictions in (root / "cells").glob("*/predictions.jsonl"):
        samples = [json.loads(line)["sample"] for line in predictions.read_text().splitlines()]
        assert len(samples) == len(set(samples)) == 48


def differing(wanted: bytes, found: bytes) -> list[bytes]:
    """The first lines in which two files differ."""
    pairs = zip(wanted.splitlines(), found.splitlines(), strict=False)
    return [line for pair in pairs if pair[0] != pair[1] for line in pair][:6]


def wait_for_an_attempt(root: Path, child: subprocess.Popen[bytes]) -> None:
    while child.poll() is None and not list(root.glob("cells/*/attempts/*/start.json")):
        time.sleep(0.05)


def kill_workers(root: Path, child: subprocess.Popen[bytes], launcher_too: bool) -> None:
    if launcher_too:
        child.kill()
        return
    for start in root.glob("cells/*/attempts/*/start.json"):
        if not (start.parent / "end.json").exists():
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(json.loads(start.read_text())["pid"], signal.SIGKILL)
