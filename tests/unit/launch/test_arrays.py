"""What goes to Slurm, and what is read out of its queue, without a Slurm."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from submitit.core.utils import DelayedSubmission

from paceline import rank
from paceline.errors import Unavailable
from paceline.launch import arrays as launching
from paceline.launch import elements as grouping
from paceline.launch import submit
from paceline.launch.elements import Element
from paceline.slurm import clients, history, queue
from paceline.slurm.remembered import Answers
from paceline.slurm.site import Site
from paceline.store import files
from paceline.store.root import Store
from paceline.sweep import status
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders
from paceline.worker import RunElement

GOLDEN = Path(__file__).parents[1] / "golden" / "sbatch"
WORDS = (
    "model=tiny_qwen2_vl,tiny_pixtral",
    "task=geolocation_earth",
    "prompt=geo_bare",
    "method=untuned,full",
    "name=s",
)
HOSTILE = 'it\'s a "root" with\nnewline and $HOME'


def sweep(*overrides: str) -> Sweep:
    return expand(compose([*WORDS, *overrides], conf_folders(None)), lambda task: "d" * 64)


def elements(*overrides: str) -> list[Element]:
    return grouping.group(sweep(*overrides).cells)


def queued(monkeypatch: pytest.MonkeyPatch, *jobs: queue.Job) -> None:
    monkeypatch.setattr("paceline.slurm.queue.ask", lambda: list(jobs))


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client is called: what a cluster says of itself is test_preflight's matter."""
    monkeypatch.setattr("paceline.slurm.site.ask", lambda root: Site())
    monkeypatch.setattr("paceline.launch.preflight.findings", lambda *a: [])


@pytest.mark.parametrize("site", ["pace_phoenix", "pace_ice", "slurm"])
def test_each_site_is_asked_for_just_this(site: str, tmp_path: Path) -> None:
    more = ["cluster.account=gts-lab"] if site == "pace_phoenix" else []
    (first, *_) = elements(f"cluster={site}", *more)
    root = Store(tmp_path)
    text = launching.sbatch_text(
        first, 3, "paceline-s-0123abcd-0", launching.environment_of(first, root, "c0de"), tmp_path
    )
    text = text.replace(str(tmp_path), "ROOT").replace(sys.executable, "PYTHON")
    path = GOLDEN / f"{site}.sh"
    if os.environ.get("PACELINE_ACCEPT"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} changed; if that is meant: PACELINE_ACCEPT=1 pytest {__file__}"


def test_an_array_never_outlives_a_dependency_that_failed() -> None:
    for element in elements("cluster=slurm"):
        assert launching.parameters(element, "n", {})["additional_parameters"]["kill-on-invalid-dep"] == "yes"


def test_a_root_with_a_hostile_name_is_quoted(tmp_path: Path) -> None:
    (first, *_) = elements("cluster=slurm")
    lines = launching.parameters(first, "n", launching.environment_of(first, Store(tmp_path / HOSTILE), "c0de"))[
        "setup"
    ]
    (line,) = [w for w in lines if w.startswith("export PYTHONPATH=")]
    assert line.startswith("export PYTHONPATH='")
    assert "'\"'\"'" in line


def test_no_secret_reaches_the_sbatch_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "s3cr3t")
    monkeypatch.setenv("PYTHONPATH", "/home/s3cr3t")
    (first, *_) = elements("cluster=slurm")
    text = launching.sbatch_text(first, 1, "n", launching.environment_of(first, Store(tmp_path), "c"), tmp_path)
    assert "s3cr3t" not in text


def test_what_needs_no_tuning_does_not_wait_for_one() -> None:
    found = elements("cluster=slurm")
    arrays = launching.chunks(found, {}, None)
    kinds = [(found[a[0]].kind, bool(found[a[0]].needs), len(a)) for a in arrays]
    assert kinds == [("finetune", False, 2), ("evaluate", False, 2), ("evaluate", True, 2)]


def test_arrays_stay_below_the_clusters_highest_index() -> None:
    found = elements("cluster=slurm", "cluster.max_array=2")
    assert {len(a) for a in launching.chunks(found, {}, None)} == {1}


def test_what_is_over_the_submit_limit_is_held_back_and_so_is_what_needs_it() -> None:
    found = elements("cluster=slurm")
    kept = [i for a in launching.chunks(found, {}, 3) for i in a]
    assert len(kept) == 3
    making = {c for i in kept for c in found[i].cells}
    assert all(n in making for i in kept for n in found[i].needs)
    assert launching.chunks(found, {}, 0) == []


