"""From raw predictions to scores and metrics: repeated at will, because answers are kept as the model gave them."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from paceline import prepared, stats, tasks
from paceline.errors import UserError, nearest
from paceline.spec import Config
from paceline.store import SCHEMA, CellFolder, read_jsonl, write_json, write_jsonl

Record = dict[str, Any]


def load_scorer(name: str) -> ModuleType:
    """The module ``paceline/scorers/<name>.py``."""
    folder = Path(__file__).parent / "scorers"
    names = [p.stem for p in folder.glob("*.py") if p.stem != "__init__"]
    if name not in names:
        raise UserError(f"no scorer '{name}': {nearest(name, names)}")
    return importlib.import_module(f"paceline.scorers.{name}")


def scorer_of(config: Config) -> ModuleType:
    """The scorer of a config's task."""
    return load_scorer(tasks.load(config.task.kind).SCORER)


def scorer_digest(scorer: ModuleType) -> str:
    """12 hex digits over the source of a scorer, of its sibling modules that it imports, and of the statistics."""
    modules = {scorer, stats}
    for value in vars(scorer).values():
        module = value if inspect.ismodule(value) else inspect.getmodule(value)
        if module is not None and module.__name__.startswith("paceline.scorers."):
            modules.add(module)
    total = hashlib.sha256()
    for module in sorted(modules, key=lambda m: m.__name__):
        total.update(inspect.getsource(module).encode())
    return total.hexdigest()[:12]


def evaluated_samples(config: Config, root: Path) -> list[Record]:
    """The samples that an evaluate cell answers: its splits one after the other, in the prepared order."""
    return prepared.read_samples(root, config.task, config.task.evaluate, config.limit)


def judge(
    config: Config, predictions: Sequence[Mapping[str, Any]], samples: Sequence[Record]
) -> tuple[list[Record], Record]:
    """Scores per sample, and metrics. Where several splits are evaluated, each has its own: ``test_near/median_km``.

    Returns:
        The records of ``scores.jsonl`` in the order of the predictions, and the content of ``metrics.json``.
    """
    scorer = scorer_of(config)
    by_id = {s["id"]: s for s in samples}
    scores = scorer.score(predictions, by_id, config.prompt.example or None)
    metrics: dict[str, Any] = {}
    splits = config.task.evaluate
    for split in splits:
        own = [s for s in scores if by_id[s["sample"]]["split"] == split]
        prefix = f"{split}/" if len(splits) > 1 else ""
        metrics.update({prefix + name: metric for name, metric in scorer.aggregate(own).items()})
    return scores, {
        "schema": SCHEMA,
        "scorer_digest": scorer_digest(scorer),
        "samples": len(scores),
        "parsed": sum(1 for s in scores if s["outcome"] == "parsed"),
        "metrics": metrics,
    }


def score_cell(folder: CellFolder, root: Path) -> Record:
    """Write ``scores.jsonl`` and ``metrics.json`` from the published predictions, and return the metrics.

    Raises:
        UserError: the cell has no predictions, or its data is gone or not what it was.
    """
    cell = folder.read()
    config = cell.config
    if not folder.predictions.exists():
        raise UserError(f"cell {cell.id} has no predictions yet; see: paceline status")
    prepared.require(root, config.task, cell.data)
    scores, metrics = judge(config, list(read_jsonl(folder.predictions)), evaluated_samples(config, root))
    write_jsonl(folder.scores, scores)
    write_json(folder.metrics, metrics)
    return metrics
