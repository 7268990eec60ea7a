"""From raw predictions to scores and metrics: repeated at will, because answers are kept as the model gave them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paceline import tasks
from paceline.config.schema import Config
from paceline.data import samples as prepared
from paceline.errors import UserError
from paceline.scoring.digest import scorer_digest
from paceline.scoring.embedded_texts import Embedder
from paceline.store.cell_folder import CellFolder
from paceline.store.files import SCHEMA, read_jsonl, write_json, write_jsonl
from paceline.tasks.kind import Answer, Answered, Kind, Part
from paceline.tasks.metrics import CONTENT_FILTER, ERROR, REFUSED, Outcome

Record = dict[str, Any]


def evaluated_samples(config: Config, root: Path, data: str = "") -> list[Record]:
    """The samples that an evaluate cell answers: its splits one after the other, in the prepared order.

    ``data`` is the digest of the data that the cell was made for; without it, the data that was prepared last.
    """
    return prepared.read_samples(root, config.task, config.task.evaluate, config.limit, data)


def judge(
    config: Config,
    predictions: Sequence[Mapping[str, Any]],
    samples: Sequence[Record],
    embedder: Embedder | None = None,
) -> tuple[list[Record], Record]:
    """Scores per sample, and metrics. Where several splits are evaluated, each has its own: ``test_near/parsed_share``.

    Without an embedder what a kind compares by meaning is not scored. The answers of a prompt with ``scored: false``
    have no scores and no metrics.

    Returns:
        The records of ``scores.jsonl`` in the order of the predictions, and the content of ``metrics.json``.
    """
    kind = tasks.load(config.task.kind)
    if not config.prompt.scored:
        return [], {"schema": SCHEMA, "scorer_digest": scorer_digest(kind), "samples": 0, "parsed": 0, "metrics": {}}
    by_id = {s["id"]: s for s in samples}
    scores = score_predictions(kind, config, predictions, by_id, embedder)
    metrics: dict[str, Any] = {}
    splits = config.task.evaluate
    for split in splits:
        answers = kind.answers([s for s in scores if by_id[s["sample"]]["split"] == split], by_id)
        prefix = f"{split}/" if len(splits) > 1 else ""
        metrics.update({prefix + name: metric for name, metric in kind.aggregate(answers).items()})
    return scores, {
        "schema": SCHEMA,
        "scorer_digest": scorer_digest(kind),
        "samples": len(scores),
        "parsed": sum(1 for s in scores if s["outcome"] == "parsed"),
        "metrics": metrics,
        **({"embedded": embedder.told} if embedder and embedder.told else {}),
    }


def score_predictions(
    kind: Kind,
    config: Config,
    predictions: Sequence[Mapping[str, Any]],
    samples: Mapping[str, Record],
    embedder: Embedder | None = None,
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
        outcome = unanswered(prediction)
        # What a filter left of an answer is none, and what a kind finds in no text is a miss in its own terms.
        text = "" if outcome in (CONTENT_FILTER, ERROR) else str(prediction["text"] or "")
        reading = kind.read(Answer(text, prediction.get("data") or {}), part, config.task, config.prompt)
        if outcome is not None:
            reading = dataclasses.replace(reading, outcome=outcome.name, value=None, span=None)
        answered.append(Answered(samples[name], part, reading))
    texts = kind.embeds(answered) if embedder else []
    vectors = embedder.vectors(texts) if embedder and texts else None
    judged = kind.score(answered, config.task, config.prompt, vectors)
    return [
        {
            "sample": prediction["sample"],
            **({"part": a.part.name} if a.part.name else {}),
            "outcome": a.reading.outcome,
            "value": a.reading.value,
            "truth": j.truth,
            "scores": dict(j.scores),
            **({"details": dict(j.details)} if j.details else {}),
        }
        for prediction, a, j in zip(predictions, answered, judged, strict=True)
    ]


def unanswered(prediction: Mapping[str, Any]) -> Outcome | None:
    """What became of a request that a service did not answer, whatever text it gave; None where it answered."""
    for outcome in (CONTENT_FILTER, ERROR):
        if prediction.get("finish") == outcome.name:
            return outcome
    return REFUSED if (prediction.get("data") or {}).get("refusal") else None


def _part(kind: Kind, config: Config, sample: Record, name: str) -> Part:
    for part in kind.parts(sample, config.task, config.prompt):
        if part.name == name:
            return part
    raise ValueError(f"prediction for the part '{name}' of sample '{sample['id']}', which the task does not ask")


def judged_part(config: Config, text: str) -> tuple[int, int] | None:
    """The characters of an answer that are judged, as a half-open range; None where that is not known."""
    return tasks.load(config.task.kind).read(Answer(text), Part(), config.task, config.prompt).span


def numbers(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Metrics as trackers show them: ``name``, ``name_low`` and ``name_high``; those without a value are left out."""
    values = {}
    for name, entry in metrics.items():
        for key, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            if isinstance(entry.get(key), int | float) and math.isfinite(entry[key]):
                values[name + suffix] = entry[key]
    return values


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
    predictions, samples = list(read_jsonl(folder.predictions)), evaluated_samples(config, root, cell.data)
    scores, metrics = judge(config, predictions, samples, Embedder(folder.path, root))
    write_jsonl(folder.scores, scores)
    write_json(folder.metrics, metrics)
    return metrics
