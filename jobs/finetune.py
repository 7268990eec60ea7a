"""Tune the weights of a finetune cell and publish them.

Run by a Slurm job on every rank, or by hand inside an allocation: python jobs/finetune.py CELL_FOLDER
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from paceline import worker
from paceline.attempts import attempt, checkpoints
from paceline.attempts import run as attempts
from paceline.data import samples
from paceline.data.augmentation import lessons
from paceline.data.conversations import Lessons
from paceline.store.cell_folder import CellFolder
from paceline.store.files import write_json
from paceline.tracking import tracker as tracking
from paceline.training import drawn_samples, finetune, masked_pictures


def main(folders: Sequence[Path], launch: attempts.Launch) -> None:
    """Bring every cell to DONE: trained from the newest whole checkpoint of any attempt, or from the start."""
    for folder in map(CellFolder, folders):
        needed = [CellFolder(folder.path.parent / name) for name in folder.read().needs]
        if folder.done() or attempt.taken(folder, launch) or not all(n.done() for n in needed):
            continue
        with attempt.attempt(folder, launch) as run, worker.joined(run), tracking.tracked(run) as tracker:
            cell, config, root = run.cell, run.config, run.root
            samples.require(root, config.task, cell.data)
            train = samples.read_samples(root, config.task, [config.task.train], config.limit, cell.data)
            watched = [config.task.validation] if config.train.validations else []  # data may have no such split
            validation = samples.read_samples(root, config.task, watched, config.limit, cell.data)
            train, how = drawn_samples.drawn(run, train)
            family = finetune.load(run, len(train))
            output = run.attempt.path / "weights"
            taught = lessons(train, config.prompt, config.task, config.train.augment, config.seed)
            before = masked_pictures.pretrain(run, family, taught, curve=tracker)
            watched_lessons = Lessons(validation, config.prompt, config.task)
            result = how | before | finetune.train(run, family, taught, watched_lessons, output=output, curve=tracker)
            if launch.rank == 0 and not folder.superseded(run.attempt):
                write_json(output / "training.json", {"schema": 1, **result})
                folder.publish_folder(output, folder.weights)
                files = [p for p in folder.weights.rglob("*") if p.is_file()]
                folder.publish(run.attempt, files, {"samples": result["samples"], "steps": result["steps"]})
                checkpoints.clear(folder)
                tracker.weights(folder.weights)


if __name__ == "__main__":
    worker.by_hand(main)
