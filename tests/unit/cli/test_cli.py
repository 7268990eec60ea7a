"""What a person sees: the right verb, the right exit code, one line instead of a traceback, JSON for programs."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paceline.cli import app
from paceline.cli.options import confirmed
from paceline.errors import UserError
from paceline.store import files
from paceline.store.root import Store

WORDS = ["model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare"]
Paceline = Callable[..., tuple[int, str, str]]


@pytest.fixture
def paceline(command_line: Paceline, monkeypatch: pytest.MonkeyPatch) -> Paceline:
    """A command line that finds its data prepared."""
    monkeypatch.setattr("paceline.data.samples.data_digest", lambda root, task: "d" * 64)
    monkeypatch.setenv("COLUMNS", "160")
    return command_line


@pytest.fixture
def fake_launch(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run no cell: take down what would be, and publish empty results."""
    launched: list[Any] = []

    def run(decided: Any, root: Store, view: Any) -> None:
        launched.append(decided)
        for element in decided.elements:
            for cell in element.cells:
                folder = root.cell(cell)
                attempt = folder.new_attempt()
                attempt.log.write_text("said by the cell\n")
                files.write_json(attempt.end_json, {"schema": 1, "cause": "done", "message": "", "seconds": 1.0})
                files.write_jsonl(folder.predictions, [])
                folder.publish(attempt, [folder.predictions], {})
        files.write_json(decided.path / "closed.json", {"schema": 1})

    monkeypatch.setattr("paceline.launch.foreground.run", run)
    return launched


def test_help_lists_every_verb_with_its_line(paceline: Paceline) -> None:
    code, out, _ = paceline("--help")
    assert code == 0
    for verb in [
        "prepare",
        "plan",
        "submit",
        "status",
        "logs",
        "resume",
        "cancel",
        "score",
        "report",
        "compare",
        "check",
        "show",
        "run",
        "clean",
        "doctor",
    ]:
        assert f"\n  {verb} " in out


@pytest.mark.parametrize("verb", [p.stem for p in app.VERBS.glob("*.py") if p.stem != "__init__"])
def test_every_verb_explains_itself(verb: str, paceline: Paceline) -> None:
    code, out, _ = paceline(verb, "--help")
    assert code == 0
    assert "Usage: paceline" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["statsu"], "did you mean 'status'"),
        (["plan", "experiment=deom"], "did you mean 'demo'"),
        (["plan", "demo"], "experiment=demo"),
        (["plan", *WORDS, "trian.epochs=2"], "train.epochs"),
        (["status"], "begin with: paceline submit"),
        (["status", "a", "b"], "one name at a time"),
        (["logs"], "which cell?"),
        (["submit", *WORDS, "name='bad name'"], "use letters"),
        (["prepare"], "which task?"),
        (["plan", "--conf", "/nowhere", *WORDS], "is no folder"),
        (["plan", "--nonsense"], "No such option"),
    ],
)
def test_bad_input_exits_2_with_the_remedy_and_no_traceback(words: list[str], said: str, paceline: Paceline) -> None:
    code, out, err = paceline(*words)
    assert code == 2
    assert said in out + err
    assert "Traceback" not in err


def test_plan_tells_programs_its_cells_elements_and_arrays(paceline: Paceline) -> None:
    code, out, _ = paceline("plan", *WORDS, "method=untuned,full", "--json")
    plan = json.loads(out)
    assert code == 0
    assert [c["kind"] for c in plan["cells"]] == ["evaluate", "finetune", "evaluate"]
    wanted = {"id", "kind", "model", "task", "prompt", "method", "state"}
    assert all(wanted <= set(c) for c in plan["cells"])
    assert {c["state"] for c in plan["cells"]} == {"missing", "waiting"}
    assert sum(len(a["elements"]) for a in plan["arrays"]) == len(plan["elements"]) == 3


def test_plan_starts_nothing_and_writes_nothing(paceline: Paceline, tmp_path: Path) -> None:
    assert paceline("plan", *WORDS)[0] == 0
    assert not (tmp_path / "root").exists()


