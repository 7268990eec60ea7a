"""What a terminal shows and does: text from files stays text, rows stay readable, Tab completes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_sweeps import beams, cell_of, fail, record

from paceline.cli import progress
from paceline.cli.cell_table import Literal, print_cells
from paceline.config.schema import GenerationSpec, LoraSpec, MethodSpec, TaskSpec
from paceline.launch.elements import Element
from paceline.store import root as store
from paceline.store.files import write_json
from paceline.store.root import Store
from paceline.sweep.cell_labels import variants
from paceline.sweep.status import CellState

HOSTILE = "shape error at [/INST] on [rank0]: [bold]x :smile:"
Paceline = Callable[..., tuple[int, str, str]]


@pytest.fixture
def paceline(command_line: Paceline, monkeypatch: pytest.MonkeyPatch) -> Paceline:
    """A command line on a screen of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return command_line


def submitted(kept: Store, name: str, when: float, elements: list[dict[str, Any]], jobs: dict[str, str]) -> Path:
    path = kept.sweep(name).new_submission()
    write_json(path / "intent.json", {"schema": 1, "time": when, "name": name})
    write_json(path / "elements.json", {"schema": 1, "elements": elements})
    write_json(path / "jobs.json", {"schema": 1, "jobs": jobs})
    write_json(path / "closed.json", {"schema": 1})
    return path


def test_brackets_in_an_error_message_are_shown_as_they_are(tmp_path: Path, paceline: Paceline) -> None:
    cells = beams(2)
    kept = record(tmp_path / "root", "s", cells)
    for cell in cells:
        fail(kept, cell, HOSTILE)
    code, out, err = paceline("status", "s")
    assert (code, err) == (0, "")
    assert HOSTILE in out
    code, out, _ = paceline("report", "s", "--no-page")
    assert code == 0
    assert "[/INST]" in out and "[rank0]" in out


def test_the_live_view_shows_brackets_as_they_are() -> None:
    stream = io.StringIO()
    cell = "evaluate-[/odd]-0123456789ab"
    watch = progress.Watch(1, 0, Literal(file=stream, force_terminal=True, width=200))
    element = Element("evaluate", {"placement": {"nodes": 1, "ranks": 1}, "deepspeed": {"name": "", "config": {}}})
    element.cells.append(cell)
    with watch.showing():
        watch.started(element)
        watch.progress([(element, cell, {"done": 1, "total": 2, "unit": "[/steps]", "note": "[rank0] {x}"})])
        watch.ended(cell, CellState(cell, "failed", "code bug", HOSTILE))
        watch.note("[/]")
    shown = stream.getvalue()
    assert "[/INST]" in shown and "[rank0]" in shown and "[/odd]" in shown


def test_status_at_80_columns_keeps_rows_whole_and_says_the_cause_below(tmp_path: Path, paceline: Paceline) -> None:
    cells = beams(2)
    kept = record(tmp_path / "root", "s", cells)
    message = "RuntimeError: " + "mat1 and mat2 shapes cannot be multiplied " * 4
    fail(kept, cells[0], message)
    _, out, _ = paceline("status", "s")
    lines = out.splitlines()
    (row,) = [i for i, line in enumerate(lines) if line.startswith("failed")]
    assert len(lines[row]) <= 80
    assert lines[row + 1] == f"    code bug: {message.strip()}"
    assert "all: geolocation_earth · tiny_qwen2_vl · geo_stepwise" in out
    assert "geo_stepwise" not in lines[row]


def test_a_long_cause_wraps_at_words_on_a_terminal() -> None:
    stream = io.StringIO()
    cell = {"state": "failed", "method": "full", "variant": "", "why": "shapes cannot be multiplied " * 8}
    print_cells(Literal(file=stream, force_terminal=True, width=60), [cell, cell], [cell], ("state", "method"))
    body = [line for line in stream.getvalue().splitlines() if "shapes" in line]
    assert len(body) > 1
    assert all(line.startswith("    ") and len(line.rstrip()) <= 60 for line in body)


