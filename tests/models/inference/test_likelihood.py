"""Of a question's choices the likeliest is taken: scored as the model would say it, whatever stands beside it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import model_spec
from finetune_twin import ToyRun
from PIL import Image

from paceline import tasks
from paceline.config.schema import Config, GenerationSpec, PromptSpec, TaskSpec
from paceline.errors import Interrupted, UserError
from paceline.inference.evaluate import answer
from paceline.models import load_family
from paceline.models.answerer import Answer
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.scoring import judge
from paceline.store.cell_folder import Cell, CellFolder

SUM = GenerationSpec(answer="likelihood", batch=3)
PER_CHARACTER = dataclasses.replace(SUM, choose_by="per_character")


@pytest.fixture(scope="module", params=["tiny_causal_lm", "tiny_qwen2_vl", "tiny_idefics"])
def family(request: pytest.FixtureRequest) -> Family:
    spec = model_spec(request.param)
    return load_family(spec.family).load(spec)


@pytest.fixture
def asked(family: Family, photo: Callable[..., Image.Image]) -> list[Conversation]:
    made = [
        Conversation("Where was this photo taken?", [photo(64, 64, 1)], choices=("Paris", "a small town", "at sea")),
        Conversation("Why?", [photo(90, 40, 2)], system="Be short.", choices=("red", "red car")),
        Conversation("Is it north of the river?", [photo(48, 80, 3)], choices=("yes", "no")),
    ]
    return made if "image" in family.spec.inputs else [dataclasses.replace(c, images=[]) for c in made]


def told(found: Answer) -> dict[str, float]:
    return {row["choice"]: row["sum"] for row in found.data["choices"]}


def by_hand(family: Family, conversation: Conversation, choice: str) -> float:
    """The choice's tokens, fed one by one behind the prompt, without a cache and without a lesson."""
    ids = family.tokenizer(choice, add_special_tokens=False)["input_ids"]
    batch = family.batch([conversation])
    total = 0.0
    for token in ids:
        with torch.inference_mode():
            logits = family.model(**family.to_model(batch)).logits[0, -1].float()
        total += float(logits.log_softmax(-1)[token])
        batch = family.append_answers(batch, torch.tensor([[token]]), torch.ones(1, 1, dtype=torch.long))
    return total


def test_a_choice_is_as_likely_as_its_tokens_are_one_after_the_other(family: Family, asked: list[Conversation]) -> None:
    for conversation, found in zip(asked, family.answer(asked, SUM, [0, 0, 0]), strict=True):
        for choice, score in told(found).items():
            assert math.isclose(score, by_hand(family, conversation, choice), abs_tol=1e-3), choice
        assert found.text == max(told(found), key=lambda choice: told(found)[choice])
        assert (found.new_tokens, found.finish) == (0, "stop")
        assert found.prompt_tokens == int(family.batch([conversation])["attention_mask"].sum())


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_choices_are_scored_together_as_one_by_one(family: Family, asked: list[Conversation], batch: int) -> None:
    together = family.answer(asked, dataclasses.replace(SUM, batch=batch), [0, 0, 0])
    for conversation, found in zip(asked, together, strict=True):
        (alone,) = family.answer([conversation], SUM, [0])
        assert alone.text == found.text
        assert told(alone) == pytest.approx(told(found), abs=1e-4)


def test_a_score_per_character_lets_long_choices_win(family: Family) -> None:
    conversation = Conversation("Why?", [], choices=("x", "xxxxxxxxxxxxxxxx"))
    by_sum, by_character = (family.answer([conversation], s, [0])[0] for s in (SUM, PER_CHARACTER))
    assert by_sum.text == "x"
    rows = {row["choice"]: row for row in by_character.data["choices"]}
    for choice, row in rows.items():
        assert row["per_character"] == row["sum"] / len(choice)
    assert by_character.text == max(rows, key=lambda choice: rows[choice]["per_character"])
    assert by_sum.data == by_character.data


def test_the_token_that_ends_an_answer_is_not_counted(family: Family, asked: list[Conversation]) -> None:
    found = told(family.answer([asked[1]], SUM, [0])[0])
    assert found["red car"] < found["red"] < 0


