"""What results came from: the code, the versions and the machine of each cell's last attempt, and its scorer."""

from __future__ import annotations

from typing import Any

from paceline.errors import UserError
from paceline.report.read.sweep_results import Report
from paceline.store.files import canonical, read_json


def as_json(report: Report) -> dict[str, Any]:
    """Plain values: the sweep's overrides, code and data, and what each evaluate cell with a result ran on.

    Many cells share what they ran on, so ``runs`` holds each once and ``cells`` says which: cell -> its place there.
    """
    record = report.store.sweep(report.sweep).read()
    runs: dict[str, int] = {}
    cells: dict[str, int] = {}
    listed: list[dict[str, Any]] = []
    for row in report.done:
        run = of_cell(report, row.id)
        key = canonical(run)
        if key not in runs:
            runs[key] = len(listed)
            listed.append(run)
        cells[row.id] = runs[key]
    data = {
        task: {"digest": digest, "splits": report.manifests[task].get("splits", {}), "limit": report.limits[task]}
        for task, digest in report.data.items()
    }
    return {
        "overrides": list(record.get("overrides", [])),
        "code": report.code,
        "data": data,
        "runs": listed,
        "cells": cells,
    }


def of_cell(report: Report, cell: str) -> dict[str, Any]:
    """``{scorer, host, code, versions, gpus, …}`` of a cell with a result, as far as its files record it."""
    folder = report.store.cell(cell)
    record: dict[str, Any] = {"scorer": scorer(report, cell)}
    attempts = folder.attempts()
    try:
        start = (attempts[-1].start() or {}) if attempts else {}
    except UserError:  # damaged, and no reason to hold a report back
        start = {}
    return {**record, **({"host": start["host"]} if "host" in start else {}), **start.get("provenance", {})}


def scorer(report: Report, cell: str) -> str:
    """Digest of the scorer that wrote the cell's metrics; empty where they do not record it."""
    try:
        return str(read_json(report.store.cell(cell).metrics).get("scorer_digest", ""))
    except (UserError, AttributeError):
        return ""


def code(run: dict[str, Any]) -> str:
    """The code that an attempt ran: its snapshot's digest, else its commit; empty where it is not known."""
    recorded = run.get("code") or {}
    return str(recorded.get("digest") or recorded.get("commit") or "")
