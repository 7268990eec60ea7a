"""What is held back by a submit limit goes on by itself when asked to, and what a person cancelled does not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from dev_cluster import DevCluster
from lab import DATA, ON_SLURM, Lab, here

FOUR = [
    "model=tiny_qwen2_vl",
    "task=geolocation_earth",
    DATA,
    "prompt=geo_bare,geo_training,geo_stepwise,geo_narrowing",
    "method=untuned",
    "generation=short",
    "limit=4",
    "tracking=disabled",
    "name=s",
    *ON_SLURM,
    "cluster.qos=inferno",
    "cluster.cells_per_element=1",
]
pytestmark = pytest.mark.parametrize("cluster", ["--max-submit 3"], indirect=True)


@pytest.fixture
def lab(cluster: DevCluster, tmp_path: Path) -> Lab:
    here(tmp_path, "prepare", "task=geolocation_earth", DATA)
    return Lab(cluster, tmp_path, FOUR)


def test_cells_over_the_submit_limit_are_released_by_a_chained_job_until_all_are_done(lab: Lab) -> None:
    said = lab.well("submit", *lab.words, "--chain")
    # The limit is the cluster's own; a place in it is kept for the job that goes on.
    assert re.search(r"2 cells held back: 3 jobs .* at a time, 0 are in the queue; that job releases them", said)
    assert sorted(c["state"] for c in lab.cells().values()).count("held") == 2
    lab.settle()
    assert {c["state"] for c in lab.cells().values()} == {"done"}
    assert {c["attempts"] for c in lab.cells().values()} == {1}


def test_what_a_person_cancelled_is_not_brought_back_by_the_chained_job(lab: Lab) -> None:
    said = json.loads(lab.well("submit", *lab.words, "--chain", "--json").partition("\n}")[0] + "\n}")
    elements = sorted(set(said["jobs"].values()))
    lab.cluster.run("scancel", *elements)
    lab.settle()
    cells = lab.cells().values()
    # An element that is cancelled by itself before it began leaves no trace in the queue.
    cancelled = [c for c in cells if c["cause"] in ("cancelled", "unknown") and c["state"] != "done"]
    assert len(cancelled) == len(elements) == 2
    assert sum(1 for c in cells if c["state"] == "done") == 2  # those that were held back went on


def test_cancel_ends_the_chained_job_too(lab: Lab) -> None:
    lab.well("submit", *lab.words, "--chain")
    lab.well("cancel", "s", "--yes")
    lab.settle()
    assert not [c for c in lab.cells().values() if c["state"] in ("running", "queued", "done")]
