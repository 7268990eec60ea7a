"""Every attempt ends with a cause that says what to do, and tells of its life while it lasts."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paceline import worker
from paceline.attempts import attempt, classify, signals
from paceline.attempts import run as attempts
from paceline.attempts.signals import STOP
from paceline.config.identity import placement_of
from paceline.config.schema import Config
from paceline.errors import DataError, Interrupted, NonFiniteLoss, Unavailable
from paceline.store.causes import CAUSES
from paceline.store.cell_folder import Cell, CellFolder
from paceline.store.root import Store

CELL = Cell("evaluate-m-0123456789ab", "evaluate", {"data": "d", "model": {"name": "m"}})


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.fixture
def folder(tmp_path: Path) -> CellFolder:
    found = Store(tmp_path).cell(CELL.id)
    found.freeze(CELL)
    return found


@contextlib.contextmanager
def real_streams() -> Iterator[None]:
    """Print to the file descriptors, from which logs are taken; pytest's own streams pass by them."""
    with (
        open(1, "w", closefd=False) as out,
        open(2, "w", closefd=False) as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        yield


def launch(**more: object) -> attempts.Launch:
    return attempts.Launch(placement=placement_of(Config()), sweep="s", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk full"),
        (OSError(errno.EDQUOT, "quota"), "disk full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk full"),
        (caused(Unavailable("can't write"), OSError(errno.ENOSPC, "full")), "disk full"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 392 MiB"), "CUDA out of memory"),
        (MemoryError(), "out of host memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of host memory"),
        (NonFiniteLoss("loss is nan"), "NaN loss"),
        (DataError("image gone"), "bad data"),
        (Interrupted("timeout"), "timeout"),
        (KeyError("x"), "code bug"),
    ],
)
def test_each_error_has_its_cause(error: Exception, cause: str) -> None:
    assert classify.classify(error) == cause
    assert cause in CAUSES


def test_an_attempt_tells_how_it_began_how_far_it_is_and_how_it_ended(folder: CellFolder) -> None:
    with real_streams(), attempt.attempt(folder, launch()) as run:
        run.progress(3, 10, "samples")
        run.beat()
        assert run.attempt.start()["pid"] == os.getpid()
        assert run.attempt.progress()["done"] == 3
        print("to the log")
    (only,) = folder.attempts()
    assert only.end()["cause"] == "done"
    assert "to the log" in only.log.read_text()
    assert {"code", "python", "versions", "gpus"} <= set(only.start()["provenance"])


def test_an_error_is_written_down_and_the_next_cell_still_runs(folder: CellFolder) -> None:
    with real_streams(), attempt.attempt(folder, launch()):
        raise KeyError("a bug")
    (only,) = folder.attempts()
    assert only.end()["cause"] == "code bug"
    assert "Traceback" in only.log.read_text()


def test_an_interruption_ends_the_element_too(folder: CellFolder) -> None:
    with pytest.raises(Interrupted), attempt.attempt(folder, launch()):
        raise Interrupted("timeout")
    assert folder.attempts()[0].end()["cause"] == "timeout"


@pytest.mark.parametrize(("number", "cause"), [(signal.SIGUSR2, "timeout"), (signal.SIGTERM, "cancelled")])
def test_a_signal_sets_a_flag_and_nothing_else(number: signal.Signals, cause: str, folder: CellFolder) -> None:
    with signals.STOP.listening(), attempt.attempt(folder, launch()) as run:
        assert run.stop() is None
        signal.raise_signal(number)
        assert run.stop() == cause
    with signals.STOP.listening() as stop:
        assert stop.cause is None


def test_code_that_cannot_be_imported_is_a_cause_too(folder: CellFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(kind: str) -> None:
        raise ImportError("no module named nonsense")

    monkeypatch.setattr(worker, "load_job", broken)
    with real_streams():
        worker.run_cells("evaluate", [folder.path], launch())
    assert folder.attempts()[0].end()["cause"] == "code bug"
    assert "nonsense" in folder.attempts()[0].log.read_text()


def test_other_ranks_join_the_attempt_that_rank_0_claimed(folder: CellFolder, tmp_path: Path) -> None:
    more = {"submission": str(tmp_path / "submission"), "world": 2, "job": "7"}
    with attempt.attempt(folder, launch(**more)) as first, attempt.attempt(folder, launch(**more, rank=1)) as second:
        assert first.attempt.path == second.attempt.path
        assert (first.address, first.port) == (second.address, second.port)
        os.write(1, b"said by rank 1\n")
    (only,) = folder.attempts()
    assert (only.path / "log.rank1").read_text() == "said by rank 1\n"


def test_an_attempt_that_ended_well_leaves_no_file_that_tells_nothing(folder: CellFolder, tmp_path: Path) -> None:
    more = {"submission": str(tmp_path / "submission"), "world": 2, "job": "7"}
    with attempt.attempt(folder, launch(**more)), attempt.attempt(folder, launch(**more, rank=1)):
        pass
    (only,) = folder.attempts()
    assert sorted(p.name for p in only.path.iterdir()) == ["end.json", "log", "start.json"]
    assert not [p for p in (tmp_path / "submission").rglob("*") if p.is_file()]


def test_an_attempt_that_ended_badly_keeps_how_far_it_came_and_what_each_rank_says(
    folder: CellFolder, tmp_path: Path
) -> None:
    more = {"submission": str(tmp_path / "submission"), "world": 2, "job": "7"}
    with (
        contextlib.suppress(ValueError),
        attempt.attempt(folder, launch(**more)) as run,
        attempt.attempt(folder, launch(**more, rank=1)),
    ):
        run.progress(3, 9, "steps")
        raise ValueError
    (only,) = folder.attempts()
    assert (only.progress() or {})["done"] == 3
    assert [end["cause"] for end in only.end_of_others()] == ["code bug"]


def test_the_pulse_goes_on_while_the_cell_computes(folder: CellFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "HEARTBEAT_SECONDS", 0.02)
    with attempt.attempt(folder, launch()) as run:
        first = None
        for _ in range(10_000_000):
            beat = run.attempt.progress()
            first = first or beat
            if beat and first and beat["time"] > first["time"]:
                break
        else:
            pytest.fail("no second beat")


def test_no_secret_reaches_a_file_of_the_attempt(folder: CellFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "s3cr3t")
    with attempt.attempt(folder, launch()):
        pass
    for path in folder.path.rglob("*"):
        assert not path.is_file() or b"s3cr3t" not in path.read_bytes()


def test_the_element_is_pickled_as_two_words() -> None:
    element = worker.RunElement("/root/sweeps/s/submissions/1", 3)
    assert json.loads(json.dumps(vars(element))) == {"submission": "/root/sweeps/s/submissions/1", "index": 3}


def test_a_forked_child_ignores_what_is_meant_for_its_rank() -> None:
    with STOP.listening():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:  # a data loader's worker: it goes on through every signal, and ends by itself
            for number in STOP.CAUSES:
                os.kill(os.getpid(), number)
            os.write(writer, b"fed" if STOP.cause is None else b"stopped")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 10) == b"fed"


def test_a_warning_long_before_the_walltime_is_a_preemption(monkeypatch: pytest.MonkeyPatch) -> None:
    with STOP.listening():
        monkeypatch.setattr(STOP, "walltime_from", time.monotonic() + 1000)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert STOP.cause == "preempted"
    with STOP.listening():
        monkeypatch.setattr(STOP, "walltime_from", time.monotonic() - 1)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert STOP.cause == "timeout"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        pytest.param("echo 'JobId=7 JobState=COMPLETING PreemptTime=2026-01-01T10:00:00'", "preempted", id="preempted"),
        pytest.param("echo 'JobId=7 JobState=COMPLETING PreemptTime=None'", "cancelled", id="cancelled"),
        pytest.param("exit 1", "cancelled", id="no answer"),
    ],
)
def test_what_a_term_meant_is_asked_of_slurm_while_it_knows(
    said: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f"#!/bin/sh\n{said}\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert classify.why_ended() == cause


@pytest.mark.parametrize(
    "said",
    [
        "[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:51598",
        "NCCL error: remote process exited or there was a network error, connection reset by peer",
    ],
)
def test_a_rank_whose_peer_was_lost_has_no_bug(said: str) -> None:
    assert classify.classify(RuntimeError(said)) == "unknown"
    assert classify.classify(RuntimeError("shapes differ")) == "code bug"
