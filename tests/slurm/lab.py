"""A storage root on the development cluster, a person at its login node, and what may happen to them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev_cluster import DevCluster

DATA = "task.options={train: 64, validation: 8, test_near: 24, test_far: 24, spacing: 2.0}"
ON_SLURM = ("cluster=slurm", "cluster.account=gts-dev", "cluster.qos=embers", "cluster.minutes=20")
REPOSITORY = Path(__file__).parents[2]
SETTLED_SECONDS = 240.0

Cell = dict[str, Any]


def here(root: Path, *words: str) -> None:
    """Run ``paceline`` on this machine, without Slurm."""
    done = subprocess.run([sys.executable, "-m", "paceline", *words, f"root={root}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def results(root: Path) -> dict[str, bytes]:
    """What a sweep is for: name -> bytes of every prediction, metric and tuned weight."""
    names = ("*/predictions.jsonl", "*/metrics.json", "*/weights/**/*")
    found = [path for name in names for path in (root / "cells").glob(name) if path.is_file()]
    # How long a tuning took is no result.
    return {str(p.relative_to(root / "cells")): p.read_bytes() for p in found if p.name != "training.json"}


def clone(folder: Path, **families: str) -> Path:
    """A clone that somebody works on, with families that git was not told of, and a twin of each: ``tiny_<family>``."""
    for part in ("src", "conf", "jobs"):
        shutil.copytree(REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "all"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    model = (folder / "conf/model/tiny_qwen2_vl.yaml").read_text()
    for name, code in families.items():
        (folder / f"src/paceline/models/families/{name}.py").write_text(code)
        (folder / f"conf/model/tiny_{name}.yaml").write_text(model.replace("family: qwen2_vl", f"family: {name}"))
    return folder


def prepared(root: Path, template: Path) -> Path:
    """A fresh root with the data of another."""
    shutil.copytree(template / "data", root / "data")
    return root


@dataclass
class Rank:
    """A process at work on a cell.

    Attributes:
        attempt: the attempt's folder.
        job: the Slurm job, as ``5_0``.
        node: where it runs.
        pid: its number on this machine, which is not the one on its node.
    """

    attempt: Path
    job: str
    node: str
    pid: int

    def stop(self) -> None:
        """Hold it still, as a file system that hangs would: what happens next finds it where it is."""
        os.kill(self.pid, signal.SIGSTOP)
        while not self._status().get("State", "T").startswith("T"):  # a signal takes its time to arrive
            time.sleep(0.001)

    def go_on(self) -> None:
        """Let it go on, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def told(self) -> bool:
        """Whether a signal reached it: one waits until it goes on, or it goes on or ended because of one."""
        status = self._status()
        if not status.get("State", "").startswith("T"):
            return True
        return bool(int(status["ShdPnd"], 16) | int(status["SigPnd"], 16))

    def _status(self) -> dict[str, str]:
        """What the kernel says of it; nothing where it is gone."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
            return dict(line.split(":\t", 1) for line in lines)
        return {}

    def kill(self) -> None:
        """End it without a word."""
        os.kill(self.pid, signal.SIGKILL)


class Lab:
    """A storage root on the cluster, and a person at its login node.

    Attributes:
        words: what ``submit`` is given.
        env: variables of the person's shell beside the cluster's own.
        seen: states and causes of cells, as ``status`` told them whenever somebody looked.
    """

    def __init__(self, cluster: DevCluster, root: Path, words: Sequence[str]) -> None:
        self.cluster, self.root, self.words = cluster, root, list(words)
        self.env: dict[str, str] = {}
        self.seen: list[Cell] = []

    # ---- at the keyboard

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that is not waited for."""
        return subprocess.Popen(
            [sys.executable, "-m", "paceline", *words, f"root={self.root}"],
            cwd=self.cluster.work,
            env=self.cluster.env | self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def paceline(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command, whatever came of it."""
        with self.start(*words) as running:
            try:
                out, err = running.communicate(timeout=180)
            except subprocess.TimeoutExpired:
                running.kill()  # else it would be waited for
                raise
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(words, running.returncode, out, err)

    def well(self, *words: str) -> str:
        """A command that is to succeed; what it tells."""
        done = self.paceline(*words)
        assert done.returncode == 0, f"paceline {' '.join(words)}: exit code {done.returncode}: {done.stderr}"
        return done.stdout + done.stderr

    def submit(self) -> str:
        return self.well("submit", *self.words)

    def resume(self) -> str:
        return self.well("resume", "s")

    def cells(self) -> dict[str, Cell]:
        """Cell -> what ``status`` tells of it, as if the last look were more than a minute ago."""
        for heard in self.root.glob("asked/*"):
            with contextlib.suppress(OSError):  # read-only
                heard.unlink()
        return {c["id"]: c for c in json.loads(self.well("status", "s", "--json"))["cells"]}

    def look(self, kind: str) -> Cell:
        """What ``status`` tells of the first cell of a kind now; kept for the table."""
        cell = next(c for c in self.cells().values() if c["kind"] == kind)
        self.seen.append(cell)
        return cell

    # ---- what is going on

    def until(self, what: str, holds: Callable[[], Any], seconds: float = SETTLED_SECONDS, every: float = 0.5) -> Any:
        """Wait for something true, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, (
                f"after {seconds:.0f} s not yet: {what}\n{self.paceline('status', 's').stdout}"
                f"{self.cluster.attempt('squeue', '-a').stdout}{self.cluster.attempt('sinfo', '-R').stdout}"
            )
            time.sleep(every)
        return found

    def queue_is_empty(self) -> bool:
        return self.cluster.run("squeue", "--noheader") == ""

    def settle(self) -> None:
        """Wait until the queue holds nothing."""
        self.until("the queue is empty", self.queue_is_empty)

    def at_work(self, kind: str, n: int = 1, cells: str = "*") -> Rank:
        """The first rank of the first cell of a kind, once its attempt ``n`` has something to lose.

        That is a whole checkpoint, or a whole batch of answers. ``cells`` is a pattern for what follows the kind in
        the cell's id.
        """
        trace = {"finetune": "checkpoints/checkpoint-*/COMPLETE.json", "evaluate": "predictions.jsonl"}[kind]
        attempts = f"cells/{kind}-{cells}/attempts/{n}"

        def begun() -> Rank | None:
            for start in self.root.glob(f"{attempts}/start.json"):
                if found := self._rank(start.parent):
                    return found
            return None

        rank = self.until(f"a {kind} cell begins", begun, every=0.05)

        def works() -> bool:
            return any(path.stat().st_size for path in rank.attempt.glob(trace))

        self.until(f"{rank.attempt} has something to lose", works, every=0.005)
        return rank

    def held(self, kind: str, cells: str = "*") -> Rank:
        """The same, standing still."""
        rank = self.at_work(kind, cells=cells)
        rank.stop()
        return rank

    @staticmethod
    def _rank(attempt: Path) -> Rank | None:
        start = json.loads((attempt / "start.json").read_text())
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{attempt.parents[3]}/".encode() not in (folder / "cmdline").read_bytes():
                    continue
                inner = next(w for w in (folder / "status").read_text().splitlines() if w.startswith("NSpid")).split()
                if int(inner[-1]) == start["pid"] and len(inner) > 2:
                    environ = (folder / "environ").read_bytes().split(b"\0")
                    if f"SLURMD_NODENAME={start['host']}".encode() in environ:
                        return Rank(attempt, start["job"].partition(".")[0], start["host"], int(folder.name))
        return None

    def jobs(self) -> list[str]:
        """Every job of this root's sweep that Slurm remembers, ended ones too."""
        intents = [json.loads(p.read_text())["name"] for p in self.root.glob("sweeps/*/submissions/*/intent.json")]
        lines = self.cluster.run("squeue", "-h", "-r", "-t", "all", "-o", "%i %j").splitlines()
        return [line.split()[0] for line in lines if line.split()[1].startswith(tuple(intents))]

    def winner(self) -> None:
        """A job of a higher QOS that asks for all there is, for three seconds."""
        self.cluster.sbatch("sleep 3", "-q", "inferno", "--time=1", "--nodes=2", "--exclusive")

    # ---- the storage

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """On every host the root takes no writes; files that are open stay open, as on a real file server."""
        cover = f"mount --bind '{self.root}' '{self.root}' && mount -o remount,bind,ro '{self.root}'"
        self._on_every_host(cover)
        try:
            yield
        finally:
            self._on_every_host(f"umount --lazy '{self.root}'")

    def _on_every_host(self, command: str) -> None:
        processes = json.loads((self.cluster.root / "run" / "processes.json").read_text())
        nodes = [entry["pid"] for name, entry in processes.items() if name.startswith("node")]
        # The recorded process made the namespaces; its child is the first that lives in all of them.
        inside = [Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0] for pid in nodes]
        for enter in [[], *(["nsenter", "--mount", "--pid", f"--target={pid}"] for pid in inside)]:
            subprocess.run([*enter, "sh", "-c", command], check=True)

    @contextlib.contextmanager
    def full(self, left: int = 1 << 20) -> Iterator[None]:
        """The disk has one megabyte left: enough for a few words, not for a checkpoint."""
        ballast = self.root.parent / "ballast"
        with ballast.open("wb") as stream:
            room = shutil.disk_usage(self.root).free - left
            os.posix_fallocate(stream.fileno(), 0, room)
        try:
            yield
        finally:
            ballast.unlink()

    def other_clock(self, seconds: int) -> None:
        """From now on the file server's clock is off: every file's time, read here or in a job, is shifted."""
        library = self.cluster.work / f"clock{seconds:+d}.so"
        source = Path(__file__).with_name("clock.c")
        definitions = [f"-DSHIFT={seconds}", f'-DROOT="{self.root}/"']
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", *definitions, "-o", library, source, "-ldl"], check=True)
        self.env["LD_PRELOAD"] = str(library)

    # ---- the launcher

    @contextlib.contextmanager
    def launcher_dies(self, when: str, call: int) -> Iterator[None]:
        """The launcher is killed before or after its n-th real call of sbatch, by an sbatch that stands before Slurm's.

        Args:
            when: ``before`` or ``after``.
            call: counted from 1; ``sbatch --test-only`` does not count.
        """
        folder = self.cluster.work / f"{when}-{call}-{self.root.name}"
        folder.mkdir()
        sbatch = folder / "sbatch"
        sbatch.write_text(
            f"""#!/bin/sh
            case " $* " in *" --test-only "*) exec {shutil.which("sbatch")} "$@";; esac
            echo >> {folder}/calls
            [ "$(wc -l < {folder}/calls) {when}" = "{call} before" ] && kill -KILL $PPID && exit 1
            answer=$({shutil.which("sbatch")} "$@") || exit
            [ "$(wc -l < {folder}/calls) {when}" = "{call} after" ] && kill -KILL $PPID && exit 1
            echo "$answer"
            """
        )
        sbatch.chmod(0o755)
        before = dict(self.env)
        self.env["PATH"] = f"{folder}:{os.environ['PATH']}"
        try:
            yield
        finally:
            self.env = before


def cut(path: Path, share: float = 0.5) -> None:
    """What a crash leaves of a file that was being written."""
    with path.open("r+b") as stream:
        stream.truncate(int(path.stat().st_size * share))


def largest(folder: Path) -> Path:
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def causes(root: Path) -> dict[str, list[str]]:
    """Cell -> how each of its attempts ended, as its ``end.json`` says; empty for one that ended without a word."""

    def cause(attempt: Path) -> str:
        end = attempt / "end.json"
        return str(json.loads(end.read_text())["cause"]) if end.exists() else ""

    return {
        cell.name: [cause(a) for a in sorted(cell.glob("attempts/*"), key=lambda a: int(a.name))]
        for cell in sorted((root / "cells").iterdir())
    }


def spans(cell: Path) -> list[tuple[float, float]]:
    """When each attempt of a cell began and gave its last sign of life."""
    found = []
    for attempt in sorted(cell.glob("attempts/*"), key=lambda a: int(a.name)):
        if (attempt / "start.json").exists():
            begun = _time(attempt / "start.json")
            last = [_time(attempt / n) for n in ("end.json", "heartbeat") if (attempt / n).exists()]
            found.append((begun, max([begun, *last])))
    return found


def _time(path: Path) -> float:
    content: Mapping[str, Any] = json.loads(path.read_text())
    return float(content["time"])
