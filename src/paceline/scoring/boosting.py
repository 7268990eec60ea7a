"""Boosting: the weights of training samples, raised round by round where the tuned model was wrong.

AdaBoost.M1 (Freund & Schapire 1997, Journal of Computer and System Sciences 55), and SAMME (Zhu et al. 2009, Statistics
and Its Interface 2), which adds log(K - 1) to a round's say where all questions have the same K choices; of two the
rules are one. A round that is no better than chance has no say. Behind it, and behind one without any error, the
weights begin anew, all equal (as in Bauer & Kohavi 1999, Machine Learning 36): rounds are planned before the first is
tuned, so none is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paceline import tasks
from paceline.config.schema import Config
from paceline.counted import counted
from paceline.errors import DataError
from paceline.scoring import attested
from paceline.scoring.judge import evaluated_samples, score_predictions
from paceline.store.cell_folder import CellFolder
from paceline.store.files import digest
from paceline.tasks.kind import Kind
from paceline.tasks.metrics import PARSED, Metric

Record = Mapping[str, Any]
DIGEST_LENGTH = 12


@dataclass(frozen=True)
class Round:
    """What a round's weights got wrong of the training samples, weighted as they were before."""

    error: float
    """Weighted share, 0 to 1."""
    say: float
    """Alpha: the weight of its voice among the rounds, and the log of what an error multiplies a sample's weight by;
    0 for a round no better than chance."""


@dataclass(frozen=True)
class Boosting:
    """What some rounds make of the training samples."""

    metric: str
    """What tells a right answer from a wrong one."""
    classes: int
    """K of SAMME; 2, which is AdaBoost.M1, where questions have no choices or differ in how many."""
    rounds: tuple[Round, ...]
    weights: Mapping[str, float]
    """Sample -> its weight for the next round, all together 1; in the order of the split."""

    def as_json(self) -> dict[str, Any]:
        """What a cell records: how each round did, and a digest of the weights."""
        return {
            "metric": self.metric,
            "rule": f"SAMME, {self.classes} classes" if self.classes > 2 else "AdaBoost.M1",
            "rounds": [{"error": one.error, "say": one.say} for one in self.rounds],
            "weights": digest(dict(self.weights), DIGEST_LENGTH),
        }

    def told(self) -> str:
        """For the log of a run."""
        rounds = "; ".join(f"round {n}: error {r.error:.4f}, say {r.say:.4f}" for n, r in enumerate(self.rounds))
        values = sorted(self.weights.values())
        return (
            f"train.boost={len(self.rounds)} by {self.metric} ({self.as_json()['rule']}): {rounds}; weights of "
            f"{counted(len(values), 'sample')}, times their number: {len(values) * values[0]:.3g} to "
            f"{len(values) * values[-1]:.3g} ({self.as_json()['weights']})"
        )


def reweighted(losses: Sequence[Sequence[float]], classes: int) -> tuple[tuple[Round, ...], list[float]]:
    """What rounds got wrong and the weights behind the last, which sum to 1.

    Args:
        losses: for each round the loss of each sample: 1 wrong, 0 right, between them where some of its questions are.
        classes: K of SAMME; 2 for AdaBoost.M1.
    """
    count = len(losses[0])
    even = [1 / count] * count
    weights, rounds = even, []
    for lost in losses:
        error = math.fsum(w * loss for w, loss in zip(weights, lost, strict=True))
        # Half a sample wrong, where none is: a say without a limit would silence all other rounds.
        clear = max(error, 1 / (2 * count))
        say = max(0.0, math.log((1 - clear) / clear) + math.log(classes - 1)) if clear < 1 else 0.0
        rounds.append(Round(error, say))
        if error <= 0 or say <= 0:
            weights = even
            continue
        raised = [w * math.exp(say * loss) for w, loss in zip(weights, lost, strict=True)]
        total = math.fsum(raised)
        weights = [w / total for w in raised]
    return tuple(rounds), weights


def of_rounds(answered: Sequence[CellFolder], root: Path, needs: str) -> Boosting:
    """What rounds make of the training samples: a pure function of their answers, which are judged here.

    Args:
        answered: the evaluate cells of the training samples, round by round.
        root: the storage root.
        needs: who needs their answers, for an error: ``finetune-... is weighted by``.

    Raises:
        UserError: one is not done, or answers of the kind are not right or wrong.
        DataError: answers are not those attested, or lack a sample.
    """
    losses, classes, weighed, metric = [], set(), [""], ""
    for folder in answered:
        cell = folder.read()
        config, kind = cell.config, tasks.load(cell.config.task.kind)
        told_by = kind.right_by
        if told_by is None:
            raise DataError(f"answers of kind '{kind.name}' are not right or wrong, so nothing is boosted by them")
        predictions = attested.predictions(folder, needs)
        samples = {sample["id"]: sample for sample in evaluated_samples(config, root, cell.data)}
        of_sample: dict[str, list[float]] = {name: [] for name in samples}
        for record in score_predictions(kind, config, predictions, samples):
            of_sample[record["sample"]].append(loss_of(record, told_by))
        if lacking := next((name for name, lost in of_sample.items() if not lost), ""):
            raise DataError(f"{folder.id} holds no answer about sample '{lacking}', which {needs}")
        weighed, metric = list(of_sample), told_by.name
        losses.append([math.fsum(lost) / len(lost) for lost in of_sample.values()])
        classes |= _choices(kind, config, samples.values())
    (number,) = classes if len(classes) == 1 else (2,)
    rounds, weights = reweighted(losses, max(2, number))
    return Boosting(metric, max(2, number), rounds, dict(zip(weighed, weights, strict=True)))


def loss_of(record: Record, metric: Metric) -> float:
    """1 for a wrong answer and an unread one, else 0; what the data has no truth for counts as right."""
    if record["outcome"] != PARSED.name:
        return 1.0
    score = record["scores"].get(metric.score)
    if score is None or math.isnan(score):
        return 0.0
    return float(not (score == 1 if metric.at_most is None else score <= metric.at_most))


def _choices(kind: Kind, config: Config, samples: Any) -> set[int]:
    """How many choices the questions of samples have."""
    return {len(part.choices) for sample in samples for part in kind.parts(sample, config.task, config.prompt)}
