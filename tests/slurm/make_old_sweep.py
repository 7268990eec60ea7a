#!/usr/bin/env python3
"""Write old_sweep.tar.xz: a sweep on a real Slurm that was interrupted half-way, for test_old_version.py.

    .venv/bin/python tests/slurm/make_old_sweep.py        # root, Debian; a minute

Run it on a commit whose sweeps later versions must go on to resume, with no local changes in src/, conf/ or jobs/. The
archive is kept when the code changes: made anew by the changed code, it proves nothing. What it holds stands in
old_sweep.py. Host name, interpreter and paths of the machine are replaced by neutral ones.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dev_cluster import running
from lab import ON_SLURM, REPOSITORY, Lab, here, prepared, results
from old_sweep import ARCHIVE, COMPARED, ROOT, arithmetic, replace_words

DATA = "task.options={train: 16, validation: 4, test_near: 4, test_far: 8, spacing: 4.0, pixels: 32}"
SWEEP = (
    "model=tiny_qwen2_vl",
    "task=geolocation_earth",
    DATA,
    "prompt=geo_bare,geo_training",
    "method=untuned,lora",
    "method.lora.r=2",
    "exclude=[{method: lora, prompt: geo_training}]",
    "train=quick",
    "train.max_steps=60",
    "train.learning_rate=1.0e-2",
    "generation=short",
    "generation.new_tokens=16",
    "generation.batch=1",
    "placement.checkpoint_steps=10",
    "placement.keep_checkpoints=1",
    "tracking=disabled",
    "name=s",
)
BEFORE = {"done": 1, "interrupted": 2, "waiting": 1}


def interrupted(root: Path) -> None:
    """The sweep on Slurm, stopped half-way."""
    with running([]) as cluster:
        lab = Lab(cluster, root, [*SWEEP, *ON_SLURM])
        lab.submit()
        with ThreadPoolExecutor() as pool:
            tuning = pool.submit(lab.held, "finetune")
            answering = pool.submit(lab.held, "evaluate", "*geo_training*")
            answering.result().kill()
            tuning.result()
        lab.well("cancel", "s", "--yes")
        lab.settle()
        lab.cells()
        counts = json.loads(lab.well("status", "s", "--json"))["counts"]
        if counts != BEFORE:
            sys.exit(f"the sweep stopped at {counts}, not at {BEFORE}; run this again")
        words = {str(cluster.root): "/tmp/cluster"}
    shutil.rmtree(root / "asked", ignore_errors=True)
    words |= {sys.prefix: "/opt/paceline", json.dumps(socket.gethostname()): '"login"'}
    replace_words(root, words)


def undisturbed(root: Path, folder: Path) -> None:
    """The same sweep on this machine, without Slurm and without interruption; only its results."""
    with tempfile.TemporaryDirectory() as scratch:
        own = prepared(Path(scratch), root)
        here(own, "submit", *SWEEP)
        for name, content in results(own).items():
            if name.endswith(COMPARED):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
    (folder / "arithmetic").write_text(f"{arithmetic()}\n")


def nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """An archive's entry without its owner."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def main() -> None:
    """Make the archive."""
    changed = ["git", "-C", str(REPOSITORY), "status", "--porcelain", "--", "src", "conf", "jobs"]
    if said := subprocess.run(changed, capture_output=True, text=True, check=True).stdout:
        sys.exit(f"local changes would be archived as the old version:\n{said}")
    root = Path(ROOT)
    root.mkdir(parents=True)
    try:
        here(root, "prepare", "task=geolocation_earth", DATA)
        undisturbed(root, root.parent / "undisturbed")
        interrupted(root)
        with tarfile.open(ARCHIVE, "w:xz", preset=9) as archive:
            for name in ("root", "undisturbed"):
                archive.add(root.parent / name, name, filter=nobody)
    finally:
        shutil.rmtree(root.parent)
    print(f"wrote {ARCHIVE} ({ARCHIVE.stat().st_size / 2**10:.0f} KiB)")


if __name__ == "__main__":
    main()
