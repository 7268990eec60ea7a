"""A sweep's results as a table to check: its metrics, its nearest and farthest answers, what its answers' files say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from paceline.counted import counted
from paceline.report.consistency import check
from paceline.report.read.sweep_results import Group, Metric, Report
from paceline.report.read.sweep_results import Row as Cell
from paceline.tasks.figures import Case, Finding, Quoted, ResultTable, Row, exact


@cache
def findings(report: Report) -> tuple[Finding, ...]:
    """What the checks find in a sweep. Worked out once."""
    return check(table_of(report))


def table_of(report: Report) -> ResultTable:
    """The sweep as a table: a row for each cell with a result and each split of it."""
    rows: list[Row] = []
    cases: list[Case] = []
    statements: list[Quoted] = []
    for group in report.groups:
        for cell in group.rows:
            row = _row(report, group, cell)
            rows.append(row)
            cases += _extremes(report, group, cell, row)
            statements += _read(report, group, cell, row)
    return ResultTable(report.sweep, tuple(rows), tuple(cases), tuple(_truths(report)), tuple(statements))


def _row(report: Report, group: Group, cell: Cell) -> Row:
    # One file holds the answers to all splits, and is looked at once.
    first = group.split == cell.splits[0]
    artefacts = (report.store.cell(cell.id).done() or {}).get("artefacts", {}) if first else {}
    metrics = {name: m for name, m in cell.of(group.split).items() if m.value is not None}
    return Row(
        model=cell.model,
        method=cell.label,
        prompt=cell.prompt,
        test=group.title,
        tuned=bool(cell.tuned),
        figures={name: exact(float(m.value or 0), m.unit, _counted(group, name, m)) for name, m in metrics.items()},
        predictions=artefacts.get("predictions.jsonl", {}).get("sha256", ""),
        weights=f"{cell.model} {cell.tuned}",
    )


def _counted(group: Group, name: str, metric: Metric) -> int | None:
    """The samples of a figure; None for a share that counts none, such as BLEU: it is no whole count over n."""
    return metric.n if metric.unit != "share" or group.kind.metric(name).tested else None


def _extremes(report: Report, group: Group, cell: Cell, row: Row) -> Iterator[Case]:
    """The nearest and the farthest answer as ``scores.jsonl`` has them."""
    order, answers = group.kind.order, report.chosen(cell, group.split)
    errors = answers.scores.get(order.score, np.array([])) if order else np.array([])
    if order is None or not np.isfinite(errors).any():
        return
    for at in {int(np.nanargmin(errors)), int(np.nanargmax(errors))}:
        yield Case(cell.model, f"sample {answers.samples[at]}", exact(float(errors[at]), order.unit), (row,))


def _read(report: Report, group: Group, cell: Cell, row: Row) -> Iterator[Quoted]:
    """How many answers were read, as ``scores.jsonl`` has it, against the metric."""
    outcomes = report.chosen(cell, group.split).outcomes
    if outcomes and "parsed_share" in row.figures:
        read = outcomes.count("parsed")
        figure = exact(read / len(outcomes), "share")
        text = f"scores.jsonl: {read:,} of {counted(len(outcomes), 'answer')} read; metrics.json is older, score again"
        yield Quoted(text, row.label, "parsed_share", row.figures["parsed_share"], figure)


def _truths(report: Report) -> Iterator[Any]:
    """The truths that looked wrong when the data was prepared."""
    for task, manifest in report.manifests.items():
        checks = report.kinds[task].get("figure_checks")
        if checks is not None and checks.truths_of is not None:
            yield from checks.truths_of(task, manifest, report.samples[task])
