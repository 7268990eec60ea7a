"""Sheets for marking by hand: blind on the way out, checked on the way in, and nothing of people's work is lost."""

from __future__ import annotations

import csv
import io
import itertools
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from builders import make_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from marked_sweep import NASTY, SAMPLES, again, answer, caption, make_sweep

from paceline.errors import UserError
from paceline.report.marking import answer_sheet, kappa, mark_files, sheet_return
from paceline.report.marking.answer_sheet import AnswerSheet
from paceline.report.read.sweep_results import Report
from paceline.store.files import read_jsonl
from paceline.store.root import Store
from paceline.store.spreadsheet import csv_bytes, plain, read_lines, safe
from paceline.tasks.kind import images_of

Paceline = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "root"
    make_sweep(root)
    return root


@pytest.fixture
def sweep(made: Path, tmp_path: Path) -> Report:
    shutil.copytree(made, tmp_path / "root")
    return again(Store(tmp_path / "root"))


def sheet_of(sweep: Report, n: int = 20, seed: int = 0, **options: object) -> AnswerSheet:
    group = answer_sheet.group_of(sweep)
    return answer_sheet.build(sweep, group, group.rows, n, seed, **options)  # type: ignore[arg-type]


def filled(sheet: AnswerSheet, verdicts: Callable[[dict[str, str]], Mapping[str, str]]) -> list[dict[str, str]]:
    """The rows of a sheet as a person fills them in."""
    rows = list(csv.DictReader(io.StringIO(sheet.csv().decode("utf-8-sig"), newline="")))
    return [{**row, **verdicts(row)} for row in rows]


def write(path: Path, rows: list[dict[str, str]], separator: str = ",", encoding: str = "utf-8-sig") -> Path:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(stream.getvalue().encode(encoding))
    return path


def by_answer(row: dict[str, str]) -> dict[str, str]:
    """Accurate are the third cell's captions and some more; the style of all is good but for every seventh."""
    number = sum(map(ord, row["answer"]))
    return {
        "accurate": "yes" if "Three" in row["answer"] or number % 2 else "no",
        "style": "no" if not number % 7 else "x",
    }


def tree(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file() and "asked" not in p.parts}


# --- CSV -------------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
STARTS = st.sampled_from(["", "=", "+", "-", "@", "\t=", " =", "'", "''=", "\r\n", "＝", '"', ";", ","])


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.builds(str.__add__, STARTS, TEXTS)] * 2), min_size=1, max_size=5))
def test_any_text_comes_back_as_it_went_out(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple]) -> None:
    path = tmp_path_factory.getbasetemp() / "round.csv"
    path.write_bytes(csv_bytes(["key", "answer", "end"], [[*row, "x"] for row in rows]))
    _, lines = read_lines(path, ["key"])
    assert [(plain(line.cells["key"]), plain(line.cells["answer"])) for line in lines] == rows


