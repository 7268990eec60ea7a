"""Answers that other cells build on come first; killed, a resume finishes them, and the others with them."""

from __future__ import annotations

import json
from pathlib import Path

from dev_cluster import DevCluster
from lab import DATA, ON_SLURM, Lab, here

WORDS = [
    "model=tiny_qwen2_vl",
    "task=geolocation_earth",
    DATA,
    "prompt=place_facts",
    "method=untuned",
    "generation=short",
    "generation.batch=2",
    "tracking=disabled",
    "name=s",
]


def test_a_cell_waits_for_the_answers_that_it_builds_on_also_where_these_were_killed(
    cluster: DevCluster, tmp_path: Path
) -> None:
    here(tmp_path, "prepare", "task=geolocation_earth", DATA)
    lab = Lab(cluster, tmp_path, [*WORDS, *ON_SLURM])
    lab.submit()
    lab.at_work("evaluate", cells="*place_details*").kill()
    lab.settle()
    first, second = (next(c for c in lab.cells().values() if name in c["id"]) for name in ("details", "facts"))
    assert (first["state"], second["state"]) == ("interrupted", "waiting")
    assert second["detail"] == f"needs {first['id']}"
    lab.resume()
    lab.settle()
    assert {c["state"] for c in lab.cells().values()} == {"done"}
    begun = {
        id: json.loads((tmp_path / "cells" / id / "attempts" / n / "start.json").read_text())["time"]
        for id, n in ((first["id"], "2"), (second["id"], "1"))
    }
    assert begun[first["id"]] < begun[second["id"]]
    for line in (tmp_path / "cells" / second["id"] / "predictions.jsonl").read_text().splitlines():
        assert {"earlier", "facts"} <= json.loads(line)["data"].keys()
