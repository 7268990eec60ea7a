"""What cells answered, as files: each once, never over somebody else's, and small ones on the page."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paceline.errors import UserError
from paceline.report.page import text_files
from paceline.report.text import saved_files
from paceline.report.text.saved_files import WRITTEN, plain_name, write
from paceline.tasks.panels import CellFiles, Files, TextFile, exports

TEXTS = {"one": "first\n", "two": "zweitens: ü\n"}


def panel(texts: dict[str, str]) -> Files:
    cells = tuple(
        CellFiles(f"cell-{name}-abc{n:03}", f"m · {name}", 1, (TextFile("d.jsonl", lambda name=name: texts[name]),))
        for n, name in enumerate(texts)
    )
    return Files("saved", "What is said", "Files", "pictures", cells, "A line a picture.")


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    held = dict(TEXTS)
    monkeypatch.setattr(saved_files.differences, "panels", lambda report, group: [panel(held)])
    return held


REPORT: Any = SimpleNamespace(sweep="s", groups=[SimpleNamespace(task="t", split="test")])


def test_files_are_written_once_and_anew_where_a_report_wrote_them(tmp_path: Path, texts: dict[str, str]) -> None:
    folder = tmp_path / "new" / "folder"
    paths = write(REPORT, folder)
    assert [p.name for p in paths] == ["t-test-m-one-abc000-d.jsonl", "t-test-m-two-abc001-d.jsonl"]
    assert paths[1].read_text(encoding="utf-8") == TEXTS["two"]
    before = [p.stat().st_mtime_ns for p in paths]
    assert write(REPORT, folder) == paths
    assert [p.stat().st_mtime_ns for p in paths] == before
    texts["one"] = "changed\n"
    write(REPORT, folder)
    assert paths[0].read_text() == "changed\n"
    assert sorted(p.name for p in folder.iterdir()) == sorted([WRITTEN, *(p.name for p in paths)])


def test_a_file_of_somebody_else_is_kept_and_nothing_is_written(tmp_path: Path, texts: dict[str, str]) -> None:
    first, second = write(REPORT, tmp_path / "a")
    second.write_text("my notes")
    texts["one"] = "changed\n"
    with pytest.raises(UserError, match=r"abc001.*edited since"):
        write(REPORT, tmp_path / "a")
    assert (first.read_text(), second.read_text()) == (TEXTS["one"], "my notes")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / first.name).write_text("theirs")
    with pytest.raises(UserError, match="not written by a report"):
        write(REPORT, tmp_path / "b")
    assert [p.name for p in (tmp_path / "b").iterdir()] == [first.name]
    with pytest.raises(UserError, match="is a file"):
        write(REPORT, second)
    (tmp_path / "a" / WRITTEN).write_text("[]")
    with pytest.raises(UserError, match="does not list"):
        write(REPORT, tmp_path / "a")


def test_a_place_that_holds_something_else_is_refused_and_a_link_to_a_folder_is_one(
    tmp_path: Path, texts: dict[str, str]
) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    for name in ("gone", "file", "file/below"):
        with pytest.raises(UserError, match="give a"):
            write(REPORT, tmp_path / name)
    (tmp_path / "real" / "t-test-m-one-abc000-d.jsonl").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UserError, match="not written by a report"):
        write(REPORT, tmp_path / "link")
    (tmp_path / "real" / "t-test-m-one-abc000-d.jsonl").rmdir()
    assert len(write(REPORT, tmp_path / "link")) == 2
    assert len(list((tmp_path / "real").iterdir())) == 3


def test_a_kill_between_two_files_leaves_files_that_are_known(
    tmp_path: Path, texts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(REPORT, tmp_path)
    texts.update(one="changed\n", two="changed too\n")
    wrote: list[str] = []
    real = saved_files.write_bytes

    def killed(path: Path, content: bytes) -> None:
        if wrote:
            raise KeyboardInterrupt
        wrote.append(path.name)
        real(path, content)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(saved_files, "write_bytes", killed)
        write(REPORT, tmp_path)
    assert [p.read_text(encoding="utf-8") for p in paths] == ["changed\n", TEXTS["two"]]
    write(REPORT, tmp_path)
    assert [p.read_text() for p in paths] == ["changed\n", "changed too\n"]
    assert {len(digests) for digests in json.loads((tmp_path / WRITTEN).read_text()).values()} == {1}


def test_a_sweep_without_such_files_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_files.differences, "panels", lambda report, group: [])
    with pytest.raises(UserError, match="no files to write"):
        write(REPORT, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_names_of_files_hold_no_sign_that_a_shell_or_a_disk_minds() -> None:
    assert plain_name("t test m/ü · p · lr=1e-4 ../x") == "t-test-m-p-lr=1e-4-..-x"
    assert len(plain_name("x" * 500)) == 120


def test_the_page_offers_small_files_and_shows_the_beginning_of_large_ones() -> None:
    (small, large) = text_files.drawn(panel({"a": "<b>ü</b>\n", "b": "x" * (text_files.MOST_BYTES + 1)}))
    (file,) = small["files"]
    assert base64.b64decode(file["url"].partition(",")[2]).decode() == "<b>ü</b>\n"
    assert large["files"][0]["url"] == ""
    assert large["files"][0]["text"] == "x" * text_files.MOST_LETTERS
    assert dict(exports([("t", "test", panel(TEXTS))])) == {}
