"""Tuning: a kill changes no number, ranks and micro-batches are placement, and what goes wrong says so."""

from __future__ import annotations

import dataclasses
import errno
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_twin import (
    FULL,
    LORA,
    ZERO2,
    Squares,
    ToyRun,
    attempt,
    config,
    curve,
    group,
    load,
    method,
    sharding,
    tune,
    weights,
)

from paceline.attempts import checkpoints
from paceline.config.schema import LoraSpec, MethodSpec
from paceline.errors import DataError, Interrupted, NonFiniteLoss, UserError
from paceline.models import load_family
from paceline.store.cell_folder import CellFolder
from paceline.store.files import read_jsonl
from paceline.training import adapters, finetune
from paceline.training import stream as batches


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def interrupt(run: ToyRun) -> None:
    with pytest.raises(Interrupted) as caught:
        tune(run)
    assert caught.value.cause == "timeout"
    assert not (run.attempt.path / "weights").exists()


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the library's gets to act on it."""


def kill(run: ToyRun, after: int) -> None:
    before = run.progress

    def progress(done: int, total: int, unit: str, note: str = "") -> None:
        before(done, total, unit, note)
        if done >= after:
            raise Killed

    run.progress = progress  # type: ignore[method-assign]
    with pytest.raises(Killed):
        tune(run)


METHODS = [FULL, LORA, method("qlora", r=4, dropout=0.1), method("lora_8bit", r=4), method("dora", r=4)]


@pytest.mark.parametrize("learns", METHODS, ids=lambda m: m.name)
def test_a_run_interrupted_anywhere_ends_with_the_bits_of_an_undisturbed_one(
    learns: MethodSpec, tmp_path: Path
) -> None:
    made = config(learns, validations=2, micro_batch=2)
    whole = tune(attempt(tmp_path / "whole", made))
    assert whole["accumulation"] == 2
    at = random.SystemRandom().randint(1, 5)
    interrupt(attempt(tmp_path / "cut", made, stop_after=at))
    resumed = tune(attempt(tmp_path / "cut", made))
    assert resumed["resumed"] == at
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole"), f"interrupted after step {at}"
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole")), f"interrupted after step {at}"
    assert sorted(curve(tmp_path / "whole")) == [1, 2, 3, 4, 5, 6]


def test_a_stop_asked_for_in_the_last_step_publishes_and_is_prepared_for_the_kill(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(validations=1), stop_after=6)
    first = tune(run)
    assert first["steps"] == 6
    published = weights(tmp_path / "cell")
    again = tune(attempt(tmp_path / "cell", config(validations=1)))
    assert again["resumed"] == 6
    assert (again["loss"], again["validation_loss"]) == (first["loss"], first["validation_loss"])
    assert same(weights(tmp_path / "cell"), published)


def test_checkpoints_come_by_the_clock_too(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(checkpoint_minutes=0.0, keep_checkpoints=9))
    tune(run)
    assert len(list(run.attempt.checkpoints.iterdir())) == 5


def test_a_full_disk_is_told_as_one_and_leaves_no_half_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*args: Any, **kwargs: Any) -> None:
        # Word for word what torch says on a full file system.
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 176384 vs 176276")

    run = attempt(tmp_path / "cell", config(checkpoint_steps=2))
    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(OSError, match="can't save the checkpoint") as caught:
        tune(run)
    assert caught.value.errno == errno.ENOSPC
    assert not list(run.attempt.checkpoints.iterdir())


@pytest.mark.parametrize("harm", ["unfinished", "damaged", "cut"])
def test_a_killed_run_goes_on_from_the_newest_checkpoint_that_is_whole(harm: str, tmp_path: Path) -> None:
    made = config(checkpoint_steps=2)
    tune(attempt(tmp_path / "whole", made))
    first = attempt(tmp_path / "killed", made)
    kill(first, after=5)
    newest = first.attempt.checkpoints / "checkpoint-4"
    if harm == "unfinished":
        (newest / checkpoints.MARKER).unlink()
    else:
        content = bytearray((newest / "optimizer.pt").read_bytes())
        content[len(content) // 2] ^= 1
        (newest / "optimizer.pt").write_bytes(content if harm == "damaged" else content[:-100])
    second = attempt(tmp_path / "killed", made)
    assert tune(second)["resumed"] == 2
    assert any("checkpoint-4" in note for note in second.notes)
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))