def test_matching_arrays_free_each_other_element_by_element() -> None:
    found = elements("cluster=slurm")
    (tuning, _, answering) = launching.chunks(found, {}, None)
    jobs = {c: f"7_{k}" for k, i in enumerate(tuning) for c in found[i].cells}
    assert launching.dependency(answering, found, jobs) == "aftercorr:7"
    crossed = {c: f"7_{1 - k}" for k, i in enumerate(tuning) for c in found[i].cells}
    assert launching.dependency(answering, found, crossed) == "afterok:7_0:7_1"
    assert launching.dependency(tuning, found, jobs) == ""


def test_tunings_of_other_resources_do_not_stand_in_the_way_of_each_others_evaluations() -> None:
    two_nodes = "place=[{match: {kind: finetune, model: tiny_pixtral}, set: {placement.nodes: 2}}]"
    words = ("model=tiny_qwen2_vl,tiny_pixtral", "prompt=geo_bare,geo_stepwise", "method=full", "train.prompt=same")
    found = elements("cluster=slurm", *words, two_nodes)
    arrays = launching.chunks(found, {}, None)
    jobs = {c: f"{a}_{k}" for a, array in enumerate(arrays) for k, i in enumerate(array) for c in found[i].cells}
    waiting = {launching.dependency(a, found, jobs) for a in arrays if found[a[0]].kind == "evaluate"}
    assert waiting == {"aftercorr:0", "aftercorr:1"}


def test_the_queue_is_read_line_by_line() -> None:
    text = "12_0|paceline-s-0-0|0|RUNNING|embers|None\n13|paceline-s-0-1|N/A|PENDING|inferno|Dependency\nnonsense\n"
    first, second = queue.parse(text)
    assert (first.id, first.index, first.pending, first.reason) == ("12_0", 0, False, "")
    assert (second.name, second.index, second.pending, second.reason) == ("paceline-s-0-1", 0, True, "Dependency")


def test_a_client_that_is_missing_or_hangs_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="is not installed here"):
        clients.call(["no-such-slurm-client"])
    with pytest.raises(Unavailable, match="gave no answer"):
        clients.call(["sleep", "5"], seconds=0.05)
    with pytest.raises(Unavailable, match=r"exit code 1|false"):
        clients.call(["false"])


