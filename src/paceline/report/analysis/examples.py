"""Example images chosen by a fixed rule and not by hand.

Of each model the best cell answers: tuned if it has one, by the median of the kind's order (``Kind.order``), an unread
answer counted as farthest off. Of its read answers the nearest to the truth is its easy image, the median its medium
and the farthest its hard one; every model's answer to every such image is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from paceline.report.read.sweep_results import Group, Report, Row
from paceline.store.files import read_jsonl
from paceline.tasks.answers import Answers, key_of
from paceline.tasks.kind import Order

KINDS = ("easy", "medium", "hard")
MOST_MODELS = 8
MOST_TEXT = 240  # characters shown of a raw answer


@dataclass(frozen=True)
class Reply:
    """One model's answer to one image."""

    model: str
    error: float | None
    """The score that orders answers, in the order's unit."""
    outcome: str
    text: str


@dataclass(frozen=True)
class Case:
    """One image, whose it is, and what every model answered."""

    model: str
    kind: str
    sample: str
    truth: str
    """For people."""
    replies: tuple[Reply, ...]


@dataclass(frozen=True)
class Cases:
    """The cases of one group."""

    order: Order
    rows: tuple[Row, ...]
    """The cell that answers for each model."""
    cases: tuple[Case, ...]
    left_out: int
    """Models beyond those shown."""


def choose(report: Report, group: Group) -> Cases | None:
    """The cases of a group; None where the task can't say how far off an answer is, or nothing was read."""
    order = group.kind.order
    if order is None:
        return None
    rows = _best_rows(report, group, order)
    shown = rows[:MOST_MODELS]
    picked = [(row, level, key) for row in shown for level, key in _pick(report, row, group.split, order)]
    if not picked:
        return None
    sample_keys = {key for _, _, key in picked}
    replies = {row.id: _replies(report, row, group.split, sample_keys, order) for row in shown}
    truths = _truths(report, shown[0], group, sample_keys)
    cases = [
        Case(row.model, level, key, truths.get(key, ""), tuple(replies[r.id][key] for r in shown))
        for row, level, key in picked
    ]
    return Cases(order, tuple(shown), tuple(cases), len(rows) - len(shown))


def errors(answers: Answers, order: Order) -> np.ndarray:
    """How far each answer is off, the smaller the better, float64 (n,); NaN where it was not read."""
    values = answers.scores.get(order.score, np.full(len(answers), np.nan))
    return -values if order.higher_is_better else values


def _best_rows(report: Report, group: Group, order: Order) -> list[Row]:
    best: dict[str, tuple[tuple[bool, float, int], Row]] = {}
    for row in group.rows:
        off = errors(report.chosen(row, group.split), order)
        if not off.size or order.score not in report.chosen(row, group.split).scores:
            continue
        middle = float(np.median(np.nan_to_num(off, nan=np.inf)))
        key = (not row.tuned, middle, -int(np.isfinite(off).sum()))
        if row.model not in best or key < best[row.model][0]:
            best[row.model] = (key, row)
    return [row for _, row in best.values()]


def _pick(report: Report, row: Row, split: str, order: Order) -> Iterable[tuple[str, str]]:
    answers = report.chosen(row, split)
    off = errors(answers, order)
    # A stable sort, so that equal errors keep the order of the data.
    at = [int(i) for i in np.argsort(off, kind="stable") if np.isfinite(off[i])]
    if not at:
        return []
    return [(level, answers.samples[at[i]]) for level, i in zip(KINDS, (0, (len(at) - 1) // 2, -1), strict=True)]


def _replies(report: Report, row: Row, split: str, sample_keys: set[str], order: Order) -> dict[str, Reply]:
    answers = report.chosen(row, split)
    replies = {key: Reply(row.model, None, "not asked", "") for key in sample_keys}
    predictions = read_jsonl(report.store.cell(row.id).predictions)
    texts = {key: r["text"] for r in predictions if (key := key_of(r)) in sample_keys}
    values = answers.scores.get(order.score, np.full(len(answers), np.nan))
    for i, key in enumerate(answers.samples):
        if key in sample_keys:
            value = float(values[i])
            text = str(texts.get(key, ""))
            text = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}… ({len(text):,} characters)"
            replies[key] = Reply(row.model, value if np.isfinite(value) else None, answers.outcomes[i], text)
    return replies


def _truths(report: Report, row: Row, group: Group, sample_keys: set[str]) -> dict[str, str]:
    records = read_jsonl(report.store.cell(row.id).scores)
    return {key: group.kind.label(r["truth"]) for r in records if (key := key_of(r)) in sample_keys}
