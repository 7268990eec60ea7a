"""People and judges say why an answer is wrong: one of several choices on the sheet, a share of each in the report."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import chromium
import numpy as np
import pytest
from builders import printed
from hypothesis import given, settings
from hypothesis import strategies as st
from marked_sweep import again, answer, make_samples

from paceline import stats, tasks
from paceline.config.identity import identity_of
from paceline.config.schema import Config, ModelSpec, PromptSpec, TaskSpec
from paceline.data.readers import Complete, Sample, Skipped, marking_sheet
from paceline.errors import UserError
from paceline.report.analysis import differences
from paceline.report.marking import answer_sheet, kappa, sheet_page, sheet_return
from paceline.report.marking.marking_panel import Marking
from paceline.report.page import page
from paceline.report.read.sweep_results import Report
from paceline.report.text import export
from paceline.store.cell_folder import Cell
from paceline.store.files import SCHEMA, digest, write_json, write_jsonl
from paceline.store.root import Store
from paceline.tasks import failure_judge
from paceline.tasks.failure_kinds import FAILURE
from paceline.tasks.kind import Answer, Answered
from paceline.tasks.questions import Part

TASK = TaskSpec(name="captions", kind="vqa", reader="stamps", evaluate=["test"])
Paceline = Callable[..., tuple[int, str, str]]
KINDS = tuple(FAILURE.choices)


def sport_answer(cell: int, number: int) -> str:
    """The first model is right on a third of the pictures, the second on all but one."""
    return "rowing" if number % 3 == 0 or (cell and number != 1) else f"golf {cell}"


@pytest.fixture
def sweep(tmp_path: Path) -> Report:
    """Two cells that named the sport on 24 pictures."""
    store, ids = Store(tmp_path / "root"), []
    samples = make_samples(store.root, task=TASK)
    samples = [{**s, "question": "Which sport?", "answers": ["rowing"]} for s in samples]
    write_jsonl(next(store.root.rglob("samples.jsonl")), samples)
    for c, name in enumerate(("small", "large")):
        config = Config(model=ModelSpec(name=name), task=TASK, prompt=PromptSpec(name="p", text="{question}"))
        identity = {**identity_of(config, "evaluate"), "data": digest("data")}
        cell = Cell(f"evaluate-{name}-{digest(identity, 12)}", "evaluate", identity, ())
        store.cell(cell.id).freeze(cell)
        answer(store, cell, samples, lambda i, c=c: sport_answer(c, i))
        ids.append(cell.id)
    content = {"schema": SCHEMA, "name": "sports", "experiment": "", "overrides": [], "cells": ids, "dropped": []}
    write_json(
        store.sweep("sports").sweep_json, {**content, "placements": [{}], "placed": dict.fromkeys(ids, 0), "code": ""}
    )
    return again(store)


def sheet_of(sweep: Report, **options: bool) -> answer_sheet.AnswerSheet:
    group = answer_sheet.group_of(sweep)
    return answer_sheet.build(sweep, group, group.rows, 24, 0, **options)


def filled(sheet: answer_sheet.AnswerSheet, path: Path, says: Callable[[str], str]) -> Path:
    """The sheet with a kind of failure for each answer."""
    rows = list(csv.DictReader(io.StringIO(sheet.csv().decode("utf-8-sig"), newline="")))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "failure": says(row["answer"])} for row in rows)
    return path


def panel_of(sweep: Report) -> Marking:
    (panel,) = [p for p in differences.panels(sweep, sweep.groups[0]) if isinstance(p, Marking)]
    return panel


def marked_by(sweep: Report, name: str, path: Path, says: Callable[[str], str]) -> Report:
    sheet_return.keep(sweep, sheet_return.read(sweep, filled(sheet_of(sweep), path, says)), name)
    return again(sweep.store)


def test_a_kind_that_tells_right_from_wrong_has_a_sheet_with_the_right_answers(sweep: Report) -> None:
    sheet = sheet_of(sweep)
    assert [c.name for c in sheet.criteria] == ["failure"] and sheet.references
    assert {row.references for row in sheet.rows} == {"rowing"}


def test_a_sheet_of_wrong_answers_leaves_out_right_ones_alone(sweep: Report) -> None:
    assert {row.answer for row in sheet_of(sweep, wrong=True).rows} == {"golf 0", "golf 1"}
    assert {row.answer for row in sheet_of(sweep).rows} == {"golf 0", "golf 1", "rowing"}


def test_shares_of_each_kind_stand_in_every_form_of_the_report(sweep: Report, tmp_path: Path) -> None:
    sweep = marked_by(sweep, "anna", tmp_path / "a.csv", lambda said: "none" if said == "rowing" else "perception")
    small, large = panel_of(sweep).cells
    by_name = {share.name: share for share in small.shares}
    assert list(by_name) == list(KINDS)
    assert (by_name["none"].hits, by_name["perception"].hits, by_name["text"].hits) == (8, 16, 0)
    assert by_name["perception"].share == stats.wilson_interval(16, 24)
    assert sum(share.hits for share in large.shares) == 24
    assert not panel_of(sweep).changes
    text = printed(sweep, 200, everything=True)
    assert "perception" in text and "16 of 24" in text and "acceptable" not in text
    section = page.html(sweep).partition('<section id="marking">')[2].partition("</section>")[0]
    assert "16 of 24" in section and "perception" in section
    assert "16 of 24" in export.markdown_text(sweep)
    rows = list(csv.DictReader(io.StringIO(export.csv_text(sweep))))
    share = next(row for row in rows if row["metric"] == "marked_failure_perception_share" and row["model"] == "small")
    assert float(share["value"]) == pytest.approx(16 / 24)


def test_two_markers_agree_by_cohens_kappa_over_the_kinds(sweep: Report, tmp_path: Path) -> None:
    sweep = marked_by(sweep, "anna", tmp_path / "a.csv", lambda said: "none" if said == "rowing" else "perception")
    sweep = marked_by(sweep, "ben", tmp_path / "b.csv", lambda said: {"rowing": "none"}.get(said, "knowledge"))
    panel = panel_of(sweep)
    (agreement,) = panel.agreement
    assert agreement.name == "failure" and agreement.n > agreement.equal
    joined = {share.name: share for share in panel.cells[0].shares}
    assert (joined["none"].hits, joined["none"].share.n, joined["none"].disputed) == (8, 8, 16)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)), min_size=1, max_size=60))
def test_kappa_of_choices_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    a, b = (np.array([pair[i] for pair in pairs]) for i in (0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = cohen_kappa_score(a, b)
    one = kappa.cohen_kappa(a, b, np.arange(len(a)))
    if np.isnan(expected):
        assert one.value is None and one.why == f"undefined: both say {a[0]} to all"
    else:
        assert one.value == pytest.approx(expected, abs=1e-12)


def test_another_word_is_refused_with_those_there_are(sweep: Report, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="failure: 'percption' is none of none, reasons, perception") as error:
        sheet_return.read(sweep, filled(sheet_of(sweep), tmp_path / "a.csv", lambda said: "percption"))
    assert "nothing was kept" in str(error.value)


@pytest.mark.skipif(not chromium.FOUND, reason="needs Chromium")
def test_kinds_are_chosen_by_digits_on_the_page(sweep: Report, tmp_path: Path) -> None:
    sheet = sheet_of(sweep)
    group = answer_sheet.group_of(sweep)
    (tmp_path / "s.html").write_text(sheet_page.html(sweep, group, sheet, "s"), encoding="utf-8")
    with chromium.Chromium(tmp_path / "profile") as browser:
        browser.open(tmp_path / "s.html")
        assert browser.run("document.getElementById('truth').open") is True
        for key in "39y1":  # the ninth of seven, and yes, are no choices
            browser.run(f"document.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))")
        assert browser.run("document.getElementById('told').textContent") == f"2 of {len(sheet.rows)} marked"
        saved = browser.run("sheet.csv()")
        assert not browser.problems
    rows = list(csv.DictReader(io.StringIO(saved.removeprefix("\ufeff"), newline="")))
    assert [row["failure"] for row in rows[:3]] == ["perception", "none", ""]


# --- a model as the judge --------------------------------------------------------------------------------------------


def read_sheet(path: Path) -> list[Sample | Skipped]:
    options = marking_sheet.Options(path=str(path))
    return list(marking_sheet.read(options, path.parent, lambda *_: None, Complete(failure_judge.complete)))


def test_a_question_shows_the_choices_whose_letters_an_answer_may_name() -> None:
    part = Part(text="Which landmark?", choices=("dam", "mosque"))
    assert answer_sheet.asked(part, True) == "Which landmark?\nA. dam\nB. mosque"
    assert answer_sheet.asked(part, False) == "Which landmark?"


def test_a_judge_reads_the_sheet_and_what_people_marked(sweep: Report, tmp_path: Path) -> None:
    path = filled(sheet_of(sweep), tmp_path / "a.csv", lambda said: "" if said == "rowing" else "Reasoning")
    samples = read_sheet(path)
    assert len(samples) == len(sheet_of(sweep).rows) and all(isinstance(one, Sample) for one in samples)
    wrong = [one for one in samples if isinstance(one, Sample) and one.fields["judged"] != "rowing"]
    assert wrong[0].fields["failure"] == "reasoning" and wrong[0].fields["references"] == "rowing"
    assert wrong[0].image is not None and wrong[0].image.exists()


def test_a_judges_choices_go_back_as_a_filled_sheet(sweep: Report, tmp_path: Path, command_line: Paceline) -> None:
    sheet = sheet_of(sweep)
    (tmp_path / "sheet.csv").write_bytes(sheet.csv())
    kind, task = tasks.load("failure_judge"), TaskSpec(name="failure_judge", kind="failure_judge")
    prompt = PromptSpec(name="failure_kind", text="{asked} {failures}")
    answered = []
    for one in read_sheet(tmp_path / "sheet.csv"):
        assert isinstance(one, Sample)
        sample = {"id": one.id, **one.fields}
        (part,) = kind.parts(sample, task, prompt)
        said = "It is none." if one.fields["judged"] == "rowing" else "**Knowledge**"
        answered.append(Answered(sample, part, kind.read(Answer(said), part, task, prompt)))
    judged = kind.score(answered, task, prompt)
    records = [
        {"sample": a.sample["id"], "outcome": a.reading.outcome, "value": a.reading.value, "scores": dict(j.scores)}
        for a, j in zip(answered, judged, strict=True)
    ]
    answers = kind.answers(records)
    assert kind.aggregate(answers)["knowledge_share"]["value"] == pytest.approx(17 / 40)
    assert "accuracy" not in kind.aggregate(answers)

    class Cell:
        id, name = "evaluate-judge", "judge"

    Cell.answers = answers  # type: ignore[attr-defined]
    (tmp_path / "judged.csv").write_text(failure_judge._filled(Cell).decode(), encoding="utf-8")  # type: ignore[arg-type]
    code, told, err = command_line("marks", "sports", "--read", str(tmp_path / "judged.csv"), "--marker", "judge-m")
    assert code == 0 and "marked by judge-m" in told, err
    shares = {share.name: share for share in panel_of(again(sweep.store)).cells[0].shares}
    assert (shares["none"].hits, shares["knowledge"].hits) == (8, 16)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"references": ""}, "no right answer in the column references"),
        ({"failure": "luck"}, "a mark that is no kind of failure"),
    ],
)
def test_rows_that_can_not_be_judged_are_skipped_by_reason(change: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        failure_judge.complete({"question": "", "answer": "golf", "references": "rowing", **change})


def test_a_judge_without_a_sheet_is_told_how_to_get_one() -> None:
    with pytest.raises(UserError, match=r"paceline marks SWEEP --references --out FILE\.csv"):
        list(marking_sheet.read(marking_sheet.Options(), Path(), lambda *_: None, Complete(failure_judge.complete)))
