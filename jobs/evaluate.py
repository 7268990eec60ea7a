"""Answer the samples of evaluate cells that share their weights, and score the answers.

Run by a Slurm job, or by hand inside an allocation: python jobs/evaluate.py CELL_FOLDER [CELL_FOLDER ...]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from paceline import worker
from paceline.attempts import attempt
from paceline.attempts import run as attempts
from paceline.data import samples as prepared
from paceline.inference import earlier_answers
from paceline.inference.evaluate import answer
from paceline.inference.weights import load_weights
from paceline.scoring import judge
from paceline.store.cell_folder import CellFolder
from paceline.store.files import write_jsonl
from paceline.tracking import tracker as tracking


def main(folders: Sequence[Path], launch: attempts.Launch) -> None:
    """Bring every cell to DONE; the weights are loaded once, by the first that needs them."""
    family = None
    for folder in map(CellFolder, folders):
        cell = folder.read()
        needed = [CellFolder(folder.path.parent / n) for n in cell.needs]
        if folder.done() or attempt.taken(folder, launch) or not all(n.done() for n in needed):
            continue
        with attempt.attempt(folder, launch) as run, worker.joined(run), tracking.tracked(run) as tracker:
            config, root = run.config, run.root
            prepared.require(root, config.task, cell.data)
            earlier = earlier_answers.of_cell(cell, folder)
            if family is None:
                family = load_weights(config, [n for n in needed if n.id == cell.tuned], root)
                if family.new_weights:
                    run.note(family.new_weights)
            samples = judge.evaluated_samples(config, root, cell.data)
            predictions = answer(run, family, samples, earlier)
            if folder.superseded(run.attempt):
                continue
            write_jsonl(folder.predictions, predictions)
            metrics = judge.score_cell(folder, root)
            folder.publish(run.attempt, [folder.predictions], {"samples": len(samples)})
            if config.prompt.scored:
                tracker.results(metrics, samples)


if __name__ == "__main__":
    worker.by_hand(main)
