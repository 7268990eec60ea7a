"""A tuning on augmented pictures meets others at every epoch, and an interruption changes none of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetune_twin import COLOURS, FULL, LORA, Squares, ToyRun, attempt, config, curve, weights
from PIL import Image

from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data.augmentation import AugmentedLessons
from paceline.errors import Interrupted
from paceline.models.conversation import Conversation
from paceline.store.files import file_digest
from paceline.training import finetune
from paceline.training.stream import Stream, order, visits

WORDS = ["colour", "crop", "flip", "rotate90"]
TASK = TaskSpec("colours", "captioning", target="{reference}")
# Ten squares, 24 visits: two epochs and four samples.
TWICE: dict[str, Any] = {"batch": 4, "micro_batch": 2, "max_steps": 6, "validations": 2, "augment": WORDS}


def lessons(folder: Path, seed: int = 3) -> AugmentedLessons:
    """Ten pictures of two colours and their captions."""
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for number in range(10):
        path = folder / f"{number}.png"
        image = Image.new("RGB", (32, 32), COLOURS[number])
        image.paste(COLOURS[-1 - number % 3], (0, 0, 12, 20))
        image.save(path)
        records.append(
            {"id": path.stem, "image": str(path), "sha256": file_digest(path), "references": [COLOURS[number]]}
        )
    return AugmentedLessons(records, PromptSpec("p", text="Which colour?"), TASK, WORDS, seed)


def run_on(run: ToyRun, samples: Any) -> dict[str, Any]:
    torch.set_num_threads(1)
    family = finetune.load(run, 10)
    return finetune.train(run, family, samples, Squares(5), output=run.attempt.path / "weights")


def test_each_epoch_shows_other_pictures_and_any_split_of_the_work_the_same(tmp_path: Path) -> None:
    samples, indices = lessons(tmp_path), order(10, 24, seed=3)
    stream = Stream(samples, indices)
    shown = [stream[i].images[0].tobytes() for i in range(24)]
    assert visits(indices).tolist() == [0] * 10 + [1] * 10 + [2] * 4
    for index in range(10):
        met = [shown[place] for place in np.flatnonzero(indices == index)]
        assert len(set(met)) == len(met) >= 2
    # Another worker, from the middle on, and larger samples first.
    again = Stream(lessons(tmp_path), indices)
    assert [again[i].images[0].tobytes() for i in range(23, 11, -1)] == shown[23:11:-1]
    together = Stream(samples, indices, together=4)
    for first in range(0, 24, 4):
        assert sorted(together[i].images[0].tobytes() for i in range(first, first + 4)) == sorted(
            shown[first : first + 4]
        )


def test_visits_of_any_draw_are_counted() -> None:
    indices = np.random.default_rng(0).integers(0, 7, 100)
    assert visits(indices).tolist() == [indices[:place].tolist().count(i) for place, i in enumerate(indices)]
    assert visits(np.zeros(0, np.int64)).tolist() == []


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_a_killed_run_goes_on_with_the_pictures_that_it_would_have_seen(method: Any, tmp_path: Path) -> None:
    samples = lessons(tmp_path / "pictures")
    whole = attempt(tmp_path / "whole", config(method, **TWICE))
    run_on(whole, samples)
    with pytest.raises(Interrupted):
        run_on(attempt(tmp_path / "cut", config(method, **TWICE), stop_after=3), samples)
    assert run_on(attempt(tmp_path / "cut", config(method, **TWICE)), samples)["resumed"] == 3
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(one[name], other[name]) for name in one)
    # Not the weights of pictures left as they are.
    bare = attempt(tmp_path / "bare", config(method, **{**TWICE, "augment": []}))
    run_on(bare, AsTheyAre(samples))
    assert any(not torch.equal(one[name], tensor) for name, tensor in weights(tmp_path / "bare").items())


def test_what_a_frozen_tower_saw_is_not_kept_of_changing_pictures(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(LORA, **TWICE))
    run_on(run, lessons(tmp_path / "pictures"))
    assert any("changed at every visit (colour, crop, flip, rotate90): none is kept" in note for note in run.notes)
    assert not any("looked at" in note for note in run.notes)


class AsTheyAre:
    """Lessons that are not changed."""

    def __init__(self, samples: AugmentedLessons) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Conversation:
        made: Conversation = self.samples[index]
        return made

    def pictured(self, index: int) -> bool:
        return self.samples.pictured(index)

    def extent(self, index: int) -> tuple[int, int]:
        return self.samples.extent(index)

    def worded(self, index: int) -> Conversation:
        return dataclasses.replace(self[index], images=[])
