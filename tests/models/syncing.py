"""A lab that syncs: a root with offline W&B runs, a service on loopback, and the command that a person types."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from wandb_server import WandbServer

from paceline.cli import app
from paceline.tracking import sync

KEY = "ab98" * 8 + "fedcba98"


class Lab:
    """A root with offline runs, a service, and the command that a person types."""

    def __init__(self, root: Path, server: WandbServer, home: Path) -> None:
        self.root, self.server = root, server
        home.mkdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
        self.environment = {
            **kept,
            "HOME": str(home),
            "PACELINE_ROOT": str(root),
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": KEY,
            "TMPDIR": str(home),
        }
        self.environment.pop("NETRC", None)
        self.said = ""

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "paceline", *words],
            env=self.environment,
            cwd=self.environment["HOME"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sync(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        return self.command("sync", *words)

    def command(self, *words: str) -> tuple[int, str, str]:
        """As :meth:`sync`, of another verb."""
        process = self.start(*words)
        out, err = process.communicate(timeout=120)
        self.said += out + err
        assert "Traceback" not in err, err
        return process.returncode, out, err

    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on the upload waits a second where it would wait for long; its command runs in this process."""
        patient = (
            "from paceline.tracking import wandb_upload as uploader; "
            "uploader.SETTLE_SECONDS = uploader.RETRY_SECONDS = 1.0"
        )
        monkeypatch.setattr(
            sync, "UPLOADER", [sys.executable, "-c", f"{patient}; uploader.RETRIES = 1; uploader.main()"]
        )
        for name in set(os.environ) | set(self.environment):
            if name in self.environment:
                monkeypatch.setenv(name, self.environment[name])
            else:
                monkeypatch.delenv(name)
        self.hurried = monkeypatch

    def sync_here(self) -> tuple[int, str, str]:
        """As :meth:`sync`, in this process."""
        out, err = io.StringIO(), io.StringIO()
        self.hurried.setattr(sys, "argv", ["paceline", "sync"])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as caught:
            app.main()
        return int(caught.value.code or 0), out.getvalue(), err.getvalue()

    def run_id(self, cell: str) -> str:
        return str(json.loads((self.root / "cells" / cell / "tracking.json").read_text())["run_id"])

    def steps(self, cell: str) -> list[int]:
        return [row["_step"] for row in self.server.history(self.run_id(cell))]
