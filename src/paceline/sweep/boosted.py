"""Rounds of boosting: the tunings before one, and the cells that answer its training samples with each round's weights.

The answers are those of an evaluate cell like any other: the same model, task, limit and generation with the prompt
that was trained on, and the training split. They are material (``scored: false``), so no table shows them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, MutableMapping

from paceline import tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec, TrainSpec
from paceline.sweep.combinations import unscorable


class Boosted:
    """The boosted tunings of one sweep.

    Args:
        trained_on: the prompt that a config is tuned on.
        problems: gets what stands in the way.
    """

    def __init__(self, trained_on: Callable[[Config], PromptSpec], problems: MutableMapping[str, None]) -> None:
        self._trained_on, self._problems = trained_on, problems
        # Points share their specs, and an id stands for a content: so the first of each pair is held too.
        self._trains: dict[tuple[int, int], tuple[TrainSpec, TrainSpec]] = {}
        self._tasks: dict[int, tuple[TaskSpec, TaskSpec]] = {}

    def rounds(self, config: Config) -> Iterator[Config]:
        """The config of each round, the first without boosting, the last as it is."""
        train = config.train
        if train.boost:
            self._problems.update(dict.fromkeys(_contradictions(config)))
        for number in range(train.boost):
            key = id(train), number
            held = self._trains.setdefault(key, (train, dataclasses.replace(train, boost=number)))
            yield dataclasses.replace(config, train=held[1])
        yield config

    def answering(self, config: Config, last: bool) -> Config | None:
        """The config of the cell that answers the training samples with a round's weights; None where none is needed.

        Of the last round they only weigh its voice, where the kind has a rule for that; nothing is tuned by them.
        """
        if last and not (config.train.boost and tasks.load(config.task.kind).weighs_voices):
            return None
        task, prompt = config.task, self._trained_on(config)
        asked = self._tasks.setdefault(id(task), (task, dataclasses.replace(task, evaluate=[task.train])))[1]
        answering = dataclasses.replace(config, task=asked, prompt=prompt)
        if why := unscorable(answering):
            self._problems[f"train.boost asks prompt {prompt.name}, which was trained on: {why}"] = None
        return answering


def _contradictions(config: Config) -> Iterator[str]:
    """What a boosted tuning can't hold."""
    task, boost = config.task, config.train.boost
    if config.train.resample != "none":
        yield (
            f"train.boost={boost} draws the training samples by weights, and train.resample={config.train.resample} "
            "draws all alike: leave one of the two out"
        )
    if tasks.load(task.kind).right_by is None:
        yield (
            f"train.boost={boost} weighs training samples by what was answered wrong, and answers of kind "
            f"'{task.kind}' are not right or wrong: leave it out of task {task.name}"
        )
