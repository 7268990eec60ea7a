"""One fault per cause, and three points at which a launcher dies; ``make fault-matrix`` runs all faults there are."""

from __future__ import annotations

from pathlib import Path

import matrix
import pytest
from dev_cluster import DevCluster
from faults import FAULTS, Fault


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return matrix.undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize(
    ("cluster", "fault"),
    [pytest.param(f.variant, f, id=f.name.replace(" ", "-")) for f in FAULTS if f.ci],
    indirect=["cluster"],
)
def test_after_a_fault_a_sweep_ends_in_the_same_bytes(cluster: DevCluster, fault: Fault, undisturbed: Path) -> None:
    assert matrix.run(fault, cluster, undisturbed).wrong == []