@pytest.fixture
def submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A sweep that went to Slurm, as files say; its launcher is on another node by now."""

    def freeze(found: Store) -> str:
        files.write_json(found.code("c0de") / "SNAPSHOT.json", {"schema": 1})
        return "c0de"

    monkeypatch.setattr("paceline.store.code.freeze", freeze)
    monkeypatch.setattr("paceline.launch.arrays.launch", lambda *a: {"0": "1_0"})
    monkeypatch.setattr("paceline.launch.submit.this_process", lambda: {"host": "login-1", "pid": 1})
    queued(monkeypatch)
    root = Store(tmp_path)
    submit.decide(sweep("cluster=slurm"), root)
    return root


def names(root: Store) -> str:
    return str(files.read_json(root.sweep("s").submissions()[0] / "intent.json")["name"])


def test_jobs_are_known_by_name_so_a_launcher_that_died_repeats_nothing(
    submitted: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = names(submitted)
    queued(
        monkeypatch,
        queue.Job("1_0", f"{name}-0", 0, "RUNNING", "embers", "None"),
        queue.Job("1_1", f"{name}-0", 1, "PENDING", "embers", "P"),
    )
    asked = sweep("cluster=slurm")
    found = status.states(submitted, [c.cell for c in asked.cells])
    tuned = [found[c.id] for c in asked.cells if c.cell.kind == "finetune"]
    assert [s.state for s in tuned] == ["queued", "queued"]
    again = submit.decide(asked, submitted)
    assert all("finetune" not in c for e in again.elements for c in e.cells)


def test_an_unanswered_question_is_unknown_and_never_dead(submitted: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paceline.slurm.queue.ask", lambda: None)
    asked = sweep("cluster=slurm")
    assert {s.state for s in status.states(submitted, [c.cell for c in asked.cells]).values()} == {"unknown"}
    assert submit.decide(asked, submitted).path is None


def test_slurm_is_asked_once_whatever_the_number_of_submissions(
    submitted: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit.decide(sweep("cluster=slurm"), submitted)
    calls: list[int] = []
    monkeypatch.setattr("paceline.slurm.queue.ask", lambda: calls.append(1) or [])
    status.of_sweep(submitted, sweep("cluster=slurm"), Answers(submitted.root, fresh=True))
    assert len(calls) == 1


def test_who_only_looks_is_told_what_the_last_look_heard_for_a_minute(
    submitted: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr("paceline.slurm.queue.ask", lambda: calls.append(1) or [])
    for _ in range(3):
        status.of_sweep(submitted, sweep("cluster=slurm"))
    assert len(calls) == 1
    # Who decides asks afresh; and what was heard before jobs were submitted is no longer so.
    submit.decide(sweep("cluster=slurm"), submitted)
    assert len(calls) == 2
    status.of_sweep(submitted, sweep("cluster=slurm"))
    assert len(calls) == 3


def test_an_attempt_whose_job_left_the_queue_is_over_however_fresh_its_pulse(submitted: Store) -> None:
    asked = sweep("cluster=slurm")
    cell = next(c for c in asked.cells if c.cell.kind == "finetune")
    attempt = submitted.cell(cell.id).new_attempt()
    path = submitted.sweep("s").submissions()[0]
    start = {"schema": 1, "submission": str(path), "host": "node1", "pid": 1, "job": "1_0.0"}
    files.write_json(attempt.start_json, start)
    files.write_json(attempt.heartbeat, {"schema": 1, "done": 1, "total": 2})
    found = status.states(submitted, [c.cell for c in asked.cells])
    assert found[cell.id].state == "interrupted"


def test_the_accounting_tells_every_run_of_a_job_and_why_it_ended() -> None:
    lines = (
        "1_0|PREEMPTED|0:0|2026-01-01T10:00:00|2026-01-01T10:00:01",
        "1_0.batch|CANCELLED|0:15|2026-01-01T10:00:00|2026-01-01T10:00:01",
        "1_0|CANCELLED by 0|0:0|2026-01-01T10:05:00|2026-01-01T10:05:30",
        "1_1|FAILED|1:0|2026-01-01T10:00:00|2026-01-01T10:00:01",
        "1_1.0|OUT_OF_MEMORY|0:125|2026-01-01T10:00:00|2026-01-01T10:00:01",
        "1_2|FAILED|0:9|2026-01-01T10:00:00|2026-01-01T10:00:01",
        "1_3|REQUEUED|0:0|2026-01-01T10:00:00|2026-01-01T10:00:01",
        "1_3|RUNNING|0:0|2026-01-01T10:02:00|Unknown",
    )
    runs = history.parse("\n".join(lines))
    assert [r.cause for r in runs["1_0"]] == ["preempted", "cancelled"]
    assert [r.cause for r in runs["1_1"]] == ["out of host memory"]
    assert (runs["1_2"][0].cause, runs["1_2"][0].words) == ("unknown", "Slurm says FAILED, signal 9")
    assert [r.cause for r in runs["1_3"]] == [None, None]


class Heard:
    """Slurm's word on one job, and how often each client was asked for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: str = "", runs: list[history.Run] | None = None) -> None:
        self.squeue = self.sacct = 0
        self._state, self._runs = state, runs
        monkeypatch.setattr("paceline.slurm.queue.ask", self._queue)
        monkeypatch.setattr("paceline.slurm.history.ask", self._history)

    name = ""

    def _queue(self) -> list[queue.Job]:
        self.squeue += 1
        return [queue.Job("1_0", f"{self.name}-0", 0, self._state, "embers", "None")] if self._state else []

    def _history(self, jobs: object) -> dict[str, list[history.Run]] | None:
        self.sacct += 1
        return None if self._runs is None else {"1_0": self._runs}


def attempted(root: Store, *ends: str | None) -> str:
    """The first finetune cell, tried by runs of job 1_0 that ended so; None: without a word."""
    cell = next(c for c in sweep("cluster=slurm").cells if c.cell.kind == "finetune")
    for restart, cause in enumerate(ends):
        attempt = root.cell(cell.id).new_attempt()
        start = {
            "submission": str(root.sweep("s").submissions()[0]),
            "host": "node1",
            "pid": 1,
            "job": f"1_0.{restart}",
        }
        files.write_json(attempt.start_json, {"schema": 1, **start})
        if cause:
            files.write_json(attempt.end_json, {"schema": 1, "cause": cause, "message": ""})
    return cell.id


