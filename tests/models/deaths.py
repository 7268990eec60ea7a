"""Kill a rank at a chosen place of its training, without a chance for anybody to clean up."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from paceline.training import trainer


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the library's gets to act on it. Real ones are in test_kill_and_resume.py."""


@contextlib.contextmanager
def dying(place: str) -> Iterator[None]:
    """Let this rank die at a place, and the caller go on as its next attempt would.

    Args:
        place: ``micro-step 5``, after the fifth backward of the attempt; ``save 4``, in the middle of the first file of
            the state of step 4 that this rank writes; or empty, nowhere.
    """
    with contextlib.ExitStack() as stack:
        if place.startswith("micro-step"):
            stack.enter_context(_between_micro_steps(int(place.split()[1])))
        elif place.startswith("save"):
            stack.enter_context(_inside_a_save(int(place.split()[1])))
        if not place:
            yield
            return
        try:
            yield
        except Killed:
            return
        raise AssertionError(f"lived on past {place}")


@contextlib.contextmanager
def _between_micro_steps(last: int) -> Iterator[None]:
    before = trainer.CellTrainer.training_step
    done = 0

    def training_step(self: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal done
        if done == last:
            raise Killed
        done += 1
        return before(self, *args, **kwargs)

    trainer.CellTrainer.training_step = training_step  # type: ignore[method-assign]
    try:
        yield
    finally:
        trainer.CellTrainer.training_step = before  # type: ignore[method-assign]


@contextlib.contextmanager
def _inside_a_save(step: int) -> Iterator[None]:
    save = torch.save

    def tear(path: Any, content: bytes) -> None:
        if re.search(rf"checkpoint-{step}(/|$)", str(path)):
            Path(path).write_bytes(content[: len(content) // 2])
            raise Killed

    def torn_save(value: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(path, str | Path):
            content = io.BytesIO()
            save(value, content, *args, **kwargs)
            # Each rank has such a file of its own; others are written by the first alone, which all would wait for.
            if "optim" in Path(path).name:
                tear(path, content.getvalue())
        save(value, path, *args, **kwargs)

    torch.save = torn_save
    try:
        yield
    finally:
        torch.save = save
