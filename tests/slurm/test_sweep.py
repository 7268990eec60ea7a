"""A sweep through a real Slurm ends in the bytes of one on this machine, over two nodes and a time-out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dev_cluster import DevCluster
from lab import DATA, ON_SLURM, Lab, here, prepared, results

SWEEP = (
    "model=tiny_qwen2_vl,tiny_pixtral",
    "task=geolocation_earth",
    DATA,
    "prompt=geo_bare",
    "method=untuned,full",
    "exclude=[{model: tiny_qwen2_vl, method: full}]",
    "train=quick",
    "train.max_steps=40",
    "train.batch=16",
    "generation=short",
    "placement.checkpoint_steps=5",
    "tracking=disabled",
    "name=s",
)
TWO_RANKS = "place=[{match: {kind: finetune}, set: {deepspeed: zero2, placement.ranks: 2}}]"
TWO_NODES = "place=[{match: {kind: finetune}, set: {deepspeed: zero2, placement.nodes: 2}}]"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep on this machine, without Slurm; the tuning sharded over two ranks."""
    root = tmp_path_factory.mktemp("local")
    here(root, "prepare", "task=geolocation_earth", DATA)
    here(root, "submit", *SWEEP, TWO_RANKS)
    return root


def test_a_sweep_over_two_nodes_takes_few_jobs_survives_a_timeout_and_changes_no_byte(
    cluster: DevCluster, undisturbed: Path, tmp_path: Path
) -> None:
    lab = Lab(cluster, prepared(tmp_path, undisturbed), [*SWEEP, TWO_NODES, *ON_SLURM])
    lab.submit()
    jobs = json.loads(next(lab.root.glob("sweeps/s/submissions/1/jobs.json")).read_text())["jobs"]
    assert len({job.partition("_")[0] for job in jobs.values()}) <= 4
    assert "nothing to start" in lab.submit()
    rank = lab.at_work("finetune")
    assert json.loads((rank.attempt / "start.json").read_text())["placement"]["placement"]["nodes"] == 2
    lab.cluster.run("scancel", "--signal=USR2", rank.job)
    lab.settle()
    if any(c["state"] != "done" for c in lab.cells().values()):
        lab.resume()
        lab.settle()
    cells = lab.cells()
    assert {c["state"] for c in cells.values()} == {"done"}
    assert max(c["attempts"] for c in cells.values()) == 2
    assert results(lab.root) == results(undisturbed)
