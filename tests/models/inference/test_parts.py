"""A model answers two questions about a picture, one by one and together; a kill between batches changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import two_questions
from conftest import model_spec
from finetune_twin import ToyRun
from PIL import Image

from paceline import tasks
from paceline.config.schema import Config, GenerationSpec, PromptSpec, TaskSpec
from paceline.errors import Interrupted
from paceline.inference.evaluate import answer
from paceline.models import load_family
from paceline.models.answerer import Answerer, Reads
from paceline.models.family import Family
from paceline.scoring import judge
from paceline.store.cell_folder import Cell, CellFolder
from paceline.tasks.kind import Kind

PROMPTS = {"alone": "On {place}: {question}", "together": "On {place}:\n{questions}"}


@pytest.fixture(scope="module")
def family() -> Family:
    spec = model_spec("tiny_qwen2_vl")
    return load_family(spec.family).load(spec)


@pytest.fixture
def samples(tmp_path: Path, photo: Callable[..., Image.Image]) -> list[dict[str, Any]]:
    found = []
    for n in range(3):
        path = tmp_path / f"{n}.png"
        photo(48, 40 + 8 * n, n).save(path)
        truth = {"place": "a shelf", "colour": "red", "shape": "round"}
        found.append({"id": f"s{n}", "split": "test", "image": str(path), **truth})
    return found


@dataclasses.dataclass
class Stopped(ToyRun):
    """Asked to stop once so many answers are there."""

    def stop(self) -> str | None:
        return "timeout" if self.stop_after and self.done >= self.stop_after else None


def attempt(folder: Path, made: Config, **fields: Any) -> Stopped:
    cell = CellFolder(folder)
    return Stopped(cell, cell.new_attempt(), Cell(folder.name, "evaluate", {}), made, **fields)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_two_questions_are_answered_resumed_and_judged(
    prompt: str, family: Family, samples: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "load", lambda name: Kind("two_questions", two_questions))
    assert isinstance(family, Answerer)
    assert (family.reads, family.how) == (Reads("several", True), "generates")
    made = Config(
        model=family.spec,
        task=TaskSpec(kind="two_questions", evaluate=["test"]),
        prompt=PromptSpec(name=prompt, text=PROMPTS[prompt]),
        generation=GenerationSpec(new_tokens=6, temperature=1.0, batch=2),
        seed=5,
    )
    wanted = answer(attempt(tmp_path / "undisturbed", made), family, samples)
    assert [(r["sample"], r["part"]) for r in wanted] == [(s["id"], p) for s in samples for p in ("colour", "shape")]
    first = attempt(tmp_path / "killed", made, stop_after=2)
    with pytest.raises(Interrupted):
        answer(first, family, samples)
    again = attempt(tmp_path / "killed", made)
    assert answer(again, family, samples) == wanted
    assert again.notes
    records, metrics = judge.judge(made, wanted, samples)
    assert [(r["sample"], r["part"]) for r in records] == [(r["sample"], r["part"]) for r in wanted]
    assert metrics["samples"] == 6
    assert metrics["metrics"]["right_share"]["value"] == 0
    if prompt == "alone":
        # Each answer is what its question gets by itself.
        single = dataclasses.replace(made, generation=dataclasses.replace(made.generation, batch=1))
        alone = answer(attempt(tmp_path / "single", single), family, samples)
        assert [r["text"] for r in alone] == [r["text"] for r in wanted]
        assert len({r["text"] for r in wanted}) == 6
