"""What status tells of time and cost, from the files of attempts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from paceline.store import files
from paceline.store.owner import age_of
from paceline.store.root import Store
from paceline.sweep import status
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders
from paceline.sweep.forecast import duration, forecast

WORDS = (
    "model=tiny_qwen2_vl",
    "task=geolocation_earth",
    "prompt=geo_bare,geo_training,geo_stepwise,geo_narrowing,geo_confidence",
    "method=untuned",
    "cluster=slurm",
    "cluster.gpus=2",
    "cluster.cells_per_element=1",
    "name=s",
)


@pytest.fixture
def sweep() -> Sweep:
    return expand(compose(WORDS, conf_folders(None)), lambda task: "d" * 64)


def attempted(
    root: Store, sweep: Sweep, index: int, seconds: float, cause: str = "done", reached: int = 10, ended: bool = True
) -> None:
    """An attempt of a cell that took so long on its two GPUs."""
    folder = root.cell(sweep.cells[index].id)
    attempt = folder.new_attempt()
    placement = {"cluster": {"executor": "slurm", "gpus": 2}}
    began = {"time": 1000.0, "submission": "", "host": "node1", "pid": 1, "world": 1, "placement": placement}
    files.write_json(attempt.start_json, {"schema": 1, **began})
    files.write_json(attempt.heartbeat, {"schema": 1, "time": 1000.0 + seconds, "done": reached, "total": 10})
    if ended:
        end = {"cause": cause, "message": "", "seconds": seconds, "gpu_seconds": 2 * seconds}
        files.write_json(attempt.end_json, {"schema": 1, **end})
    if cause == "done" and ended:
        files.write_json(folder.done_json, {"schema": 1, "attempt": attempt.n, "counts": {}, "artefacts": {}})


def test_a_cell_runs_on_at_the_rate_of_all_its_attempts_and_others_as_their_siblings_did(
    tmp_path: Path, sweep: Sweep
) -> None:
    root = Store(tmp_path)
    attempted(root, sweep, 0, 100)
    attempted(root, sweep, 1, 60, "timeout", reached=3)
    attempted(root, sweep, 1, 40, ended=False, reached=5)  # 100 s for 5 of 10
    told = forecast(root, sweep, status.of_sweep(root, sweep))
    ids = [c.id for c in sweep.cells]
    assert told.left == {ids[1]: pytest.approx(100), **dict.fromkeys(ids[2:], 100)}
    assert told.seconds == pytest.approx(400)  # one at a time
    assert told.gpu_hours == pytest.approx(2 * 200 / 3600)
    assert told.estimated_gpu_hours == pytest.approx(2 * 600 / 3600)
    assert not told.at_most


def test_before_any_cell_is_done_the_walltime_bounds_the_cost(tmp_path: Path, sweep: Sweep) -> None:
    told = forecast(Store(tmp_path), sweep, status.of_sweep(Store(tmp_path), sweep))
    assert told.at_most
    assert told.estimated_gpu_hours == pytest.approx(5 * 2 * sweep.cells[0].config.cluster.minutes / 60)
    assert told.seconds is None


def test_a_cell_that_takes_more_than_three_times_its_siblings_is_told(tmp_path: Path, sweep: Sweep) -> None:
    root = Store(tmp_path)
    for index, seconds in enumerate((90, 100, 110)):
        attempted(root, sweep, index, seconds)
    attempted(root, sweep, 3, 301, ended=False, reached=1)
    attempted(root, sweep, 4, 299, ended=False, reached=1)
    told = forecast(root, sweep, status.of_sweep(root, sweep))
    assert told.slow == {sweep.cells[3].id: pytest.approx(3.01)}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(45, "45 s"), (600, "10 min"), (11_100, "3 h 05 min"), (187_200, "2 d 4 h")],
)
def test_times_are_told_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_file_is_as_old_as_its_own_file_systems_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "heartbeat"
    path.touch()
    monkeypatch.setattr("paceline.store.owner._AHEAD", {})
    ours = time.time
    # The server's clock is five minutes ahead of ours, which is the same as ours being five minutes behind.
    monkeypatch.setattr("paceline.store.owner.time.time", lambda: ours() - 300)
    assert age_of(path) == pytest.approx(0, abs=5)
    assert age_of(tmp_path / "missing") is None
