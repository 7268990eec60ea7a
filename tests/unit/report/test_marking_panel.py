"""What people marked stands in every form of the report: how many, how far they agree, which cells differ."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import chromium
import pytest
from builders import check_golden, printed
from marked_sweep import NASTY, SAMPLES, again, answer, caption, make_sweep

from paceline import stats, tasks
from paceline.config.identity import identity_of
from paceline.config.schema import Config, ModelSpec, PromptSpec, TaskSpec
from paceline.data import samples as prepared
from paceline.report.analysis import differences
from paceline.report.consistency.published import read_table
from paceline.report.marking import answer_sheet, mark_files, sheet_page, sheet_return
from paceline.report.marking.marking_panel import Marking
from paceline.report.page import page
from paceline.report.read.sweep_results import Report
from paceline.report.text import export
from paceline.scoring.judge import judge
from paceline.store.cell_folder import Cell
from paceline.store.files import digest, write_json, write_jsonl
from paceline.store.root import Store

CRITERIA = ("accurate", "style")
STUDY = (7, 11, 14)
"""Acceptable of 20 captions: zero-shot, four examples, tuned."""
Say = Callable[[int, str], dict[str, bool]]


def marked(sweep: Report, marker: str, say: Say, n: int = 20) -> None:
    """Write the marks of a person into every cell: ``say(cell, sample)``."""
    for c, row in enumerate(sweep.rows):
        marks = {
            (sample, part, mark_files.answer_digest(text)): mark_files.Mark(say(c, sample))
            for (sample, part), text in answer_sheet.answers_of(sweep, row).items()
            if int(sample) < n
        }
        mark_files.write(mark_files.path_of(sweep.store.cell(row.id), marker), marks, CRITERIA)


def as_in_the_study(cell: int, sample: str) -> dict[str, bool]:
    return {"accurate": int(sample) < STUDY[cell] + 2, "style": int(sample) < STUDY[cell]}


def stricter(cell: int, sample: str) -> dict[str, bool]:
    return {**as_in_the_study(cell, sample), "style": int(sample) < STUDY[cell] - (2 if cell else 0)}


def panel_of(sweep: Report) -> Marking:
    (panel,) = [p for p in differences.panels(sweep, sweep.groups[0]) if isinstance(p, Marking)]
    return panel


@pytest.fixture
def sweep(tmp_path: Path) -> Report:
    return make_sweep(tmp_path / "root")


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The sweep, marked by two people."""
    made = make_sweep(tmp_path_factory.mktemp("twice"))
    marked(made, "anna", as_in_the_study)
    marked(made, "ben", stricter)
    return again(made.store)


def test_the_study_is_shown_with_its_counts_and_wilson_intervals(sweep: Report) -> None:
    marked(sweep, "anna", as_in_the_study)
    panel = panel_of(again(sweep.store))
    assert [cell.shares[-1].hits for cell in panel.cells] == list(STUDY)
    last = panel.cells[2].shares[-1]
    assert last.share == stats.wilson_interval(14, 20) and last.metric == "acceptable_accuracy"
    text = printed(again(sweep.store), 100, everything=True)
    assert "14 of 20" in text and "70 % [48–85]" in text
    assert not panel.agreement and {cell.marker for cell in panel.cells} == {"anna"}


def test_two_markers_are_joined_by_what_they_agree_on(twice: Report) -> None:
    panel = panel_of(twice)
    joined, anna, ben = panel.cells[6:9]
    assert (joined.marker, anna.marker, ben.marker) == ("", "anna", "ben")
    style, acceptable = joined.shares[1], joined.shares[2]
    assert (style.hits, style.share.n, style.disputed) == (12, 18, 2)
    assert (acceptable.hits, acceptable.share.n, acceptable.disputed) == (12, 18, 2)
    assert [one.shares[2].hits for one in (anna, ben)] == [14, 12]


