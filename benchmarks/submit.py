"""Time to bring a sweep into Slurm's queue: paceline beside Hydra's multirun with hydra-submitit-launcher.

Both sides get the same words over the same files of conf/, make one Slurm job of each cell, and are timed from the
start of their process. paceline's time ends when its process does; Hydra's when its last sbatch has answered, because
its launcher then waits until all jobs have ended (it is stopped there). What differs is in Hydra's favour: its jobs
would do nothing, while paceline freezes the code and every cell on the disk before it submits.

Nothing runs: an sbatch of ours, first on PATH, hands each call with --hold to the real one and notes when it answered.
The jobs are cancelled at the end. Hydra and its launcher are installed into a virtual environment of their own, in the
temporary folder that holds everything else too.

    slurm/dev/cluster.py up --max-submit 5000             # a job per cell is more than most limits allow
    eval "$(slurm/dev/cluster.py env --max-submit 5000)"
    python benchmarks/submit.py --account gts-dev --qos inferno
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

LAUNCHER = "hydra-submitit-launcher==1.2.0"
CONF = Path(__file__).resolve().parents[1] / "conf"
# A small data set, so that it is prepared in seconds. What is read of it later is its digest.
SIZES = {"train": 64, "validation": 8, "test_near": 24, "test_far": 24, "spacing": 2.0}
TASK = ["task=geolocation_earth", *(f"++task.options.{key}={value}" for key, value in SIZES.items())]
POINT = ["model=tiny_qwen2_vl", *TASK]
PROMPTS = ("geo_bare", "geo_confidence", "geo_narrowing", "geo_stepwise")
REPEATS = 3
HYDRA_SECONDS = 900.0

SBATCH = """#!/bin/sh
said=$({real} --hold "$@") || exit $?
printf '%s\\n' "$said"
echo "$(date +%s.%N) $said" >> {log}
"""
HYDRA_APP = """import hydra

@hydra.main(config_path={conf!r}, config_name="config", version_base="1.3")
def main(config):
    pass

