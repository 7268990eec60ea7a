"""The report for other programs: JSON, CSV in long form, and Markdown."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paceline.counted import counted
from paceline.report import wording
from paceline.report.analysis import (
    cost,
    differences,
    ensembles,
    failures,
    per_image,
    prompt_sensitivity,
    training_curves,
    transfer,
)
from paceline.report.consistency import sweeps
from paceline.report.marking import marked_cells
from paceline.report.marking.marking_panel import MarkedShare, Marking
from paceline.report.read import sweep_provenance
from paceline.report.read.report_notes import notes
from paceline.report.read.sweep_results import Group, Report
from paceline.report.text import markdown_sections
from paceline.store.files import SCHEMA, write_bytes, write_json
from paceline.tasks.panels import exports

COLUMNS = (
    "sweep",
    "cell",
    "model",
    "task",
    "split",
    "prompt",
    "method",
    "variant",
    "trained_on",
    "trained_task",
    "state",
    "metric",
    "value",
    "low",
    "high",
    "n",
    "unit",
)


def _records(report: Report) -> Iterator[list[object]]:
    marked = _marked(report)
    for row in report.rows:
        for split in row.splits:
            # csv writes a float as repr does, so that it reads back as the same float, and None as nothing.
            start = [report.sweep, row.id, row.model, row.task, split, row.prompt, row.method, row.variant]
            start += [row.trained_on, row.trained_task, row.state]
            metrics = row.of(split)
            if not metrics:
                yield [*start, *[None] * 6]
            for name, m in metrics.items():
                yield [*start, name, m.value, m.low, m.high, m.n, m.unit]
            for one in marked.get((row.id, split), ()):
                yield [*start, one.metric, one.share.value, one.share.low, one.share.high, one.share.n, "share"]


def _marked(report: Report) -> dict[tuple[str, str], tuple[MarkedShare, ...]]:
    """Cell and split -> what people marked, all markers together, where they marked something."""
    return {
        (cell, group.split): one.shares
        for group in report.groups
        for panel in differences.panels(report, group)
        if isinstance(panel, Marking)
        for cell, one in marked_cells.joined(panel).items()
        if one.answers
    }


def csv_text(report: Report) -> str:
    """One line per cell, split and metric; a cell without a result has one line a split, with its state.

    What people marked stands among the metrics, such as ``acceptable_accuracy``.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_records(report))
    return stream.getvalue()


def as_json(report: Report) -> dict[str, Any]:
    """The whole report as plain values: every metric with its interval, the comparisons, and what it all came from."""
    return {
        "schema": SCHEMA,
        "sweep": report.sweep,
        "experiment": report.experiment,
        "code": report.code,
        "cells": report.cells,
        "rows": [row.as_json() for row in report.rows],
        "standings": [_standing(report, group, m) for group in report.groups for m in group.columns],
        "differences": [dataclasses.asdict(d) for d in differences.differences(report)],
        "prompts": [
            {"task": group.task, "split": group.split, **dataclasses.asdict(sensitivity)}
            for group in report.groups
            for metric in differences.leading(group)
            if (sensitivity := prompt_sensitivity.prompt_sensitivity(group, metric))
        ],
        "ensembles": [
            dataclasses.asdict(e)
            for group_ensembles in ensembles.ensembles(report).values()
            for e in group_ensembles.found
        ],
        "transfer": [record for matrix in transfer.matrices(report) for record in transfer.as_json(matrix)],
        "curves": [training_curves.as_json(curve) for curve in training_curves.curves(report)],
        **dict(exports((g.task, g.split, panel) for g in report.groups for panel in differences.panels(report, g))),
        "cost": _cost(report),
        "failures": [dataclasses.asdict(failure) for failure in failures.of_sweep(report)],
        "missing": [dataclasses.asdict(m) for m in report.missing],
        "dropped": [dict(d) for d in report.dropped],
        "findings": [dataclasses.asdict(finding) for finding in sweeps.findings(report)],
        "notes": list(notes(report)),
        "provenance": sweep_provenance.as_json(report),
    }


