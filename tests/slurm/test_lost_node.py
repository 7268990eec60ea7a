"""A cell that runs over two nodes and loses one is no bug: it is told so, and the next resume ends in the same way."""

from __future__ import annotations

from pathlib import Path

from dev_cluster import DevCluster
from lab import DATA, ON_SLURM, Lab, here

WORDS = [
    "model=tiny_qwen2_vl",
    "task=geolocation_earth",
    DATA,
    "prompt=geo_bare",
    "method=full",
    "train=quick",
    "train.max_steps=60",
    "train.batch=16",
    "generation=short",
    "placement.checkpoint_steps=5",
    "tracking=disabled",
    "place=[{match: {kind: finetune}, set: {deepspeed: zero2, placement.nodes: 2}}]",
    "name=s",
]


def test_a_cell_over_two_nodes_survives_the_loss_of_the_other(cluster: DevCluster, tmp_path: Path) -> None:
    here(tmp_path, "prepare", "task=geolocation_earth", DATA)
    lab = Lab(cluster, tmp_path, [*WORDS, *ON_SLURM])
    lab.submit()
    rank = lab.at_work("finetune")
    other = {"node1": "node2", "node2": "node1"}[rank.node]
    cluster.control("node", "kill", other)
    try:
        lab.until("the attempt is over", lambda: (rank.attempt / "end.json").exists() or lab.queue_is_empty(), 90)
    finally:
        cluster.control("node", "start", other)
    lab.settle()
    lab.resume()
    lab.settle()
    assert {c["state"] for c in lab.cells().values()} == {"done"}