def test_an_answer_that_cells_share_counts_once_in_kappa(twice: Report) -> None:
    panel = panel_of(twice)
    keys = {
        (q, mark_files.answer_digest(text))
        for row in twice.rows
        for q, text in answer_sheet.answers_of(twice, row).items()
        if int(q[0]) < 20
    }
    assert {one.n for one in panel.agreement} == {len(keys)} and len(keys) < 60
    assert [one.name for one in panel.agreement] == ["accurate", "style", "acceptable"]


def test_cells_are_compared_on_what_both_are_agreed_on_by_mcnemars_test(twice: Report) -> None:
    changes = panel_of(twice).changes
    assert len(changes) == 3
    first_to_last = changes[1]
    hits = [[int(s) < 7 for s in range(20)], [int(s) < 12 for s in range(20)]]
    common = [s for s in range(20) if s not in (12, 13)]
    raw = stats.mcnemar_exact(*([one[s] for s in common] for one in hits))
    assert first_to_last.n == 18 and (first_to_last.only_before, first_to_last.only_after) == (0, 5)
    assert first_to_last.p >= raw


def test_marks_of_older_answers_are_told_and_not_counted(sweep: Report) -> None:
    marked(sweep, "anna", as_in_the_study)
    third = sweep.rows[2]
    samples = list(sweep.samples["captions"].values())
    answer(sweep.store, sweep.store.cell(third.id).read(), samples, lambda i: caption(2, i) + (" !" if i < 5 else ""))
    panel = panel_of(again(sweep.store))
    assert (panel.cells[2].answers, panel.cells[2].outdated) == (15, 5)
    assert (panel.cells[2].shares[2].hits, panel.cells[2].shares[2].share.n) == (9, 15)
    assert "5 marks of answers that the cells no longer give: not counted." in panel.caption
    # The answers come back, and so do their marks.
    answer(sweep.store, sweep.store.cell(third.id).read(), samples, lambda i: caption(2, i))
    assert panel_of(again(sweep.store)).cells[2].answers == 20


def test_an_answer_that_is_not_marked_by_all_criteria_is_neither_acceptable_nor_not(sweep: Report) -> None:
    marked(sweep, "anna", lambda c, s: {"accurate": True} if int(s) < 4 else {"accurate": True, "style": False})
    cell = panel_of(again(sweep.store)).cells[0]
    assert [(one.hits, one.share.n) for one in cell.shares] == [(20, 20), (0, 16), (0, 16)]


def test_a_damaged_file_of_marks_is_told_and_the_rest_is_shown(sweep: Report) -> None:
    marked(sweep, "anna", as_in_the_study)
    marked(sweep, "ben", stricter)
    (sweep.store.cell(sweep.rows[0].id).marks / "ben.csv").write_text("sample,part,answer,style\na,,b,perhaps\n")
    panel = panel_of(again(sweep.store))
    assert "Not read: " in panel.caption and "row 2, style: 'perhaps' is neither yes" in panel.caption
    assert len(panel.cells) == 1 + 3 + 3


def test_a_sweep_that_nobody_marked_has_no_panel_and_says_how(sweep: Report) -> None:
    assert not [p for p in differences.panels(sweep, sweep.groups[0]) if isinstance(p, Marking)]
    assert "paceline marks sports --task captions --split test --out sheet.html" in page.html(sweep)


def test_the_terminals_section(twice: Report) -> None:
    text = printed(twice, 80, everything=True)
    start = text.index("captions · test · marked by hand")
    end = text.index("captions · test · no other cell") if "captions · test · no other cell" in text else None
    check_golden("marking_80.txt", text[start:end])


def test_every_form_of_the_report_has_it(twice: Report) -> None:
    markdown = export.markdown_text(twice)
    assert "### captions · test: Marked by hand" in markdown and "14 of 20, 70 % \\[48–85\\]" in markdown
    (record,) = export.as_json(twice)["marking"]
    assert record["cells"][7]["shares"][2]["hits"] == 14 and json.dumps(record)
    section = page.html(twice).partition('<section id="marking">')[2].partition("</section>")[0]
    assert "14 of 20" in section and "70 % [48–85]" in section and "Cohen's kappa" in section


