"""What the tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paceline.cli import app
from paceline.store import files
from paceline.store.root import Store


@pytest.fixture
def command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command line on a root of its own; returns exit code, stdout, stderr."""
    monkeypatch.setenv("PACELINE_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("PACELINE_CONF", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["paceline", *words])
        with pytest.raises(SystemExit) as caught:
            app.main()
        out, err = capfd.readouterr()
        return int(caught.value.code or 0), out, err

    return run


@pytest.fixture
def frozen_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot of the code that takes no time to make."""

    def freeze(found: Store) -> str:
        files.write_json(found.code("c0de") / "SNAPSHOT.json", {"schema": 1})
        return "c0de"

    monkeypatch.setattr("paceline.store.code.freeze", freeze)
