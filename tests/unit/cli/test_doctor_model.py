"""``paceline doctor model=NAME`` says what the model did, and holds its numbers to the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paceline.cli.verbs import doctor
from paceline.config.schema import ModelSpec
from paceline.store.root import Store

TOLD = {
    "device": "the CPU",
    "versions": {"torch": "2"},
    "parameters": 7,
    "image_tokens": None,
    "text": "Red, Black and Dead.",
    "new_tokens": 6,
    "finish": "stop",
    "seconds": {"load": 1.0, "answer": 1.0},
}


@pytest.mark.parametrize(
    ("inputs", "did"), [(["text"], "answers a question"), (["image", "text"], "describes a picture")]
)
def test_a_model_of_text_is_not_said_to_describe_a_picture(
    inputs: list[Any], did: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "describe", lambda spec: TOLD)
    spec = ModelSpec(name="tiny", family="causal_lm", inputs=inputs, config={"seed": 0})
    found = list(doctor.model(spec, Store(tmp_path), False))
    assert found[-1][:2] == (did, True)
