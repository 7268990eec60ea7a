"""Answer the samples of evaluate cells that share their weights, and score the answers.

Run by a Slurm job, or by hand inside an allocation: python jobs/evaluate.py CELL_FOLDER [CELL_FOLDER ...]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from paceline import attempts, distributed, prepared, scoring, tracking, worker
from paceline.evaluate import answer
from paceline.models import load_family
from paceline.spec import as_loaded
from paceline.store import CellFolder, write_jsonl


def main(folders: Sequence[Path], launch: attempts.Launch) -> None:
    """Bring every cell to DONE; the weights are loaded once, by the first that needs them."""
    family = None
    for folder in map(CellFolder, folders):
        cell = folder.read()
        needed = [CellFolder(folder.path.parent / n) for n in cell.needs]
        if folder.done() or attempts.taken(folder, launch) or not all(n.done() for n in needed):
            continue
        with attempts.attempt(folder, launch) as run, worker.joined(run), tracking.tracked(run) as tracker:
            config, root = run.config, run.root
            prepared.require(root, config.task, cell.data)
            if family is None:
                # Under an adapter the weights are read as they were when it was tuned.
                made = needed[0].read().config if needed else config
                family = load_family(config.model.family).load(
                    as_loaded(made),
                    needed[0].weights if needed else None,
                    device=distributed.device(),
                    quantise=made.method.quantise,
                )
            samples = scoring.evaluated_samples(config, root)
            predictions = answer(run, family, samples)
            if folder.superseded(run.attempt):
                continue
            write_jsonl(folder.predictions, predictions)
            metrics = scoring.score_cell(folder, root)
            folder.publish(run.attempt, [folder.predictions], {"samples": len(predictions)})
            tracker.results(run, metrics, samples)


if __name__ == "__main__":
    worker.by_hand(main)
