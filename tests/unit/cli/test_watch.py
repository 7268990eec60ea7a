"""`status --watch` and `logs -f`: polite to Slurm and to the disk, over by themselves, and quietly broken off."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from recorded_sweeps import beams, fail, record

from paceline.cli.cell_table import Literal
from paceline.cli.verbs import status as verb
from paceline.errors import Unavailable
from paceline.slurm import queue, remembered
from paceline.slurm.remembered import Renewed
from paceline.store.files import write_json
from paceline.store.owner import this_process
from paceline.store.root import Store
from paceline.sweep import cells as sweep
from paceline.sweep.forecast import Forecast

Paceline = Callable[..., tuple[int, str, str]]


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []
        for module in (remembered, verb):
            monkeypatch.setattr(module, "time", self)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def strftime(self, form: str) -> str:
        return time.strftime(form, time.gmtime(self.now))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def read_only(*given: Any) -> None:
    raise Unavailable("read-only file system")


def begun(kept: Store, cell: Any) -> Any:
    """An attempt that lives as long as this test."""
    attempt = kept.cell(cell.id).new_attempt()
    placement = {"cluster": {"executor": "local", "gpus": 0}}
    write_json(
        attempt.start_json, {"schema": 1, "time": time.time(), "placement": placement, "world": 1, **this_process()}
    )
    write_json(attempt.heartbeat, {"schema": 1, "time": time.time(), "done": 3, "total": 9, "unit": "samples"})
    return attempt


@pytest.mark.parametrize("answer", [[], None], ids=["answers", "gives no answer"])
@pytest.mark.parametrize("writable", [True, False], ids=["a root of one's own", "a root of somebody else"])
def test_slurm_is_asked_once_a_minute_however_often_one_looks(
    answer: Any, writable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, asked = Clock(monkeypatch), []
    monkeypatch.setattr(queue, "ask", lambda: asked.append(clock.now) or answer)
    if not writable:
        monkeypatch.setattr(remembered, "write_json", read_only)
    held = Renewed(tmp_path)
    while clock.now < 1_000_600:
        held().queue()
        clock.sleep(2.0)
    assert len(asked) == 10
    assert min(b - a for a, b in pairwise(asked)) >= 60


def test_watching_ends_when_nothing_runs_any_more_and_rests_longer_than_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    counts = [
        {"running": 2, "queued": 1},
        {"running": 1, "done": 2},
        {"unknown": 1, "done": 2},
        {"done": 2, "failed": 1},
    ]
    seen: list[Any] = []

    def look() -> Any:
        clock.now += 5.0  # a slow disk
        return verb.Look("s", counts[len(seen)], [], None, 0.0)  # type: ignore[arg-type]

    last = verb.follow(look, seen.append, 10.0, clock.sleep)
    assert last.counts == counts[-1]
    assert len(seen) == 4
    assert clock.slept == [20.0, 20.0, 20.0]


def test_a_sweep_in_which_nothing_runs_is_told_once(tmp_path: Path, command_line: Paceline) -> None:
    cells = beams(2)
    kept = record(tmp_path / "root", "s", cells)
    fail(kept, cells[0], "shape error at [/INST]")
    for words in (["--watch", "s"], ["s", "--watch"], ["--watch", "5", "s"], ["--watch=2.5", "s"]):
        code, out, err = command_line("status", *words)
        assert (code, err) == (0, "")
        assert "s: 2 cells, 1 failed, 1 not started" in out
        assert "paceline resume s" in out


def test_fewer_seconds_than_are_polite_or_json_are_refused_with_a_reason(
    tmp_path: Path, command_line: Paceline
) -> None:
    record(tmp_path / "root", "s", beams(1))
    code, _, err = command_line("status", "--watch", "1", "s")
    assert code == 2 and "every 2 seconds at most" in err
    code, _, err = command_line("status", "--watch", "--json", "s")
    assert code == 2 and "--watch is for people" in err


def test_a_pipe_gets_a_line_for_every_change_and_no_control_codes(capsys: pytest.CaptureFixture[str]) -> None:
    tell = verb._Changes()

    def look(*states: str) -> Any:
        names = {"kind": "evaluate", "task": "t", "model": "m", "method": "untuned", "cause": "", "detail": ""}
        cells = [
            {**names, "id": f"evaluate-c{i}-00000{i}abcdef", "prompt": "p", "variant": f"beams={i + 1}", "state": s}
            for i, s in enumerate(states)
        ]
        return verb.Look("s", {s: states.count(s) for s in states}, cells, Forecast(seconds=240.0), 0.0)

    for states in (("running", "queued"), ("running", "queued"), ("done", "running")):
        tell(look(*states))
    lines = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "s: 2 cells, 1 running, 1 queued, about 4 min left",
        "evaluate untuned (beams=1) 000000 done",
        "evaluate untuned (beams=2) 000001 running",
        "s: 2 cells, 1 done, 1 running, about 4 min left",
    ]


def test_a_small_screen_shows_what_runs_first(tmp_path: Path) -> None:
    cells = beams(30)
    kept = record(tmp_path, "s", cells)
    begun(kept, cells[-1])
    fail(kept, cells[10], "broken")
    look = verb.look_at(kept.sweep("s"), kept)(remembered.Answers(kept.root, fresh=False))
    console = Literal(file=io.StringIO(), force_terminal=True, width=80, height=12)
    lines = verb.drawn(look, console, False).plain.splitlines()
    rows = [line.split()[0] for line in lines if line.startswith(("running", "failed", "not started"))]
    assert rows[:3] == ["running", "failed", "not"]
    assert len(rows) <= 12
    assert "s: 30 cells" in lines[0]


def test_an_extended_sweep_is_read_again_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = record(tmp_path, "s", beams(1))
    read: list[int] = []
    real = sweep.recorded
    monkeypatch.setattr(sweep, "recorded", lambda *given: read.append(1) or real(*given))
    look = verb.look_at(kept.sweep("s"), kept)
    for _ in range(3):
        assert len(look(remembered.Answers(kept.root, fresh=False)).cells) == 1
    assert len(read) == 1
    record(tmp_path, "s", beams(2))
    os.utime(kept.sweep("s").sweep_json, (1, 1))
    assert len(look(remembered.Answers(kept.root, fresh=False)).cells) == 2
    assert len(read) == 2


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_ctrl_c_ends_watching_with_0_and_without_a_word(terminal: bool, tmp_path: Path) -> None:
    import pty

    kept = record(tmp_path, "s", beams(2))
    begun(kept, beams(1)[0])
    # A background shell has Ctrl-C ignored, and its children inherit that.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "paceline", "status", "s", "--watch", "2"]
    environment = {**os.environ, "PACELINE_ROOT": str(tmp_path), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    ours, theirs = pty.openpty() if terminal else os.pipe()
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        text, end = "", time.monotonic() + 60
        while "1 running" not in text and time.monotonic() < end:
            if select.select([ours], [], [], 0.2)[0]:
                text += os.read(ours, 65536).decode()
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    os.close(ours)
    assert "1 running" in text
    assert ("\x1b[" in text) == terminal
    assert (process.returncode, err) == (0, b"")


def test_following_a_queued_cell_asks_slurm_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`logs -f` looks at files every few seconds; the queue is asked as `status` asks it."""
    from paceline.cli.verbs import logs
    from paceline.sweep import status
    from paceline.sweep.status import CellState

    clock, asked = Clock(monkeypatch), []
    monkeypatch.setattr(logs, "time", clock)
    monkeypatch.setattr(queue, "ask", lambda: asked.append(clock.now) or None)
    (cell,) = beams(1)
    kept = record(tmp_path, "s", [cell])

    def states(store: Store, cells: Any, asked: Any = None) -> dict[str, CellState]:
        asked.queue()
        return {cell.id: CellState(cell.id, "queued" if clock.now < 1_000_300 else "missing")}

    monkeypatch.setattr(status, "states", states)
    assert logs.wait_for_attempt(kept, kept.cell(cell.id), 0) is None
    assert len(asked) in (5, 6)
