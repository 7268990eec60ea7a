"""A report shows each cell's figures without the test samples that were found in its training data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import KIND, TASK, make_sweep, printed

from paceline import tasks
from paceline.data import samples as prepared
from paceline.report.analysis import contamination, differences
from paceline.report.page import page
from paceline.report.read.sweep_results import Report
from paceline.report.text import export
from paceline.store.files import read_jsonl, write_jsonl


def sweep(root: Path, *twins: dict[str, str]) -> Report:
    report = make_sweep(root, ("m",), ("p", "q", "r", "s"), ("untuned", "lora"), 20)
    write_jsonl(prepared.dataset_folder(root, TASK) / "leakage.jsonl", list(twins))
    return report


def twin(number: int, split: str = "test_near", kind: str = "looks") -> dict[str, str]:
    return {"split": split, "sample": f"location_{number:06d}", "kind": kind, "train": "x"}


def test_each_cell_has_its_figures_over_all_and_over_clean_samples(tmp_path: Path) -> None:
    named = [twin(0), twin(3, kind="turned"), twin(3, kind="words"), twin(7, kind="bytes"), twin(5, "elsewhere")]
    report = sweep(tmp_path, *named)
    near, far = report.groups
    metrics = differences.leading(near)
    panel = contamination.panel(report, near, metrics)
    assert panel is not None and contamination.panel(report, far, metrics) is None
    assert len(panel.rows) == len(near.rows)
    for row, (name, left_out, *values) in zip(near.rows, panel.rows, strict=True):
        assert name == f"m · {row.prompt} · {row.label}" and left_out == 3
        records = list(read_jsonl(report.store.cell(row.id).scores))[:20]
        kept = [r for r in records if r["sample"] not in {t["sample"] for t in named[:4]}]
        expected = KIND.aggregate(KIND.answers(kept))
        assert len(kept) == 17
        for metric, whole, clean in zip(metrics, values[::2], values[1::2], strict=True):
            stated = near.metric(row, metric)
            assert whole == (stated.value if stated else None)
            assert clean == pytest.approx(expected[metric]["value"])


def test_the_table_stands_in_page_terminal_and_export(tmp_path: Path) -> None:
    report = sweep(tmp_path, twin(0), twin(3))
    assert "Without contaminated samples" in page.html(report)
    assert "without contaminated samples" in printed(report, 160, everything=True)
    assert "ithout contaminated samples" in export.markdown_text(report)
    bare = sweep(tmp_path / "clean")
    assert "contaminated" not in page.html(bare)


def test_where_every_sample_is_trained_on_nothing_is_left(tmp_path: Path) -> None:
    report = sweep(tmp_path, *(twin(n) for n in range(20)))
    near = report.groups[0]
    panel = contamination.panel(report, near, differences.leading(near))
    assert panel is not None
    assert all(row[1] == 20 and row[3] is None for row in panel.rows)


def test_a_statistic_of_the_set_has_the_value_of_its_metric() -> None:
    kind = tasks.load("captioning")
    rng = np.random.default_rng(0)
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.kind import Answer, Answered, Part

    words = ["a", "dog", "cat", "runs", "on", "grass", "red", "ball", "two", "men"]
    task, prompt = TaskSpec("t", "captioning"), PromptSpec("p")
    answered = []
    for n in range(12):
        texts = [" ".join(rng.choice(words, 7)) for _ in range(3)]
        reading = kind.read(Answer(texts[0]), Part(), task, prompt)
        answered.append(Answered({"id": str(n), "references": texts[1:]}, Part(), reading))
    judged = kind.score(answered, task, prompt, None)
    records = [
        {"sample": str(n), "outcome": a.reading.outcome, "value": a.reading.value, "truth": j.truth,
         "scores": dict(j.scores), "details": dict(j.details)}
        for n, (a, j) in enumerate(zip(answered, judged, strict=True))
    ]  # fmt: skip
    answers = kind.answers(records)
    for name, metric in kind.aggregate(answers).items():
        expected = metric["value"]
        found = contamination.value_of(kind, answers, name)
        assert found == (pytest.approx(expected) if expected is not None else None), name