def _standing(report: Report, group: Group, metric: str) -> dict[str, Any]:
    standing = differences.standing(report, group, metric)
    tied = [row.id for row in group.rows if row.id in standing.tied]
    return {"task": group.task, "split": group.split, "metric": metric, "best": standing.best, "tied": tied}


def _cost(report: Report) -> dict[str, Any]:
    tradeoffs = [one for group in report.groups if (one := cost.tradeoff(report, group))]
    return {
        "sweep": dataclasses.asdict(cost.of_sweep(report)),
        "cells": {cell: dataclasses.asdict(one) for cell, one in cost.of_cells(report).items()},
        "tradeoffs": [dataclasses.asdict(one) for one in tradeoffs],
        "per_image": {cell: dataclasses.asdict(one) for cell, one in per_image.of_cells(report).items()},
    }


def write_report_json(report: Report, path: Path) -> None:
    """Write :func:`as_json` whole or not at all."""
    write_json(path, as_json(report))


def write_csv(report: Report, path: Path) -> None:
    """Write :func:`csv_text` whole or not at all."""
    write_bytes(path, csv_text(report).encode())


def markdown_text(report: Report) -> str:
    """A table per task and split: the headline metrics with their intervals, for a README or an issue."""
    parts = [f"# {_escape(report.sweep)}"]
    for group in report.groups:
        headings = [f"{group.heading(m)} {wording.unit_name(group.unit(m))}".rstrip() for m in group.columns]
        lines = [
            f"## {_escape(group.title)}",
            "",
            _line(["model", "prompt", "method", "read", *headings]),
            _line(["---", "---", "---", "---:", *["---:"] * len(headings)]),
        ]
        standings = {m: differences.standing(report, group, m) for m in group.columns}
        for row in group.rows:
            outcomes = report.chosen(row, group.split).outcomes
            cells = [row.model, row.asked, row.label, wording.share(outcomes.count("parsed"), len(outcomes))]
            for metric in group.columns:
                shown = wording.with_interval(group.metric(row, metric))
                cells.append(f"{shown} {standings[metric].mark(row, 'best')}".rstrip())
            lines.append(_line(cells))
        caption = f"Brackets: 95 % interval; ≈ can't be told apart from the best. {wording.denominators(report, group)}"
        lines += ["", " ".join(filter(None, (_escape(caption), _escape(wording.other_prompts(group)))))]
        parts.append("\n".join(lines))
        parts += [*_prompts(group), *_ensembles(report, group)]
        parts += markdown_sections.panels(group, differences.panels(report, group), _line, _escape)
    parts += markdown_sections.transfers(report, _line, _escape)
    parts += [*_cost_table(report), *markdown_sections.per_images(report, _line, _escape), *_failures(report)]
    if report.missing:
        lines = [f"## No result: {len(report.missing)} of {counted(report.cells, 'cell')}", ""]
        parts.append("\n".join(lines + [f"- `{m.id}` {_escape(wording.absent(m))}" for m in report.missing]))
    if report.dropped:
        lines = ["## Dropped: combinations that can't be", ""]
        for d in report.dropped:
            lines.append(f"- {_escape(' · '.join(map(str, d['point'].values())))}: {_escape(d['reason'])}")
        parts.append("\n".join(lines))
    if findings := sweeps.findings(report):
        lines = [f"## {wording.findings(findings)}", ""]
        parts.append("\n".join(lines + [f"- {f.severity}: {_escape(wording.finding(f))}" for f in findings]))
    if told := list(notes(report)):
        parts.append("\n".join(["## Notes", "", *[f"- {_escape(note)}" for note in told]]))
    return "\n\n".join(parts) + "\n"


