"""Weights tuned on one task and evaluated on another are reported as transfer, beside what the task has of its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from builders import SCHEMA, freeze, printed

from paceline import report
from paceline.config.schema import Config, GenerationSpec, MethodSpec, ModelSpec, PromptSpec, TaskSpec
from paceline.data import samples, transfer_leakage
from paceline.report.analysis import transfer
from paceline.report.page import page
from paceline.report.read import report_notes
from paceline.report.read.sweep_results import Report
from paceline.report.text import export, latex
from paceline.store.files import digest, write_json, write_jsonl
from paceline.store.root import Store

TASKS = {
    name: TaskSpec(name=name, kind="a_kind_of_another_checkout", reader="earth", options={"seed": n}, evaluate=["test"])
    for n, name in enumerate(["birds", "boats", "clouds", "a_task_with_a_long_name", "another_with_a_long_name"])
}


def answered(store: Store, config: Config, right: int, tuned: str = "") -> str:
    """An evaluate cell of ten answers, so many of them right."""
    cell = freeze(store, "evaluate", config, tuned)
    folder, attempt = store.cell(cell.id), store.cell(cell.id).new_attempt()
    write_jsonl(folder.predictions, [{"sample": str(i), "text": f"{cell.id}"} for i in range(10)])
    scored = {"outcome": "parsed", "value": "rowing", "truth": "golf"}
    write_jsonl(folder.scores, [{"sample": str(i), **scored, "scores": {"exact": i < right}} for i in range(10)])
    metric = {"value": right / 10, "low": right / 20, "high": 0.95, "n": 10, "unit": "share"}
    record = {"schema": SCHEMA, "scorer_digest": "", "samples": 10, "parsed": 10}
    write_json(folder.metrics, {**record, "metrics": {"exact_accuracy": metric}})
    folder.publish(attempt, [folder.predictions], {})
    return cell.id


def sweep_of(
    root: Path,
    pairs: Iterable[tuple[str, str]],
    prompts: tuple[str, ...] = ("asked",),
    ranks: tuple[int, ...] = (16,),
    untuned: bool = True,
) -> Report:
    """A sweep of (task tuned on, task evaluated); the more letters in both names, the more answers are right."""
    store, ids = Store(root), dict.fromkeys(list[str]())
    for trained, evaluated in pairs:
        for prompt in prompts:
            config = Config(
                model=ModelSpec(name="m", family="qwen2_vl"),
                task=TASKS[evaluated],
                prompt=PromptSpec(name=prompt, text="What is it?"),
                generation=GenerationSpec(name="greedy"),
            )
            if untuned:
                ids[answered(store, replace(config, method=MethodSpec(name="untuned")), 1)] = None
            for r in ranks:
                lora = MethodSpec(name="lora", trains="adapter", lora=replace(MethodSpec().lora, r=r))
                taught = replace(config, task=TASKS[trained], prompt=PromptSpec(name=f"for_{trained}"), method=lora)
                tuned = freeze(store, "finetune", taught)
                ids[tuned.id] = None
                right = 9 if trained == evaluated else 4
                ids[answered(store, replace(config, method=lora), right, tuned.id)] = None
    content = {"schema": SCHEMA, "name": "s", "experiment": "", "cells": list(ids), "dropped": [], "code": ""}
    write_json(store.sweep("s").sweep_json, content)
    return report.collect(store, store.sweep("s"))


BOTH = [("birds", "birds"), ("boats", "birds"), ("boats", "boats"), ("birds", "boats")]


def values(matrix: transfer.Matrix) -> dict[str, list[float | None]]:
    return {line.name: [p.metric.value if p else None for p in line.places] for line in matrix.lines}


def test_rows_are_tasks_tuned_on_and_columns_tasks_evaluated_beside_untuned_and_in_task(tmp_path: Path) -> None:
    (matrix,) = transfer.matrices(sweep_of(tmp_path, BOTH))
    assert (matrix.model, matrix.method) == ("m", "lora")
    assert [(c.group.task, c.group.split, c.metric) for c in matrix.columns] == [
        ("birds", "test", "exact_accuracy"),
        ("boats", "test", "exact_accuracy"),
    ]
    assert values(matrix) == {"untuned": [0.1, 0.1], "birds": [0.9, 0.4], "boats": [0.4, 0.9]}


def test_what_the_sweep_does_not_have_is_a_dash(tmp_path: Path) -> None:
    (matrix,) = transfer.matrices(sweep_of(tmp_path, [("boats", "birds"), ("boats", "clouds")], untuned=False))
    assert values(matrix) == {"boats": [0.4, 0.4]}
    (matrix,) = transfer.matrices(sweep_of(tmp_path / "2", [("boats", "birds"), ("clouds", "clouds")]))
    assert values(matrix) == {"untuned": [0.1, 0.1], "boats": [0.4, None], "clouds": [None, 0.9]}


def test_prompts_and_ways_of_tuning_are_kept_apart(tmp_path: Path) -> None:
    (matrix,) = transfer.matrices(sweep_of(tmp_path, BOTH[:2], prompts=("asked", "begged")))
    assert values(matrix) == {
        "untuned, asked": [0.1],
        "untuned, begged": [0.1],
        "birds, trained on for_birds, asked asked": [0.9],
        "birds, trained on for_birds, asked begged": [0.9],
        "boats, trained on for_boats, asked asked": [0.4],
        "boats, trained on for_boats, asked begged": [0.4],
    }
    found = transfer.matrices(sweep_of(tmp_path / "2", BOTH, ranks=(8, 16)))
    assert [m.method for m in found] == ["lora (r=8)", "lora (r=16)"]
    assert all(values(m) == {"untuned": [0.1, 0.1], "birds": [0.9, 0.4], "boats": [0.4, 0.9]} for m in found)


def test_every_table_says_that_a_cell_was_tuned_elsewhere(tmp_path: Path) -> None:
    found = sweep_of(tmp_path, [("boats", "birds")])
    assert [row.label for row in found.rows] == ["untuned", "lora (train.task=boats)"]
    assert [(row.trained_task, row.transfer) for row in found.rows] == [("", False), ("boats", True)]
    assert "lora (train.task=boats)" in printed(found, 100)


def test_terminal_page_and_exports_have_the_table_with_intervals_and_denominators(tmp_path: Path) -> None:
    found = sweep_of(tmp_path, BOTH)
    shown = printed(found, 100)
    assert "Transfer · m · lora" in shown
    line = next(x for x in shown.partition("Transfer")[2].splitlines() if x.split()[:1] == ["boats"])
    assert line.split() == ["boats", "40.0", "[20.0–95.0]", "90.0", "[45.0–95.0]"]
    assert "n = 10 per cell" in " ".join(shown.partition("Transfer")[2].split())
    text = export.markdown_text(found).partition("## Transfer: m, lora")[2]
    assert "| birds | 90.0 \\[45.0–95.0\\] | 40.0 \\[20.0–95.0\\] |" in text
    assert "n = 10 per cell" in text
    tex = latex.latex_text(found).partition("transfer, m, lora")[2]
    assert r"boats & 40.0 & 90.0 \\" in tex
    assert r"{\scriptsize {[}20.0--95.0{]}}" in tex
    html = page.html(found)
    section = html.partition('<section id="transfer">')[2].partition("</section>")[0]
    assert section.count('class="n own"') == 2
    assert "[20.0–95.0]" in section
    assert 'title="asked, n = 10"' in section
    assert '<a href="#transfer">Transfer</a>' in html
    rows = list(csv.DictReader(io.StringIO(export.csv_text(found))))
    assert {(r["trained_task"], r["task"], r["value"]) for r in rows} == {
        ("", "birds", "0.1"),
        ("", "boats", "0.1"),
        ("birds", "birds", "0.9"),
        ("boats", "birds", "0.4"),
        ("boats", "boats", "0.9"),
        ("birds", "boats", "0.4"),
    }
    records = export.as_json(found)["transfer"]
    assert len(records) == 6
    assert {k: records[2][k] for k in ("trained_task", "task", "split", "value", "low", "high", "n", "unit")} == {
        "trained_task": "birds",
        "task": "birds",
        "split": "test",
        "value": 0.9,
        "low": 0.45,
        "high": 0.95,
        "n": 10,
        "unit": "share",
    }


def test_a_sweep_without_transfer_has_no_such_table(tmp_path: Path) -> None:
    found = sweep_of(tmp_path, [("birds", "birds"), ("boats", "boats")])
    assert transfer.matrices(found) == ()
    assert "ransfer" not in printed(found, 100) + export.markdown_text(found) + latex.latex_text(found)
    assert 'id="transfer"' not in page.html(found)


def test_no_figure_is_cut_where_a_terminal_is_narrow(tmp_path: Path) -> None:
    found = sweep_of(tmp_path, [("birds", name) for name in TASKS])
    shown = printed(found, 80).partition("Transfer")[2].partition("Note:")[0]
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    assert all(name in shown for name in TASKS)
    assert shown.count("40.0 [20.0–95.0]") == 4


@pytest.mark.parametrize("kinds", [{"bytes": 2, "pixels": 0, "looks": 0}, {"bytes": 0, "pixels": 0, "looks": 3}, {}])
def test_notes_say_what_is_tested_and_trained_on(kinds: dict[str, int], tmp_path: Path) -> None:
    found = sweep_of(tmp_path, [("boats", "birds")])
    notes = "\n".join(report_notes.notes(found))
    assert "Weights tuned on one task answer another in 1 of 2 cells (boats → birds)." in notes
    assert "not known here; run: paceline prepare task=birds train.task=boats" in notes
    for name in ("birds", "boats"):
        folder = samples.dataset_folder(tmp_path, TASKS[name])
        folder.mkdir(parents=True)
        write_json(folder / "manifest.json", {"digest": digest("data"), "splits": {"train": 0, "test": 0}})
        write_jsonl(folder / "samples.jsonl", [])
    path = transfer_leakage.place(tmp_path, TASKS["boats"], TASKS["birds"])
    path.parent.mkdir()
    write_json(path, {"splits": {"test": kinds}})
    notes = "\n".join(report_notes.notes(report.collect(found.store, found.store.sweep("s"))))
    assert "not known here" not in notes
    assert ("2 images of test are also in train of boats, byte for byte; its figures flatter" in notes) == (
        kinds.get("bytes") == 2
    )
    assert ("3 images of test look like an image of train of boats" in notes) == (kinds.get("looks") == 3)
    # Data that was prepared anew is other data than the cells were tuned on.
    manifest = samples.dataset_folder(tmp_path, TASKS["boats"]) / "manifest.json"
    write_json(manifest, {"digest": digest("other"), "splits": {"train": 0}})
    assert "not known here" in "\n".join(report_notes.notes(report.collect(found.store, found.store.sweep("s"))))
