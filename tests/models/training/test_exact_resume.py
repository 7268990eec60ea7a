"""A run that was interrupted anywhere ends as if it had not been: to the bit on its ranks, within a hair on others."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from deaths import dying
from finetune_twin import ADAPTED, FULL, LORA, ZERO2, ZERO3, attempt, config, curve, group, tune, weights

from paceline.attempts import checkpoints
from paceline.config.schema import MethodSpec
from paceline.errors import UserError
from paceline.store.cell_folder import CellFolder
from paceline.store.files import read_jsonl

# Sums over ranks are made in another order. Measured on the toy: 5e-7 in the loss, 4e-8 in the weights.
SAME_CURVE, SAME_WEIGHTS = 2e-5, 1e-5
# Twelve steps, so that the audit of what learns gives its word too.
TWELVE: dict[str, Any] = {"max_steps": 12, "micro_batch": 1, "checkpoint_steps": 2, "validations": 2}


def same(one: Path, other: Path) -> None:
    """Two cells have one curve and one set of weights, to the bit."""
    assert curve(one) == curve(other)
    mine, others = weights(one), weights(other)
    assert mine.keys() == others.keys()
    assert all(torch.equal(mine[name], others[name]) for name in mine)


def alike(one: Path, other: Path) -> None:
    """Two cells have one curve and one set of weights, within the tolerance for sums in another order."""
    for step, point in curve(one).items():
        assert curve(other)[step] == pytest.approx(point, abs=SAME_CURVE), step
    mine, others = weights(one), weights(other)
    assert max((mine[name] - others[name]).abs().max().item() for name in mine) < SAME_WEIGHTS


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("where", ["micro-step", "save"])
def test_one_rank_killed_between_micro_steps_or_inside_a_save(method: MethodSpec, where: str, tmp_path: Path) -> None:
    made = config(method, **TWELVE)
    tune(attempt(tmp_path / "whole", made))
    chance = random.SystemRandom()
    # Four micro-steps make a step; of the steps, every second is saved.
    number = 4 * chance.randint(2, 10) + chance.randint(1, 3) if where == "micro-step" else 2 * chance.randint(2, 5)
    with dying(f"{where} {number}"):
        tune(attempt(tmp_path / "cut", made))
    steps = number // 4 if where == "micro-step" else number - 1
    resumed = tune(attempt(tmp_path / "cut", made))
    assert resumed["resumed"] == steps - steps % 2
    same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize(("sharding", "method"), [(ZERO2, {}), (ZERO3, ADAPTED)], ids=["zero2-full", "zero3-lora"])
def test_two_ranks_killed_between_micro_steps_and_inside_a_save(
    sharding: dict[str, Any], method: dict[str, Any], tmp_path: Path
) -> None:
    job: dict[str, Any] = {"changes": TWELVE, **method}
    jobs = [
        {**job, "cell": str(tmp_path / "whole")},
        # Two micro-steps a rank make a step: one of the fourth is done.
        {**job, "cell": str(tmp_path / "cut"), "dies": "micro-step 7"},
        {**job, "cell": str(tmp_path / "cut"), "dies": "save 6"},
        {**job, "cell": str(tmp_path / "cut")},
    ]
    group(2, sharding, jobs, log=tmp_path)
    begun = [next(read_jsonl(a.path / "history.jsonl"))["step"] for a in CellFolder(tmp_path / "cut").attempts()]
    assert begun == [1, 3, 5]
    same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize(
    ("sharding", "lora", "worlds"),
    [({}, False, (2, 1)), (ZERO2, False, (2, 1)), (ZERO3, True, (1, 2))],
    ids=["without-full", "zero2-full", "zero3-lora"],
)
def test_other_ranks_go_on_with_the_same_batches(
    sharding: dict[str, Any], lora: bool, worlds: tuple[int, int], tmp_path: Path
) -> None:
    """Dropout alone would be drawn anew, so there is none."""
    changes = {"validations": 2}
    method = dataclasses.replace(LORA, lora=dataclasses.replace(LORA.lora, dropout=0.0)) if lora else FULL
    tune(attempt(tmp_path / "whole", config(method, **changes)))
    job: dict[str, Any] = {"cell": str(tmp_path / "cut"), "changes": changes}
    if lora:
        job |= {**ADAPTED, "lora": {**ADAPTED["lora"], "dropout": 0.0}}
    for world, stop_after in zip(worlds, (3, 0), strict=True):
        group(world, sharding, [{**job, "stop_after": stop_after}], log=tmp_path)
    last = CellFolder(tmp_path / "cut").attempts()[-1].path
    assert next(read_jsonl(last / "history.jsonl"))["step"] == 4
    alike(tmp_path / "whole", tmp_path / "cut")
    assert not list(last.glob(f"checkpoints/{checkpoints.UNIVERSAL}-*"))


def test_a_state_that_can_not_be_put_together_is_refused_with_the_way_back(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config())
    broken = run.attempt.checkpoints / "checkpoint-4"
    (broken / "global_step4").mkdir(parents=True)
    (broken / "latest").write_text("global_step4")
    found = checkpoints.complete(broken, step=4, world=2, micro_batch=2, engine="zero2", seconds=1.0)
    with pytest.raises(UserError, match=r"saved by 2 ranks, can't be put together .*; submit on 2 ranks"):
        checkpoints.universal(found, run.attempt)
    assert [p.name for p in run.attempt.checkpoints.iterdir()] == ["checkpoint-4"]
