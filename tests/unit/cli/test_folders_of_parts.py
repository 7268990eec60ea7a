"""A joined model whose parts lie in folders says which folder is missing, before anything is asked of a hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Paceline = Callable[..., tuple[int, str, str]]
SETTINGS = ("task=captioning", "prompt=caption_short", "tracking=disabled")


@pytest.mark.parametrize("command", [("prepare", "model=lite_smollm2"), ("plan", "model=lite_smollm2", *SETTINGS)])
def test_a_part_that_is_not_there_is_named_with_the_folder_that_was_meant(
    command: tuple[str, ...], command_line: Paceline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PACELINE_WEIGHTS", raising=False)
    code, _, err = command_line(*command)
    assert code == 2
    assert "parts.vision: weights: $PACELINE_WEIGHTS/efficientnet-lite0 names $PACELINE_WEIGHTS" in err
    assert "which is not set here; export it" in err
    monkeypatch.setenv("PACELINE_WEIGHTS", str(tmp_path / "gone"))
    code, _, err = command_line(*command)
    assert code == 2
    assert f"$PACELINE_WEIGHTS/efficientnet-lite0, here {tmp_path}/gone/efficientnet-lite0, is neither a folder" in err


def test_the_experiment_of_the_small_real_model_plans_three_cells(
    command_line: Paceline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PACELINE_WEIGHTS", raising=False)
    code, out, err = command_line("plan", "experiment=captioning_lite_smollm2", "tracking=disabled", "--json")
    assert code == 2 and "PACELINE_WEIGHTS" in err, "planned all the same, and said what is missing"
    cells = json.loads(out)["cells"]
    assert sorted((c["kind"], c["method"]) for c in cells) == [
        ("evaluate", "connector"), ("evaluate", "untuned"), ("finetune", "connector"),
    ]  # fmt: skip
