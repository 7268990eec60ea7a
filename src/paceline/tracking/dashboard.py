"""The W&B workspace of a sweep, as plain values: what it shows, in which order, and the tables that its charts read.

One definition for every sweep, built from its report. Training curves, scores and costs are the runs' own and grow with
them; what W&B can't put together from runs (model against prompt, intervals, cells without a run) stands in tables that
are the report's, as of the moment when they were made. :mod:`paceline.tracking.wandb_workspace` turns it into W&B's
form.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from paceline.counted import counted
from paceline.errors import Unavailable, UserError
from paceline.report.analysis import differences
from paceline.report.read.sweep_results import Group, Report, Row
from paceline.store.cell_folder import CellFolder
from paceline.store.files import SCHEMA, read_json, write_json
from paceline.store.root import Store, SweepFolder
from paceline.sweep.status import STATE_NAMES
from paceline.tracking import sync

WORKSPACES = [*sync.PYTHON, "paceline.tracking.wandb_workspace"]
COSTS = {"cost/gpu_hours": "GPU-hours", "cost/hours": "hours"}
CURVES = {
    "Loss": ["loss"],
    "Validation loss": ["validation_loss"],
    "Learning rate": ["learning_rate"],
    "Gradient norm": ["grad_norm"],
    "Samples per second": ["samples_per_second"],
    "Tokens per second": ["tokens_per_second"],
    "GPU memory, GiB": ["cuda_gib", "cuda_peak_gib"],
    "Host memory, GiB": ["host_gib"],
}


def define(report: Report, store: Store, sweep: SweepFolder) -> dict[str, Any]:
    """The dashboard of a sweep.

    Returns:
        ``{sweep, title, project, entity, others, tables: {key: {columns, rows}}, sections: [{name, panels}]}``. The
        runs are those of the group ``sweep``, and of the cells ``others``, which another sweep ran first.

    Raises:
        UserError: no cell of it was tracked with W&B, or cells went to several projects.
    """
    folders = [store.cell(cell) for cell in sweep.read()["cells"]]
    kept = [read_json(folder.tracking) for folder in folders if folder.tracking.exists()]
    places = Counter((str(k.get("entity", "")), str(k["project"])) for k in kept if "run_id" in k)
    if not places:
        raise UserError(f"no cell of sweep '{sweep.name}' was tracked with W&B; submit it with tracking=wandb")
    if len(places) > 1:
        project_names = ", ".join(sorted(f"{entity}/{project}".lstrip("/") for entity, project in places))
        raise UserError(
            f"the runs of sweep '{sweep.name}' lie in several W&B projects ({project_names}); a workspace shows one"
        )
    ((entity, project),) = places
    tables = {_key(group): _results(report, group) for group in report.groups}
    tables["failures"] = _failures(report)
    pictures = list(dict.fromkeys(key for kind in report.kinds.values() for key in kind.pictures))
    cost = _cost(report)
    return {
        "sweep": sweep.name,
        "title": f"paceline: {sweep.name}",
        "entity": entity,
        "project": project,
        "others": [folder.id for folder in folders if _group(folder) not in ("", sweep.name)],
        "cells": report.cells,
        "tables": tables,
        "sections": [
            *({"name": group.title, "panels": list(_compared(group, cost))} for group in report.groups),
            {"name": "Failures", "panels": list(_failed(report))},
            {
                "name": "Answers",
                "panels": [
                    {"kind": "table", "key": "predictions"},
                    *([{"kind": "media", "title": "Truth and answer", "keys": pictures}] if pictures else []),
                ],
            },
            {
                "name": "Training",
                "panels": [{"kind": "lines", "title": title, "keys": keys} for title, keys in CURVES.items()],
            },
        ],
    }


def show(definition: Mapping[str, Any]) -> dict[str, Any]:
    """W&B's own form of a dashboard, as it would be sent. Makes no request.

    Raises:
        UserError: the package wandb-workspaces is not installed.
    """
    return dict(_ask({"definition": definition, "save": False})["view"])


def save(definition: Mapping[str, Any], sweep: SweepFolder) -> dict[str, Any]:
    """Make the workspace in W&B, or bring the one that was made before up to date.

    Returns:
        ``{schema, run_id, view, view_id, url, charts}``, as kept in the sweep's ``tracking.dashboard.json``.

    Raises:
        UserError: no key of W&B, one that it refuses, or the package wandb-workspaces is not installed.
        Unavailable: W&B can't be reached.
    """
    path = sweep.path / "dashboard.json"
    before = read_json(path) if path.exists() else {}
    saved = _ask({"definition": definition, "save": True, "before": before})["saved"]
    record = {"schema": SCHEMA, **saved}
    write_json(path, record)
    return record


def _ask(question: Mapping[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    with sync.sdk_process(WORKSPACES) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            answer = json.loads(line)
            sync.check_end(answer)
        if not answer:
            raise Unavailable(f"W&B's SDK ended with {process.wait()} and no answer; try again")
    return answer


def _group(folder: CellFolder) -> str:
    """The group of a cell's run: the sweep of its first attempt."""
    for attempt in folder.attempts():
        return str((attempt.start() or {}).get("sweep", ""))
    return ""


