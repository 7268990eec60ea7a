"""What asks for vectors imports no torch, and refuses what it can't embed before a process is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paceline.errors import UserError
from paceline.models import embedding


def silent(stage: str, done: int, total: int) -> None:
    """A progress that tells nobody."""


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(embedding, "_ask", lambda *words: pytest.fail("a process was started"))


def test_weights_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"all-MiniLM-L6-v2 at 0{12} is not in .*; fetch it where there is a network"):
        embedding.embed(["a"], embedding.embedder(revision="0" * 40), silent)
    with pytest.raises(UserError, match="has no revision"):
        embedding.embed(["a"], embedding.embedder(), silent)
    with pytest.raises(UserError, match=r"config\.json"):
        embedding.embed(["a"], embedding.embedder(str(tmp_path)), silent)


def test_half_a_character_is_told_by_its_text() -> None:
    with pytest.raises(UserError, match="text 2 of 2 holds half a character"):
        embedding.embed(["a", "b\ud800"], embedding.embedder(revision="0" * 40), silent)


def test_no_text_has_no_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paceline.models.hub_files.lacking", lambda model: "")
    found = embedding.embed([], embedding.embedder(revision="0" * 40), silent)
    assert (len(found.vectors), found.cut) == (0, 0)


def test_asking_imports_no_torch() -> None:
    script = (
        "import sys, paceline.models.embedding as e\ne.packaged()\n"
        "heavy = {'torch', 'transformers', 'numpy'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
