"""What a job's process does: join its ranks, load the job's code, and run the cells of its element.

Torch-free at import, because the launcher pickles :class:`RunElement` by its name.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit

from paceline import plugins
from paceline.attempts import node_caches
from paceline.attempts.attempt import attempt
from paceline.attempts.run import Launch, Run
from paceline.attempts.signals import STOP
from paceline.config.cell_kinds import kind_of
from paceline.config.identity import placement_of
from paceline.config.schema import Config
from paceline.errors import Interrupted, UserError
from paceline.store.cell_folder import CellFolder
from paceline.store.code import shipped
from paceline.store.files import read_json

__all__ = ["Launch", "Run", "RunElement", "attempt", "by_hand", "joined", "run_cells"]

# Slurm looks at walltimes every half minute and sends the signal up to a minute early; a prologue takes its time too.
EARLY_SECONDS = 120.0


def load_job(kind: str) -> Callable[[Sequence[Path], Launch], None]:
    """The ``main`` of a kind's file under ``jobs/``, from the same tree as this file."""
    path = shipped("jobs") / kind_of(kind).job
    found = importlib.util.spec_from_file_location(f"paceline_job_{kind}", path)
    if found is None or found.loader is None or not path.exists():
        raise UserError(f"no job {path}")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.main  # type: ignore[no-any-return]


def run_cells(kind: str, folders: Sequence[Path], launch: Launch) -> str | None:
    """Run cells of one kind in order, stopping at the first interruption.

    Returns:
        The cause of the interruption, or None.
    """
    node_caches.prepare(kind_of(kind).trains)
    with STOP.listening():
        try:
            job = load_job(kind)
        except Exception as error:
            # Code that can't even be imported is a cause too: without an attempt the cells would look never begun.
            for folder in map(CellFolder, folders):
                with attempt(folder, launch):
                    raise error
            return None
        try:
            job(folders, launch)
        except Interrupted as interruption:
            return interruption.cause
    return None


def elements(path: Path) -> list[dict[str, Any]]:
    """The elements of a submission: ``{kind, cells, needs, ranks, placement}`` each."""
    content = read_json(path)
    return [{**e, "placement": content["placements"][e["placement"]]} for e in content["elements"]]


@dataclass
class RunElement:
    """What submitit pickles: two words, no secret, no config. The rest is read from the submission's files."""

    submission: str
    index: int

    def __call__(self) -> None:
        """Run the element as this process's rank.

        When the walltime is near, or the job is preempted with a warning, rank 0 hands over to submitit's own
        handler, which requeues the job: the fast path. Where requeueing is forbidden, or has no tries left, the next
        resume finds the same files.

        Raises:
            SystemExit: with 1 where a cell is not done, so that Slurm does not start what needs it.
        """
        # The weights were fetched before: a library that asks the hub for more would wait on nodes without a network,
        # or find something newer.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        submission = Path(self.submission)
        element = elements(submission / "elements.json")[self.index]
        environment = submitit.JobEnvironment()
        restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
        launch = Launch(
            placement=element["placement"],
            sweep=submission.parents[1].name,
            submission=self.submission,
            element=self.index,
            job=f"{environment.job_id}.{restarts}",
            rank=environment.global_rank,
            local_rank=environment.local_rank,
            world=environment.num_tasks,
        )
        requeue = signal.getsignal(signal.SIGUSR2)
        cluster = element["placement"]["cluster"]
        STOP.walltime_from = time.monotonic() + 60 * cluster["minutes"] - cluster["signal_seconds"] - EARLY_SECONDS
        cells = [submission.parents[3] / "cells" / cell for cell in element["cells"]]
        cause = run_cells(element["kind"], cells, launch)
        on_slurm = cluster["executor"] == "slurm"
        if cause in ("timeout", "preempted") and on_slurm and launch.rank == 0 and callable(requeue):
            requeue(signal.SIGUSR2, None)
        if on_slurm and launch.rank == 0 and not all(CellFolder(c).done() for c in cells):
            sys.exit(1)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """What submitit runs after a requeue: the same, because all state is in files."""
        return submitit.helpers.DelayedSubmission(self)


@contextlib.contextmanager
def joined(run: Run) -> Iterator[None]:
    """Bring the ranks of an attempt together while the block runs. Imports torch, unless a service answers."""
    if run.config.model.served:
        yield
        return
    from paceline.attempts import ranks

    ranks.set_up(
        rank=run.rank,
        local_rank=run.local_rank,
        world=run.world,
        local_world=run.world // run.config.placement.nodes,
        address=run.address,
        port=run.port,
        # Set, not found: the number of threads changes sums in the last bit, and so must be the same at every attempt.
        threads=run.config.placement.threads or 1,
        deepspeed=bool(run.config.deepspeed.config) and kind_of(run.cell.kind).trains,
    )
    try:
        yield
    finally:
        ranks.tear_down()


def by_hand(main: Callable[[Sequence[Path], Launch], None]) -> None:
    """The command line of a job: cell folders, run as the latest submission that holds them would run them."""
    folders = [Path(word).resolve() for word in sys.argv[1:]]
    if not folders or not all((f / "cell.json").exists() for f in folders):
        sys.exit(f"usage: {sys.argv[0]} CELL_FOLDER [CELL_FOLDER ...]  (a folder under cells/ that holds cell.json)")
    plugins.use(plugins.folders(None))
    node_caches.prepare(kind_of(CellFolder(folders[0]).read().kind).trains)
    cell = CellFolder(folders[0]).read()
    placement = placement_of(Config())
    for path in sorted(folders[0].parents[1].glob("sweeps/*/submissions/*/elements.json"), key=os.path.getmtime):
        for element in elements(path):
            placement = element["placement"] if cell.id in element["cells"] else placement
    with STOP.listening():
        main(folders, Launch(placement=placement, job=f"hand-{os.getpid()}"))