def _key(group: Group) -> str:
    return f"results/{group.task}/{group.split}"


def _results(report: Report, group: Group) -> dict[str, Any]:
    """One row a cell, as in the report: values that it lacks are null."""
    names = [name for metric in group.headline for name in (metric, f"{metric}_low", f"{metric}_high")]
    rows = []
    for row in group.rows:
        metrics = row.of(group.split)
        headline = [metrics.get(metric) for metric in group.headline]
        numbers = [getattr(m, part) if m else None for m in headline for part in ("value", "low", "high")]
        rows.append([row.id, row.model, row.prompt, row.label, _tuned(row), *numbers])
    return {"columns": ["cell", "model", "prompt", "method", "weights", *names], "rows": rows}


def _tuned(row: Row) -> str:
    return "tuned" if row.tuned else "untuned"


def _compared(group: Group, cost: str) -> Iterator[dict[str, Any]]:
    """Panels of the leading metrics. ``cost`` is the name that runs give to what they took."""
    prefix = f"{group.split}/" if len(group.rows[0].splits) > 1 else ""
    for metric in differences.leading(group):
        unit = group.unit(metric)  # as the numbers are, which the page shows in per cent
        title = f"{group.heading(metric)}, {unit}" if unit else group.heading(metric)
        lower = group.lower_is_better(metric)
        better = "lower is better" if lower else "higher is better"
        chart = {"table": _key(group), "metric": metric}
        yield {"kind": "heat map", "title": f"{title}: model × prompt ({better})", **chart}
        yield {"kind": "intervals", "title": f"{title}: untuned against tuned, with intervals", **chart}
        yield {"kind": "bars", "title": f"{title}: mean by method", "key": prefix + metric, "by": "method.name"}
        yield {"kind": "scatter", "title": f"{title} against {COSTS[cost]}", "x": cost, "y": prefix + metric}


def _cost(report: Report) -> str:
    """GPU-hours where GPUs were held, else hours."""
    attempts = (attempt for row in report.done for attempt in report.store.cell(row.id).attempts())
    held = any((attempt.end() or {}).get("gpu_seconds") for attempt in attempts)
    return "cost/gpu_hours" if held else "cost/hours"


def _failures(report: Report) -> dict[str, Any]:
    columns = ["cell", "kind", "state", "cause", "message", "attempts"]
    return {
        "columns": columns,
        "rows": [[m.id, m.kind, m.state, m.cause, m.message, m.attempts] for m in report.missing],
    }


def _failed(report: Report) -> list[dict[str, Any]]:
    causes = Counter(m.cause or STATE_NAMES.get(m.state, m.state) for m in report.missing)
    counts = ", ".join(f"{n} × {cause}" for cause, n in causes.most_common()) or "none"
    text = f"**{len(report.missing)} of {counted(report.cells, 'cell')} without a result**: {counts}"
    return [{"kind": "text", "text": text}, *([{"kind": "table", "key": "failures"}] if report.missing else [])]