@settings(deadline=None)
@given(st.builds(str.__add__, STARTS, TEXTS))
def test_no_cell_begins_as_a_formula(text: str) -> None:
    assert safe(text).lstrip()[:1] not in set("=+-@＝＋－＠")
    assert plain(safe(text)) == text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("key,a\n".encode("utf-16"), "is UTF-16 text; save it as 'CSV UTF-8'"),
        ("key,a\n".encode("utf-16-le"), "is UTF-16 text"),
        ("key,a\nrow,\xe9\n".encode("latin-1"), "is no UTF-8 text (line 2); save it as 'CSV UTF-8'"),
        (b"PK\x03\x04...", "is a workbook"),
        (b"<!doctype html>", "is a page, no CSV; open it in a browser"),
        (b'key,a\n"never closed', "no CSV"),
        (b"", "no column 'key'"),
        (b"name,a\n", "no column 'key' in its first row (columns: name, a)"),
        (b"key,a,a\n", "the column 'a' stands twice"),
        (b"key,a\nrow,1,2\n", "row 2 has more cells than the header"),
    ],
)
def test_a_file_that_is_no_sheet_is_refused_with_the_remedy(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "s.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"s\.csv") as error:
        read_lines(tmp_path / "s.csv", ["key"])
    assert said in str(error.value)


# --- the sheet -------------------------------------------------------------------------------------------------------


def test_a_sheet_holds_the_same_samples_of_every_cell_and_equal_answers_once(sweep: Report) -> None:
    rows = sheet_of(sweep).rows
    samples = {row.sample for row in rows}
    assert len(samples) == 20 and len({row.key for row in rows}) == len(rows)
    for row in sweep.rows:
        answers = answer_sheet.answers_of(sweep, row)
        given = {(r.sample, r.answer) for r in rows}
        assert all((sample, answers[sample, ""]) in given for sample in samples)
    shared = sum(int(sample) % 3 == 0 for sample in samples)
    assert len(rows) == 3 * 20 - shared


def test_a_sheet_does_not_say_which_cell_answered(sweep: Report) -> None:
    text = sheet_of(sweep, references=True).csv().decode()
    for row in sweep.rows:
        for name in (row.id, row.id[-12:], row.model, row.prompt, row.method):
            assert name not in text
    # Nor does the order: cells come in no run, and not in the order of the sweep.
    cells = [("Some", "Two", "Three").index(r.answer.split()[0]) for r in sheet_of(sweep).rows if r.answer[0] in "ST"]
    assert cells != sorted(cells) and any(a == b for a, b in itertools.pairwise(cells))


def test_the_seed_fixes_samples_and_order_and_a_larger_sheet_holds_the_smaller(sweep: Report) -> None:
    assert sheet_of(sweep).csv() == sheet_of(sweep).csv()
    assert sheet_of(sweep).rows != sheet_of(sweep, seed=1).rows
    assert {r.key for r in sheet_of(sweep, 5).rows} < {r.key for r in sheet_of(sweep, 9).rows}
    assert len({r.sample for r in sheet_of(sweep, 500).rows}) == SAMPLES


def test_pictures_are_named_by_their_path_and_references_stand_on_request_alone(sweep: Report) -> None:
    row = sheet_of(sweep).rows[0]
    assert row.pictures == tuple(images_of(sweep.samples["captions"][row.sample])) and Path(row.pictures[0]).exists()
    assert "A picture of rugby" not in sheet_of(sweep).csv().decode()
    assert "Two people at rugby. / A picture of rugby." in sheet_of(sweep, references=True).csv().decode()


# --- reading back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_filled_sheet_is_kept_beside_every_cell_that_gave_the_answer(
    sweep: Report, tmp_path: Path, separator: str
) -> None:
    path = write(tmp_path / "s.csv", filled(sheet_of(sweep), by_answer), separator)
    returned = sheet_return.read(sweep, path)
    assert sheet_return.keep(sweep, returned, "anna") == 0
    for row in sweep.rows:
        marks = mark_files.read(sweep.store.cell(row.id).marks / "anna.csv", sweep.groups[0].kind.marks)
        assert len(marks) == 20
        answers = answer_sheet.answers_of(sweep, row)
        for (sample, part, digest), mark in marks.items():
            text = answers[sample, part]
            assert digest == mark_files.answer_digest(text)
            assert {k: "yes" if v else "no" for k, v in mark.values.items()} == {
                k: {"x": "yes"}.get(v, v) for k, v in by_answer({"answer": safe(text)}).items()
            }


def test_a_spreadsheet_program_may_change_line_ends_and_columns_of_its_own(sweep: Report, tmp_path: Path) -> None:
    rows = filled(sheet_of(sweep, 500), lambda row: {"accurate": "Yes ", "style": "TRUE"})
    for row in rows:
        row["answer"] = row["answer"].replace("\r\n", "\n").replace("\n", "\r\n")
        row["my own"] = "=1"
    assert any(NASTY.split("\n")[0] in row["answer"] for row in rows)
    text = write(tmp_path / "s.csv", rows, ";", "utf-8").read_text(encoding="utf-8")
    (tmp_path / "s.csv").write_text("sep=;\n" + text + "\n;;;\n", encoding="utf-8")
    assert sheet_return.read(sweep, tmp_path / "s.csv").answers == len(rows)


