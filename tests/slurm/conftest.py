"""A real Slurm for tests: the fixture ``cluster`` starts a variant in a folder of its own and stops it.

Tests ask for a variant by the options of ``slurm/dev/cluster.py up``::

    @pytest.mark.parametrize("cluster", ["--preempt cancel"], indirect=True)
    def test_...(cluster: DevCluster) -> None: ...

Without that they share the module's default cluster. Where none can run, tests skip; ``PACELINE_SLURM=1`` makes them
fail instead, so that CI can't lose them unnoticed.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dev_cluster import TOOL, DevCluster, running


def _obstacle() -> str | None:
    """Why no cluster can run here."""
    if os.getuid() != 0:
        return "not root"
    if not Path("/etc/debian_version").exists():
        return "not Debian"
    if missing := [name for name in ("slurmctld", "munged", "mariadbd") if not shutil.which(name)]:
        return f"no {', '.join(missing)}: run {TOOL.relative_to(TOOL.parents[2])} install"
    return None


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[DevCluster]:
    """A cluster of the variant that the parameter names; stopped afterwards, its folder removed."""
    if obstacle := _obstacle():
        message = f"no Slurm here: {obstacle}"
        pytest.fail(message) if os.environ.get("PACELINE_SLURM") else pytest.skip(message)
    with running(shlex.split(getattr(request, "param", ""))) as made:
        yield made
