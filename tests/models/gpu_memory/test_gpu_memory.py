"""The measurement of peaks runs, without a GPU on twins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gpu_memory.py"


def test_the_gpu_measurement_takes_its_steps_on_twins() -> None:
    words = ["--models", "tiny_llama32_vision", "--methods", "qlora", "--micro", "2", "--image", "32x32"]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| tiny_llama32_vision")]
    assert len(rows) == 2
    assert all(row.endswith("| yes |") for row in rows), done.stdout