@pytest.mark.parametrize(
    ("end", "queued_as", "runs", "shown"),
    [
        pytest.param(None, "", [history.Run("NODE_FAIL")], "node failure", id="a node that failed said nothing"),
        pytest.param(None, "TIMEOUT", None, "timeout", id="without accounting the queue knows for some minutes"),
        pytest.param(None, "", None, "unknown", id="later nobody knows"),
        pytest.param("cancelled", "", [history.Run("PREEMPTED")], "preempted", id="a signal does not say what for"),
        pytest.param("cancelled", "", [history.Run("CANCELLED")], "cancelled", id="a person did it"),
        pytest.param("cancelled", "", None, "cancelled", id="nobody can tell"),
        pytest.param("unknown", "", [history.Run("NODE_FAIL")], "node failure", id="its peer's node failed"),
        pytest.param("CUDA out of memory", "FAILED", None, "CUDA out of memory", id="its own word counts"),
    ],
)
def test_how_a_job_ended_is_told_by_who_knows(
    end: str | None,
    queued_as: str,
    runs: list[history.Run] | None,
    shown: str,
    submitted: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell = attempted(submitted, end)
    heard = Heard(monkeypatch, queued_as, runs)
    heard.name = names(submitted)
    found = status.of_sweep(submitted, sweep("cluster=slurm"))[cell]
    assert (found.state, found.cause) == ("interrupted", shown)
    assert heard.squeue <= 1 and heard.sacct <= 1


def test_a_cause_has_a_cap_of_its_own(submitted: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = attempted(submitted, "CUDA out of memory", "CUDA out of memory")
    Heard(monkeypatch)
    assert status.of_sweep(submitted, sweep("cluster=slurm"))[cell].state == "failed"
    more = "cluster.attempts_per_cause={CUDA out of memory: 3}"
    assert status.of_sweep(submitted, sweep("cluster=slurm", more))[cell].state == "interrupted"


def test_cells_over_the_submit_limit_are_held_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queued(monkeypatch)
    monkeypatch.setattr("paceline.slurm.history.ask", lambda jobs: None)
    monkeypatch.setattr("paceline.launch.arrays.launch", lambda *a: {"0": "1_0"})
    asked = sweep("cluster=slurm", "cluster.max_submit=1", "cluster.qos=embers")
    root = Store(tmp_path)
    decided = submit.decide(asked, root)
    assert len(decided.elements) == 1
    found = status.of_sweep(root, asked)
    held = [s for s in found.values() if s.state == "held"]
    assert [s.id for s in held] == decided.held
    assert {s.detail for s in held} == {"1 job of embers may be submitted at a time, 0 are in the queue"}


def test_an_unattended_resume_leaves_what_a_person_cancelled(submitted: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = attempted(submitted, "cancelled")
    Heard(monkeypatch, runs=[history.Run("CANCELLED")])
    asked = sweep("cluster=slurm")
    found = status.of_sweep(submitted, asked)
    assert cell in {c.id for c in submit.choose(asked.cells, found)[0]}
    chosen, left = submit.choose(asked.cells, found, submit.Wishes(unattended=True))
    assert cell not in {c.id for c in chosen} and left[cell].startswith("cancelled")


def test_a_job_whose_launcher_died_after_sbatch_finds_its_element_by_itself(
    submitted: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = submitted.sweep("s").submissions()[0]
    ran: list[DelayedSubmission] = []

    def process(folder: Path) -> None:
        assert folder == path / "submitit"
        ran.append(DelayedSubmission.load(folder / "7_1_submitted.pkl"))
        (folder / "7_1_0_result.pkl").touch()

    monkeypatch.setattr("paceline.rank.process_job", process)
    for name, value in {
        "SUBMITIT_EXECUTOR": "slurm",
        "SLURM_JOB_ID": "8",
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NTASKS": "1",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_JOB_NODELIST": "node1",
    }.items():
        monkeypatch.setenv(name, value)
    content = files.read_json(path / "elements.json")
    (path / "submitit").mkdir()
    array = next(k for k, indices in enumerate(content["arrays"]) if len(indices) > 1)
    monkeypatch.setattr(sys, "argv", ["rank", str(path), str(array)])
    rank.main()
    assert ran[0].function == RunElement(str(path), content["arrays"][array][1])
    assert list((path / "submitit").iterdir()) == []  # it came to its end, so what it was started from goes


def test_the_chained_job_resumes_with_the_configs_of_its_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[list[str]] = []
    monkeypatch.setattr("paceline.slurm.sbatch.submit", lambda words, name: said.append(words) or "8")
    (first, *_) = elements("cluster=slurm")
    path = tmp_path / "sweeps" / "s" / "submissions" / "1"
    mine, lab, shipped = (tmp_path / name for name in ("my own", "lab", "shipped"))
    for conf in ([shipped], [mine, shipped], [mine, lab, shipped]):
        assert launching.chain(path, first, {"0": "7_0"}, "n", Store(tmp_path), "c0de", conf) == "8"
    plain, one, both = (words[-1] for words in said)
    assert "--conf" not in plain and "PACELINE_CONF" not in plain
    assert one.endswith(f" --conf '{mine}'") and "PACELINE_CONF" not in one
    assert both.endswith(f" --conf '{mine}'") and f"export PACELINE_CONF={lab};" in both
