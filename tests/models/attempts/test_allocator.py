"""The variable that a tuning sets is one that the pinned torch reads, also where torch was imported before."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from paceline.attempts.node_caches import ALLOCATOR

LINE = """
{first}
from paceline.attempts import node_caches
node_caches.prepare(trains=True)
import torch
print(torch._C._accelerator_getAllocatorSettings())
"""


@pytest.mark.parametrize("first", ["", "import torch"])
def test_torch_reads_what_a_tuning_sets_for_its_allocator(first: str) -> None:
    assert settings(first) == "expandable_segments:True"


@pytest.mark.parametrize("name", ["PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"])
def test_torch_reads_what_the_user_has_set_for_the_allocator(name: str) -> None:
    assert settings("", **{name: "max_split_size_mb:128"}) == "max_split_size_mb:128"


def settings(first: str, **variables: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ALLOCATOR} | variables
    done = subprocess.run(
        [sys.executable, "-c", LINE.format(first=first)], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.strip()
