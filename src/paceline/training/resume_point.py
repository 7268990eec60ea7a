"""From which checkpoint a training goes on."""

from __future__ import annotations

from paceline.attempts import checkpoints, ranks
from paceline.attempts.run import Run
from paceline.errors import UserError
from paceline.training.stream import Plan


def resume_point(run: Run, planned: Plan) -> checkpoints.Checkpoint | None:
    """Rank 0's choice, on every rank: a digest is read once, and all go on from the same; None to begin.

    Raises:
        UserError: it was made by another engine than the run's.
    """
    found = checkpoints.latest(run.folder, run.note) if run.rank == 0 else None
    found = ranks.from_first(found)
    if found is None:
        return None
    if why := checkpoints.misfit(found, run.config.deepspeed):
        raise UserError(why)
    if found.world != run.world or found.micro_batch != planned.micro_batch:
        run.note("other ranks or micro-batch than at the checkpoint: same samples per step, sums in another order")
    return found