main()
"""


class Missing(Exception):
    """The machine lacks what the benchmark needs; one line, exit code 2."""


@dataclass(frozen=True)
class Call:
    """One sbatch: when it answered, in seconds since the epoch, and its job."""

    time: float
    job: str


class Queue:
    """Slurm as both sides see it: every job held, every sbatch noted."""

    def __init__(self, folder: Path) -> None:
        real = shutil.which("sbatch")
        if real is None or shutil.which("squeue") is None:
            raise Missing(
                "sbatch is not on PATH: run it on a login node, or after slurm/dev/cluster.py up (and its env)"
            )
        if subprocess.run(["squeue", "--noheader"], capture_output=True, check=False).returncode:
            raise Missing("squeue gave no answer: is this Slurm up?")
        self._log = folder / "sbatch.log"
        shim = folder / "bin" / "sbatch"
        shim.parent.mkdir()
        shim.write_text(SBATCH.format(real=real, log=self._log))
        shim.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}"}

    def calls(self) -> list[Call]:
        """The arrays submitted since the last :meth:`empty`."""
        text = self._log.read_text() if self._log.exists() else ""
        found = re.findall(r"^(\d+\.\d+) Submitted batch job (\d+)$", text, re.MULTILINE)
        return [Call(float(when), job) for when, job in found]

    def asked(self) -> int:
        """Calls of sbatch that went well since then, those included that only test."""
        return len(self._log.read_text().splitlines()) if self._log.exists() else 0

    def elements(self) -> int:
        """Elements of those arrays that the queue holds."""
        jobs = ",".join(c.job for c in self.calls())
        words = ["squeue", "--noheader", "--array", f"--jobs={jobs}", "--format=%i"]
        return len(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())

    def empty(self) -> None:
        """Cancel what was submitted."""
        if calls := self.calls():
            subprocess.run(["scancel", *(c.job for c in calls)], check=True)
        self._log.unlink(missing_ok=True)


class Paceline:
    """The command, on a root of its own for every measurement: cells that are queued once are not submitted again."""

    def __init__(self, folder: Path, queue: Queue, account: Sequence[str]) -> None:
        self._folder, self._queue = folder, queue
        self._words = ["cluster=slurm", *account]
        self._prepared = folder / "prepared"
        self.run("prepare", *TASK, f"root={self._prepared}")

    def run(self, *words: str) -> float:
        """Seconds that a command takes, its start and end included.

        Raises:
            Missing: it failed; the message is its own.
        """
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "paceline", *words],
            env=self._queue.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            raise Missing(f"paceline {words[0]}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        return seconds

    @contextlib.contextmanager
    def fresh(self, words: Sequence[str]) -> Iterator[list[str]]:
        """The words that plan and submit a sweep under a root that holds prepared data alone."""
        with tempfile.TemporaryDirectory(dir=self._folder) as root:
            shutil.copytree(self._prepared / "data", Path(root) / "data")
            try:
                yield [*words, *self._words, "name=benchmark", f"root={root}"]
            finally:
                self._queue.empty()


def install_hydra(folder: Path) -> Path:
    """A Python with Hydra and its launcher, in the versions of Hydra and submitit that paceline has here."""
    python = folder / "hydra" / "bin" / "python"
    versions = [f"{name}=={metadata.version(name)}" for name in ("hydra-core", "submitit")]
    subprocess.run([sys.executable, "-m", "venv", str(folder / "hydra")], check=True)
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", *versions, LAUNCHER],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Missing(f"can't install {LAUNCHER}: {done.stderr.strip().splitlines()[-1]}; give --hydra PYTHON or none")
    return python


def hydra_seconds(python: Path, folder: Path, queue: Queue, words: Sequence[str], account: Sequence[str]) -> float:
    """Seconds until Hydra's multirun has its jobs in the queue."""
    app = folder / "app.py"
    app.write_text(HYDRA_APP.format(conf=str(CONF)))
    launcher = [a.replace("cluster.", "hydra.launcher.") for a in account]
    sweep = f"hydra.sweep.dir={folder / 'multirun'}"
    start = time.time()
    with (folder / "hydra.log").open("wb") as log:
        process = subprocess.Popen(
            [str(python), str(app), "-m", "hydra/launcher=submitit_slurm", *launcher, sweep, *words],
            env=queue.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        while not queue.calls():
            if process.poll() is not None or time.time() - start > HYDRA_SECONDS:
                said = (folder / "hydra.log").read_text().strip().splitlines()
                raise Missing(f"Hydra's multirun made no sbatch call: {said[-1] if said else 'it said nothing'}")
            time.sleep(0.02)
        time.sleep(1.0)  # one array is one call; a second one would be seen now
        return queue.calls()[-1].time - start
    finally:
        process.terminate()
        process.wait()


def same_cells(cells: int) -> list[str]:
    """Words that make so many evaluate cells, each one point of the product on both sides."""
    if cells % len(PROMPTS) or cells < len(PROMPTS):
        raise Missing(f"{cells} cells: give multiples of {len(PROMPTS)}, the prompts of the product")
    seeds = f"seed=range(0,{cells // len(PROMPTS)})"
    return [*POINT, f"prompt={','.join(PROMPTS)}", "generation=sampled", seeds]


def mixed_cells(ranks: int) -> list[str]:
    """Words that make 14 × ``ranks`` + 6 cells: 6 prompts answered untuned and after 2 × ``ranks`` tunings."""
    prompts = "prompt=glob(geo_*,exclude=[geo_background,geo_training])"
    return [*POINT, prompts, "method=untuned,lora", f"method.lora.r=range(1,{ranks + 1})", "seed=0,1"]


def compare(
    paceline: Paceline, queue: Queue, folder: Path, python: Path, counts: Sequence[int], account: list[str]
) -> None:
    """Print seconds of both sides on the same cells, one Slurm job each."""
    print(f"{'cells':>8}{'Hydra s':>10}{'paceline s':>12}{'ratio':>8}   until all are in the queue, one job per cell")
    for count in counts:
        words = same_cells(count)
        own = []
        for _ in range(REPEATS):
            with paceline.fresh(words) as full:
                own.append(paceline.run("submit", *full, "cluster.cells_per_element=1"))
                check_queue(queue, count)
        try:
            other = hydra_seconds(python, folder, queue, words, account)
            check_queue(queue, count)
        finally:
            queue.empty()
        mine = statistics.median(own)
        print(f"{count:>8}{other:>10.2f}{mine:>12.2f}{other / mine:>8.1f}", flush=True)


def check_queue(queue: Queue, wanted: int) -> None:
    """Refuse a figure for jobs that are not in the queue."""
    if (found := queue.elements()) != wanted:
        raise Missing(f"{found} of {wanted} jobs are in the queue: does a limit of Slurm's hold the others back?")


def alone(paceline: Paceline, queue: Queue, ranks: Sequence[int]) -> None:
    """Print seconds of paceline's own verbs on sweeps of tunings and their evaluations, grouped as by default."""
    head = "".join(f"{name:>10}" for name in ("plan", "submit", "again", "status", "arrays", "sbatch"))
    print(
        f"\n{'cells':>8}{head}   paceline alone: seconds, arrays submitted, calls of sbatch by all four and its tests"
    )
    for rank in ranks:
        runs = []
        for _ in range(REPEATS):
            with paceline.fresh(mixed_cells(rank)) as words:
                root = words[-1]
                times = [paceline.run(verb, *words) for verb in ("plan", "submit", "submit")]
                runs.append([*times, paceline.run("status", root), len(queue.calls()), queue.asked()])
        *seconds, calls, asked = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{14 * rank + 6:>8}{''.join(f'{s:>10.2f}' for s in seconds)}{calls:>10.0f}{asked:>10.0f}", flush=True)
    print(f"{'--help':>8}{statistics.median(paceline.run('--help') for _ in range(REPEATS)):>10.2f}")


def growth(ranks: Sequence[int]) -> None:
    """Print processor seconds from words to cells, elements and arrays in memory: linear if those per cell stay."""
    from paceline.launch import elements
    from paceline.sweep.cell_labels import variants
    from paceline.sweep.cells import expand
    from paceline.sweep.compose import compose
    from paceline.sweep.config_files import conf_folders

    print(f"\n{'cells':>8}{'s':>10}{'ms / cell':>12}   in memory: composed, expanded, grouped, told apart")
    for rank in ranks:
        start = time.process_time()
        sweep = expand(compose(mixed_cells(rank), conf_folders(None)), lambda task: "digest")
        elements.arrays(elements.group(sweep.cells))
        variants(planned.cell for planned in sweep.cells)
        seconds = time.process_time() - start
        print(f"{len(sweep.cells):>8}{seconds:>10.2f}{1000 * seconds / len(sweep.cells):>12.3f}", flush=True)


def main() -> int:
    """Run all three tables. Exit codes: 0 measured, 2 something is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--account", help="Slurm account, for both sides")
    parser.add_argument("--qos", help="Slurm quality of service, for both sides")
    parser.add_argument("--cells", default="20,100", help="numbers of cells to compare at; Hydra's 1000 take minutes")
    parser.add_argument(
        "--hydra", metavar="PYTHON", help="one that has the launcher already, or `none` to leave it out"
    )
    given = parser.parse_args()
    account = [f"cluster.{k}={v}" for k, v in (("account", given.account), ("qos", given.qos)) if v]
    try:
        if importlib.util.find_spec("paceline") is None:
            raise Missing("paceline is not installed for this Python; run it with .venv/bin/python")
        with tempfile.TemporaryDirectory(prefix="paceline-submit-") as name:
            folder = Path(name)
            queue = Queue(folder)
            paceline = Paceline(folder, queue, account)
            if given.hydra != "none":
                python = Path(given.hydra) if given.hydra else install_hydra(folder)
                compare(paceline, queue, folder, python, [int(c) for c in given.cells.split(",")], account)
            alone(paceline, queue, (5, 71))
        growth((71, 714, 7143))
    except Missing as error:
        print(f"benchmarks/submit.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
