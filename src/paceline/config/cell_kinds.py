"""The kinds of cells, and in what they differ. Code asks for a property of a kind, not for its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from paceline.errors import UserError


@dataclass(frozen=True)
class CellKind:
    """What a kind of cell does, where it may run, and what it writes.

    Attributes:
        name: as it stands in a cell's id, in recorded JSON and in ``place`` rules.
        job: the file under ``jobs/`` that runs its cells.
        trains: whether it makes optimiser steps. Such a cell may have several ranks and DeepSpeed, saves checkpoints,
            and may go on under settings that take less memory. All others run on one rank.
        publishes: what other cells and the report read of it.
        shares_element: whether cells that load the same weights run one after the other in one element.
        unused: groups of the config that it does not read.
        cell_files: files and folders that a cell has once: its folders, ``cell.json``, ``DONE.json``, its results.
        attempt_files: what each attempt adds to those that every attempt has: the history and the folder of the
            checkpoints, or the predictions.
        tracking_files: what tracking writes for an attempt: W&B's folders, its run and logs, tables and pictures.
        tracks_samples: whether tracking also writes an image of each of ``tracking.samples`` samples.
    """

    name: str
    job: str
    trains: bool
    publishes: Literal["weights", "predictions"]
    shares_element: bool
    unused: tuple[str, ...]
    cell_files: int
    attempt_files: int
    tracking_files: int
    tracks_samples: bool

    @property
    def answers(self) -> bool:
        """Whether it answers samples, so that there is something to score and to report."""
        return self.publishes == "predictions"


_ALL = (
    CellKind(
        name="finetune",
        job="finetune.py",
        trains=True,
        publishes="weights",
        shares_element=False,
        unused=("generation",),
        cell_files=4,
        attempt_files=2,
        tracking_files=21,
        tracks_samples=False,
    ),
    CellKind(
        name="evaluate",
        job="evaluate.py",
        trains=False,
        publishes="predictions",
        shares_element=True,
        unused=("train",),
        cell_files=7,
        attempt_files=1,
        tracking_files=25,
        tracks_samples=True,
    ),
)
KINDS: Mapping[str, CellKind] = {kind.name: kind for kind in _ALL}


def kind_of(name: str) -> CellKind:
    """The kind of that name.

    Raises:
        UserError: there is none, as in a store that a newer version has written.
    """
    if name not in KINDS:
        raise UserError(f"no kind of cell '{name}': there are {', '.join(KINDS)}")
    return KINDS[name]
