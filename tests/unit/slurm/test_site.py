"""What a cluster allows is read from what Slurm really prints, and what it does not say is never a no."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slurm_answers import ANSWERS, CONFIG, ICE, PARTITIONS, PHOENIX, QOS, USER, told

from paceline.config.schema import ClusterSpec
from paceline.errors import Unavailable
from paceline.slurm import formats as slurm_text
from paceline.slurm import site
from paceline.slurm.site import Site


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], list[list[str]]]:
    """Slurm's clients, which print what is given; what is not given has no answer. Returns the calls."""

    def install(answers: Mapping[str, str]) -> list[list[str]]:
        calls: list[list[str]] = []

        def call(words: list[str], seconds: float = 20) -> str:
            calls.append(words)
            for name, text in answers.items():
                if name in words:
                    return text
            raise Unavailable(f"{words[0]}: Connection refused")

        monkeypatch.setattr("paceline.slurm.site.call", call)
        monkeypatch.setattr("paceline.slurm.site.shutil.which", lambda name: f"/bin/{name}")
        return calls

    return install


# -- reading


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("18:00:00", 18 * 3600),
        ("21-00:00:00", 21 * 86400),
        ("1-12", 36 * 3600),
        ("1-12:30", 36 * 3600 + 1800),
        ("30", 1800),
        ("00:10", 10),
        ("UNLIMITED", None),
        ("INFINITE", None),
        ("", None),
        ("Partition_Limit", None),
        ("N/A", None),
    ],
)
def test_a_time_limit_is_read_as_slurm_writes_it(text: str, seconds: int | None) -> None:
    assert slurm_text.seconds(text) == seconds


@given(st.integers(0, 10**7))
def test_every_time_that_slurm_can_write_is_read_back(total: int) -> None:
    minutes, seconds = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    text = f"{hours:02}:{minutes:02}:{seconds:02}"
    assert slurm_text.seconds(f"{days}-{text}" if days else text) == total


@given(st.text(max_size=40))
def test_no_text_breaks_a_parser(text: str) -> None:
    found = slurm_text.seconds(text)
    assert found is None or found >= 0
    slurm_text.tres(text)
    slurm_text.fields(text)
    site.parse_config(text)
    site.parse_partitions(text)
    site.parse_qos(text)
    site.parse_associations(text, "paceline")


def test_resources_are_counted_and_memory_is_in_mebibytes() -> None:
    assert slurm_text.tres("cpu=16,mem=2G,gres/gpu=4,gres/gpu:a100=4,fs/disk=x") == {
        "cpu": 16,
        "mem": 2048,
        "gres/gpu": 4,
        "gres/gpu:a100": 4,
    }


def test_a_value_with_spaces_does_not_pass_for_another_field() -> None:
    found = slurm_text.fields("JobId=1 QOS=embers Comment=an old QOS=inferno")
    assert found["QOS"] == "embers"


def test_the_real_cluster_is_read_whole() -> None:
    found = told(ANSWERS)
    assert (found.name, found.version, found.max_array, found.requeue) == ("paceline", "22.05.8", 1001, True)
    assert found.partitions is not None
    assert found.qos is not None
    assert found.partitions["gpu-a100"].max_minutes == 1080
    assert found.partitions["gpu-a100"].default
    assert not found.partitions["cpu-small"].default
    assert found.qos["inferno"].max_minutes == 21 * 24 * 60
    assert (found.qos["embers"].max_submit, found.qos["embers"].grace_seconds) == (50, 10)
    assert [a.account for a in found.associations or ()] == ["gts-dev", "root"]
    assert found.rewrites == ""


def test_associations_of_another_cluster_in_the_same_database_are_not_this_ones() -> None:
    assert [a.account for a in told(PHOENIX).associations or ()] == ["gts-lab"]


# -- what follows from it


def test_what_is_left_open_is_what_slurm_would_choose() -> None:
    found = told(ANSWERS)
    assert found.account_of(ClusterSpec()) == "gts-dev"
    assert found.qos_of(ClusterSpec()) == "inferno"
    assert found.partitions_of(ClusterSpec()) == ("gpu-a100",)
    assert found.qos_of(ClusterSpec(account="root")) == "normal"  # its only one


def test_a_site_that_rewrites_jobs_is_not_guessed_at() -> None:
    found = told(PHOENIX)
    assert found.rewrites == "lua"
    assert (found.account_of(ClusterSpec()), found.partitions_of(ClusterSpec())) == ("", ())
    assert found.qos_of(ClusterSpec(qos="EMBERS")) == "embers"


def test_a_variable_of_sbatch_wins_over_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_QOS", "embers")
    assert told(ANSWERS).qos_of(ClusterSpec(qos="inferno")) == "embers"


def test_the_cluster_overrides_the_yaml_and_says_where() -> None:
    spec = ClusterSpec(name="pace_phoenix", qos="inferno", account="gts-lab", max_submit=50, max_minutes=480)
    applied, notes = told(PHOENIX).applied(spec)
    assert (applied.max_submit, applied.max_minutes) == (500, 30240)
    assert notes == [
        "max_submit: the cluster says 500 (QOS inferno), cluster=pace_phoenix has 50",
        "max_minutes: the cluster says 30240 (QOS inferno), cluster=pace_phoenix has 480",
    ]