def test_check_reads_the_share_by_the_name_that_tables_of_the_study_use(twice: Report, tmp_path: Path) -> None:
    export.write_csv(twice, tmp_path / "r.csv")
    rows = read_table(tmp_path / "r.csv").rows
    published = read_table(Path(__file__).parents[3] / "conf" / "published" / "sports.yaml").rows
    name = "acceptable_accuracy"
    assert [round(row.figures[name].value * (row.figures[name].n or 0)) for row in rows] == [7, 9, 12]
    assert [row.figures[name].n for row in published if name in row.figures] == [20, 20, 20]


# --- the page to mark on ---------------------------------------------------------------------------------------------


def write_page(sweep: Report, path: Path, references: bool = False) -> answer_sheet.AnswerSheet:
    group = answer_sheet.group_of(sweep)
    sheet = answer_sheet.build(sweep, group, group.rows, SAMPLES, 0, references)
    path.write_text(sheet_page.html(sweep, group, sheet, path.stem), encoding="utf-8")
    return sheet


def test_the_page_names_no_cell_and_runs_nothing_of_an_answer(sweep: Report, tmp_path: Path) -> None:
    row = sweep.rows[0]
    samples = list(sweep.samples["captions"].values())
    script = "</script><script>alert(1)</script>"
    answer(sweep.store, sweep.store.cell(row.id).read(), samples, lambda i: script)
    write_page(again(sweep.store), tmp_path / "s.html")
    text = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert text.count("<script") == 2 and "<script>alert" not in text
    for name in (row.id, row.model, row.prompt, "qlora", "untuned"):
        assert name not in text


@pytest.mark.skipif(not chromium.FOUND, reason="needs Chromium")
def test_marks_are_given_by_keys_kept_over_a_reload_and_saved_as_the_sheet(sweep: Report, tmp_path: Path) -> None:
    sheet = write_page(sweep, tmp_path / "s.html", references=True)
    with chromium.Chromium(tmp_path / "profile") as browser:
        browser.open(tmp_path / "s.html")

        def press(keys: str) -> None:
            for key in keys:
                browser.run(f"document.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))")

        press("yyynny")  # the first: yes, yes; the second: yes, no; the third: no, yes
        assert browser.run("document.getElementById('truth').open") is False
        browser.until("Object.keys(localStorage).length")
        browser.open(tmp_path / "s.html")
        assert browser.run("document.getElementById('told').textContent") == f"3 of {len(sheet.rows)} marked"
        press("y")
        browser.click("#back")
        browser.until("document.getElementById('place').textContent.startsWith('answer 3 ')")
        saved = browser.run("sheet.csv()")
        assert not browser.problems
        assert not [url for url in browser.requests if not url.startswith(("file:", "data:", "about:"))]
    (tmp_path / "saved.csv").write_text(saved, encoding="utf-8", newline="")
    returned = sheet_return.read(sweep, tmp_path / "saved.csv")
    assert (returned.answers, returned.partly) == (4, 1)
    rows = list(csv.DictReader(io.StringIO(saved.removeprefix("\ufeff"), newline="")))
    assert [(row["accurate"], row["style"]) for row in rows[:5]] == [
        ("yes", "yes"),
        ("yes", "no"),
        ("no", "yes"),
        ("yes", ""),
        ("", ""),
    ]
    blank = list(csv.DictReader(io.StringIO(sheet.csv().decode("utf-8-sig"), newline="")))
    told = [{k: v for k, v in row.items() if k not in CRITERIA} for row in rows]
    assert told == [{k: v for k, v in row.items() if k not in CRITERIA} for row in blank]
    assert any(row["answer"] == "'" + NASTY for row in rows)


