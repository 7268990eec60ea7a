"""What a cell does to itself on a node is told by its name; what would end the same way again is not tried again."""

from __future__ import annotations

import json
from pathlib import Path

from dev_cluster import DevCluster
from lab import DATA, ON_SLURM, Lab, clone, here

FAMILY = '''"""A family that fails while it loads."""

import torch

from paceline.models.families.qwen2_vl import Qwen2VL


class Faulty(Qwen2VL):
    @classmethod
    def load(cls, *args, **kwargs):
        {fault}


FAMILY = Faulty
'''
FAULTS = {
    "bug": ("raise RuntimeError('shapes differ')", "code bug", "failed"),
    "oom": ("raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 392 MiB')", "CUDA out of memory", ""),
    "ram": ("raise MemoryError('1 TiB')", "out of host memory", ""),
}


def test_each_cause_is_told_and_only_those_that_may_pass_are_tried_again(cluster: DevCluster, tmp_path: Path) -> None:
    root = tmp_path / "root"
    here(root, "prepare", "task=geolocation_earth", DATA)
    source = clone(tmp_path / "clone", **{n: FAMILY.replace("{fault}", code) for n, (code, _, _) in FAULTS.items()})
    models = [f"tiny_{name}" for name in FAULTS]
    words = [f"model={','.join(models)}", "task=geolocation_earth", DATA, "prompt=geo_bare", "method=untuned", "name=s"]
    lab = Lab(cluster, root, [*words, "generation=short", "tracking=disabled", *ON_SLURM])
    lab.env["PYTHONPATH"] = str(source / "src")
    lab.submit()
    lab.settle()
    told = {c["model"]: (c["cause"], c["state"]) for c in lab.cells().values()}
    assert told == {f"tiny_{n}": (cause, state or "interrupted") for n, (_, cause, state) in FAULTS.items()}
    lab.resume()
    lab.settle()
    # Twice without getting further is enough for memory; a bug was not tried again at all.
    again = {c["model"]: (c["state"], c["attempts"]) for c in lab.cells().values()}
    assert again == {"tiny_bug": ("failed", 1), "tiny_oom": ("failed", 2), "tiny_ram": ("failed", 2)}


def test_a_loss_that_is_no_number_and_data_that_is_gone_are_told(cluster: DevCluster, tmp_path: Path) -> None:
    root = tmp_path / "root"
    here(root, "prepare", "task=geolocation_earth", DATA)
    words = ["model=tiny_qwen2_vl", "task=geolocation_earth", DATA, "prompt=geo_bare", "method=untuned,full", "name=s"]
    words += ["train=quick", "train.max_steps=20", "train.learning_rate=1e30", "train.max_grad_norm=0"]
    lab = Lab(cluster, root, [*words, "generation=short", "tracking=disabled", *ON_SLURM])
    cluster.run("scontrol", "update", "nodename=node[1-2]", "state=drain", "reason=test")
    lab.submit()
    # What is trained on stays; what is answered is purged while the job waits.
    (samples,) = root.glob("data/*/samples.jsonl")
    for sample in map(json.loads, samples.read_text().splitlines()):
        if sample["split"] == "test_near":
            (samples.parent / sample["image"]).unlink()
    cluster.run("scontrol", "update", "nodename=node[1-2]", "state=resume")
    lab.settle()
    told = {(c["kind"], c["method"]): (c["cause"], c["state"]) for c in lab.cells().values()}
    assert told["finetune", "full"] == ("NaN loss", "failed")
    assert told["evaluate", "untuned"] == ("bad data", "failed")
    assert told["evaluate", "full"] == ("", "waiting")
