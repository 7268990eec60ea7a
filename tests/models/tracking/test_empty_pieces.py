"""What a killed process leaves of its piece holds back no other piece of its cell."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from finetune_twin import attempt, config
from syncing import Lab
from wandb_server import serving

from paceline.store.cell_folder import CellFolder
from paceline.store.files import append_jsonl, read_json, read_jsonl, write_json
from paceline.tracking import tracker as tracking
from paceline.tracking import wandb_log

KILLS = int(os.environ.get("PACELINE_KILLS", "4"))


def begin_only(path: Path, records: int) -> None:
    """As a kill leaves it after so many whole records and a half one."""
    contents = list(wandb_log.messages(path))
    wandb_log.write(path, contents[:records])
    size = path.stat().st_size
    wandb_log.write(path, contents[: records + 1])
    os.truncate(path, (size + path.stat().st_size) // 2)


# What is in the middle one of three pieces -> the steps that arrive of it.
EMPTY: dict[str, Callable[[Path], object]] = {
    "no byte": lambda path: path.write_bytes(b""),
    "half a header": lambda path: path.write_bytes(path.read_bytes()[:4]),
    "a header": lambda path: path.write_bytes(path.read_bytes()[:7]),
    "half the first record": lambda path: begin_only(path, 0),
    "half the record of the run": lambda path: begin_only(path, 1),
    "zeros": lambda path: path.write_bytes(bytes(5000)),
    "a header and zeros": lambda path: path.write_bytes(path.read_bytes()[:7] + bytes(40_000)),
    "garbage": lambda path: path.write_bytes(random.Random(1).randbytes(70_000)),
    "a header and garbage": lambda path: path.write_bytes(path.read_bytes()[:7] + random.Random(2).randbytes(70_000)),
}
TORN: dict[str, Callable[[Path], object]] = {
    "the run alone": lambda path: begin_only(path, 2),
    "garbage after the run": lambda path: (begin_only(path, 2), path.open("ab").write(random.Random(3).randbytes(999))),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cell of three attempts of two steps each."""
    folder = tmp_path_factory.mktemp("written") / "cell"
    for begin in (1, 3, 5):
        run = attempt(folder, config(backend="wandb"))
        with tracking.tracked(run) as tracker:
            for step in (begin, begin + 1):
                append_jsonl(run.attempt.path / "history.jsonl", [{"step": step, "loss": 1 / step}])
                tracker.log(step, {"loss": 1 / step})
        write_json(run.attempt.end_json, {"cause": "done", "message": ""})
    return folder


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with serving() as server:
        yield Lab(tmp_path / "root", server, tmp_path / "home")


def piece(folder: Path, n: int) -> wandb_log.Piece:
    (found,) = wandb_log.pieces(CellFolder(folder).attempts()[n - 1])
    return found


def test_pieces_with_nothing_in_them_are_passed_over_and_all_others_arrive(lab: Lab, written: Path) -> None:
    spoil = {f"finetune-toy-{n:012x}": harm for n, harm in enumerate({**EMPTY, **TORN}.values())}
    for n, (name, harm) in enumerate(spoil.items()):
        folder = lab.root / "cells" / name
        shutil.copytree(written, folder)
        write_json(folder / "tracking.json", {**read_json(folder / "tracking.json"), "run_id": f"run{n}"})
        harm(piece(folder, 2).path)
    write_json(lab.root / "sweeps" / "toy" / "sweep.json", {"name": "toy", "cells": list(spoil)})
    code, out, err = lab.sync()
    assert (code, err) == (0, "")
    *notes, last = out.splitlines()
    assert last == f"toy: {3 * len(spoil) - len(EMPTY)} pieces of {len(spoil)} cells uploaded, 0 left"
    assert sorted(line.split(":")[1].split()[0] for line in notes) == sorted(spoil)[: len(EMPTY)]
    assert all("passed over" in line and "attempt 2" in line for line in notes)
    assert {name: lab.steps(name) for name in spoil} == {name: [1, 2, 5, 6] for name in spoil}
    assert lab.sync() == (0, "toy: 0 pieces of 0 cells uploaded, 0 left\n", "")


def test_a_piece_that_can_not_be_read_is_left_and_holds_back_its_cell_alone(lab: Lab, written: Path) -> None:
    cells = ["finetune-toy-000000000001", "finetune-toy-000000000002"]
    for n, name in enumerate(cells):
        shutil.copytree(written, lab.root / "cells" / name)
        tracking_json = lab.root / "cells" / name / "tracking.json"
        write_json(tracking_json, {**read_json(tracking_json), "run_id": f"run{n}"})
    path = piece(lab.root / "cells" / cells[0], 2).path
    path.rename(path.with_name("kept"))
    path.mkdir()
    write_json(lab.root / "sweeps" / "toy" / "sweep.json", {"name": "toy", "cells": cells})
    code, out, err = lab.sync()
    assert code == 1
    assert "2 pieces of sweep 'toy' are left behind" in err
    assert f"left: {cells[0]} attempt 2: it can't be read or sent (IsADirectoryError" in out
    assert (lab.steps(cells[0]), lab.steps(cells[1])) == ([1, 2], [1, 2, 3, 4, 5, 6])
    path.rmdir()
    path.with_name("kept").rename(path)
    assert lab.sync() == (0, "toy: 2 pieces of 1 cell uploaded, 0 left\n", "")
    assert lab.steps(cells[0]) == [1, 2, 3, 4, 5, 6]


def test_every_step_arrives_once_of_attempts_that_were_killed_at_random_moments_of_their_start(lab: Lab) -> None:
    cell = "finetune-toy-0123456789ab"
    folder = lab.root / "cells" / cell
    script = Path(__file__).parents[1] / "killed_attempts.py"
    environment = {k: v for k, v in lab.environment.items() if not k.startswith("WANDB")}
    command = [sys.executable, str(script), str(folder), str(KILLS)]
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    subprocess.run(command, env=environment, check=True, timeout=300, stdout=subprocess.DEVNULL)
    write_json(lab.root / "sweeps" / "toy" / "sweep.json", {"name": "toy", "cells": [cell]})
    steps = [
        int(point["step"]) for a in CellFolder(folder).attempts() for point in read_jsonl(a.path / "history.jsonl")
    ]
    assert steps == list(range(1, len(steps) + 1))
    code, out, err = lab.sync()
    assert (code, err) == (0, "")
    assert lab.steps(cell) == steps, out
