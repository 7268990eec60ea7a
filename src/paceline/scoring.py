"""From raw predictions to scores and metrics: repeated at will, because answers are kept as the model gave them."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import math
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from paceline import prepared, scorers, stats, tasks
from paceline.errors import UserError, nearest
from paceline.spec import Config
from paceline.store import SCHEMA, CellFolder, read_jsonl, write_json, write_jsonl

Record = dict[str, Any]


def load_scorer(name: str) -> ModuleType:
    """The module ``paceline/scorers/<name>.py``. What stands there without a function ``score`` is a scorer's helper.

    Raises:
        UserError: there is no such scorer.
    """
    if name in _scorer_modules():
        module = importlib.import_module(f"paceline.scorers.{name}")
        if hasattr(module, "score"):
            return module
    raise UserError(f"no scorer '{name}': {nearest(name, scorer_names())}")


def scorer_names() -> list[str]:
    """The scorers of ``paceline/scorers/``, sorted by name."""
    return [n for n in _scorer_modules() if hasattr(importlib.import_module(f"paceline.scorers.{n}"), "score")]


def _scorer_modules() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(scorers.__path__))


def scorer_of(config: Config) -> ModuleType:
    """The scorer of a config's task."""
    return load_scorer(tasks.load(config.task.kind).SCORER)


def scorer_digest(scorer: ModuleType) -> str:
    """12 hex digits over the source of a scorer, of all that it rests on, and of the statistics.

    A metric counts as computed by this checkout if the digests are equal, so every module that can change a score is
    in it (:func:`scorer_sources`).
    """
    total = hashlib.sha256()
    for name, path in sorted(scorer_sources(scorer).items()):
        total.update(f"{name}\n".encode())
        total.update(path.read_bytes())
    return total.hexdigest()[:12]


def scorer_sources(scorer: ModuleType) -> dict[str, Path]:
    """Module name -> source file: the scorer, the statistics, and what they import of scorers and of the gazetteer.

    Imports are followed in the source, through any number of modules, so those inside functions count, too.
    """
    found: dict[str, Path] = {}
    waiting = [scorer.__name__, stats.__name__]
    while waiting:
        name = waiting.pop()
        path = None if name in found else _source(name)
        if path is not None:
            found[name] = path
            waiting += [n for n in _imports(path) if n.startswith("paceline.scorers.") or n == "paceline.gazetteer"]
    return found


def _source(name: str) -> Path | None:
    """The file of a module; None if the name is something inside a module."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _imports(path: Path) -> set[str]:
    """The dotted names that a file imports: of ``from a import b`` both ``a`` and ``a.b``, which may be a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


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


def judged_part(config: Config, text: str) -> tuple[int, int] | None:
    """The characters of an answer that its scorer judges, as a half-open range; None where it can't tell."""
    told = getattr(scorer_of(config), "part", None)
    return told(text, config.prompt.example or None) if told else None


def numbers(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Metrics as trackers show them: ``name``, ``name_low`` and ``name_high``; those without a value are left out."""
    found = {}
    for name, entry in metrics.items():
        for key, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            if isinstance(entry.get(key), int | float) and math.isfinite(entry[key]):
                found[name + suffix] = entry[key]
    return found


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
