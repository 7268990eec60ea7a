"""Which samples a cell is tuned on: those of its split, or as many that are drawn of them.

Bagging draws all alike, boosting by weights that the errors of the rounds before have raised. These weights, and how
each round did, lie in ``boosting.json`` of the cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from paceline.attempts import checkpoints, ranks
from paceline.attempts.run import Run
from paceline.data import drawn_again
from paceline.errors import UserError
from paceline.scoring import boosting
from paceline.store.cell_folder import CellFolder
from paceline.store.files import SCHEMA, read_json, write_json

Sample = TypeVar("Sample", bound=Mapping[str, Any])
WEIGHTS = "boosting.json"


def drawn(run: Run, samples: list[Sample]) -> tuple[list[Sample], dict[str, Any]]:
    """The samples that a cell is tuned on, and what it records of how they were drawn. All ranks call it.

    A pure function of the cell and of the answers that it needs, so every attempt draws the same. Where these were
    given anew since, and weigh otherwise, checkpoints are of other samples: they are cleared, and the tuning begins
    anew.

    Raises:
        UserError: a needed cell is not done.
        DataError: answers are not those attested, or lack a sample.
    """
    config = run.config
    if run.cell.boosted_on:
        return _weighted(run, samples)
    if config.train.resample == "none":
        return samples, {}
    chosen = drawn_again.drawn_again(samples, config.task, config.seed)
    if run.rank == 0:
        run.note(drawn_again.told(samples, chosen, f"train.resample={config.train.resample}"))
    return chosen, {}


def _weighted(run: Run, samples: Sequence[Sample]) -> tuple[list[Sample], dict[str, Any]]:
    config, cells = run.config, run.folder.path.parent
    answered = [CellFolder(cells / name) for name in run.cell.boosted_on]
    found = boosting.of_rounds(answered, run.root, f"{run.cell.id} is weighted by")
    chosen = drawn_again.drawn_by_weights(samples, found.weights, config.seed, len(answered))
    if run.rank == 0:
        run.note(found.told())
        run.note(drawn_again.told(samples, chosen, f"train.boost={len(answered)}"))
        _keep(run, found)
    ranks.barrier()
    return chosen, {"boosting": found.as_json()}


def _keep(run: Run, found: boosting.Boosting) -> None:
    """Write the weights beside the cell, before anything is trained on them."""
    path = run.folder.path / WEIGHTS
    content = {"schema": SCHEMA, **found.as_json(), "samples": dict(found.weights)}
    try:
        before = read_json(path) if path.exists() else None
    except UserError:  # damaged: what the checkpoints were made of is not known
        before = {}
    if before == content:
        return
    if before is not None:
        run.note(f"{path.name} holds other weights than these answers give: the tuning begins anew")
        checkpoints.clear(run.folder)
    write_json(path, content)
