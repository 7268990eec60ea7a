"""Compiled kernels stay on the node and are the user's own, and the allocator of a tuning grows its segments."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from paceline import worker
from paceline.attempts import node_caches, run
from paceline.config.identity import placement_of
from paceline.config.schema import Config


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that has just begun; what it sets is taken back."""
    for name in (*node_caches.CACHES, *node_caches.ALLOCATOR):
        monkeypatch.setenv(name, "")
    node_caches._own_folder.cache_clear()
    yield
    node_caches._own_folder.cache_clear()


@pytest.fixture
def tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def where(name: str) -> Path:
    return Path(os.environ[name])


def test_every_cache_of_compiled_kernels_is_on_the_node_and_the_users_own(tmpdir: Path) -> None:
    node_caches.place()
    for name in ("TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "CUDA_CACHE_PATH", "TORCH_EXTENSIONS_DIR"):
        assert where(name).parent == tmpdir / f"paceline-{os.getuid()}"
    assert len({os.environ[name] for name in node_caches.CACHES}) == len(node_caches.CACHES)
    assert (tmpdir / f"paceline-{os.getuid()}").stat().st_mode & 0o777 == 0o700
    node_caches._own_folder.cache_clear()
    before = dict(os.environ)
    node_caches.place()  # another rank, or the next job on this node: it finds what was compiled
    assert dict(os.environ) == before


def test_caches_have_a_place_where_tmpdir_is_unset_or_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "from paceline.attempts import node_caches as n; import os; n.place(); print(os.environ['TRITON_CACHE_DIR'])"
    environment = {k: v for k, v in os.environ.items() if k not in (*node_caches.CACHES, "TMPDIR", "TEMP", "TMP")}
    for more in ({}, {"TMPDIR": ""}, {"TMPDIR": "/not/there"}):
        done = subprocess.run(
            [sys.executable, "-c", line], capture_output=True, text=True, env=environment | more, cwd="/", check=True
        )
        assert done.stdout.startswith("/tmp/paceline-")


def test_what_the_user_has_set_is_left_alone(tmpdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", "/mine")
    node_caches.place()
    assert os.environ["TRITON_CACHE_DIR"] == "/mine"
    assert where("CUDA_CACHE_PATH").parent.parent == tmpdir


@pytest.mark.parametrize("taken", ["link", "writable", "file"])
def test_a_folder_that_others_can_write_to_is_not_trusted(taken: str, tmpdir: Path) -> None:
    path = tmpdir / f"paceline-{os.getuid()}"
    if taken == "link":
        (tmpdir / "theirs").mkdir()
        path.symlink_to(tmpdir / "theirs")
    elif taken == "writable":
        path.mkdir()
        path.chmod(0o777)
    else:
        path.touch()
    node_caches.place()
    own = where("TRITON_CACHE_DIR").parent
    assert own.parent == tmpdir and own != path
    assert own.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_under_our_name_is_not_trusted(tmpdir: Path) -> None:
    path = tmpdir / f"paceline-{os.getuid()}"
    path.mkdir(mode=0o700)
    os.chown(path, 65534, 65534)
    node_caches.place()
    assert where("TRITON_CACHE_DIR").parent != path


def test_a_node_without_any_room_for_temporary_files_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **more: object) -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", full)
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    node_caches.place()
    assert not any(os.environ.get(name) for name in node_caches.CACHES)


@pytest.mark.parametrize(("kind", "set_to"), [("finetune", "expandable_segments:True"), ("evaluate", "")])
def test_a_tuning_lets_the_allocator_grow_its_segments(
    kind: str, set_to: str, tmpdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def job(folders: object, launch: object) -> None:
        seen.append(os.environ["PYTORCH_CUDA_ALLOC_CONF"])

    monkeypatch.setattr(worker, "load_job", lambda kind: job)
    worker.run_cells(kind, [], run.Launch(placement=placement_of(Config())))
    assert seen == [set_to]
    assert where("TRITON_CACHE_DIR").is_relative_to(tmpdir)


@pytest.mark.parametrize("name", ["PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF"])
def test_the_allocators_setting_of_the_user_is_not_overruled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of two that are set, torch takes the one with CUDA in its name: ours would win over the user's.
    monkeypatch.setenv(name, "max_split_size_mb:128")
    node_caches.prepare(trains=True)
    assert {v for n in node_caches.ALLOCATOR if (v := os.environ[n])} == {"max_split_size_mb:128"}
