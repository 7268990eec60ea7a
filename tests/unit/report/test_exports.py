"""What other programs are given: LaTeX that TeX takes, JSON that holds what the CSV holds."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from builders import MODELS, PROMPTS, check_golden, make_sweep
from hypothesis import example, given
from hypothesis import strategies as st

from paceline.report.read.sweep_results import Report
from paceline.report.text import export, latex

Paceline = Callable[..., tuple[int, str, str]]
SPECIAL = set("\\{}&%$#_~^<>|\"[]*-`'−≈≤→·×±°†–…")


@pytest.fixture(scope="module")
def three_prompts(tmp_path_factory: pytest.TempPathFactory) -> Report:
    root = tmp_path_factory.mktemp("root")
    return make_sweep(root, MODELS[:1], (*PROMPTS, "geo_narrowing"), ("untuned", "full"), 12)


@given(st.text())
@example(r"a\_b {x} 50 % & #1 ~ ^2 $y$")
@example("[/INST]")
@example("*")
@example("--- ``q''")
def test_a_name_in_latex_holds_nothing_that_tex_takes_for_a_command_and_reads_back(text: str) -> None:
    escapes = {made: sign for sign, made in latex.ESCAPES.items()}
    token = "|".join(map(re.escape, sorted(escapes, key=len, reverse=True)))
    tokens = re.findall(f"{token}|.", latex.escape(text), flags=re.DOTALL)
    assert not SPECIAL & {t for t in tokens if t not in escapes}
    read = "".join(escapes.get(t, t) for t in tokens)
    assert read == " ".join("".join(c if c.isprintable() else " " for c in text).split())


def test_a_latex_table_is_whole_whatever_the_names_are(three_prompts: Report) -> None:
    odd = replace(three_prompts.done[0], model="[m]", prompt=r"50 %_&~\end{tabular}", method="*")
    text = latex.latex_text(replace(three_prompts, rows=(odd, *three_prompts.rows[1:]), sweep="a%\n&"))
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert body.count(r"\begin{table}") == body.count(r"\end{table}") == 2
    bare = re.sub(r"\\[\\{}&%$#_]", "", body)
    assert bare.count("{") == bare.count("}")
    for tabular in re.findall(r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        rows = [line for line in tabular[1].splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert {len(re.sub(r"\\&", "", row).split(" & ")) for row in rows} == {len(tabular[0])}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs LaTeX")
def test_latex_compiles_and_no_table_is_wider_than_the_text(three_prompts: Report, tmp_path: Path) -> None:
    odd = replace(three_prompts.done[0], model="[m] é 100°", prompt=r"50 %_&~^#${}\end", method="*`q'\"<s>|--")
    found = replace(three_prompts, rows=(odd, *three_prompts.rows[1:]), sweep="a%&b")
    latex.write_latex(found, tmp_path / "report.tex")
    packages = "".join(rf"\usepackage{p}" for p in ("[T1]{fontenc}", "{booktabs}", "{graphicx}"))
    body = rf"\documentclass{{article}}{packages}\begin{{document}}\input{{report.tex}}\end{{document}}"
    (tmp_path / "paper.tex").write_text(body)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout
    assert "Overfull" not in done.stdout


def test_latex_makes_only_a_best_cell_bold_that_can_be_told_apart_from_all_others(three_prompts: Report) -> None:
    from paceline.report.analysis import differences

    text = latex.latex_text(three_prompts)
    bold = 0
    for group in three_prompts.groups:
        for metric in group.columns:
            found = differences.standing(three_prompts, group, metric)
            bold += found.best is not None and not found.tied
    assert text.count(r"\textbf{") == bold > 0


def test_the_latex_report_is_what_was_accepted(three_prompts: Report) -> None:
    check_golden("report.tex", latex.latex_text(three_prompts))


def test_json_and_csv_hold_the_same_numbers(three_prompts: Report, tmp_path: Path) -> None:
    export.write_report_json(three_prompts, tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    of_json = {
        (row["id"], name): tuple(metric.values()) for row in content["rows"] for name, metric in row["metrics"].items()
    }
    of_csv = {}
    for line in csv.DictReader(io.StringIO(export.csv_text(three_prompts))):
        if line["metric"]:
            numbers = [float(line[key]) if line[key] else None for key in ("value", "low", "high")]
            of_csv[line["cell"], f"{line['split']}/{line['metric']}"] = (*numbers, int(line["n"]), line["unit"])
    assert of_json == of_csv
    assert len(of_json) > 100


def test_json_tells_what_compares_the_cells_and_what_they_came_from(three_prompts: Report) -> None:
    content = export.as_json(three_prompts)
    assert content["differences"] and content["standings"] and content["prompts"] and content["ensembles"]
    provenance = content["provenance"]
    assert provenance["code"] == three_prompts.code
    assert provenance["data"]["geolocation_earth"]["splits"] == {"test_near": 12, "test_far": 12}
    assert set(provenance["cells"]) == {row.id for row in three_prompts.done}
    assert all(place < len(provenance["runs"]) for place in provenance["cells"].values())


def test_one_command_writes_every_format(three_prompts: Report, command_line: Paceline, tmp_path: Path) -> None:
    root = f"root={three_prompts.store.root}"
    names = ("csv", "markdown", "latex")
    files = [word for name in names for word in (f"--{name}", str(tmp_path / name))]
    code, out, err = command_line("report", "places", root, *files, "--json", str(tmp_path / "out.json"), "--no-page")
    assert (code, err) == (0, "")
    assert all(str(tmp_path / name) in out for name in (*names, "out.json"))
    assert (tmp_path / "latex").read_text() == latex.latex_text(three_prompts)
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads(json.dumps(export.as_json(three_prompts)))


def test_json_without_a_file_is_printed_also_before_the_name_of_a_sweep(
    three_prompts: Report, command_line: Paceline
) -> None:
    root = f"root={three_prompts.store.root}"
    for words in (["--json", "places"], ["places", "--json"]):
        code, out, _ = command_line("report", *words, root)
        assert code == 0
        assert json.loads(out)["sweep"] == "places"
