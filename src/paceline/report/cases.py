"""Example images chosen by a fixed rule, so that nobody picks them.

Of each model the best cell answers: tuned if it has one, by the median distance, an unread answer counted as farthest.
Of its read answers the nearest is its easy image, the median its medium and the farthest its hard one; every model's
answer to every such image is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from paceline.report.results import Group, Report, Row
from paceline.store import read_jsonl

KINDS = ("easy", "medium", "hard")
MOST_MODELS = 8
MOST_TEXT = 240  # characters shown of a raw answer


@dataclass(frozen=True)
class Reply:
    """One model's answer to one image."""

    model: str
    km: float | None
    outcome: str
    text: str


@dataclass(frozen=True)
class Case:
    """One image, whose it is, and what every model answered."""

    model: str
    kind: str
    sample: str
    truth: dict[str, Any]
    replies: tuple[Reply, ...]


@dataclass(frozen=True)
class Cases:
    """The cases of one group."""

    rows: tuple[Row, ...]
    """The cell that answers for each model."""
    cases: tuple[Case, ...]
    left_out: int
    """Models beyond those shown."""


def choose(report: Report, group: Group) -> Cases | None:
    """The cases of a group; None where the task has no distances or nothing was read."""
    rows = [row for row in _best_rows(report, group) if report.chosen(row, group.split).has_places]
    shown = rows[:MOST_MODELS]
    picked = [(row, kind, sample) for row in shown for kind, sample in _pick(report, row, group.split)]
    if not picked:
        return None
    wanted = {sample for _, _, sample in picked}
    replies = {row.id: _replies(report, row, group.split, wanted) for row in shown}
    truths = _truths(report, shown[0], wanted)
    cases = [
        Case(row.model, kind, sample, truths.get(sample, {}), tuple(replies[r.id][sample] for r in shown))
        for row, kind, sample in picked
    ]
    return Cases(tuple(shown), tuple(cases), len(rows) - len(shown))


def _best_rows(report: Report, group: Group) -> list[Row]:
    best: dict[str, tuple[tuple[bool, float, int], Row]] = {}
    for row in group.rows:
        distances = report.chosen(row, group.split).scores.get("distance_km", np.array([]))
        if not distances.size:
            continue
        middle = float(np.median(np.nan_to_num(distances, nan=np.inf)))
        key = (not row.tuned, middle, -int(np.isfinite(distances).sum()))
        if row.model not in best or key < best[row.model][0]:
            best[row.model] = (key, row)
    return [row for _, row in best.values()]


def _pick(report: Report, row: Row, split: str) -> Iterable[tuple[str, str]]:
    answers = report.chosen(row, split)
    distances = answers.scores["distance_km"]
    # A stable sort, so that equal distances keep the order of the data.
    order = [int(i) for i in np.argsort(distances, kind="stable") if np.isfinite(distances[i])]
    if not order:
        return []
    return [(kind, answers.samples[order[i]]) for kind, i in zip(KINDS, (0, (len(order) - 1) // 2, -1), strict=True)]


def _replies(report: Report, row: Row, split: str, wanted: set[str]) -> dict[str, Reply]:
    answers = report.chosen(row, split)
    found = {sample: Reply(row.model, None, "not asked", "") for sample in wanted}
    texts = {r["sample"]: r["text"] for r in read_jsonl(report.store.cell(row.id).predictions) if r["sample"] in wanted}
    for i, sample in enumerate(answers.samples):
        if sample in wanted:
            km = float(answers.scores["distance_km"][i])
            text = str(texts.get(sample, ""))
            text = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}… ({len(text):,} characters)"
            found[sample] = Reply(row.model, km if np.isfinite(km) else None, answers.outcomes[i], text)
    return found


def _truths(report: Report, row: Row, wanted: set[str]) -> dict[str, dict[str, Any]]:
    return {r["sample"]: r["truth"] for r in read_jsonl(report.store.cell(row.id).scores) if r["sample"] in wanted}