def damaged(rows: list[dict[str, str]], how: str) -> list[dict[str, str]]:
    if how == "value":
        rows[3]["style"] = "maybe"
    elif how == "key":
        rows[3]["key"] = "row-0000000000-0123456789abcdef"
    elif how == "no key":
        rows[3]["key"] = ""
    elif how == "edited":
        rows[3]["answer"] += " And a dog."
    else:
        rows.append({**rows[3], "style": "no" if rows[3]["style"] == "x" else "yes"})
    return rows


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("value", "row 5: style: 'maybe' is neither yes (1, x) nor no (0) nor empty"),
        ("key", "row 5: key 'row-0000000000-0123456789abcdef' is of no answer of this sweep"),
        ("no key", "row 5: it has no key"),
        ("edited", "row 5: its answer was edited"),
        ("twice", "it says of 'style' the contrary of row 5, which has the same key"),
    ],
)
def test_one_bad_row_keeps_nothing(sweep: Report, tmp_path: Path, how: str, said: str) -> None:
    path = write(tmp_path / "s.csv", damaged(filled(sheet_of(sweep), by_answer), how))
    before = tree(sweep.store.root)
    with pytest.raises(UserError, match="1 row can't be read, so nothing was kept") as error:
        sheet_return.read(sweep, path)
    assert said in str(error.value) and tree(sweep.store.root) == before


def test_rows_that_are_gone_empty_or_there_twice_alike_are_no_error(sweep: Report, tmp_path: Path) -> None:
    rows = filled(sheet_of(sweep), by_answer)[:10]
    rows += [dict(rows[0])]
    rows[1].update(accurate="", style="")
    rows[2].update(style="")
    returned = sheet_return.read(sweep, write(tmp_path / "s.csv", rows))
    assert (returned.answers, returned.empty, returned.partly) == (9, 1, 1)


def test_a_sheet_without_a_criterion_is_refused(sweep: Report, tmp_path: Path) -> None:
    rows = [{"key": row["key"], "fluent": "yes"} for row in filled(sheet_of(sweep), by_answer)]
    with pytest.raises(UserError, match=r"no column of a criterion \(accurate, style\)"):
        sheet_return.read(sweep, write(tmp_path / "s.csv", rows))


def test_later_marks_join_earlier_ones_and_an_empty_cell_takes_none_back(sweep: Report, tmp_path: Path) -> None:
    rows = filled(sheet_of(sweep, 3), lambda row: {"accurate": "yes", "style": "", "note": "first"})
    sheet_return.keep(sweep, sheet_return.read(sweep, write(tmp_path / "s.csv", rows)), "anna")
    later = filled(sheet_of(sweep, 6), lambda row: {"accurate": "", "style": "no"})
    later[0]["accurate"] = "no" if later[0]["key"] in {row["key"] for row in rows} else ""
    sheet_return.keep(sweep, sheet_return.read(sweep, write(tmp_path / "s.csv", later)), "anna")
    marks = mark_files.read(sweep.store.cell(sweep.rows[0].id).marks / "anna.csv", sweep.groups[0].kind.marks)
    assert len(marks) == 6 and all(mark.values["style"] is False for mark in marks.values())
    assert sum("accurate" in mark.values for mark in marks.values()) == 3
    assert {mark.note for mark in marks.values()} == {"first", ""}


@pytest.mark.parametrize(
    "name", ["../anna", "", ".hidden", "a/b", "a b", "x" * 80, "anna.", "-rf", "nul\0", "\U0001d49c" * 64]
)
def test_a_marker_is_a_safe_name_of_a_file(sweep: Report, name: str) -> None:
    with pytest.raises(UserError, match="use letters, digits"):
        sheet_return.keep(sweep, sheet_return.Returned(), name)


def test_a_name_in_another_case_is_the_same_person(sweep: Report, tmp_path: Path) -> None:
    returned = sheet_return.read(sweep, write(tmp_path / "s.csv", filled(sheet_of(sweep, 3), by_answer)))
    sheet_return.keep(sweep, returned, "Jürgen_2")
    with pytest.raises(UserError, match="there are marks of 'Jürgen_2'"):
        sheet_return.keep(sweep, returned, "jürgen_2")


