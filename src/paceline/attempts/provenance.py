"""What an attempt ran on: code, packages, machine and GPUs."""

from __future__ import annotations

import contextlib
import platform
import sys
from importlib import metadata
from typing import Any

from paceline.attempts.run import Run
from paceline.store.code import STAMP, code_state, source_tree
from paceline.store.files import read_json


def gpus(run: Run) -> int:
    """GPUs that the attempt holds, busy or not: on Slurm those that were asked for."""
    if run.config.cluster.executor == "slurm":
        return run.config.cluster.gpus * run.world
    torch = sys.modules.get("torch")
    return run.world if torch and torch.cuda.is_available() else 0


def provenance() -> dict[str, Any]:
    """What a result came from: code, versions, host and accelerators."""
    stamp = source_tree() / STAMP
    code = read_json(stamp) if stamp.exists() else code_state(source_tree())
    versions = {}
    packages = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "deepspeed", "numpy", "pillow")
    for name in ("paceline", *packages):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    torch = sys.modules.get("torch")
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if torch else []
    gpus = {"gpus": [card.name for card in cards], "gpu_gib": [card.total_memory / 2**30 for card in cards]}
    python = {"python": platform.python_version(), "environment": sys.prefix}
    return {"code": code, **python, "versions": versions, **gpus}
