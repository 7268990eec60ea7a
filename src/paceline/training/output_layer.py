"""The output layer that a tuning gives a classifier: its list comes from the data, its weights from the cell's seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from paceline.attempts.run import Run
from paceline.counted import counted
from paceline.data import samples as prepared
from paceline.data.conversations import target
from paceline.errors import DataError
from paceline.models import load_family
from paceline.models.classifier import Classifier
from paceline.models.family import Family

SHOWN = 5
"""Labels in a message."""


def labels_of(run: Run) -> list[str] | None:
    """The list that a cell's model learns: the distinct targets of the whole train split, sorted; None where it has its
    own.

    ``limit`` shortens the training and not the list, so that a trial and the full run have the same labels.

    Raises:
        DataError: fewer than two, or a target to validate on that is none of them.
    """
    config = run.config
    if not load_family(config.model.family).learns_labels:
        return None

    def targets(split: str) -> set[str]:
        samples = prepared.read_samples(run.root, config.task, [split], 0, run.cell.data)
        return {target(sample, config.task) for sample in samples}

    found = targets(config.task.train)
    if len(found) < 2 or not all(label.strip() for label in found):
        raise DataError(
            f"model {config.model.name} learns the distinct targets of split '{config.task.train}' of task "
            f"'{config.task.name}', at least two of them, none empty; there {'is' if len(found) == 1 else 'are'}: "
            f"{_some(found) or 'none'}; look at task.target"
        )
    if config.train.validations and (odd := targets(config.task.validation) - found):
        raise DataError(
            f"model {config.model.name} learns the {counted(len(found), 'target')} of split '{config.task.train}' of "
            f"task '{config.task.name}', and split '{config.task.validation}' has others: {_some(odd)}"
        )
    return sorted(found)


def over(family: type[Family], labels: Sequence[str]) -> type[Family]:
    """A family of classifiers with an output layer over a list, which :func:`draw` draws once it is loaded."""
    assert issubclass(family, Classifier)
    return family.over(labels)


def _some(labels: set[str]) -> str:
    shown = ", ".join(repr(label) for label in sorted(labels)[:SHOWN])
    return f"{shown} and {len(labels) - SHOWN} more" if len(labels) > SHOWN else shown


def draw(family: Family, seed: int) -> None:
    """Draw a classifier's output layer anew, as its architecture does, from a seed alone; the same on every device."""
    assert isinstance(family, Classifier)
    network = family.model
    head = network.get_submodule(family.head_module)
    device = network.device
    head.to("cpu")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in head.modules():
            for parameter in module.parameters(recurse=False):
                parameter._is_hf_initialized = False  # or the library passes over it
            network._init_weights(module)
    head.to(device)