def test_where_the_cluster_says_nothing_the_yaml_stands() -> None:
    spec = ClusterSpec(name="pace_phoenix", max_submit=50, max_minutes=480, max_gpu_hours=16)
    assert Site().applied(spec) == (spec, [])
    quiet = dataclasses.replace(told(ANSWERS), qos=None, associations=None, partitions=None, max_array=None)
    assert quiet.applied(spec) == (spec, [])


def test_the_first_qos_that_sets_a_limit_counts_as_in_slurm() -> None:
    # Measured: with MaxSubmitJobs=3 and MaxWall=1:00:00 of the association, embers' 50 jobs and 8 hours hold.
    tight = USER.replace("inferno|inferno|||", "inferno|inferno|3|01:00:00|")
    found = told({**ANSWERS, "user": tight}).limits(ClusterSpec(qos="embers"))
    assert (found.submit, found.minutes) == (site.Limit(50, "QOS embers"), site.Limit(480, "QOS embers"))
    quiet = QOS.replace("08:00:00|50|50", "||")
    found = told({**ANSWERS, "user": tight, "qos": quiet}).limits(ClusterSpec(qos="embers"))
    assert (found.submit, found.minutes) == (site.Limit(3, "account gts-dev"), site.Limit(60, "account gts-dev"))


def test_a_partition_bounds_the_walltime_beside_the_qos() -> None:
    assert told(ANSWERS).limits(ClusterSpec(qos="inferno")).minutes == site.Limit(1080, "partition gpu-a100")


def test_gpu_hours_are_limited_by_resource_minutes() -> None:
    found = told(ICE)
    assert found.limits(ClusterSpec()).gpu_minutes == site.Limit(960, "QOS coc-ice")
    assert found.applied(ClusterSpec(name="pace_ice", max_gpu_hours=20))[0].max_gpu_hours == 16


def test_limits_that_are_not_enforced_are_none() -> None:
    config = CONFIG.replace("associations,limits,qos", "associations,qos")
    assert told({**ANSWERS, "config": config}).limits(ClusterSpec(qos="embers")).submit is None


def test_preemption_that_cancels_is_told_from_one_that_requeues() -> None:
    assert told(PHOENIX).cancels("embers") is True
    assert told(ANSWERS).cancels("embers") is False
    assert told(ANSWERS).cancels("inferno") is None
    own = QOS.replace("embers|1|||cluster", "embers|1|||cancel")
    assert told({**ANSWERS, "qos": own}).cancels("embers") is True


# -- asking


def test_the_cluster_is_asked_once_an_hour(
    answer: Callable[[Mapping[str, str]], list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = answer(ANSWERS)
    first = site.ask(tmp_path)
    assert first.qos is not None
    assert len(calls) == 4
    assert site.ask(tmp_path) == first
    assert len(calls) == 4
    site.ask(tmp_path, fresh=True)
    assert len(calls) == 8
    monkeypatch.setattr("paceline.slurm.site.time.time", lambda: first.time + 3 * 3600)
    site.ask(tmp_path)
    assert len(calls) == 12


def test_another_clusters_answer_is_never_taken(
    answer: Callable[[Mapping[str, str]], list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", "/etc/one.conf")
    answer(ANSWERS)
    assert site.ask(tmp_path).name == "paceline"
    monkeypatch.setenv("SLURM_CONF", "/etc/other.conf")
    answer(ICE)
    assert site.ask(tmp_path).name == "ice"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema": 1, "key": {}, "site": {}}', '{"schema": 9}'])
def test_a_damaged_answer_is_asked_for_again(
    content: str, answer: Callable[[Mapping[str, str]], list[list[str]]], tmp_path: Path
) -> None:
    answer(ANSWERS)
    site.ask(tmp_path)
    (path,) = (tmp_path / "asked").iterdir()
    path.write_text(content)
    assert site.ask(tmp_path).name == "paceline"
    assert json.loads(path.read_text())["site"]["name"] == "paceline"


def test_a_root_that_is_not_there_is_not_made(
    answer: Callable[[Mapping[str, str]], list[list[str]]], tmp_path: Path
) -> None:
    answer(ANSWERS)
    assert site.ask(tmp_path / "root").name == "paceline"
    assert not (tmp_path / "root").exists()


def test_a_database_that_is_down_leaves_the_rest_known_and_is_soon_asked_again(
    answer: Callable[[Mapping[str, str]], list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = answer({k: v for k, v in ANSWERS.items() if k in ("config", "partition")})
    found = site.ask(tmp_path)
    assert (found.qos, found.associations, found.max_array) == (None, None, 1001)
    assert found.unanswered == {"qos": "sacctmgr: Connection refused", "associations": "sacctmgr: Connection refused"}
    monkeypatch.setattr("paceline.slurm.site.time.time", lambda: found.time + 120)
    site.ask(tmp_path)
    assert len(calls) == 8


def test_no_accounting_is_no_failure(answer: Callable[[Mapping[str, str]], list[list[str]]], tmp_path: Path) -> None:
    config = CONFIG.replace("accounting_storage/slurmdbd", "accounting_storage/none")
    answer({"config": config, "partition": PARTITIONS})
    found = site.ask(tmp_path)
    assert found.accounting is False
    assert found.unanswered == {}


def test_a_machine_without_slurm_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", None)
    assert site.ask(tmp_path).unanswered == {"scontrol": "scontrol is not installed"}
    assert not (tmp_path / "asked").exists()
