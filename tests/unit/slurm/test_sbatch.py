"""What sbatch answers: which job it made, and why it made none, whatever a site prints around it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.errors import Unavailable
from paceline.launch import arrays as launching
from paceline.launch import elements as grouping
from paceline.launch.elements import Element
from paceline.slurm import clients, sbatch
from paceline.store.files import read_json
from paceline.store.root import Store
from paceline.sweep.cells import expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

# As PACE and its like explain it: the site's plugin first, Slurm's own word last.
REFUSAL = """sbatch: error: No account was named. Every job is charged to one.
sbatch: error: Yours are: gts-lab, gts-course. Name it with -A, see
sbatch: error: https://docs.example.edu/slurm#accounts
sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified
"""
BANNER = "*** Friday 18:00: maintenance. Your last job 4711 used 3 % of its memory. ***\n\n12\n"
Client = Callable[..., Path]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Make a client of Slurm's that answers in turn; the file that its arguments are written to."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name: str, *answers: tuple[str, str, int], seconds: float = 0) -> Path:
        log, count = folder / f"{name}.log", folder / f"{name}.count"
        lines = ["#!/bin/bash", f'echo "$@" >> {log}', f"n=$(cat {count} 2>/dev/null || echo 0)"]
        lines += [f"echo $((n + 1)) > {count}", f"sleep {seconds}", "case $n in"]
        for number, (out, err, code) in enumerate(answers):
            case = "*" if number == len(answers) - 1 else str(number)
            lines.append(f"{case}) printf %s {shlex.quote(out)}; printf %s {shlex.quote(err)} >&2; exit {code};;")
        (folder / name).write_text("\n".join([*lines, "esac", ""]))
        (folder / name).chmod(0o755)
        return log

    return make


def taken(job: int) -> tuple[str, str, int]:
    return f"Submitted batch job {job}\n", "", 0


def elements(*overrides: str) -> list[Element]:
    words = ("model=tiny_qwen2_vl,tiny_pixtral", "task=geolocation_earth", "prompt=geo_bare", "method=untuned,full")
    asked = compose([*words, "name=s", "cluster=slurm", *overrides], conf_folders(None))
    return grouping.group(expand(asked, lambda task: "d" * 64).cells)


def submission(root: Path) -> Path:
    path = root / "sweeps" / "s" / "submissions" / "1"
    path.mkdir(parents=True)
    return path


# -- the whole refusal


def test_a_refusal_is_shown_whole_and_not_its_last_line(client: Client, tmp_path: Path) -> None:
    client("sbatch", ("", REFUSAL, 1))
    found, path = elements(), submission(tmp_path)
    with pytest.raises(Unavailable) as refused:
        launching.launch(path, found, launching.chunks(found, {}, None), "n", Store(tmp_path), "c0de", {})
    for line in REFUSAL.splitlines():
        assert line.removeprefix("sbatch: error: ") in str(refused.value)
    assert "sbatch: error" not in str(refused.value).partition(": sbatch: ")[2]
    assert "in the queue" not in str(refused.value)
    assert not (path / "jobs.json").exists()


def test_a_refusal_without_a_word_is_still_one(client: Client) -> None:
    client("sbatch", ("", "", 7))
    with pytest.raises(Unavailable, match="sbatch: exit code 7"):
        sbatch.submit(["x.sh"], "n")


def test_what_a_client_says_in_another_encoding_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sbatch").write_text("#!/bin/bash\nprintf 'Gesch\\xfctzt\\n'; echo Submitted batch job 5\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert sbatch.submit(["x.sh"], "n") == "5"


# -- the job that it made


def test_a_banner_on_standard_output_is_not_read_as_a_job_id(client: Client, tmp_path: Path) -> None:
    client("sbatch", (f"{BANNER}Submitted batch job 815\nHave a nice day, job 13!\n", "warned\n", 0))
    found, path = elements("method=untuned"), submission(tmp_path)
    jobs = launching.launch(path, found, [[0, 1]], "n", Store(tmp_path), "c0de", {})
    assert jobs == {"0": "815_0", "1": "815_1"} == read_json(path / "jobs.json")["jobs"]
    assert launching.chain(path, found[0], jobs, "n", Store(tmp_path), "c0de", [tmp_path]) == "815"


def test_a_job_on_another_cluster_of_a_federation_keeps_its_number() -> None:
    assert sbatch.parse("Submitted batch job 815 on cluster ice\n") == "815"


@given(st.text(), st.integers(1, 2**31), st.text())
def test_any_text_around_sbatchs_line_leaves_its_number(before: str, job: int, after: str) -> None:
    around = [t.replace("Submitted", "") for t in (before, after)]
    assert sbatch.parse(f"{around[0]}\nSubmitted batch job {job}\n{around[1]}") == str(job)
    assert sbatch.parse("\n".join(around)) is None


def test_a_job_that_sbatch_does_not_name_is_found_in_the_queue_by_its_own_name(client: Client) -> None:
    queued = "77|other|N/A|PENDING|normal|Priority\n815_0|n|0|PENDING|normal|Priority\n"
    client("sbatch", (BANNER, "", 0))
    client("squeue", (queued, "", 0))
    assert sbatch.submit(["x.sh"], "n") == "815"
    with pytest.raises(Unavailable, match=r"named no job in its answer .*maintenance.*squeue --me --name=m"):
        sbatch.submit(["x.sh"], "m")


def test_a_job_whose_answer_got_lost_is_found_and_a_refused_one_is_not_looked_for(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n"
    client("sbatch", ("", lost, 1), ("", REFUSAL, 1))
    asked = client("squeue", ("815|n|N/A|PENDING|normal|Priority\n", "", 0))
    assert sbatch.submit(["x.sh"], "n") == "815"
    with pytest.raises(Unavailable, match="Invalid account"):
        sbatch.submit(["x.sh"], "n")
    assert len(asked.read_text().splitlines()) == 1
    monkeypatch.setattr(sbatch, "SECONDS", 0.2)
    client("sbatch", taken(815), seconds=5)
    assert sbatch.submit(["x.sh"], "n") == "815"


# -- what stays in the queue


def test_an_array_that_is_refused_tells_which_stay_in_the_queue(client: Client, tmp_path: Path) -> None:
    client("sbatch", taken(40), ("", REFUSAL, 1))
    found, path = elements(), submission(tmp_path)
    with pytest.raises(Unavailable) as refused:
        launching.launch(path, found, launching.chunks(found, {}, None), "n", Store(tmp_path), "c0de", {})
    told = str(refused.value)
    assert told.startswith("array 1 of 3 was not submitted: sbatch: No account was named.")
    assert "2 elements of this submission stay in the queue, as job 40; to cancel: paceline cancel s" in told
    assert "paceline resume s" in told
    assert sorted(read_json(path / "jobs.json")["jobs"].values()) == ["40_0", "40_1"]


def test_a_chained_job_that_is_refused_tells_what_stays_in_the_queue(client: Client, tmp_path: Path) -> None:
    client("sbatch", ("", REFUSAL, 1))
    (first, *_), path = elements(), submission(tmp_path)
    with pytest.raises(Unavailable) as refused:
        jobs = {"0": "9_0", "1": "9_1", "2": "10"}
        launching.chain(path, first, jobs, "n", Store(tmp_path), "c0de", [tmp_path])
    told = str(refused.value)
    assert told.startswith("the chained job was not submitted: sbatch: No account was named.")
    assert "Invalid account" in told
    assert "3 elements of this submission stay in the queue, as jobs 9, 10; to cancel: paceline cancel s" in told
    assert "what they leave: paceline resume s" in told


def test_a_client_says_each_thing_once() -> None:
    assert clients.refusal("sbatch: error: a\nsbatch: b\n\nerror: a\nc\n", "sbatch") == "a\nb\nc"