def test_equal_choices_are_one_and_no_tie(family: Family) -> None:
    (found,) = family.answer([Conversation("Why?", choices=("x", "sea", "x"))], SUM, [0])
    assert [row["choice"] for row in found.data["choices"]] == ["x", "sea"]
    assert "tied" not in found.data


def test_choices_of_the_same_tokens_tie_and_none_is_taken(family: Family) -> None:
    special = next(token for token in family.tokenizer.added_tokens_encoder if len(token) > 1)
    defused = f"{special[0]} {special[1:]}"  # as text of data is written that holds a special token
    for batch in (1, 2, 3):
        settings = dataclasses.replace(SUM, batch=batch)
        asked = [Conversation("Where?", choices=("no",)), Conversation("Why?", choices=(special, defused, "x" * 40))]
        one, tied = family.answer(asked, settings, [0, 0])
        assert (one.text, "tied" in one.data) == ("no", False)
        assert (tied.text, tied.data["tied"]) == ("", [special, defused])


def test_what_cannot_be_scored_is_refused_by_its_name(family: Family) -> None:
    with pytest.raises(UserError, match="sample 's1' has no choices to score"):
        family.answer([Conversation("Why?", sample="s1")], SUM, [0])
    with pytest.raises(UserError, match="sample 's1': the choice '' has no token in the vocabulary of model tiny_"):
        family.answer([Conversation("Why?", choices=("", "x"), sample="s1")], SUM, [0])


def test_scores_that_are_no_numbers_end_the_cell(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    head = family.bare_model().get_output_embeddings()
    hook = head.register_forward_hook(lambda module, given, output: output * float("nan"))
    try:
        with pytest.raises(
            UserError, match=r"sample 's1': of model tiny_\w+ .* the score of the choice 'x' is no number"
        ):
            family.answer([Conversation("Why?", choices=("x", "y"), sample="s1")], SUM, [0])
    finally:
        hook.remove()


# -- a cell


@dataclasses.dataclass
class Stopped(ToyRun):
    """Asked to stop once so many answers are there."""

    def stop(self) -> str | None:
        return "timeout" if self.stop_after and self.done >= self.stop_after else None


def attempt(folder: Path, made: Config, **fields: Any) -> Stopped:
    cell = CellFolder(folder)
    return Stopped(cell, cell.new_attempt(), Cell(folder.name, "evaluate", {}), made, **fields)


def test_a_cell_of_choices_is_resumed_and_judged(tmp_path: Path, photo: Callable[..., Image.Image]) -> None:
    spec = model_spec("tiny_qwen2_vl")
    family = load_family(spec.family).load(spec)
    kind = tasks.load("multiple_choice")
    samples = []
    for n in range(4):
        photo(48, 40 + 8 * n, n).save(tmp_path / f"{n}.png")
        fields = kind.complete({"question": "What is it?", "choices": ["sea", "town", "road"], "answer": "sea"})
        samples.append({"id": f"s{n}", "split": "test", "image": str(tmp_path / f"{n}.png"), **fields})
    # Choices that a tokenizer writes alike: no answer, and no failure.
    samples[3]["choices"] = ["<|im_end|>", "< |im_end|>"]
    samples[3]["answer"] = "<|im_end|>"
    config = Config(
        model=spec,
        task=TaskSpec(kind="multiple_choice", evaluate=["test"]),
        prompt=PromptSpec(text="{question}\n{choices}"),
        generation=GenerationSpec(answer="likelihood", batch=2),
    )
    run = attempt(tmp_path / "whole", config)
    whole = answer(run, family, samples)
    (note,) = run.notes
    assert note.startswith("1 answer is unread, as several choices are exactly as likely; of sample 's3': '<")
    with pytest.raises(Interrupted):
        answer(attempt(tmp_path / "cell", config, stop_after=2), family, samples)
    assert answer(attempt(tmp_path / "cell", config), family, samples) == whole
    assert [len(record["data"]["choices"]) for record in whole] == [3, 3, 3, 2]
    scores, metrics = judge.judge(config, whole, samples)
    assert [s["value"] for s in scores] == [record["text"] or None for record in whole]
    assert metrics["metrics"]["malformed_share"]["value"] == 1 / 4
    shares = (metrics["metrics"][name]["value"] for name in ("accuracy", "wrong_share", "malformed_share"))
    assert sum(shares) == 1