def test_marks_of_answers_that_no_cell_gives_any_more_are_told_and_not_kept(sweep: Report, tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", filled(sheet_of(sweep), by_answer))
    third = sweep.rows[2]
    cell, samples = sweep.store.cell(third.id).read(), list(sweep.samples["captions"].values())
    answer(sweep.store, cell, samples, lambda i: caption(2, i) + (" Again." if i % 2 else ""))
    returned = sheet_return.read(again(sweep.store), path)
    odd = sum(int(row.sample) % 2 for row in sheet_of(sweep).rows if "Three" in row.answer)
    assert odd and returned.outdated == odd


# --- kappa -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    a, b = (np.array([pair[i] for pair in pairs]) for i in (0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = cohen_kappa_score(a, b)
    one = kappa.cohen_kappa(a, b, np.arange(len(a)))
    if np.isnan(expected):
        assert one.value is None and "undefined: both say" in one.why
    else:
        assert one.value == pytest.approx(expected, abs=1e-12)
    assert (one.n, one.equal) == (len(a), int((a == b).sum()))


def test_where_the_interval_of_kappa_can_not_hold_there_is_none() -> None:
    rng = np.random.default_rng(1)
    a = rng.random(300) < 0.5
    b = a ^ (rng.random(300) < 0.1)
    whole = kappa.cohen_kappa(a, b, np.arange(300))
    assert whole.low is not None and whole.high is not None and whole.low < whole.value < whole.high  # type: ignore[operator]
    assert kappa.cohen_kappa(a[:99], b[:99], np.arange(99)).why == "no interval below 100 samples"
    assert kappa.cohen_kappa(a, b, np.arange(300) % 99).low is None
    assert kappa.cohen_kappa(a, a, np.arange(300)).why == "no interval where they always agree"
    assert kappa.cohen_kappa(a[:0], b[:0], np.arange(0)).why == "no answer in common"
    rare = np.zeros(300, dtype=bool)
    rare[0] = True
    assert kappa.cohen_kappa(rare, np.roll(rare, 1) & False, np.arange(300)).low is None


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def paceline(sweep: Report, command_line: Paceline) -> Paceline:
    """Commands on a root that holds the sweep."""
    return command_line


def test_out_mark_read_and_show(paceline: Paceline, tmp_path: Path, sweep: Report) -> None:
    out = tmp_path / "sheet.csv"
    code, told, _ = paceline("marks", "sports", "--out", str(out))
    assert code == 0 and "52 answers to 20 samples, by 3 cells, equal ones once" in told
    rows = list(csv.DictReader(io.StringIO(out.read_bytes().decode("utf-8-sig"), newline="")))
    write(tmp_path / "a.csv", [{**row, **by_answer(row)} for row in rows])
    assert "nothing is marked yet" in paceline("marks")[1]
    code, told, _ = paceline("marks", "sports", "--read", str(tmp_path / "a.csv"), "--marker", "anna")
    assert (code, told) == (0, "sports: 52 answers marked by anna, kept in 3 cells\n")
    assert (
        "nothing to mark: anna has marked all of it"
        in paceline("marks", "--out", str(tmp_path / "b.csv"), "--marker", "anna")[1]
    )
    code, told, _ = paceline("marks", "sports")
    assert code == 0 and "20 marked" in told and "acceptable" in told
    assert '"metric": "acceptable_accuracy"' in paceline("marks", "sports", "--json")[1]


def test_one_file_for_two_markers_is_told_and_a_name_is_one_however_its_accents_are_written(
    paceline: Paceline, tmp_path: Path, sweep: Report
) -> None:
    sheet = write(tmp_path / "a.csv", filled(sheet_of(sweep, 20), by_answer))
    read = ("marks", "sports", "--read", str(sheet), "--marker")
    assert "note:" not in paceline(*read, "jos\u00e9")[1]
    code, told, _ = paceline(*read, "jose\u0301")
    assert code == 0 and "note:" not in told
    (sweep.store.cell(sweep.rows[0].id).marks / "zoe.csv").write_bytes(b"\xff\xfe damaged")
    code, told, _ = paceline(*read, "ben")
    assert code == 0 and "note: jos\u00e9 has exactly these marks" in told
    assert sweep.store.cell(sweep.rows[0].id).markers() == ["ben", "jos\u00e9", "zoe"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "a.xlsx"], "ends in .csv or .html"),
        (["--out", "a.csv", "--read", "b.csv"], "not both"),
        (["--read", "b.csv"], "give --marker NAME"),
        (["--read", "nowhere.csv", "--marker", "anna"], "nowhere.csv: can't be read"),
        (["--read", "b.csv", "--marker", "../x"], "use letters"),
        (["--out", "a.csv", "--task", "caption"], "did you mean 'captions'"),
        (["--out", "a.csv", "--cells", "zzz"], "--cells zzz: no cell with a result"),
        (["--out", "a.csv", "--cells", "evaluate"], "3 cells match"),
        (["--out", "a.csv", "--n", "0"], "0 is not in the range"),
    ],
)
def test_bad_words_are_refused_with_the_remedy(
    paceline: Paceline, words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = paceline("marks", "sports", *words)
    assert code == 2 and said in out + err and "Traceback" not in err


def test_a_sheet_may_be_of_some_cells(paceline: Paceline, sweep: Report, tmp_path: Path) -> None:
    ids = ",".join(row.id[-12:] for row in sweep.rows[:2])
    told = paceline("marks", "sports", "--out", str(tmp_path / "s.csv"), "--cells", ids, "--n", "6")[1]
    assert "to 6 samples, by 2 cells" in told and "Three" not in (tmp_path / "s.csv").read_text()


def test_a_sheet_that_may_be_filled_in_is_not_written_over(paceline: Paceline, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    assert paceline("marks", "sports", "--out", str(out))[0] == 0 == paceline("marks", "sports", "--out", str(out))[0]
    filled_in = out.read_bytes().replace(b'"","",""', b'"yes","",""', 1)
    out.write_bytes(filled_in)
    code, _, err = paceline("marks", "sports", "--out", str(out))
    assert code == 2 and "may be filled in" in err and out.read_bytes() == filled_in


def test_who_marked_already_gets_what_is_still_open_in_some_cell(sweep: Report, tmp_path: Path) -> None:
    returned = sheet_return.read(sweep, write(tmp_path / "s.csv", filled(sheet_of(sweep), by_answer)))
    sheet_return.keep(sweep, returned, "anna")
    (sweep.store.cell(sweep.rows[1].id).marks / "anna.csv").unlink()
    group = answer_sheet.group_of(sweep)
    open_rows = sheet_of(sweep, marked=sheet_return.marked_keys(sweep, group, group.rows, "anna")).rows
    assert len(open_rows) == 20 and {row.answer.split()[0] for row in open_rows} == {"Two", "A"}


def test_cells_that_answer_anew_keep_their_marks(sweep: Report, tmp_path: Path) -> None:
    returned = sheet_return.read(sweep, write(tmp_path / "s.csv", filled(sheet_of(sweep), by_answer)))
    sheet_return.keep(sweep, returned, "anna")
    folder = sweep.store.cell(sweep.rows[0].id)
    before = (folder.marks / "anna.csv").read_bytes()
    answer(sweep.store, folder.read(), list(sweep.samples["captions"].values()), lambda i: f"Another {i}.")
    assert (folder.marks / "anna.csv").read_bytes() == before
    assert len(list(read_jsonl(folder.predictions))) == SAMPLES


def test_rm_leaves_what_people_marked_unless_it_is_named(paceline: Paceline, sweep: Report, tmp_path: Path) -> None:
    returned = sheet_return.read(sweep, write(tmp_path / "s.csv", filled(sheet_of(sweep), by_answer)))
    sheet_return.keep(sweep, returned, "anna")
    assert "cells with marks that people gave by hand: 3" in paceline("rm", "sports", "--dry-run")[1]
    code, _, err = paceline("rm", "sports", "--yes")
    assert code == 2 and "3 cells of it have marks that people gave by hand (anna)" in err and "--with-marks" in err
    assert sweep.store.sweeps() == ["sports"]
    assert paceline("rm", "sports", "--yes", "--with-marks")[0] == 0 and not sweep.store.sweeps()


def test_clean_leaves_marks(paceline: Paceline, sweep: Report, tmp_path: Path) -> None:
    returned = sheet_return.read(sweep, write(tmp_path / "s.csv", filled(sheet_of(sweep, 3), by_answer)))
    sheet_return.keep(sweep, returned, "anna")
    assert paceline("clean", "sports", "--yes")[0] == 0
    assert all(sweep.store.cell(row.id).markers() == ["anna"] for row in sweep.rows)


def test_a_kind_without_criteria_has_no_sheet(tmp_path: Path, command_line: Paceline) -> None:
    make_labels(tmp_path / "root")
    code, _, err = command_line("marks", "s", "--out", "a.csv")
    assert code == 2 and "are not marked by hand" in err


def test_marking_imports_no_framework(sweep: Report) -> None:
    words = ["marks", "sports", "--out", str(sweep.store.root / "s.html"), f"root={sweep.store.root}"]
    script = (
        "import sys\nfrom paceline.cli.app import cli\n"
        f"cli({words!r}, prog_name='paceline', standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'wandb', 'hydra', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