def _prompts(group: Group) -> Iterator[str]:
    """What the choice of the prompt does, in each of the leading metrics."""
    for metric in differences.leading(group):
        sensitivity = prompt_sensitivity.prompt_sensitivity(group, metric)
        if sensitivity is None:
            continue
        unit, shown = sensitivity.unit, wording.unit_name(sensitivity.unit)
        lines = [f"### How much the prompt matters: {_escape(group.heading(metric))}"]
        for name, noun, summaries in (
            ("prompt", "cells", sensitivity.by_prompt),
            ("model, method", "prompts", sensitivity.by_model),
        ):
            headings = [
                name,
                noun,
                f"mean {shown}",
                f"spread (SD) {wording.points(unit)}",
                f"lowest–highest {shown}",
            ]
            lines += ["", _line([*headings, "ranks"]), _line(["---", *["---:"] * 5])]
            for s in summaries:
                numbers = [wording.number(v, unit) for v in (s.mean, s.spread, s.low, s.high)]
                lines.append(_line([s.name, str(s.n), *numbers[:2], "–".join(numbers[2:]), wording.ranks(s.ranks)]))
        caption = "Rank 1 is best, among the models and methods that answered every prompt"
        caption += f"; {wording.agreement(sensitivity.agreement)}." if sensitivity.agreement else "."
        yield "\n".join([*lines, "", _escape(caption)])


def _ensembles(report: Report, group: Group) -> Iterator[str]:
    """What cells gain together, in each of the leading metrics."""
    group_ensembles = ensembles.ensembles(report)[group.task, group.split]
    for metric in differences.leading(group):
        if not (judged := group_ensembles.in_metric(metric)):
            continue
        unit = group.unit(metric)
        headings = ["over", "of", "members", "best member", f"best → together {wording.unit_name(unit)}"]
        lines = [
            f"### Cells together: {_escape(group.heading(metric))}",
            "",
            _line([*headings, f"gain {wording.points(unit)}", "in words"]),
            _line(["---", "---", "---:", "---", "---:", "---:", "---"]),
        ]
        for one, gain in judged:
            change = f"{wording.number(gain.value_best, unit)} → {wording.number(gain.value_ensemble, unit)}"
            number = wording.number(gain.difference, unit, signed=True)
            interval = wording.interval(gain.low, gain.high, unit, signed=True)
            names = [one.over, one.name, str(len(one.members)), gain.best_name]
            lines.append(_line([*names, change, f"{number} {interval}", gain.verdict]))
        more = f" {wording.fewer_ensembles(group_ensembles)}" if group_ensembles.left_out else ""
        yield "\n".join([*lines, "", _escape(wording.ensembles(group.kind, group_ensembles) + more)])


def _cost_table(report: Report) -> Iterator[str]:
    """What was spent, and which cells no other beats in both cost and score."""
    tradeoffs = [(group, one) for group in report.groups if (one := cost.tradeoff(report, group))]
    if not tradeoffs:
        return
    yield "\n".join(["## Cost against score", "", _escape(wording.cost(cost.of_sweep(report)))])
    rows, costs = {row.id: row for row in report.rows}, cost.of_cells(report)
    for group, tradeoff in tradeoffs:
        score = f"{group.heading(tradeoff.metric)} {wording.unit_name(tradeoff.metric_unit)}".rstrip()
        lines = [f"### {_escape(group.title)}: no other cell is both cheaper and better", ""]
        lines += [_line(["model", "prompt", "method", score, tradeoff.unit, "US dollars"])]
        lines += [_line(["---", "---", "---", "---:", "---:", "---:"])]
        for point in sorted((p for p in tradeoff.points if p.front), key=lambda p: p.hours):
            row, value = rows[point.id], wording.number(point.value, tradeoff.metric_unit)
            spent = [wording.amount(point.hours), wording.usd(costs[point.id].usd)]
            lines.append(_line([row.model, row.asked, row.label, value, *spent]))
        yield "\n".join(lines)
    yield _escape(wording.COST)


def _failures(report: Report) -> Iterator[str]:
    causes = failures.of_sweep(report)
    if not causes:
        return
    lines = ["## What ended early", "", _line(["cause", "attempts", "cells", "done since", "example", "what to do"])]
    lines += [_line(["---", "---:", "---:", "---:", "---", "---"])]
    for f in causes:
        counts = [str(n) for n in (f.attempts, f.cells, f.recovered)]
        lines.append(_line([f.cause, *counts, f"{f.example}, attempt {f.attempt}", f.remedy]))
    yield "\n".join(lines)


def write_markdown(report: Report, path: Path) -> None:
    """Write :func:`markdown_text` whole or not at all."""
    write_bytes(path, markdown_text(report).encode())


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    """Keep a name from becoming markup."""
    for character in "|<>[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")
