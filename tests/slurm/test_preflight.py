"""What a real Slurm says of itself is what is checked, shown and read back."""

from __future__ import annotations

import difflib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dev_cluster import DevCluster
from lab import DATA, here, prepared

from paceline.config.schema import ClusterSpec
from paceline.errors import Unavailable
from paceline.launch import elements as grouping
from paceline.launch.granted import granted
from paceline.slurm import sbatch, site
from paceline.sweep.cells import expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

WORDS = [
    "model=tiny_qwen2_vl,tiny_pixtral",
    "task=geolocation_earth",
    DATA,
    "prompt=geo_bare",
    "method=untuned,full",
    "name=s",
    "cluster=slurm",
]
MINE = ["cluster.account=gts-dev", "cluster.qos=embers", "cluster.minutes=20"]


@pytest.fixture
def login(cluster: DevCluster, monkeypatch: pytest.MonkeyPatch) -> DevCluster:
    """The cluster, with this process as a client of it."""
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    return cluster


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with prepared data, made once."""
    root = tmp_path_factory.mktemp("template")
    here(root, "prepare", "task=geolocation_earth", DATA)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return prepared(tmp_path, template)


def paceline(cluster: DevCluster, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return cluster.attempt(sys.executable, "-m", "paceline", *words, f"root={root}", timeout=120)


def findings(cluster: DevCluster, root: Path, *words: str) -> dict[str, dict[str, Any]]:
    done = paceline(cluster, root, "plan", *WORDS, *words, "--json")
    assert done.returncode in (0, 2), done.stderr  # 2: the plan is printed, and what a submit would refuse
    return {f["name"]: f for f in json.loads(done.stdout)["slurm"]["findings"]}


def test_a_cluster_tells_what_it_allows(login: DevCluster, tmp_path: Path) -> None:
    told = site.ask(tmp_path)
    assert told.unanswered == {}
    assert (told.name, told.max_array, told.default_account) == ("paceline", 1001, "gts-dev")
    limits = told.limits(ClusterSpec(qos="embers"))
    assert (limits.submit, limits.minutes) == (site.Limit(50, "QOS embers"), site.Limit(480, "QOS embers"))
    assert told.limits(ClusterSpec()).submit == site.Limit(500, "QOS inferno")
    assert told.cancels("embers") is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cluster.account=gts-def"], "(cluster.account=gts-dev)"),
        (["cluster.qos=ember"], "(cluster.qos=embers)"),
        (["cluster.minutes=481"], "give cluster.minutes=480"),
        (["cluster.gpus=3"], "Requested node configuration is not available"),
        (["cluster.constraint=A100-80GB"], "give another cluster.constraint"),
    ],
)
def test_what_slurm_would_refuse_or_never_run_is_refused_before_anything_is_recorded(
    words: list[str], said: str, login: DevCluster, root: Path
) -> None:
    done = paceline(login, root, "submit", *WORDS, *MINE, *words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    ahead = paceline(login, root, "plan", *WORDS, *MINE, *words)
    assert (ahead.returncode, ahead.stderr) == (2, done.stderr)
    assert not (root / "sweeps").exists()
    assert not (root / "cells").exists()


def test_plan_shows_the_very_text_that_sbatch_is_given(login: DevCluster, root: Path) -> None:
    done = paceline(login, root, "plan", *WORDS, *MINE, "--json")
    shown = [array["sbatch"] for array in json.loads(done.stdout)["slurm"]["arrays"]]
    login.run("scontrol", "update", "PartitionName=gpu-a100", "State=DOWN")  # jobs wait, and nothing runs
    try:
        # A partition that takes no jobs would be refused: what was asked a moment ago is still believed.
        done = paceline(login, root, "submit", *WORDS, *MINE)
        assert done.returncode == 0, done.stderr
    finally:
        login.run("scancel", "--user=root")
        login.run("scontrol", "update", "PartitionName=gpu-a100", "State=UP")
    given = {p.read_text() for p in root.glob("sweeps/s/submissions/1/submitit/*.sh")}
    before, after = ("".join(sorted(map(blank, found))).splitlines() for found in (shown, given))
    difference = list(difflib.unified_diff(before, after, "shown", "given", n=0, lineterm=""))
    assert not difference, "\n".join(difference)
    assert len(given) == 3


def blank(text: str) -> str:
    """A text without what is known only once it is submitted."""
    text = re.sub(r"(--job-name=paceline-s)-\w+", r"\1-X", text)
    text = re.sub(r"/code/\w+/", "/code/X/", text)
    return re.sub(r"(--dependency=\w+:)(<job of array \d+>|\d+)", r"\1X", text)


def test_what_was_granted_is_compared_with_what_was_asked(login: DevCluster) -> None:
    words = [*WORDS, *MINE, "method=untuned", "cluster.gpus=1", "cluster.gpu=a100", "cluster.memory_gib=2"]
    elements = grouping.group(expand(compose(words, conf_folders(None)), lambda task: "d" * 64).cells)
    options = ["--account=gts-dev", "--qos=embers", "--time=20", "--gres=gpu:a100:1", "--mem=2G", "--cpus-per-task=1"]
    jobs = [login.sbatch("true", "--hold", *options, *more) for more in (["--array=0-1"], ["--no-requeue"])]
    try:
        arrays, ids = [[0, 1]], {"0": f"{jobs[0]}_0", "1": f"{jobs[0]}_1"}
        read = granted(elements, arrays, ids)
        assert (read["differences"], read["unanswered"]) == ([], {})
        # As a site's plugin would.
        login.run("scontrol", "update", f"JobId={jobs[0]}", "QOS=inferno", "TimeLimit=10", "Partition=cpu-small")
        assert granted(elements, arrays, ids)["differences"] == [
            f"job {jobs[0]}: asked for QOS embers, gets inferno",
            f"job {jobs[0]}: asked for 20 minutes, gets 00:10:00",
        ]
        (told,) = granted(elements, [[0]], {"0": jobs[1]})["differences"]
        assert "waits for the next paceline resume" in told
    finally:
        login.run("scancel", *jobs)


def test_a_real_refusal_is_shown_with_all_its_lines(login: DevCluster) -> None:
    with pytest.raises(Unavailable) as refused:
        sbatch.submit(["--account=gts-dev", "--mem=900T", "--wrap=true"], "never")
    first, last = str(refused.value).removeprefix("sbatch: ").splitlines()
    assert first == "Memory specification can not be satisfied"
    assert last == "Batch job submission failed: Requested node configuration is not available"


BANNER = """#!/bin/bash
echo "Welcome. Your last job 1 took 2 minutes; job 3 waits."
exec {sbatch} "$@"
"""


def test_a_sweep_is_submitted_through_a_site_that_prints_a_banner_and_refuses_memory_per_node(
    login: DevCluster, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = tmp_path / "bin" / "sbatch"
    wrapper.parent.mkdir()
    real = shutil.which("sbatch")
    wrapper.write_text(BANNER.format(sbatch=real))
    wrapper.chmod(0o755)
    monkeypatch.setitem(login.env, "PATH", f"{wrapper.parent}:{login.env['PATH']}")
    words = [*WORDS, *MINE, "method=untuned", "cluster.memory_per_cpu_gib=0.75", "cluster.cpus=2"]
    assert paceline(login, root, "plan", *words).returncode == 0  # what it is told of the partition is believed later
    login.run("scontrol", "update", "PartitionName=gpu-a100", "State=DOWN")  # jobs wait, and nothing runs
    try:
        done = paceline(login, root, "submit", *words, "--chain", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        ids = {int(job.partition("_")[0]) for job in told["jobs"].values()} | {int(told["chain"])}
        assert ids <= {int(i) for i in login.run("squeue", "-h", "-o", "%A").split()}
        shown = {job: login.run("scontrol", "--oneliner", "show", "job", str(job)) for job in ids}
        assert all("MinMemoryCPU=768M" in text and "MinMemoryNode" not in text for text in shown.values())
        assert "NumCPUs=3" in shown[int(told["chain"])]  # 2 GiB of it, at so much a CPU
        assert "asked for" not in done.stderr  # what was granted is what was asked
    finally:
        login.run("scancel", "--user=root")
        login.run("scontrol", "update", "PartitionName=gpu-a100", "State=UP")


def test_a_chained_job_that_is_refused_leaves_the_array_in_the_queue_and_says_so(
    login: DevCluster, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = tmp_path / "bin" / "sbatch"
    wrapper.parent.mkdir()
    # As a site whose plugin changes a job of one core: Slurm itself refuses it then.
    changed = '[[ "$*" == *-chain* ]] && set -- "$@" --mem=900T'
    wrapper.write_text(f'#!/bin/bash\n{changed}\nexec {shutil.which("sbatch")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setitem(login.env, "PATH", f"{wrapper.parent}:{login.env['PATH']}")
    assert paceline(login, root, "plan", *WORDS, *MINE, "method=untuned").returncode == 0
    login.run("scontrol", "update", "PartitionName=gpu-a100", "State=DOWN")
    try:
        done = paceline(login, root, "submit", *WORDS, *MINE, "method=untuned", "--chain")
        assert done.returncode == 3, done.stderr
        assert "the chained job was not submitted: sbatch: Memory specification can not be satisfied" in done.stderr
        stays = re.search(r"2 elements of this submission stay in the queue, as job (\d+); to cancel", done.stderr)
        assert stays and login.states(stays[1]) == ["PENDING"] * 2
        assert paceline(login, root, "cancel", "s", "--yes").returncode == 0
        assert login.run("squeue", "-h") == ""
    finally:
        login.run("scancel", "--user=root")
        login.run("scontrol", "update", "PartitionName=gpu-a100", "State=UP")


@pytest.fixture
def no_database(login: DevCluster) -> Iterator[DevCluster]:
    login.control("database", "stop")
    yield login
    login.control("database", "start")


def test_without_the_database_nothing_is_refused_for_it(no_database: DevCluster, root: Path) -> None:
    every = findings(no_database, root, *MINE, "cluster.account=gts-def")
    assert (every["account"]["ok"], every["qos"]["ok"]) == (None, None)
    assert every["partition"]["ok"] is True
    done = paceline(no_database, root, "doctor", "cluster=slurm")
    assert "? accounting: sacctmgr" in done.stdout
    assert "✓ controller: " in done.stdout


@pytest.mark.parametrize("cluster", ["--no-accounting --max-array 3"], indirect=True)
def test_a_cluster_without_accounting_takes_any_account_and_says_so(login: DevCluster, root: Path) -> None:
    every = findings(login, root)
    assert every["account"] == {"name": "account", "ok": True, "text": "this cluster keeps no accounts"}
    assert every["sbatch"]["ok"] is True
    assert site.ask(root).applied(ClusterSpec())[0].max_array == 3
    done = paceline(login, root, "doctor", "cluster=slurm")
    assert "✓ accounting: none" in done.stdout