def test_cells_that_differ_only_in_a_setting_are_told_apart(tmp_path: Path, paceline: Paceline) -> None:
    tunings = [
        cell_of("finetune", method=MethodSpec(name="lora", trains="adapter", lora=LoraSpec(r=r))) for r in (8, 16)
    ]
    asked = [cell_of(tuned=t.id, method=MethodSpec(name="lora", trains="adapter")) for t in tunings]
    told = variants([*tunings, *asked])
    assert [told[c.id] for c in (*tunings, *asked)] == ["r=8", "r=16"] * 2
    record(tmp_path / "root", "s", beams(2))
    out = paceline("status", "s")[1]
    assert "all: geolocation_earth · tiny_qwen2_vl · geo_stepwise · untuned\n" in out
    assert "settings" in out and "beams=1" in out and "beams=2" in out


def test_status_of_hundreds_of_cells_is_a_summary_that_says_how_to_see_all(tmp_path: Path, paceline: Paceline) -> None:
    cells = beams(400)
    kept = record(tmp_path / "root", "s", cells)
    fail(kept, cells[333], "broken")
    _, out, _ = paceline("status", "s")
    assert len(out.splitlines()) < 60 and "beams=334" in out
    assert "s: 400 cells, 1 failed, 399 not started" in out
    assert "370 more: 370 not started; all: paceline status s --all" in out
    _, everything, _ = paceline("status", "s", "--all")
    assert all(f"beams={n}" in everything for n in range(1, 401))
    _, record_of_all, _ = paceline("status", "s", "--json")
    assert len(json.loads(record_of_all)["cells"]) == 400


def test_progress_off_a_terminal_tells_settings_count_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 100_000, 60))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now)))
    stream = io.StringIO()
    cells = beams(3)
    element = Element("evaluate", {"placement": {"nodes": 1, "ranks": 1}, "deepspeed": {"name": "", "config": {}}})
    element.cells.append(cells[0].id)
    watch = progress.Watch(3, 0, Literal(file=stream, width=80))
    with watch.showing():
        watch.named(cells)
        watch.started(element)
        watch.progress([(element, cells[0].id, {"done": 200, "total": 400, "unit": "samples"})])
        watch.ended(cells[0].id, CellState(cells[0].id, "done"))
        watch.ended(cells[1].id, CellState(cells[1].id, "missing"))
    lines = [line.split(maxsplit=1)[1] for line in stream.getvalue().splitlines()]
    short = [cell.id[-12:-6] for cell in cells]
    assert lines[0] == "all: tiny_qwen2_vl · geolocation_earth · geo_stepwise · untuned"
    assert lines[1] == f"▸ evaluate beams=1 {short[0]}"
    assert lines[2].startswith(f"· evaluate beams=1 {short[0]} 200/400 samples; 0 of 3 cells done, about ")
    assert lines[3].startswith(f"✓ evaluate beams=1 {short[0]} done; 1 of 3 cells done, about ")
    assert lines[4].startswith(f"· evaluate beams=2 {short[1]} not started; 1 of 3 cells done")