def test_unprepared_data_exits_2_and_names_the_command(paceline: Paceline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PACELINE_ROOT", "/nonexistent/root")
    for verb in ("plan", "submit"):
        done = subprocess.run(
            [sys.executable, "-m", "paceline", verb, *WORDS], capture_output=True, text=True, env=dict(os.environ)
        )
        assert done.returncode == 2
        assert "paceline prepare task=geolocation_earth" in done.stderr


def test_a_second_submit_starts_nothing_and_says_so(paceline: Paceline, fake_launch: list[Any]) -> None:
    assert paceline("submit", *WORDS, "name=s")[0] == 0
    code, _, err = paceline("submit", *WORDS, "name=s")
    assert code == 0
    assert "nothing to start (1 done)" in err
    assert len(fake_launch) == 1


def test_the_life_of_a_sweep_in_verbs(paceline: Paceline, fake_launch: list[Any]) -> None:
    assert paceline("submit", *WORDS, "method=untuned,full", "name=s")[0] == 0
    code, out, _ = paceline("status", "s", "--json")
    status = json.loads(out)
    assert code == 0
    assert [(c["state"], c["cause"]) for c in status["cells"]] == [("done", "")] * 3
    assert {"id", "state", "cause"} <= set(status["cells"][0])
    assert "paceline report s" in paceline("status", "s")[1]
    cell = status["cells"][0]["id"]
    assert "said by the cell" in paceline("logs", cell[-12:-6])[1]
    code, out, _ = paceline("show", cell)
    assert code == 0
    assert "family: qwen2_vl" in out
    assert paceline("resume", "s")[0] == 0
    assert len(fake_launch) == 1
    assert "nothing runs" in paceline("cancel", "s", "--yes")[1]
    assert "no checkpoints" in paceline("clean", "s")[1]


def test_resume_refuses_to_change_what_is_computed(paceline: Paceline, fake_launch: list[Any]) -> None:
    paceline("submit", *WORDS, "name=s")
    code, _, err = paceline("resume", "s", "train.epochs=5")
    assert code == 2
    assert "only root= and placement may change" in err


def test_clean_removes_checkpoints_of_done_cells_only_after_a_yes(
    paceline: Paceline, fake_launch: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paceline("submit", *WORDS, "name=s")
    (attempt,) = Store(tmp_path / "root").cell(fake_launch[0].elements[0].cells[0]).attempts()
    (attempt.checkpoints / "checkpoint-1").mkdir(parents=True)
    (attempt.checkpoints / "checkpoint-1" / "x").write_bytes(b"x" * 100)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, out, _ = paceline("clean", "s")
    assert (code, "left as it is" in out) == (0, True)
    assert attempt.checkpoints.exists()
    assert paceline("clean", "s", "--yes")[0] == 0
    assert not attempt.checkpoints.exists()
    assert json.loads(paceline("status", "s", "--json")[1])["counts"] == {"done": 1}


def test_a_question_that_nobody_can_answer_names_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(UserError, match=r"demo: stop 3 running cells\? nobody can answer here.*give --yes"):
        confirmed("demo: stop 3 running cells?")


def test_clean_without_a_terminal_names_yes_and_removes_nothing(
    paceline: Paceline, fake_launch: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paceline("submit", *WORDS, "name=s")
    (attempt,) = Store(tmp_path / "root").cell(fake_launch[0].elements[0].cells[0]).attempts()
    attempt.checkpoints.mkdir()
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, out, err = paceline("clean", "s")
    assert (code, "give --yes" in out + err) == (2, True)
    assert attempt.checkpoints.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "--model=tiny_pixtral", "task=x"], "write model=tiny_pixtral"),
        (["plan", "--model", "tiny_pixtral"], "write model=tiny_pixtral"),
        (["plan", "-model=tiny_pixtral"], "write model=tiny_pixtral"),
        (["--model=tiny_pixtral", "plan"], "write model=tiny_pixtral"),
        (["submit", "--experiment", "demo"], "write experiment=demo"),
        (["plan", "--warmup", "0.1"], "write train.warmup=0.1"),
        (["plan", "--batch=4"], "write train.batch=4 or generation.batch=4"),
        (["plan", "--cluster.account", "gts-lab"], "write cluster.account=gts-lab"),
        (["plan", "--task.options.path=/my photos"], "write 'task.options.path=/my photos'"),
        (["report", "--root=/scratch", "demo"], "write root=/scratch"),
        (["plan", "--seed"], "write seed=…"),
    ],
)
def test_a_setting_with_dashes_is_answered_by_the_override(words: list[str], said: str, paceline: Paceline) -> None:
    code, out, err = paceline(*words)
    assert (code, out) == (2, "")
    assert err == f"paceline: settings are overrides, without dashes: {said}\n"


def test_show_prints_what_a_point_would_be(paceline: Paceline) -> None:
    code, out, _ = paceline("show", *WORDS, "--json")
    shown = json.loads(out)
    assert code == 0
    assert shown["prompt"]["name"] == "geo_bare"
    assert shown["generation"]["batch"] == 16


def test_a_shell_completes_groups_and_their_files() -> None:
    environment = {**os.environ, "_PACELINE_COMPLETE": "bash_complete", "COMP_WORDS": "paceline plan model=tiny_q"}
    done = subprocess.run(
        [sys.executable, "-c", "from paceline.cli.app import cli; cli(prog_name='paceline')"],
        capture_output=True,
        text=True,
        env={**environment, "COMP_CWORD": "2"},
    )
    assert "model=tiny_qwen2_vl" in done.stdout


def test_doctor_tells_of_damage_by_name(paceline: Paceline, fake_launch: list[Any], tmp_path: Path) -> None:
    paceline("submit", *WORDS, "name=s")
    folder = Store(tmp_path / "root").cell(fake_launch[0].elements[0].cells[0])
    assert "1 done cell, all as attested" in paceline("doctor")[1]
    folder.predictions.write_text("harm\n")
    code, out, _ = paceline("doctor")
    assert code == 2
    assert "predictions.jsonl" in out


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    words = f"{sys.executable} -m paceline plan task=geolocation_earth 'prompt=glob(*)' model=tiny_pixtral | head -1"
    environment = {**os.environ, "PACELINE_ROOT": str(tmp_path)}
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, env=environment)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_ctrl_c_is_one_word(monkeypatch: pytest.MonkeyPatch, paceline: Paceline) -> None:
    def interrupted(*words: Any, **more: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("paceline.launch.foreground.run", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell has it ignored
    try:
        code, _, err = paceline("submit", *WORDS, "name=s")
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130
    assert "Traceback" not in err


def test_an_address_to_write_to_reaches_the_submission(paceline: Paceline, fake_launch: list[Any]) -> None:
    code, _, _ = paceline("submit", *WORDS, "name=s", "--mail", "lab+hpc@example.org")
    assert code == 0
    (decided,) = fake_launch
    assert decided.elements[0].placement["cluster"]["mail"] == "lab+hpc@example.org"
