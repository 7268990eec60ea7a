"""The model that answers for an evaluate cell, loaded with the right weights, or the service that answers for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from paceline.config.identity import as_loaded, model_placement, with_placement
from paceline.config.schema import Config
from paceline.errors import DataError
from paceline.models import load_family, local_weights
from paceline.store.cell_folder import CellFolder

if TYPE_CHECKING:
    from paceline.models.family import Family


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
    family = load_family(config.model.family)
    if config.model.served:  # torch need not even be there
        return family.load(config.model)
    from paceline.attempts import ranks

    made = needed[0].read().config if needed else config
    made = with_placement(made, {"model": model_placement(config.model)})
    local_weights.require(made.model, root)
    if needed and (changed := needed[0].verify()):
        raise DataError(
            f"{needed[0].id}: {changed[0]} is not what the tuning wrote: put it back, or remove {needed[0].done_json}, "
            "and paceline resume SWEEP tunes anew"
        )
    return family.load(
        as_loaded(made),
        needed[0].weights if needed else None,
        device=ranks.device(),
        quantise=made.method.quantise,
    )