def test_a_long_loop_off_a_terminal_tells_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.counting("sports") as tell:
        for done in range(1001):
            now[0] += 1.0
            tell("images", done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert 3 < len(lines) < 12
    assert lines[0] == "sports images: 59 of 1,000, about 16 min left"


def test_a_default_setting_is_shown_by_its_value() -> None:
    cells = [cell_of(generation=GenerationSpec(name="g", temperature=t)) for t in (0.0, 0.7)]
    assert list(variants(cells).values()) == ["T=0", "T=0.7"]


def test_plan_tells_settings_apart_and_shows_the_cause_of_brackets(
    tmp_path: Path, paceline: Paceline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paceline.data.samples.data_digest", lambda root, task: "d" * 64)
    words = ["model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare", "generation.temperature=0,0.7"]
    code, out, _ = paceline("plan", *words)
    assert code == 0
    assert "T=0.7" in out


def test_the_latest_sweep_is_the_one_last_submitted_and_never_a_single_run(tmp_path: Path) -> None:
    kept = record(tmp_path, "old", beams(1))
    record(tmp_path, "new", beams(1))
    record(tmp_path, "run-0123456789ab", beams(1))
    submitted(kept, "old", 10.0, [], {})
    submitted(kept, "new", 20.0, [], {})
    submitted(kept, "run-0123456789ab", 40.0, [], {})
    assert kept.find_sweep(None).name == "new"
    submitted(kept, "old", 30.0, [], {})
    assert kept.find_sweep(None).name == "old"
    assert kept.find_sweep("run-0123456789ab").name == "run-0123456789ab"


def test_logs_of_an_attempt_without_a_log_file_are_no_traceback(tmp_path: Path, paceline: Paceline) -> None:
    (cell,) = cells = beams(1)
    fail(record(tmp_path / "root", "s", cells), cell, "died early")
    code, _, err = paceline("logs", cell.id)
    assert code == 2
    assert "ended before its log began" in err


def test_logs_of_a_cell_never_begun_show_what_its_job_said(tmp_path: Path, paceline: Paceline) -> None:
    cells = beams(2)
    kept = record(tmp_path / "root", "s", cells)
    assert "did not start yet" in paceline("logs", cells[0].id)[2]
    elements = [{"cells": [c.id]} for c in cells]
    path = submitted(kept, "s", 1.0, elements, {"0": "17_0", "1": "17_1"})
    for job in ("17_0", "17_1"):
        folder = path / "submitit" / job
        folder.mkdir(parents=True)
        (folder / f"{job}_0_log.out").write_text(f"no module named torch in {job}\n")
    code, out, err = paceline("logs", cells[1].id)
    assert code == 0
    assert "no module named torch in 17_1" in out and "17_0" not in out
    assert "did not start yet" in err


def test_doctor_reports_every_damaged_done_file_by_name(tmp_path: Path, paceline: Paceline) -> None:
    cells = beams(3)
    kept = record(tmp_path / "root", "s", cells)
    for cell, text in zip(cells, ("{", "[]", '{"artefacts": {"x": {}}}'), strict=True):
        kept.cell(cell.id).done_json.write_text(text)
    code, out, _ = paceline("doctor")
    assert code == 2
    assert all(f"{cell.id}: " in out for cell in cells)


def test_doctor_of_a_root_that_can_not_be_written_exits_3(tmp_path: Path, paceline: Paceline) -> None:
    (tmp_path / "file").write_text("")
    code, out, _ = paceline("doctor", f"root={tmp_path}/file/root")
    assert code == 3
    assert "✗ root: can't write" in out


def run_here(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PACELINE_ROOT": str(tmp_path / "root")}
    command = [sys.executable, "-m", "paceline", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_the_remedy_repeats_the_users_own_words(tmp_path: Path) -> None:
    words = ["model=tiny_qwen2_vl", "task=geolocation_street", "task.options.path='/a b'", "prompt=geo_bare"]
    (tmp_path / "conf").mkdir()
    for verb in ("plan", "submit", "run"):
        done = run_here(tmp_path, verb, *words, "--conf", str(tmp_path / "conf"))
        assert done.returncode == 2
        remedy = done.stderr.partition("run: ")[2].strip()
        asked = ["task=geolocation_street", "task.options.path='/a b'", "--conf", str(tmp_path / "conf")]
        assert shlex.split(remedy) == ["paceline", "prepare", *asked]


def test_prepare_makes_every_task_that_the_words_describe(paceline: Paceline, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def prepare(root: Path, task: TaskSpec, progress: Any, refresh: bool) -> dict[str, Any]:
        made.append((task.name, task.options.get("path")))
        return {"splits": {}, "skipped": {}}

    monkeypatch.setattr("paceline.data.prepare.prepare", prepare)
    code, _, err = paceline("prepare", "task=geolocation_street,geolocation_exif", "task.options.path=/a,/b")
    assert (code, err) == (0, "")
    assert sorted(made) == [(t, p) for t in ("geolocation_exif", "geolocation_street") for p in ("/a", "/b")]


@pytest.mark.parametrize("verb", ["show", "plan"])
def test_a_reader_that_leaves_early_is_no_error(verb: str, tmp_path: Path) -> None:
    line = f"{sys.executable} -m paceline {verb} experiment=demo method=untuned | head -1; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PACELINE_ROOT": str(tmp_path)}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment)
    if verb == "show":
        assert done.returncode == 0
    assert "Traceback" not in done.stderr and "Broken" not in done.stderr


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A real bash behind a terminal, with completion loaded; call it with what is typed, Tab included."""
    folder = tmp_path_factory.mktemp("bash")
    program = folder / "paceline"
    program.write_text(f"#!{sys.executable}\nfrom paceline.cli.app import main\nmain()\n")
    program.chmod(0o755)
    kept = record(folder / "root", "sweep_of_mine", [cell_of()])
    inputs = folder / "inputrc"
    inputs.write_text("set bell-style none\nset enable-bracketed-paste off\n")
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "PACELINE_ROOT": str(kept.root), "INPUTRC": str(inputs)}
    environment["PYTHONPATH"] = str(Path(store.__file__).parents[2])  # this checkout, wherever it is installed from
    environment |= {"PS1": "$ ", "TERM": "dumb", "HOME": str(folder), "COLUMNS": "400"}
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)

    def until(mark: str) -> str:
        text, end = "", time.monotonic() + 30
        while mark not in text and time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                text += os.read(terminal, 65536).decode()
        assert mark in text, text
        return text

    def typed(keys: str, then: str) -> str:
        # Ctrl-A with an echo before what was typed shows the line as bash now has it, and runs nothing.
        os.write(terminal, keys.encode())
        time.sleep(0.05)
        os.write(terminal, f"{then}\x01echo '<<'\x05'>>'\r".encode())
        return until(">>\r\n").rpartition("<<")[2].partition(">>")[0]

    os.write(terminal, b"stty cols 400; eval \"$(_PACELINE_COMPLETE=bash_source paceline)\"; echo read''y\r")
    until("ready\r\n")
    yield typed, store.Store(kept.root)
    os.close(terminal)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, 9)
    os.waitpid(process, 0)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("paceline stat\t", "paceline status "),
        ("paceline plan mod\t", "paceline plan model="),
        ("paceline plan model=tiny_qwen2\t", "paceline plan model=tiny_qwen2_vl "),
        ("paceline plan model=\ttiny_pi\t", "paceline plan model=tiny_pixtral "),
        ("paceline plan model=tiny_pixtral,tiny_qwen2\t", "paceline plan model=tiny_pixtral,tiny_qwen2_vl "),
        (
            "paceline plan model=tiny_pixtral task=geolocation_ea\t",
            "paceline plan model=tiny_pixtral task=geolocation_earth ",
        ),
        ("paceline status sweep_\t", "paceline status sweep_of_mine "),
        ("paceline plan train.learn\t", "paceline plan train.learning_rate="),
        ("paceline plan train.lr\t", "paceline plan train.learning_rate="),
        ("paceline plan model.in\t", "paceline plan model.inputs="),
        ("paceline plan model.dtype=bf\t", "paceline plan model.dtype=bfloat16 "),
        ("paceline rm sweep_\t", "paceline rm sweep_of_mine "),
        ("paceline resume sweep_of_mine placement.mic\t", "paceline resume sweep_of_mine placement.micro_batch="),
        ("paceline plan --conf /nowhere model=tiny_qwen2\t", "paceline plan --conf /nowhere model=tiny_qwen2"),
    ],
)
def test_tab_in_a_real_bash_completes_words_that_hold_an_equals_sign(bash: Any, keys: str, line: str) -> None:
    typed, _ = bash
    assert typed(keys, "") == line


def test_tab_completes_a_hash_as_status_shows_it(bash: Any) -> None:
    typed, kept = bash
    full = next((kept.root / "cells").iterdir()).name.rpartition("-")[2]
    for verb in ("logs", "show"):
        assert typed(f"paceline {verb} {full[:6]}\t", "") == f"paceline {verb} {full} "
