"""Prompts that show worked examples: which models can be shown them, and what stands in the way before they are frozen.

A prompt and a task are looked at once, however many cells ask them.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from paceline import tasks
from paceline.config.identity import with_settled_shots
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.counted import counted
from paceline.data.shots import prepared_shots, shot_turns
from paceline.errors import UserError
from paceline.models.registry import says
from paceline.store.code import shipped

if TYPE_CHECKING:
    from paceline.sweep.compose import Composition


def unshowable(config: Config) -> str | None:
    """Why a point's model can't be shown its prompt's examples, or None."""
    prompt, task, model = config.prompt, config.task, config.model
    if not prompt.shots.count:
        return None
    shows = f"prompt {prompt.name} shows {counted(prompt.shots.count, 'example')} before the question"
    if "text" not in model.inputs:
        return f"{shows}, and {model.name} takes no question"
    if says(model.family, "how", "generates") == "classifies":
        return f"{shows}, and {model.name} answers out of a list of its own to one question"
    if says(model.family, "own_call", False):
        return f"{shows}, and {model.name} answers by a call of its own that takes one question"
    if says(model.family, "bare_prompt", False):
        return f"{shows}, and {model.name} reads one question and no earlier turns"
    if tasks.shows_images(task) and "images" not in model.inputs:
        return f"{shows} with their pictures, and {model.name} takes one picture"
    if config.method.trains != "nothing" and config.train.prompt == "same":
        return (
            f"{shows}, and nothing is tuned on examples: give train.prompt=NAME, and the tuned model may be asked with "
            "them"
        )
    return None


class ShotPins:
    """The prompts of one sweep, each pinned to what its examples are.

    Args:
        composition: what the user asked for.
        root: the storage root, whose prepared data is looked at; None looks at none.
    """

    def __init__(self, composition: Composition, root: Path | None) -> None:
        self._composition, self._root = composition, root
        self._pinned: dict[tuple[int, int], PromptSpec] = {}
        self.problems: dict[str, None] = {}

    def pinned(self, config: Config, splits: Mapping[str, int] | None) -> Config:
        """A config whose prompt says what its examples are; what stands in the way is told by :attr:`problems`.

        Args:
            config: a point's.
            splits: of the task's prepared data; None where it is not prepared, so that nothing is looked at.
        """
        if not config.prompt.shots.count and config.prompt.shots == _NONE:
            return config
        key = (id(config.prompt), id(config.task))  # the composition holds its specs
        if key not in self._pinned:
            self._pinned[key] = self._pin(config.prompt, config.task, splits)
        return dataclasses.replace(config, prompt=self._pinned[key])

    def _pin(self, prompt: PromptSpec, task: TaskSpec, splits: Mapping[str, int] | None) -> PromptSpec:
        if wrong := [*prepared_shots.contradictions(prompt, task)]:
            self.problems.update(dict.fromkeys(wrong))
            return with_settled_shots(prompt, task)
        if self._root is None or splits is None:
            return with_settled_shots(prompt, task)
        remedy = self._remedy(task.name, prompt.name)
        try:
            pinned = prepared_shots.pinned(self._root, task, prompt, self._composition.pins().applied)
            found = shot_turns.problems(self._root, task, pinned, remedy)
        except UserError as error:
            told = str(error)
            self.problems[told if "prompt.shots" in told else f"{told}; run: {remedy}"] = None
            return with_settled_shots(prompt, task)
        self.problems.update(dict.fromkeys(found))
        return pinned

    def _remedy(self, task: str, prompt: str) -> str:
        """The command that prepares a task and the examples of a prompt, as this command line has them."""
        words = [w for w in self._composition.overrides if _key(w).partition(".")[0] in _OF_DATA]
        named = {_key(word) for word in words}
        if "experiment" not in named:
            words += [f"{group}={name}" for group, name in (("task", task), ("prompt", prompt)) if group not in named]
        own = [f for f in self._composition.tree.folders if f != shipped("conf")]
        conf = ["--conf", str(own[0])] if own and not os.environ.get("PACELINE_CONF") else []
        return shlex.join(["paceline", "prepare", *words, *conf])


_OF_DATA = ("experiment", "task", "prompt", "cluster", "root")
_NONE = PromptSpec().shots


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def told(configs: Iterable[Config]) -> list[str]:
    """A line for each prompt with examples, for people."""
    lines: dict[str, None] = {}
    for config in configs:
        prompt, shots = config.prompt, config.prompt.shots
        if shots.count:
            lines[
                f"prompt {prompt.name}: {counted(shots.count, 'example')} before each question, {of_shots(prompt)}"
            ] = None
    return list(lines)


def of_shots(prompt: PromptSpec) -> str:
    """Where a prompt's examples come from, in a few words."""
    shots = prompt.shots
    return {
        "fixed": f"the same of split {shots.split}, drawn by seed {shots.seed}",
        "per_class": f"the same of split {shots.split}, spread over {shots.field}, drawn by seed {shots.seed}",
        "nearest": f"the nearest of split {shots.split} by an embedder",
        "file": "of a file, answered by hand",
    }[shots.how]