def test_checkpoints_are_kept_by_count_while_training(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(checkpoint_steps=1, keep_checkpoints=2))
    tune(run)
    assert sorted(p.name for p in run.attempt.checkpoints.iterdir()) == ["checkpoint-4", "checkpoint-5"]


def test_the_best_validated_weights_are_published_also_after_an_interruption(tmp_path: Path) -> None:
    # A rate that overshoots at once: the first validation, in the warm-up's first step, stays the best.
    made = config(validations=6, keep="best", learning_rate=0.5, max_grad_norm=0.0)
    whole = tune(attempt(tmp_path / "whole", made))
    assert whole["best_step"] < 6
    interrupt(attempt(tmp_path / "cut", made, stop_after=whole["best_step"] + 1))
    resumed = tune(attempt(tmp_path / "cut", made))
    assert resumed["best_step"] == whole["best_step"]
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    losses = {step: p["validation_loss"] for step, p in curve(tmp_path / "whole").items()}
    assert whole["validation_loss"] == min(losses.values()) == losses[whole["best_step"]]


@pytest.mark.parametrize("learns", METHODS, ids=lambda m: m.name)
def test_published_weights_load_as_the_model_that_was_validated(learns: MethodSpec, tmp_path: Path) -> None:
    made = config(learns, validations=1, learning_rate=1e-2)
    run = attempt(tmp_path / "cell", made)
    result = tune(run)
    family = load(made, run.attempt.path / "weights")
    batch = family.training_batch([Squares(5, first=3)[i] for i in range(5)])
    with torch.no_grad():
        assert family.model(**batch)["loss"].item() == pytest.approx(result["validation_loss"], abs=1e-5)


def test_the_micro_batch_changes_how_the_loss_is_summed_and_nothing_else(tmp_path: Path) -> None:
    for micro in (1, 2, 4):
        tune(attempt(tmp_path / str(micro), config(micro_batch=micro, validations=1)))
    for step, point in curve(tmp_path / "4").items():
        for micro in ("1", "2"):
            assert curve(tmp_path / micro)[step] == pytest.approx(point, abs=1e-5)


def test_frozen_components_keep_their_bits(tmp_path: Path) -> None:
    made = config(MethodSpec(name="full", trains="all", frozen=["vision"]))
    family = load(made)
    before = {n: p.detach().clone() for n, p in family.model.named_parameters()}
    finetune.train(attempt(tmp_path / "cell", made), family, Squares(10), Squares(0), output=tmp_path / "weights")
    changed = {family.component_of(n) for n, p in family.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"connector", "language"}


def test_a_bfloat16_model_is_tuned_in_float32_and_published_in_bfloat16(tmp_path: Path) -> None:
    made = config()
    made = dataclasses.replace(made, model=dataclasses.replace(made.model, dtype="bfloat16"))
    interrupt(attempt(tmp_path / "cell", made, stop_after=3))
    tune(attempt(tmp_path / "cell", made))
    tune(attempt(tmp_path / "whole", made))
    assert {t.dtype for t in weights(tmp_path / "cell").values()} == {torch.bfloat16}
    assert same(weights(tmp_path / "cell"), weights(tmp_path / "whole"))


def test_a_loss_that_is_no_number_ends_the_cell_and_reaches_no_checkpoint(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(learning_rate=1e30, max_grad_norm=0.0, checkpoint_steps=1))
    with pytest.raises(NonFiniteLoss, match=r"loss of step \d"):
        tune(run)
    assert all(math.isfinite(p["loss"]) for p in curve(tmp_path / "cell").values())
    saved = checkpoints.latest(CellFolder(tmp_path / "cell"))
    assert saved is not None and saved.step in curve(tmp_path / "cell")


