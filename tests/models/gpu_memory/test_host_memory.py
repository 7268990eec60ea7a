"""What the planner says of host memory: weights are read through their mapped files, and copied once to be saved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[1] / "host_memory.py"
# What is freed goes back to the kernel at once, so that its figures are those of what is held.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "0"}


def test_zero3_reads_weights_without_a_copy_and_publishes_them_with_one(tmp_path: Path) -> None:
    environment = {**os.environ, **MALLOC, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(PROGRAM), str(tmp_path), str(tmp_path / "found.json")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    whole = found["whole"]
    # Here the card is the CPU, so the one rank's share of the weights, all of them, is in its memory too.
    assert 0.9 * whole < found["reading"]["anonymous"] < 1.5 * whole
    assert found["reading"]["file"] > 0.9 * whole
    assert 0.9 * whole < found["publishing"]["anonymous"] < 1.5 * whole
