"""A sweep that an earlier version submitted, and that was interrupted half-way, is resumed by this one.

The sweep is an archive (old_sweep.py) and brings its frozen code. A job of the resume is started by this version's
launcher and run by the earlier version's code, so what the two exchange must stay as it is: the command
``python -m paceline.rank SUBMISSION ARRAY``, the pickled ``paceline.worker.RunElement(submission, index)``, and the
files under the root. A chained job of the earlier version runs its own ``python -m paceline resume`` on what this
version wrote.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import old_sweep
import pytest
from dev_cluster import DevCluster
from lab import Lab, results
from submitit.core.utils import DelayedSubmission

from paceline.store.code import code_digest
from paceline.store.files import read_json, read_jsonl
from paceline.worker import RunElement

# The cells of the archive: see old_sweep.py.
DONE = "evaluate-*-geo_bare-untuned-*"
KILLED = "evaluate-*-geo_training-untuned-*"
CANCELLED = "finetune-*"
NOT_BEGUN = "evaluate-*-lora-*"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the sweep must end in: the results of an undisturbed run by the earlier version, from the archive.

    On a processor that rounds otherwise than the one that ran it: those of a resume by the earlier version itself.
    """
    folder = tmp_path_factory.mktemp("expected")
    root = old_sweep.unpack(folder)
    recorded = folder / "undisturbed"
    if (recorded / "arithmetic").read_text().strip() == old_sweep.arithmetic():
        return {str(p.relative_to(recorded)): p.read_bytes() for p in recorded.glob("*/**/*") if p.is_file()}
    by_old_code(root, "-m", "paceline", "resume", "s", "cluster=local", f"root={root}")
    return {name: content for name, content in results(root).items() if name.endswith(old_sweep.COMPARED)}


@pytest.mark.parametrize(
    ("words", "switched"),
    [
        pytest.param((), False, id="on-slurm"),
        pytest.param(("cluster=local",), False, id="on-this-machine"),
        pytest.param(("--code=current",), True, id="with-the-current-code"),
    ],
)
def test_an_interrupted_sweep_of_an_earlier_version_is_resumed_where_it_stands(
    cluster: DevCluster, tmp_path: Path, expected: dict[str, bytes], words: tuple[str, ...], switched: bool
) -> None:
    root = old_sweep.unpack(tmp_path)
    submitted = read_json(root / "sweeps/s/sweep.json")["overrides"]
    lab = Lab(cluster, root, [word for word in submitted if not word.startswith("root=")])
    stopped = {DONE: "done", KILLED: "interrupted", CANCELLED: "interrupted", NOT_BEGUN: "waiting"}
    assert _each(lab, "state") == stopped

    if not words:
        # A job whose launcher dies makes its pickle itself, from what the launcher wrote before sbatch.
        with lab.launcher_dies("after", 1):
            assert lab.paceline("resume", "s").returncode < 0
        lab.settle()
        assert _each(lab, "state") == stopped | {CANCELLED: "done", NOT_BEGUN: "missing"}
    lab.well("resume", "s", *words)
    assert "nothing to start" in _chained(lab)
    lab.settle()
    assert _each(lab, "state") == dict.fromkeys(stopped, "done")
    assert _each(lab, "attempts") == {DONE: 1, KILLED: 2, CANCELLED: 2, NOT_BEGUN: 1}
    began = [read_json(p) for p in root.glob("cells/*/attempts/*/start.json")]
    ran = {b["provenance"]["code"].get("digest") for b in began if not b["submission"].endswith("/1")}
    assert ran == {code_digest() if switched else old_code(root)}

    # The tuning went on after its checkpoint, the evaluation with the first batch that was not answered.
    before, after = (_records(root, CANCELLED, n, "history.jsonl") for n in (1, 2))
    assert after[0]["step"] == before[-1]["step"] + 1 > 1
    before, after = (_records(root, KILLED, n, "predictions.jsonl") for n in (1, 2))
    batches = [r["batch"] for r in read_jsonl(_cell(root, KILLED) / "predictions.jsonl")]
    assert before and [r["batch"] for r in before + after] == batches

    # Another version's scorer may give other metrics for the same answers.
    compared = [k for k in expected if not (switched and k.endswith("metrics.json"))]
    found = results(root)
    assert [k for k in compared if found.get(k) != expected[k]] == []

    assert "nothing to start" in lab.resume()
    assert "nothing to start" in lab.submit()
    lab.well("report", "s", "--csv", str(tmp_path / "s.csv"))
    assert all(c in (tmp_path / "s.csv").read_text() for c in lab.cells() if c.startswith("evaluate"))
    assert "scored 3 cells again" in lab.well("score", "s")
    assert "nothing to start" in _chained(lab)


def test_pickled_jobs_are_read_across_versions(tmp_path: Path) -> None:
    root = old_sweep.unpack(tmp_path)
    pickles = sorted(root.glob("sweeps/s/submissions/1/submitit/*_submitted.pkl"))
    read = [DelayedSubmission.load(path).function for path in pickles]
    assert read == [RunElement(f"{old_sweep.ROOT}/sweeps/s/submissions/1", index) for index in range(3)]
    DelayedSubmission(RunElement("folder", 7)).dump(tmp_path / "new.pkl")
    line = f"from submitit.core.utils import *; print(DelayedSubmission.load({str(tmp_path / 'new.pkl')!r}).function)"
    assert by_old_code(root, "-c", line) == "RunElement(submission='folder', index=7)\n"


def old_code(root: Path) -> str:
    """The digest of the archived sweep's frozen code."""
    return str(read_json(root / "sweeps/s/submissions/1/intent.json")["code"])


def by_old_code(root: Path, *words: str) -> str:
    """Run Python with the archived sweep's frozen code; what it prints."""
    env = {**os.environ, "PYTHONPATH": str(root / "code" / old_code(root) / "src")}
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _chained(lab: Lab) -> str:
    """What a chained job of the earlier version does: it resumes by the frozen code what this version submitted."""
    before = dict(lab.env)
    lab.env["PYTHONPATH"] = str(lab.root / "code" / old_code(lab.root) / "src")
    try:
        return lab.well("resume", "s", "--chain", "--unattended")
    finally:
        lab.env = before


def _each(lab: Lab, key: str) -> dict[str, Any]:
    """What ``status`` tells of each cell of the archive."""
    cells = lab.cells()
    return {pattern: cells[_cell(lab.root, pattern).name][key] for pattern in (DONE, KILLED, CANCELLED, NOT_BEGUN)}


def _cell(root: Path, pattern: str) -> Path:
    (found,) = (root / "cells").glob(pattern)
    return found


def _records(root: Path, pattern: str, attempt: int, name: str) -> list[dict[str, Any]]:
    return list(read_jsonl(_cell(root, pattern) / "attempts" / str(attempt) / name))
