"""What a frozen tower saw is kept from epoch to epoch, and a run does not tell."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_twin import FULL, LORA, Squares, ToyRun, attempt, config, curve, group, load, method, tune, twin, weights

from paceline.errors import Interrupted
from paceline.training import finetune, vision_cache

# Its products depend on what else is in a batch.
EIGHT_BITS = method("lora_8bit", r=4)
# Ten squares, 24 visits.
OFTEN: dict[str, Any] = {"batch": 4, "micro_batch": 2, "max_steps": 6}


def told(run: ToyRun, words: str) -> bool:
    return any(words in note for note in run.notes)


@pytest.mark.parametrize("name", ["toy", "tiny_pixtral", "tiny_llama32_vision", "tiny_phi35_vision", "tiny_idefics"])
def test_a_run_learns_the_same_from_what_was_seen_before(name: str, tmp_path: Path) -> None:
    model = None if name == "toy" else twin(name)
    points = {}
    for gib in (0.0, 1.0):
        made = config(LORA, model=model, feature_gib=gib, validations=2, **OFTEN)
        run = attempt(tmp_path / f"gib{gib}", made)
        tune(run)
        assert told(run, "looked at 15 pictures") == bool(gib)
        points[gib] = curve(run.folder.path)
    assert len(points[0.0]) == 6
    for step, point in points[0.0].items():
        for key, value in point.items():
            assert points[1.0][step][key] == pytest.approx(value, rel=1e-4, abs=1e-6), (step, key)


def test_pictures_are_looked_at_once(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(LORA, **OFTEN))
    family = load(run.config)
    looked: list[int] = []
    tower = family.bare_model().model.visual
    tower.register_forward_hook(lambda module, args, output: looked.append(1))
    finetune.train(run, family, Squares(10), Squares(0), output=run.attempt.path / "weights")
    assert len(looked) == 5, "ten squares, two at a time; 24 visits follow"


def test_a_resumed_run_sees_the_same_to_the_bit(tmp_path: Path) -> None:
    whole = attempt(tmp_path / "whole", config(LORA, **OFTEN))
    tune(whole)
    with pytest.raises(Interrupted):
        tune(attempt(tmp_path / "cut", config(LORA, **OFTEN), stop_after=3))
    tune(attempt(tmp_path / "cut", config(LORA, **OFTEN)))
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_ranks_of_a_node_look_at_a_share_each_and_read_all(tmp_path: Path) -> None:
    changes = {**OFTEN, "ranks": 2}
    job = {"method": "lora", "lora": {"r": 4, "alpha": 8, "dropout": 0.0}}
    jobs = [
        {**job, "cell": str(tmp_path / name), "changes": {**changes, "feature_gib": gib}}
        for name, gib in (("kept", 1.0), ("anew", 0.0))
    ]
    group(2, {}, jobs, tmp_path)
    kept, anew = curve(tmp_path / "kept"), curve(tmp_path / "anew")
    assert [kept[step]["loss"] for step in kept] == pytest.approx([anew[step]["loss"] for step in anew], rel=1e-5)


def test_features_that_take_too_much_room_are_made_anew(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(LORA, feature_gib=1e-6, **OFTEN))
    tune(run)
    assert told(run, "made anew at each visit")


def test_a_tower_that_is_trained_is_asked_every_time(tmp_path: Path) -> None:
    adapted = dataclasses.replace(LORA, lora=dataclasses.replace(LORA.lora, components=["vision", "language"]))
    for number, learns in enumerate((FULL, adapted, EIGHT_BITS)):
        run = attempt(tmp_path / f"cell{number}", config(learns, **OFTEN))
        tune(run)
        assert not told(run, "looked at")


def test_a_picture_that_is_met_once_is_not_looked_at_beforehand() -> None:
    assert not vision_cache.worth(visits=10, samples=10, validations=0, validated=5)
    assert vision_cache.worth(visits=20, samples=10, validations=0, validated=5)
    assert vision_cache.worth(visits=10, samples=10, validations=4, validated=10)