def test_two_ranks_under_zero2_train_like_one_and_survive_a_signal_to_one_of_them(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"validations": 2}
    tune(attempt(tmp_path / "one", config(**changes)))
    group(
        2,
        ZERO2,
        [
            {"cell": str(tmp_path / "two"), "changes": changes},
            {"cell": str(tmp_path / "cut"), "changes": changes, "stop_after": 3},
            {"cell": str(tmp_path / "cut"), "changes": changes},
            {"cell": str(tmp_path / "lora"), "changes": changes, "method": "lora"},
        ],
        log=tmp_path,
    )
    # Sums over ranks are made in another order; measured 1e-6 in the loss and 5e-6 in the gradient's norm.
    for step, point in curve(tmp_path / "one").items():
        assert curve(tmp_path / "two")[step] == pytest.approx(point, abs=2e-5)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5
    assert curve(tmp_path / "cut") == curve(tmp_path / "two")
    assert same(weights(tmp_path / "cut"), two)
    last = CellFolder(tmp_path / "lora").attempts()[-1].path / "weights"
    assert load_family("qwen2_vl").load(config().model, last)


@pytest.mark.parametrize(
    ("changes", "world", "says"),
    [
        ({"batch": 6}, 4, "train.batch=6 can't be shared by 4 ranks"),
        ({"batch": 8, "micro_batch": 3}, 2, "choose one of 1, 2, 4"),
        ({"batch": 4, "micro_batch": 8}, 1, "choose one of 1, 2, 4"),
        ({"validations": 9, "max_steps": 6}, 1, "more than the 6 optimiser steps"),
        ({"keep": "best"}, 1, "needs validations"),
    ],
)
def test_batches_that_do_not_divide_are_refused_with_what_would(changes: dict[str, Any], world: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        batches.plan(config(**changes), world, samples=100)


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(UserError, match="trains nothing"):
        batches.plan(config(MethodSpec(name="untuned")), 1, samples=100)
    with pytest.raises(DataError, match="no samples"):
        batches.plan(config(), 1, samples=0)


def test_the_effective_batch_is_kept_by_accumulation() -> None:
    planned = batches.plan(config(batch=32, micro_batch=2, max_steps=0, epochs=2.0), 4, samples=100)
    assert (planned.accumulation, planned.steps) == (4, 7)
    assert batches.plan(config(batch=32, validations=3, max_steps=10), 1, 9).validate == {4, 7, 10}


def test_every_epoch_shows_every_sample_once_and_the_seed_alone_orders_them() -> None:
    stream = batches.order(10, 25, seed=1).tolist()
    assert sorted(stream[:10]) == sorted(stream[10:20]) == list(range(10))
    assert stream[:10] != stream[10:20]
    assert stream == batches.order(10, 30, seed=1).tolist()[:25]
    assert stream != batches.order(10, 25, seed=2).tolist()


@pytest.mark.parametrize(
    ("lora", "says"),
    [
        (LoraSpec(targets=["q_proj", "Wqkv"]), r"Wqkv matches no linear layer .* q_proj \(2\)"),
        (LoraSpec(components=["speech"]), "no component"),
    ],
)
def test_adapter_targets_that_are_not_there_are_refused(lora: LoraSpec, says: str) -> None:
    with pytest.raises(UserError, match=says):
        adapters.targets(load(config()), lora)


def test_a_list_of_layers_made_for_another_model_is_refused_with_what_it_meets() -> None:
    made = LoraSpec(targets=["k_proj", "qkv", "proj", "fc1", "fc2"], components=["language", "vision"])
    with pytest.raises(UserError) as caught:
        adapters.targets(load(config()), made)
    said = str(caught.value)
    assert "leaves out 86% of the linear layers of the language model of tiny" in said
    assert "  vision 4/4: fc1 1/1, fc2 1/1, proj 1/1, qkv 1/1\n" in said
    assert "  language 2/14: down_proj 0/2, gate_proj 0/2, k_proj 2/2, o_proj 0/2," in said
    assert "method.lora.allow_partial_targets=true" in said


@pytest.mark.parametrize(
    ("lora", "count"),
    [
        (LoraSpec(targets=["k_proj"], allow_partial_targets=True), 2),
        (LoraSpec(targets=["qkv"], components=["vision"]), 1),  # leaving out the language model is meant
        (LoraSpec(targets=["q_proj", "k_proj", "v_proj", "o_proj"]), 8),
        (LoraSpec(), 14),
    ],
)
def test_a_list_of_layers_that_is_meant_is_taken(lora: LoraSpec, count: int) -> None:
    assert len(adapters.targets(load(config()), lora).names) == count


def test_the_log_tells_what_is_adapted(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(LORA, max_steps=1))
    tune(run)
    (table,) = [note for note in run.notes if "adapted/there" in note]
    assert "language 14/14: down_proj 2/2" in table
    assert "vision 0/4: fc1 0/1" in table


class Mixed(Squares):
    """Every third sample has no image."""

    def pictured(self, index: int) -> bool:
        return index % 3 > 0


def test_samples_without_an_image_are_refused_where_ranks_would_wait_for_ever(tmp_path: Path) -> None:
    def begin(samples: Squares, deepspeed: str) -> None:
        run = attempt(tmp_path / "cell", config(deepspeed=sharding(deepspeed)), world=2)
        finetune._refuse_mixed_batches(run, load(config()), {"train": samples, "validation": Squares(5)})

    with pytest.raises(UserError, match=r"4 of the 10 samples of split 'train' .* place 0: .* give deepspeed=zero2"):
        begin(Mixed(10), "zero3")
    begin(Squares(10), "zero3")
    begin(Mixed(10), "zero2")


def test_a_checkpoint_of_another_zero_stage_is_refused_and_of_another_micro_batch_taken_up(tmp_path: Path) -> None:
    interrupt(attempt(tmp_path / "cell", config(), stop_after=2))
    with pytest.raises(UserError, match="submit with the deepspeed group it had, on as many ranks as you like"):
        tune(attempt(tmp_path / "cell", config(deepspeed=ZERO2)))
    resumed = tune(attempt(tmp_path / "cell", config(micro_batch=1)))
    assert resumed["resumed"] == 2


class Sizes(Squares):
    """Pictures of growing width, of which some are alike."""

    def extent(self, index: int) -> tuple[int, int]:
        return 40, 32 * 32 * (index % 4)


def test_samples_of_like_size_share_a_micro_batch_of_the_same_step() -> None:
    indices = batches.order(10, 24, seed=0)
    plain, sorted_ = batches.Stream(Sizes(10), indices), batches.Stream(Sizes(10), indices, together=8)
    named = [[stream[i].prompt for i in range(24)] for stream in (plain, sorted_)]
    for step in range(0, 24, 8):
        before, after = (sorted(names[step : step + 8]) for names in named)
        assert before == after
        sizes = [int(name.split()[-1].rstrip("?")) % 4 for name in named[1][step : step + 8]]
        assert sizes == sorted(sizes, reverse=True)
    assert named[1][3] == batches.Stream(Sizes(10), indices, together=8)[3].prompt  # wherever a worker begins


def test_a_frozen_tower_is_not_run_backwards_for_the_sake_of_checkpoints(tmp_path: Path) -> None:
    """The library's checkpoints ask for a gradient at every embedding, the tower's too: seen to halve the speed."""
    lora = dataclasses.replace(LORA, lora=dataclasses.replace(LORA.lora, components=["language"]))
    run = attempt(tmp_path / "cell", config(lora, activation_checkpointing=True, micro_batch=2, feature_gib=0.0))
    family = load(run.config)
    seen: dict[str, list[bool]] = {"tower": [], "language": []}
    blocks = {"tower": family.bare_model().model.visual.blocks[0], "language": family.bare_model().model.language_model}
    blocks["language"] = blocks["language"].layers[0]
    for name, block in blocks.items():
        block.register_forward_hook(
            lambda module, args, output, name=name: seen[name].append(torch.is_grad_enabled() and output.requires_grad)
        )
    finetune.train(run, family, Squares(10), Squares(5), output=run.attempt.path / "weights")
    assert seen["tower"] == [False] * 12, "once for each micro-batch"
    assert seen["language"].count(True) == 12


def test_speed_counts_the_tokens_that_are_read_and_no_padding(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(validations=0))
    tune(run)
    family, samples = load(run.config), Squares(10)
    indices = batches.order(10, 6 * 4, run.config.seed)
    read = sum(int(family.training_batch([samples[int(i)]])["attention_mask"].sum()) for i in indices)
    (point,) = list(read_jsonl(run.attempt.path / "history.jsonl"))[-1:]
    assert point["tokens_per_second"] / point["samples_per_second"] == pytest.approx(read / (6 * 4), rel=1e-2)
    assert 0 < point["host_gib"] < 1000
