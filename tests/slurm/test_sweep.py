"""A sweep through a real Slurm ends in the bytes of one on this machine, whatever happens to its jobs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dev_cluster import DevCluster

DATA = "task.options={train: 64, validation: 8, test_near: 24, test_far: 24, spacing: 2.0}"
SWEEP = [
    "model=tiny_qwen2_vl,tiny_pixtral",
    "task=geolocation_earth",
    DATA,
    "prompt=geo_bare",
    "method=untuned,full",
    "train=quick",
    "train.max_steps=60",
    "train.batch=16",
    "generation=short",
    "placement.checkpoint_steps=5",
    "tracking=disabled",
    # One tuning runs sharded over both nodes, where there are two; here, on two ranks.
    "place=[{match: {kind: finetune, model: tiny_pixtral}, set: {deepspeed: zero2, placement.ranks: 2}}]",
    "name=s",
]
OVER_NODES = [
    word.replace("placement.ranks: 2", "placement.nodes: 2") if word.startswith("place=") else word for word in SWEEP
] + ["cluster=slurm", "cluster.account=gts-dev", "cluster.qos=embers", "cluster.minutes=20"]


def here(root: Path, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "paceline", *words, f"root={root}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep on this machine, without Slurm."""
    root = tmp_path_factory.mktemp("local")
    here(root, "prepare", "task=geolocation_earth", DATA)
    here(root, "submit", *SWEEP)
    return root


class Lab:
    """A root on the cluster, and a person at its login node."""

    def __init__(self, cluster: DevCluster, root: Path) -> None:
        self.cluster, self.root = cluster, root

    def paceline(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.cluster.attempt(sys.executable, "-m", "paceline", *words, f"root={self.root}", timeout=120)

    def cells(self) -> dict[str, dict[str, Any]]:
        done = self.paceline("status", "s", "--json")
        assert done.returncode == 0, done.stderr
        return {c["id"]: c for c in json.loads(done.stdout)["cells"]}

    def until(self, what: str, holds: Any, seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"{what}: {self.cells()}\n{self.cluster.run('squeue')}"
            time.sleep(1)

    def queue_is_empty(self) -> bool:
        return self.cluster.run("squeue", "--noheader") == ""

    def results(self) -> dict[str, bytes]:
        return results(self.root)


def results(root: Path) -> dict[str, bytes]:
    names = ("predictions.jsonl", "metrics.json")
    return {f"{f.parent.name}/{n}": (f.parent / n).read_bytes() for n in names for f in root.glob(f"cells/*/{n}")}


@pytest.fixture
def lab(cluster: DevCluster, tmp_path: Path) -> Lab:
    here(tmp_path, "prepare", "task=geolocation_earth", DATA)
    return Lab(cluster, tmp_path)


def test_a_sweep_takes_few_jobs_and_the_shell_is_free_at_once(lab: Lab, undisturbed: Path) -> None:
    began = time.monotonic()
    done = lab.paceline("submit", *OVER_NODES)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 20
    jobs = json.loads(next(lab.root.glob("sweeps/s/submissions/1/jobs.json")).read_text())["jobs"]
    assert len({job.partition("_")[0] for job in jobs.values()}) <= 4
    again = lab.paceline("submit", *OVER_NODES)
    assert "nothing to start" in again.stderr
    lab.until("the sweep ends", lab.queue_is_empty)
    assert {c["state"] for c in lab.cells().values()} == {"done"}
    assert lab.results() == results(undisturbed)


def test_a_job_whose_time_is_up_saves_requeues_and_changes_no_byte(lab: Lab, undisturbed: Path) -> None:
    assert lab.paceline("submit", *OVER_NODES).returncode == 0

    def tuning() -> list[dict[str, Any]]:
        cells = lab.cells().values()
        return [
            c
            for c in cells
            if c["kind"] == "finetune" and c["state"] == "running" and (c["progress"] or {}).get("done")
        ]

    lab.until("a tuning runs", tuning)
    lab.cluster.run("scancel", "--signal=USR2", *lab.cluster.run("squeue", "-h", "-o", "%i", "-t", "R").split())
    lab.until("the sweep ends", lab.queue_is_empty)
    if any(c["state"] != "done" for c in lab.cells().values()):  # the signal came too early to be heard
        assert lab.paceline("resume", "s").returncode == 0
        lab.until("the resume ends", lab.queue_is_empty)
    cells = lab.cells()
    assert {c["state"] for c in cells.values()} == {"done"}
    assert max(c["attempts"] for c in cells.values()) > 1
    assert lab.results() == results(undisturbed)


def test_a_cancelled_sweep_stays_dead_until_it_is_resumed(lab: Lab, undisturbed: Path) -> None:
    assert lab.paceline("submit", *OVER_NODES).returncode == 0
    lab.until("something runs", lambda: any(c["state"] == "running" for c in lab.cells().values()))
    assert lab.paceline("cancel", "s", "--yes").returncode == 0
    lab.until("the queue is empty", lab.queue_is_empty, 60)
    time.sleep(8)
    assert lab.queue_is_empty()
    assert lab.paceline("resume", "s").returncode == 0
    lab.until("the resume ends", lab.queue_is_empty)
    assert {c["state"] for c in lab.cells().values()} == {"done"}
    assert lab.results() == results(undisturbed)