# --- several questions about a sample --------------------------------------------------------------------------------

TWO_QUESTIONS = '''
"""Two questions about a sample, marked by one criterion."""

from paceline.tasks.kind import Criterion, Part
from paceline.tasks.metrics import Judged, Metric, Reading

FIELDS = {"truth": "the truth"}
METRICS = (Metric("right_share", score="right", hits=True),)
MARKS = (Criterion("complete", "Does it answer all of the question?"),)


def fields(sample, task):
    return {"truth": sample["id"]}


def parts(sample, task, prompt):
    return Part("what", "What is it?"), Part("where", f"Where is {sample['id']}?")


def read(answer, part, task, prompt):
    return Reading("parsed", answer.text)


def score(answers, task, prompt):
    return [Judged(a.sample["id"], {"right": True}) for a in answers]
'''


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Report]:
    """Two cells that answered two questions about each of 24 samples."""
    (tmp_path / "two_marked.py").write_text(TWO_QUESTIONS)
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    tasks.load.cache_clear()
    task = TaskSpec(name="pairs", kind="two_marked", reader="stamps", evaluate=["test"])
    store, ids = Store(tmp_path / "root"), []
    samples = [{"id": f"s{i}", "split": "test", "text": "x"} for i in range(24)]
    folder = prepared.dataset_folder(store.root, task)
    folder.mkdir(parents=True)
    write_jsonl(folder / "samples.jsonl", samples)
    write_json(
        folder / "manifest.json", {"schema": 1, "digest": digest("data"), "splits": {"test": 24}, "leaks": {"test": 0}}
    )
    for name in ("small", "large"):
        config = Config(model=ModelSpec(name=name), task=task, prompt=PromptSpec(name="p", text="{question}"))
        identity = {**identity_of(config, "evaluate"), "data": digest("data")}
        cell = Cell(f"evaluate-{name}-{digest(identity, 12)}", "evaluate", identity, ())
        store.cell(cell.id).freeze(cell)
        predictions = [
            {"sample": s["id"], "part": part, "text": f"{name} {part} {s['id']}"}
            for s in samples
            for part in ("what", "where")
        ]
        scores, metrics = judge(config, predictions, samples)
        at = store.cell(cell.id)
        attempt = at.new_attempt()
        write_jsonl(at.predictions, predictions)
        write_jsonl(at.scores, scores)
        write_json(at.metrics, metrics)
        at.publish(attempt, [at.predictions], {})
        ids.append(cell.id)
    record = {"schema": 1, "name": "sports", "experiment": "", "cells": ids, "dropped": [], "code": ""}
    write_json(store.sweep("sports").sweep_json, record)
    yield again(store)
    tasks.load.cache_clear()
    sys.modules.pop("paceline.tasks.two_marked", None)


def test_all_parts_of_a_sample_stand_on_the_sheet_and_are_not_taken_for_independent(
    questions: Report, tmp_path: Path
) -> None:
    group = answer_sheet.group_of(questions)
    sheet = answer_sheet.build(questions, group, group.rows, 22, 0)
    assert len(sheet.rows) == 2 * 2 * 22
    assert {row.question for row in sheet.rows if row.sample == "s3"} == {"What is it?", "Where is s3?"}
    rows = list(csv.DictReader(io.StringIO(sheet.csv().decode("utf-8-sig"), newline="")))
    for row in rows:
        row["complete"] = "yes" if "large" in row["answer"] or "what" in row["answer"] else "no"
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "s.csv").write_text(stream.getvalue(), encoding="utf-8", newline="")
    sheet_return.keep(questions, sheet_return.read(questions, tmp_path / "s.csv"), "anna")
    panel = panel_of(again(questions.store))
    small = panel.cells[0].shares[0]
    assert (small.hits, small.share.n) == (22, 44) and small.share != stats.wilson_interval(22, 44)
    assert small.share.low is None  # each sample has one of two: drawing samples changes nothing
    assert not panel.changes
