"""Which samples a tuning sees where they are drawn again with replacement: all alike (Breiman 1996, bagging), or by
weights that errors have raised (Freund & Schapire 1997, boosting)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from paceline import tasks
from paceline.config.schema import TaskSpec
from paceline.counted import agree, counted

Sample = TypeVar("Sample", bound=Mapping[str, Any])
# Beside the cell's seed, so that the draw has a stream of its own: the order of training begins at (seed, epoch).
_STREAM = (0, 1)
_WEIGHTED_STREAM = (0, 2)


def drawn_again(samples: Sequence[Sample], task: TaskSpec, seed: int) -> list[Sample]:
    """As many samples as there are, drawn with replacement by the groups that the task's kind ties together.

    Args:
        samples: a split, in its order.
        task: its kind says which field of a sample names its group, such as the tile of several questions.
        seed: of the cell.

    Returns:
        Samples, those of a group together: each group as often as it was drawn. Of the last group that was drawn, what
        goes beyond the number of samples is left out.
    """
    name = tasks.load(task.kind).group
    groups: dict[str, list[int]] = {}
    for place, sample in enumerate(samples):
        tie = sample.get(name) if name else None
        groups.setdefault(f"one {place}" if tie is None else f"group {tie}", []).append(place)
    members = list(groups.values())
    # The generator whose output numpy never changes (NEP 19). A group is drawn for each sample, which is always enough.
    drawn = np.random.RandomState([seed, *_STREAM]).randint(0, max(len(members), 1), len(samples))
    places: list[int] = []
    for group in drawn:
        if len(places) >= len(samples):
            break
        places += members[group]
    return [samples[place] for place in places[: len(samples)]]


def drawn_by_weights(samples: Sequence[Sample], weights: Mapping[str, float], seed: int, number: int) -> list[Sample]:
    """As many samples as there are, each draw by their weights.

    Single samples are drawn, also where the kind ties some together: an error raises its own sample, and a whole group
    would bring those beside it that were right.

    Args:
        samples: a split, in its order.
        weights: id of each sample -> above 0.
        seed: of the cell.
        number: of the round, so that two rounds of like weights draw other samples.
    """
    upto = np.cumsum([weights[str(sample["id"])] for sample in samples])
    points = np.random.RandomState([seed, *_WEIGHTED_STREAM, number]).random_sample(len(samples)) * upto[-1]
    return [samples[min(place, len(samples) - 1)] for place in np.searchsorted(upto, points, side="right")]


def told(samples: Sequence[Mapping[str, Any]], drawn: Sequence[Mapping[str, Any]], setting: str) -> str:
    """For the log of a run: how many different samples were drawn, and by which setting."""
    different = len({sample["id"] for sample in drawn})
    return (
        f"{setting}: {different:,} of {counted(len(samples), 'sample')} {agree(different, 'is', 'are')} drawn, some "
        "several times; "
        f"{len(samples) - different:,} are out of bag"
    )
