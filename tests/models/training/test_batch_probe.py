"""The largest batch is tried before the first step: it settles the rung, and no number tells that it was there."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetune_twin import FULL, LORA, Squares, attempt, config, curve, group, load, simulated_card, tune, weights
from PIL import Image

from paceline.attempts.classify import classify
from paceline.config.schema import MethodSpec, PromptSpec, TaskSpec
from paceline.data.conversations import Lessons
from paceline.errors import DataError
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.store.cell_folder import Attempt
from paceline.store.files import read_jsonl, write_json
from paceline.sweep import status
from paceline.training import adapters, batch_probe

TRIED: dict[str, Any] = {"probe": "always", "max_steps": 3}


def tokens(family: Family) -> int:
    """Of the longest of the toy's samples."""
    return max(int(family.training_batch([Squares(10)[i]])["input_ids"].numel()) for i in range(10))


def same(one: Path, other: Path) -> None:
    """Two cells have one curve and one set of weights, to the bit."""
    assert curve(one) == curve(other)
    mine, others = weights(one), weights(other)
    assert mine.keys() == others.keys()
    assert all(torch.equal(mine[name], others[name]) for name in mine)


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
def test_a_run_has_the_same_bits_with_and_without_it(method: MethodSpec, checkpointing: bool, tmp_path: Path) -> None:
    placed = {"micro_batch": 2, "activation_checkpointing": checkpointing}
    run = attempt(tmp_path / "tried", config(method, **TRIED, **placed))
    tune(run)
    assert any("the largest batch fits" in note for note in run.notes)
    tune(attempt(tmp_path / "plain", config(method, **{**TRIED, "probe": "never"}, **placed)))
    same(tmp_path / "tried", tmp_path / "plain")


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
def test_it_leaves_no_trace(checkpointing: bool) -> None:
    made = config(LORA)
    family = load(made)
    adapters.adapt(family, made.method, made.seed)
    before = {name: tensor.clone() for name, tensor in family.model.state_dict().items()}
    drawn = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in family.model.modules())
    batch = [Squares(10)[i] for i in range(4)]
    for room in (0, 1):
        if room:
            simulated_card(family, room)
            hooks += 1
        fits = batch_probe.runs(family, batch, dtype="float32", checkpointing=checkpointing, accumulated=True, world=1)
        assert fits == (not room)
        assert torch.equal(torch.get_rng_state(), drawn[0])
        assert (np.random.get_state()[1].tolist(), random.getstate()) == drawn[1:]
        after = family.model.state_dict()
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
        assert all(p.grad is None for p in family.model.parameters())
        assert not family.bare_model().is_activation_checkpointing
        assert hooks == sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in family.model.modules())


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("rung", ["micro-batch", "checkpointing"])
def test_on_a_card_that_is_too_small_a_run_is_the_one_asked_for_on_the_rung(
    method: MethodSpec, rung: str, tmp_path: Path
) -> None:
    longest = tokens(load(config()))
    room = 2 * longest if rung == "micro-batch" else longest // 2
    settled = {"micro_batch": 2} if rung == "micro-batch" else {"micro_batch": 1, "activation_checkpointing": True}
    run = attempt(tmp_path / "small", config(method, **TRIED))
    done = tune(run, room=room)
    assert (done["micro_batch"], done["accumulation"]) == (settled["micro_batch"], 4 // settled["micro_batch"])
    changes = ["micro-batch 4 → 2", "micro-batch 2 → 1", "activation checkpointing"]
    expected = [f"{c} after CUDA out of memory" for c in (changes[:1] if rung == "micro-batch" else changes)]
    assert [r["change"] for r in read_jsonl(run.attempt.rungs)] == expected
    assert all(change in run.notes for change in expected)
    write_json(run.attempt.start_json, {"placement": {"placement": {"micro_batch": 0}}})
    placed = Attempt(run.attempt.path).placement()["placement"]
    assert placed == {"activation_checkpointing": False, **settled}
    assert status.descent(run.attempt).count("in a trial of the largest batch") == len(expected)
    tune(attempt(tmp_path / "asked", config(method, **{**TRIED, "probe": "never"}, **settled)))
    same(tmp_path / "small", tmp_path / "asked")
    tune(attempt(tmp_path / "large", config(method, **{**TRIED, "probe": "never"})))
    for step, point in curve(tmp_path / "large").items():
        if not method.lora.dropout:  # which is drawn for each forward
            assert curve(tmp_path / "small")[step] == pytest.approx(point, abs=2e-5), step


def test_below_the_last_rung_of_a_process_it_ends_with_the_cause(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(**TRIED))
    with pytest.raises(
        torch.OutOfMemoryError, match="micro-batch 1 × 4 accumulated, activation checkpointing"
    ) as error:
        tune(run, room=1)
    assert classify(error.value) == "CUDA out of memory"
    assert len(list(read_jsonl(run.attempt.rungs))) == 3
    assert not (run.attempt.path / "history.jsonl").exists()


def test_under_deepspeed_and_where_it_is_switched_off_nothing_is_tried() -> None:
    assert not batch_probe.wanted(config(probe="always"), "zero2")
    assert not batch_probe.wanted(config(probe="never"), "torch")
    assert batch_probe.wanted(config(probe="auto"), "torch") == torch.cuda.is_available()


def test_ranks_go_down_together_though_one_card_alone_is_too_small(tmp_path: Path) -> None:
    longest = tokens(load(config()))
    changes = {"max_steps": 3, "micro_batch": 2}
    group(
        2,
        {},
        [
            {"cell": str(tmp_path / "small"), "changes": {**changes, "probe": "always"}, "room": longest},
            {"cell": str(tmp_path / "asked"), "changes": {**changes, "micro_batch": 1}},
        ],
        log=tmp_path,
    )
    (rung,) = read_jsonl(tmp_path / "small" / "attempts" / "1" / "rungs.jsonl")
    assert rung["placement"] == {"micro_batch": 1, "activation_checkpointing": False}
    same(tmp_path / "small", tmp_path / "asked")


class Uneven:
    """A long text at place 700, a large picture at place 701, and small ones around them."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __len__(self) -> int:
        return 1000

    def extent(self, index: int) -> tuple[int, int]:
        return 400 if index == 700 else 20, 256 * 256 if index == 701 else 32 * 32

    def __getitem__(self, index: int) -> Conversation:
        self.made.append(index)
        text, pixels = self.extent(index)
        side = int(pixels**0.5)
        return Conversation("a" * text, [Image.new("RGB", (side, side))], answer=str(index))


def test_the_largest_samples_are_found_by_their_sizes_and_few_are_made() -> None:
    family, samples = load(config()), Uneven()
    indices = [*range(0, 200), *range(650, 800)] * 2
    found = batch_probe.largest(family, samples, indices, 3)
    assert found[0].answer == "700"
    assert len(found) == 3 and len(samples.made) <= 2 * batch_probe.MADE
    assert [c.answer for c in batch_probe.largest(family, samples, [5], 3)] == ["5"] * 3
    made = config()
    sharp = dataclasses.replace(made.model, processor={"min_pixels": 1024, "max_pixels": 256 * 256})
    (shown,) = batch_probe.largest(load(dataclasses.replace(made, model=sharp)), samples, range(701, 711), 1)
    assert shown.answer == "701"


def test_a_lesson_tells_its_size_without_decoding_its_picture(tmp_path: Path) -> None:
    picture = tmp_path / "cut.png"
    Image.new("RGB", (40, 30)).save(picture)
    picture.write_bytes(picture.read_bytes()[:60])  # the header, and no pixel
    sample = {"latitude": 46.95, "longitude": 7.44, "country": "CH", "image": str(picture)}
    task = TaskSpec(kind="geolocation", target="({latitude:.2f}, {longitude:.2f})")
    lessons = Lessons([sample, {**sample, "image": None}], PromptSpec(text="Where?"), task)
    letters = len("Where?") + len("(46.95, 7.44)")
    assert [lessons.extent(i) for i in (0, 1)] == [(letters, 40 * 30), (letters, 0)]
    with pytest.raises(DataError):
        lessons[0]
