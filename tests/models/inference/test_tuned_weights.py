"""Tuned weights that are not those that the tuning wrote answer nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.config.schema import Config, ModelSpec
from paceline.errors import DataError
from paceline.inference.weights import load_weights
from paceline.store.cell_folder import Cell, CellFolder


def test_tuned_weights_that_were_changed_since_are_refused_by_name(tmp_path: Path) -> None:
    folder = CellFolder(tmp_path / "cells" / "finetune-x")
    folder.weights.mkdir(parents=True)
    identity = {"model": {"name": "m", "family": "qwen2_vl", "config": {"seed": 0}}, "data": "d"}
    weights = folder.weights / "adapter_model.safetensors"
    weights.write_bytes(b"as tuned")
    folder.publish(folder.new_attempt(), [weights], {})
    weights.write_bytes(b"changed!")
    assert folder.done()  # of the same size
    folder.read = lambda: Cell("finetune-x", "finetune", identity)  # type: ignore[method-assign]
    with pytest.raises(DataError, match=r"weights/adapter_model\.safetensors is not what the tuning wrote"):
        load_weights(Config(model=ModelSpec(name="m", family="qwen2_vl")), [folder], tmp_path)
