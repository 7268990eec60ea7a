"""From raw predictions to scores and metrics: repeated at will, because answers are kept as the model gave them."""

from __future__ import annotations

import ast
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paceline import stats, tasks
from paceline.config.schema import Config
from paceline.data import samples as prepared
from paceline.errors import UserError
from paceline.imports import defined, imported
from paceline.plugins import source_of
from paceline.store.cells import CellFolder
from paceline.store.files import SCHEMA, read_jsonl, write_json, write_jsonl
from paceline.tasks import metrics as metrics_module
from paceline.tasks.kind import Answer, Answered, Kind, Part

Record = dict[str, Any]


def scorer_digest(kind: Kind) -> str:
    """12 hex digits over the source of all that can change a score of a kind.

    A metric counts as computed by this checkout if the digests are equal.
    """
    total = hashlib.sha256()
    for name, source in sorted(scorer_sources(kind).items()):
        total.update(f"{name}\n".encode())
        total.update(source)
    return total.hexdigest()[:12]


JUDGES = ("read", "score", "columns", "resample", "METRICS", "OUTCOMES", "parts", "split")
"""What a kind gives that a score or a metric can depend on. What is shown of it is not among them."""


def scorer_sources(kind: Kind) -> dict[str, bytes]:
    """Module name -> source: the kind's judging functions, and whole every module of ours that they rest on.

    Imports are followed in the source, through any number of modules, so those inside functions count, too; a lab's
    modules are followed as ours are, and count by name and content, wherever they lie. Of the
    modules that hold the judging functions themselves only the definitions count that these reach: a kind may be one
    module, and how it is shown must not make its metrics old.
    """
    sources: dict[str, bytes] = {}
    waiting = [stats.__name__, metrics_module.__name__]
    for holder in {kind.holder(name) for name in JUDGES}:
        if holder is not None and holder.__file__ is not None:
            text, needed = reached(Path(holder.__file__), JUDGES, str(holder.__package__))
            sources[holder.__name__] = text
            waiting += needed
    while waiting:
        name = waiting.pop()
        if name in sources or name in NOT_JUDGING or not _counts(name):
            continue
        if path := source_of(name):
            sources[name] = path.read_bytes()
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            waiting += imported(ast.parse(sources[name]), package)
    return sources


NOT_JUDGING = {"paceline.tasks", "paceline.tasks.kind", "paceline.tasks.panels"}
"""The contract, and what is shown."""


def _counts(name: str) -> bool:
    return name.startswith("paceline.tasks.") or name == stats.__name__


def reached(path: Path, names: Iterable[str], package: str) -> tuple[bytes, list[str]]:
    """The definitions of a module that some names reach, and the modules that these import.

    Returns:
        Their source, in the order of the module, and dotted names (:func:`paceline.imports.imported`).
    """
    tree = ast.parse(path.read_bytes())
    made = {name: node for node in tree.body for name in defined(node)}
    waiting, found = [name for name in names if name in made], dict[str, ast.stmt]()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = made[name]
            waiting += [n.id for n in ast.walk(made[name]) if isinstance(n, ast.Name) and n.id in made]
    kept = [node for node in tree.body if any(node is one for one in found.values())]
    text = "\n\n".join(ast.unparse(node) for node in kept if not isinstance(node, ast.Import | ast.ImportFrom))
    return text.encode(), [name for node in kept for name in imported(node, package)]


def evaluated_samples(config: Config, root: Path) -> list[Record]:
    """The samples that an evaluate cell answers: its splits one after the other, in the prepared order."""
    return prepared.read_samples(root, config.task, config.task.evaluate, config.limit)


def judge(
    config: Config, predictions: Sequence[Mapping[str, Any]], samples: Sequence[Record]
) -> tuple[list[Record], Record]:
    """Scores per sample, and metrics. Where several splits are evaluated, each has its own: ``test_near/parsed_share``.

    Returns:
        The records of ``scores.jsonl`` in the order of the predictions, and the content of ``metrics.json``.
    """
    kind = tasks.load(config.task.kind)
    by_id = {s["id"]: s for s in samples}
    scores = score_predictions(kind, config, predictions, by_id)
    metrics: dict[str, Any] = {}
    splits = config.task.evaluate
    for split in splits:
        own = kind.answers([s for s in scores if by_id[s["sample"]]["split"] == split])
        if kind.group:
            own = own.with_groups(
                {name: str(s[kind.group]) for name, s in by_id.items() if s.get(kind.group) is not None}
            )
        prefix = f"{split}/" if len(splits) > 1 else ""
        metrics.update({prefix + name: metric for name, metric in kind.aggregate(own).items()})
    return scores, {
        "schema": SCHEMA,
        "scorer_digest": scorer_digest(kind),
        "samples": len(scores),
        "parsed": sum(1 for s in scores if s["outcome"] == "parsed"),
        "metrics": metrics,
    }


def score_predictions(
    kind: Kind, config: Config, predictions: Sequence[Mapping[str, Any]], samples: Mapping[str, Record]
) -> list[Record]:
    """Read and judge predictions, in their order: the records of ``scores.jsonl``.

    Raises:
        ValueError: a prediction for a sample or a part that there is not.
    """
    answered = []
    for prediction in predictions:
        if (name := str(prediction["sample"])) not in samples:
            raise ValueError(f"prediction for sample '{name}', which is not among the {len(samples)} samples")
        part = _part(kind, config, samples[name], prediction.get("part", ""))
        answer = Answer(str(prediction["text"] or ""), prediction.get("data") or {})
        answered.append(Answered(samples[name], part, kind.read(answer, part, config.task, config.prompt)))
    judged = kind.score(answered, config.task, config.prompt)
    return [
        {
            "sample": prediction["sample"],
            **({"part": a.part.name} if a.part.name else {}),
            "outcome": a.reading.outcome,
            "value": a.reading.value,
            "truth": j.truth,
            "scores": dict(j.scores),
        }
        for prediction, a, j in zip(predictions, answered, judged, strict=True)
    ]


def _part(kind: Kind, config: Config, sample: Record, name: str) -> Part:
    for part in kind.parts(sample, config.task, config.prompt):
        if part.name == name:
            return part
    raise ValueError(f"prediction for the part '{name}' of sample '{sample['id']}', which the task does not ask")


def judged_part(config: Config, text: str) -> tuple[int, int] | None:
    """The characters of an answer that are judged, as a half-open range; None where that can't be told."""
    return tasks.load(config.task.kind).read(Answer(text), Part(), config.task, config.prompt).span


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
