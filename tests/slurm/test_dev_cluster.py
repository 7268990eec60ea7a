"""The development cluster is a Slurm that can be trusted: it does what paceline's other Slurm tests rely on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dev_cluster import TOOL, DevCluster, tool, until

EVERYTHING = ("--nodes=2", "--exclusive")
# Says what becomes of it in work/<job>.log.
TELLS = """
export log=$SLURM_JOB_ID.log
srun --nodes=1 --ntasks=1 bash -c '
    trap "echo TERM >> $log; exit" TERM
    trap "echo USR2 >> $log" USR2
    echo "start ${SLURM_RESTART_COUNT:-0}" >> $log
    while :; do sleep 0.1; done'
"""
# Dies only by SIGKILL.
STUBBORN = TELLS.replace("; exit", "")


def log(cluster: DevCluster, job: str) -> list[str]:
    path = cluster.work / f"{job}.log"
    return path.read_text().splitlines() if path.exists() else []


def says(cluster: DevCluster, job: str, line: str, timeout: float = 30) -> None:
    until(lambda: line in log(cluster, job), timeout, lambda: f"no {line!r} in {log(cluster, job)}")


def mentions(process: Path, text: str) -> bool:
    """Whether a process lives that was started with some text in its environment or command line."""
    try:
        return any(text.encode() in (process / name).read_bytes() for name in ("environ", "cmdline"))
    except OSError:
        return False


# ---- what every cluster does


def test_a_job_spans_both_nodes_and_each_finds_the_other_by_name(cluster: DevCluster) -> None:
    assert sorted(cluster.run("srun", "-N2", "-n2", "hostname").split()) == ["node1", "node2"]
    assert "127.0.0.1" in cluster.run("srun", "-w", "node2", "getent", "hosts", "node1")


def test_a_gpu_job_sees_the_gpus_it_asked_for(cluster: DevCluster) -> None:
    ask = ("sh", "-c", "echo $CUDA_VISIBLE_DEVICES")
    assert cluster.run("srun", "--gres=gpu:1", *ask) == "0"
    assert cluster.run("srun", "--gres=gpu:a100:2", *ask) == "0,1"
    assert cluster.run("srun", *ask) == ""


def test_an_array_runs_every_index_and_sacct_tells_its_end(cluster: DevCluster) -> None:
    job = cluster.sbatch("exit $((SLURM_ARRAY_TASK_ID == 2))", "--array=0-3%2")
    cluster.wait(job, "COMPLETED", "FAILED")
    expected = {f"{job}_{i}": "FAILED" if i == 2 else "COMPLETED" for i in range(4)}

    def told() -> dict[str, str]:
        lines = cluster.run("sacct", "-X", "-n", "-P", "-j", job, "-o", "jobid,state").split()
        return dict(line.split("|") for line in lines)

    until(lambda: told() == expected, 15, lambda: str(told()))


def test_an_ordinary_user_submits_with_account_and_qos(cluster: DevCluster) -> None:
    job = cluster.sbatch("id -un; sacct -n -X -o qos,account", "-A", "gts-dev", "-q", "embers", user="nobody")
    cluster.wait(job, "COMPLETED")
    assert (cluster.work / f"{job}.out").read_text().startswith("nobody\n")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("-q", "nosuch"), "Invalid qos"),
        (("-A", "nosuch"), "Invalid account"),
        (("--gres=gpu:3",), "Requested node configuration is not available"),
        (("--gres=gpu:h100:1",), "Requested node configuration is not available"),
        (("--array=0-1001",), "Invalid job array specification"),
    ],
)
def test_what_a_real_cluster_refuses_is_refused(cluster: DevCluster, options: tuple[str, ...], complaint: str) -> None:
    done = cluster.attempt("sbatch", *options, "--wrap=true")
    assert done.returncode != 0
    assert complaint in done.stderr


def test_a_walltime_over_the_qos_limit_pends_for_ever(cluster: DevCluster) -> None:
    job = cluster.sbatch("true", "-A", "gts-dev", "-q", "embers", "--time=09:00:00")
    until(
        lambda: "QOSMaxWallDurationPerJobLimit" in cluster.run("squeue", "-h", "-j", job, "-o", "%r"),
        15,
        lambda: cluster.run("squeue", "-h", "-j", job, "-o", "%T %r"),
    )
    cluster.run("scancel", job)


def test_usr2_reaches_a_step(cluster: DevCluster) -> None:
    job = cluster.sbatch(TELLS)
    says(cluster, job, "start 0")
    cluster.run("scancel", "--signal=USR2", job)
    says(cluster, job, "USR2", 5)
    cluster.run("scancel", job)
    cluster.wait(job, "CANCELLED")


def test_a_requeued_job_runs_again_within_seconds(cluster: DevCluster) -> None:
    job = cluster.sbatch(TELLS)
    says(cluster, job, "start 0")
    begin = time.monotonic()
    cluster.run("scontrol", "requeue", job)
    says(cluster, job, "start 1")
    # Five seconds until the old credential has expired, and a scheduling round.
    assert time.monotonic() - begin < 12
    cluster.run("scancel", job)


# ---- what breaks on request


def test_a_killed_node_loses_its_job_to_the_queue_and_takes_it_up_again(cluster: DevCluster) -> None:
    job = cluster.sbatch(f"setsid sleep 4242 & {TELLS}", "-w", "node1")
    says(cluster, job, "start 0")
    cluster.control("node", "kill", "node1")
    # Nothing of the job outlives the node, not even what left its session.
    assert subprocess.run(["pgrep", "-f", "^sleep 4242"], capture_output=True).returncode == 1
    cluster.wait(job, "PENDING", timeout=40)
    assert cluster.run("sinfo", "-h", "-n", "node1", "-o", "%t").startswith("down")
    assert cluster.run("srun", "-w", "node2", "hostname") == "node2"
    cluster.control("node", "start", "node1")
    says(cluster, job, "start 1", 40)
    cluster.run("scancel", job)


def test_jobs_outlive_the_controller(cluster: DevCluster) -> None:
    job = cluster.sbatch(TELLS)
    says(cluster, job, "start 0")
    cluster.control("controller", "stop")
    assert cluster.attempt("squeue", timeout=60).returncode != 0
    cluster.control("controller", "start")
    assert cluster.states(job) == ["RUNNING"]
    cluster.run("scancel", job)
    cluster.wait(job, "CANCELLED")


def test_without_its_database_jobs_run_and_sacct_learns_of_them_later(cluster: DevCluster) -> None:
    cluster.control("database", "stop")
    assert cluster.attempt("sacct", timeout=60).returncode != 0
    job = cluster.sbatch("true")
    cluster.wait(job, "COMPLETED")
    cluster.control("database", "start")
    told = ("sacct", "-X", "-n", "-j", job, "-o", "state")
    until(lambda: cluster.run(*told) == "COMPLETED", 30, lambda: cluster.run(*told))


# ---- the tool


def test_up_says_that_it_is_up_and_starts_what_has_stopped(cluster: DevCluster) -> None:
    assert "already up" in cluster.control("up")
    cluster.control("node", "kill", "node2")
    assert tool("status", "--root", str(cluster.root)).returncode == 1
    assert "what had stopped" in cluster.control("up")
    assert "node2" in cluster.control("status")
    done = tool("up", "--preempt", "cancel", "--root", str(cluster.root))
    assert done.returncode == 2
    assert "is up as requeue" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_down_ends_jobs_and_daemons_and_leaves_no_mount(cluster: DevCluster, tmp_path: Path) -> None:
    # A cluster beside the module's, which goes on: ports and sockets are its own.
    root = cluster.root / "b"
    root.mkdir()
    other = DevCluster(root, [])
    job = other.sbatch("trap '' TERM; setsid sleep 4343 & sleep 4343", "--array=0-40")
    until(lambda: "RUNNING" in other.states(job), 20, lambda: str(other.states(job)))
    other.control("down")
    assert subprocess.run(["pgrep", "-f", "^sleep 4343"], capture_output=True).returncode == 1
    assert [path for path in Path("/proc").glob("[0-9]*") if mentions(path, f"{root}/etc")] == []
    assert str(root) not in Path("/proc/mounts").read_text()
    assert "was not up" in other.control("down")
    assert cluster.run("srun", "-w", "node1", "hostname") == "node1"


def test_down_never_ends_a_process_that_only_has_a_recorded_pid(cluster: DevCluster) -> None:
    root = cluster.root / "c"
    (root / "run").mkdir(parents=True)
    (root / "run" / "cluster.json").write_text((cluster.root / "run" / "cluster.json").read_text())
    with subprocess.Popen(["sleep", "600"]) as stranger:
        record = {"munged": {"pid": stranger.pid, "started": 1}}
        (root / "run" / "processes.json").write_text(json.dumps(record))
        assert tool("down", "--root", str(root)).returncode == 0
        assert stranger.poll() is None
        stranger.send_signal(signal.SIGKILL)


# ---- variants


@pytest.mark.parametrize("cluster", ["--preempt requeue", "--preempt requeue --user-signal"], indirect=True)
def test_preemption_requeues(cluster: DevCluster, request: pytest.FixtureRequest) -> None:
    preempt(cluster, "USR2" if "user-signal" in request.node.name else "TERM", "PENDING")


@pytest.mark.parametrize("cluster", ["--preempt cancel", "--preempt cancel --user-signal"], indirect=True)
def test_preemption_cancels(cluster: DevCluster, request: pytest.FixtureRequest) -> None:
    preempt(cluster, "USR2" if "user-signal" in request.node.name else "TERM", "PREEMPTED")


def preempt(cluster: DevCluster, warning: str, becomes: str) -> None:
    """An inferno job takes both nodes from an embers job, which is warned by a signal first."""
    victim = cluster.sbatch(STUBBORN, "-q", "embers", "--signal=USR2@30", "--time=60", *EVERYTHING)
    says(cluster, victim, "start 0")
    winner = cluster.sbatch("sleep 3", "-q", "inferno", "--time=1", *EVERYTHING)
    says(cluster, victim, warning)
    cluster.wait(winner, "RUNNING", timeout=60)
    assert cluster.states(victim) == [becomes]
    cluster.wait(winner, "COMPLETED")
    if becomes == "PENDING":
        says(cluster, victim, "start 1", 40)
        cluster.run("scancel", victim)
    else:
        time.sleep(6)
        assert cluster.states(victim) == [becomes]
        assert "start 1" not in log(cluster, victim)


@pytest.mark.parametrize("cluster", ["--max-array 5 --max-submit 4"], indirect=True)
def test_small_limits_refuse_large_arrays(cluster: DevCluster) -> None:
    beyond = cluster.attempt("sbatch", "--array=3-5", "--wrap=true")
    assert "Invalid job array specification" in beyond.stderr
    many = cluster.attempt("sbatch", "--array=0-4", "--wrap=true")
    assert "QOSMaxSubmitJobPerUserLimit" in many.stderr
    cluster.wait(cluster.sbatch("true", "--array=1-4"), "COMPLETED")


@pytest.mark.parametrize("cluster", ["--no-accounting"], indirect=True)
def test_without_accounting_jobs_run_and_sacct_fails(cluster: DevCluster) -> None:
    job = cluster.sbatch("true", "-A", "gts-dev")
    cluster.wait(job, "COMPLETED")
    done = cluster.attempt("sacct", "-j", job)
    assert done.returncode != 0
    assert "accounting storage is disabled" in done.stderr


def test_options_that_make_no_cluster_are_one_line() -> None:
    for words in (["up", "--no-accounting", "--preempt", "cancel"], ["up", "--max-array", "1"]):
        done = tool(*words)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1


def test_who_is_not_root_is_told_so() -> None:
    # Another user may be unable to read this checkout or to run this Python, so only the answer of getuid is another.
    code = f"import os, runpy; os.getuid = lambda: 1000; runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, "up"],
        env=os.environ | {"PYTHONPATH": str(TOOL.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "need root: sudo" in done.stderr
    assert len(done.stderr.splitlines()) == 1
