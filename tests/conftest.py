"""Tests see the shipped configs and their own roots, whatever the shell that runs them has set."""

from __future__ import annotations

import os

for name in ("PACELINE_CONF", "PACELINE_ROOT", "WANDB_API_KEY"):
    os.environ.pop(name, None)
os.environ.setdefault("OMP_NUM_THREADS", "1")
