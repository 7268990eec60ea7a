"""What holds for answers that are labels: equal or not, counted, voted on. Any JSON value is a label."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paceline import stats
from paceline.tasks.answers import Answers, Column
from paceline.tasks.panels import CellMatrix, CellResult, Matrix, Results

UNREAD = "not read"
MOST_CLASSES = 12


def columns(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Column]:
    """``label``, what was answered, and ``class``, the truth where it is one value: canonical JSON, or empty text."""
    return {
        "label": tuple(sys.intern(_text(r.get("value"))) for r in records),
        "class": tuple(sys.intern(_text(t) if isinstance(t := r.get("truth"), str | int) else "") for r in records),
    }


def _text(value: Any) -> str:
    from paceline.store.files import canonical

    return "" if value is None else canonical(value)


def plain(value: Any) -> str:
    """A text as it is, anything else as canonical JSON."""
    return value if isinstance(value, str) else _text(value)


def votes(ensembles: Sequence[Sequence[Answers]]) -> list[Answers]:
    """:func:`vote` for each list of members."""
    return [vote(members) for members in ensembles]


def vote(members: Sequence[Answers], weights: Sequence[float] = ()) -> Answers:
    """The answer that most members gave to each sample; of equally many the one whose first giver stands first.

    With weights of the members, the answer whose givers weigh most; who weighs nothing has no voice.

    Equal answers to one sample have equal scores, so the ensemble's are those of a member that gave the answer.
    """
    labels = [member.columns["label"] for member in members]
    givers = np.zeros(len(members[0].samples), dtype=int)
    for i, ballot in enumerate(zip(*labels, strict=True)):
        counts: Counter[str] = Counter()
        for label, weight in zip(ballot, weights or [1] * len(ballot), strict=True):
            if label and weight > 0:
                counts[label] += weight  # type: ignore[assignment]
        if counts:
            givers[i] = ballot.index(counts.most_common(1)[0][0])
    at = np.arange(len(givers))
    shared = [name for name in members[0].scores if all(name in m.scores for m in members)]
    scores = {name: np.stack([m.scores[name] for m in members])[givers, at] for name in shared}
    outcomes = tuple(members[g].outcomes[i] for i, g in enumerate(givers))
    won = tuple(labels[g][i] for i, g in enumerate(givers))
    return Answers(members[0].samples, outcomes, scores, {"label": won, "class": members[0].columns.get("class", ())})


def confusion(results: Results) -> list[Matrix]:
    """What was answered to which class, of the best cells."""
    cells = []
    for cell in results.best:
        truths, answered = cell.answers.columns["class"], cell.answers.columns["label"]
        counts = Counter(filter(None, truths))
        order = sorted(counts, key=lambda name: (-counts[name], name))[:MOST_CLASSES]
        pairs = [(t, g) for t, g in zip(truths, answered, strict=True) if t]
        if pairs:
            cells.append(matrix_of(cell, pairs, order))
    return [confusion_panel(results, cells)]


def confusion_panel(results: Results, cells: Sequence[CellMatrix], note: str = "") -> Matrix:
    """Cells' confusion matrices as a panel."""
    records = tuple(
        {
            "task": results.task.name,
            "split": results.split,
            "id": one.id,
            "truths": one.truths,
            "answers": one.answers,
            "counts": one.counts,
            "right": one.right,
        }
        for one in cells
    )
    return Matrix("confusion", "What is answered instead", "Confusion", tuple(cells), note, "confusions", records)


def matrix_of(cell: CellResult, pairs: Sequence[tuple[str, str]], order: Sequence[str]) -> CellMatrix:
    """Count pairs of truth and answer, empty where unread; classes that are not in the order count as ``other``."""
    others = "other" if any(name not in order for pair in pairs for name in pair if name) else ""
    across = [*order, *filter(None, [others]), UNREAD]
    down = [name for name in across[:-1] if any((t if t in order else others) == name for t, _ in pairs)]
    table = Counter((t if t in order else others, (g if g in order else others) if g else UNREAD) for t, g in pairs)
    counts = tuple(tuple(table[t, g] for g in across) for t in down)
    right = stats.wilson_interval(sum(t == g for t, g in pairs), len(pairs))
    return CellMatrix(cell.id, cell.name, tuple(map(_name, down)), tuple(map(_name, across)), counts, right)


def _name(label: str) -> str:
    """A class without the quotes that its canonical JSON has."""
    return str(json.loads(label)) if label.startswith('"') else label
