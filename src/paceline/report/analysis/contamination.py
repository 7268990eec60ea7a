"""The figures of cells without the test samples that are trained on too, as far as they were found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paceline.data import samples as prepared
from paceline.data import transfer_leakage
from paceline.errors import UserError
from paceline.store.files import read_jsonl
from paceline.tasks.metrics import aggregate
from paceline.tasks.panels import Table, TableColumn

if TYPE_CHECKING:
    from pathlib import Path

    from paceline.report.read.sweep_results import Group, Report, Row
    from paceline.tasks.answers import Answers
    from paceline.tasks.kind import Kind


def panel(report: Report, group: Group, metrics: list[str]) -> Table | None:
    """Each cell's leading figures over all samples, and over those that are not trained on.

    Args:
        report: the report.
        group: one split of one task.
        metrics: the figures.

    Returns:
        None where no sample of the split was found in the training data.
    """
    rows = []
    read: dict[Path | None, dict[str, set[str]]] = {}  # a thousand rows share a few files
    for row in group.rows:
        path = _named_in(report, row)
        if path not in read:
            read[path] = contaminated(path)
        left_out = read[path].get(group.split, set())
        answers = report.chosen(row, group.split) if left_out and group.kind.module else None
        kept = [i for i, sample in enumerate(answers.sample_ids) if sample not in left_out] if answers else []
        if answers is None or len(kept) == len(answers):
            continue
        clean = answers.take(kept)
        values: list[float | None] = []
        for name in metrics:
            stated = group.metric(row, name)
            values += [stated.value if stated else None, value_of(group.kind, clean, name)]
        named = f"{row.model} · {row.prompt} · {row.label}"
        rows.append((named, len(set(answers.sample_ids) & left_out), *values))
    if not rows:
        return None
    headings = [
        TableColumn(f"{group.heading(name)}{end}", group.unit(name), not group.lower_is_better(name))
        for name in metrics
        for end in ("", ", clean")
    ]
    return Table(
        "contamination",
        "Without contaminated samples",
        "Contamination",
        columns=(TableColumn("cell"), TableColumn("left out", "samples"), *headings),
        rows=tuple(rows),
        caption="Clean: without the samples that were found in the training data too, by bytes, pixels, looks "
        "(mirrored or turned ones among them) or words. Of weights tuned on another task, in that task's training "
        "data. What a model was pre-trained on is not known here.",
    )


def contaminated(path: Path | None) -> dict[str, set[str]]:
    """Split -> ids of the test samples that are trained on too, as a file names them; empty without a file."""
    found: dict[str, set[str]] = {}
    for twin in read_jsonl(path) if path and path.is_file() else ():
        found.setdefault(str(twin.get("split")), set()).add(str(twin.get("sample")))
    return found


def _named_in(report: Report, row: Row) -> Path | None:
    """The file that names them, by the data that a row's weights were tuned on; of an untuned model the task's own.

    None where the data is gone, or is another than the cells were made of.
    """
    root, task = report.store.root, report.tasks[row.task]
    if not report.manifests[row.task]:
        return None
    if not row.transfer:
        return prepared.dataset_folder(root, task, report.data[row.task]) / "leakage.jsonl"
    trained, digest = report.trained[row.trained_task]
    try:
        if prepared.data_digest(root, trained) != digest:
            return None
        return transfer_leakage.place(root, trained, task).with_suffix(".jsonl")
    except UserError:
        return None


def value_of(kind: Kind, answers: Answers, name: str) -> float | None:
    """One metric of some answers, without the resamples of an interval where it is a statistic of the set."""
    if not len(answers):
        return None
    metric = kind.metric(name)
    if metric.statistic != "set":
        value = aggregate(answers, [metric]).get(name, {}).get("value")
    else:
        hook = kind.get("resample")
        value = hook(answers, np.ones((1, len(answers))))[name][0] if hook else None
    return float(value) if value is not None and np.isfinite(value) else None
