"""The model that answers for an evaluate cell, loaded with the right weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from paceline.attempts import ranks
from paceline.config.identity import as_loaded
from paceline.config.schema import Config
from paceline.errors import DataError
from paceline.models import load_family, local_weights
from paceline.models.family import Family
from paceline.store.cell_folder import CellFolder


def load_weights(config: Config, needed: Sequence[CellFolder], root: Path) -> Family:
    """The model that answers for an evaluate cell: with the weights of its finetune cell, where it needs one.

    Under an adapter the weights are read as they were when it was tuned.

    Args:
        config: the cell's, with its placement.
        needed: the cells that it needs.
        root: the storage root.

    Raises:
        UserError: weights that can't be loaded, or are not those that the cell was made for.
    """
    made = needed[0].read().config if needed else config
    made = dataclasses.replace(made, model=dataclasses.replace(made.model, folder=config.model.folder))
    local_weights.require(made.model, root)
    if needed and (changed := needed[0].verify()):
        raise DataError(
            f"{needed[0].id}: {changed[0]} is not what the tuning wrote: put it back, or remove {needed[0].done_json}, "
            "and paceline resume SWEEP tunes anew"
        )
    return load_family(config.model.family).load(
        as_loaded(made),
        needed[0].weights if needed else None,
        device=ranks.device(),
        quantise=made.method.quantise,
    )
