"""A queued job runs the code that it was submitted with, whatever its author does in the meantime."""

from __future__ import annotations

import json
from pathlib import Path

from dev_cluster import DevCluster
from lab import DATA, ON_SLURM, Lab, clone, here

FAMILY = '''"""A family that a researcher has just written and not told git about."""

from paceline.models.families.qwen2_vl import *  # noqa: F403
'''


def test_a_queued_job_is_not_changed_by_editing_yaml_or_python(cluster: DevCluster, tmp_path: Path) -> None:
    here(tmp_path / "root", "prepare", "task=geolocation_earth", DATA)
    words = ["model=tiny_newborn", "task=geolocation_earth", DATA, "prompt=geo_bare", "method=untuned", "name=s"]
    lab = Lab(cluster, tmp_path / "root", [*words, "generation=short", "tracking=disabled", *ON_SLURM])
    source = clone(tmp_path / "clone", newborn=FAMILY)
    lab.env["PYTHONPATH"] = str(source / "src")
    cluster.run("scontrol", "update", "nodename=node[1-2]", "state=drain", "reason=test")
    try:
        lab.submit()
        (source / "conf/model/tiny_newborn.yaml").write_text("family: [gone\n")
        (source / "src/paceline/models/families/newborn.py").unlink()
        for name in ("inference/evaluate", "worker", "models/families/qwen2_vl", "store/root"):
            path = source / f"src/paceline/{name}.py"
            path.write_text(f"raise RuntimeError('edited since')\n{path.read_text()}")
        (source / "jobs/evaluate.py").write_text("raise RuntimeError('edited since')\n")
    finally:
        cluster.run("scontrol", "update", "nodename=node[1-2]", "state=resume")
    lab.settle()
    (done,) = (tmp_path / "root" / "cells").glob("evaluate-*/DONE.json")
    assert json.loads(done.read_text())["counts"]
    start = json.loads((done.parent / "attempts/1/start.json").read_text())
    assert "src/paceline/models/families/newborn.py" in str(start["provenance"]["code"]["changed"])
