"""How many files and folders a cell has on the disk once it is done, by kind of cell.

Runs a small sweep of a twin (untuned, an adapter, all weights; two prompts each) and counts what lies in the folder of
each cell, and in the sweep's, where the elements have theirs. A folder takes an inode as a file does, and a quota of
files counts both. The first column says what is left where tracking is off.

    python benchmarks/cell_files.py                                     # on this machine
    python benchmarks/cell_files.py cluster=slurm cluster.account=…     # through Slurm
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

DATA = "task.options={train: 64, validation: 8, test_near: 24, test_far: 24, spacing: 2.0}"
SWEEP = ("model=tiny_qwen2_vl", "task=geolocation_earth", DATA, "prompt=geo_bare,geo_training", "train.max_steps=6")
METHODS = ("method=untuned,lora,full", "placement.checkpoint_steps=2")
PATIENCE = 600.0


def paceline(root: Path, *words: str) -> str:
    """What a command of paceline prints; ends the benchmark where it fails."""
    command_line = [sys.executable, "-m", "paceline", *words, f"root={root}"]
    done = subprocess.run(command_line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr}")
    return done.stdout


def ran(root: Path, name: str, words: Sequence[str]) -> list[dict[str, str]]:
    """Run the sweep to its end; its cells as ``paceline status`` tells them."""
    paceline(root, "submit", *SWEEP, *METHODS, f"name={name}", *words)
    deadline = time.monotonic() + PATIENCE
    while True:
        told = json.loads(paceline(root, "status", name, "--json"))
        if set(told["counts"]) == {"done"}:
            return list(told["cells"])
        if time.monotonic() > deadline or not {"queued", "running", "unknown"} & set(told["counts"]):
            sys.exit(f"the sweep did not get done: {told['counts']}")
        time.sleep(5)


def inodes(folder: Path, counted: Callable[[Path], bool] = lambda path: True) -> int:
    """Files and folders in a folder, itself among them."""
    entries = [folder, *folder.rglob("*")]
    return len({path.lstat().st_ino for path in entries if counted(path)})


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the files and folders of a cell.")
    parser.add_argument("words", nargs="*", help="overrides of where and how the sweep runs")
    words = parser.parse_args().words
    os.environ["PACELINE_ROOT"] = ""
    with tempfile.TemporaryDirectory(prefix="paceline-files-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        paceline(root, "prepare", "task=geolocation_earth", DATA)
        cells = ran(root, "counted", words)
        print(f"{'kind':10} {'method':10} {'cells':>5} {'without W&B':>12} {'W&B':>5} {'in all':>7}   of it folders")
        for kind, method in sorted({(c["kind"], c["method"]) for c in cells}):
            folders = [root / "cells" / c["id"] for c in cells if (c["kind"], c["method"]) == (kind, method)]
            every = statistics.mean(map(inodes, folders))
            plain = statistics.mean(inodes(f, lambda path: "wandb" not in path.parts) for f in folders)
            held = statistics.mean(inodes(f, Path.is_dir) for f in folders)
            print(
                f"{kind:10} {method:10} {len(folders):5} {plain:12.1f} {every - plain:5.1f} {every:7.1f} {held:15.1f}"
            )
        submission = root / "sweeps" / "counted" / "submissions" / "1"
        elements = len(json.loads((submission / "elements.json").read_text())["elements"])
        of_elements = inodes(submission / "submitit") - 1
        print(
            f"\nthe sweep's own: {inodes(submission.parents[1])}, {of_elements / elements:.1f} for each element of it"
        )
        all_of_it = inodes(root / "cells") + inodes(root / "sweeps")
        print(f"in all {all_of_it} for {len(cells)} cells, {all_of_it / len(cells):.1f} a cell")


if __name__ == "__main__":
    main()
