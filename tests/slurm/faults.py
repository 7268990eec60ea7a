"""What may happen to a sweep on Slurm, one function each: the rows of docs/faults.md.

A fault submits, does its harm, and leaves the sweep as a person would find it next. matrix.py then lets the queue
settle, resumes, and holds the results against those of a sweep that nothing happened to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lab import DATA, ON_SLURM, Lab, Rank, cut, largest

SWEEP = (
    "model=tiny_qwen2_vl",
    "task=geolocation_earth",
    DATA,
    "method=untuned,full",
    "train=quick",
    "train.max_steps=40",
    "train.batch=16",
    "generation=short",
    "generation.batch=4",
    "placement.checkpoint_steps=5",
    "tracking=disabled",
    "name=s",
)
ONE_PROMPT = "prompt=geo_bare"
TWO_PROMPTS = "prompt=geo_bare,geo_training"


@dataclass(frozen=True)
class Fault:
    """One row.

    Attributes:
        happen: does it.
        causes: what the disturbed attempt may be said to have ended with; empty where nothing is to end.
        variant: options of ``cluster.py up``.
        words: what ``submit`` is given beside the sweep.
        resumes: most resumes that it may take until all is done.
        jobs: elements of all arrays ever submitted; 0 where it does not matter.
        ci: whether CI's lane runs it.
    """

    happen: Callable[[Lab], None]
    causes: tuple[str, ...]
    variant: str
    words: tuple[str, ...]
    resumes: int
    jobs: int
    ci: bool

    @property
    def name(self) -> str:
        """The row's name."""
        return self.happen.__name__.replace("_", " ")

    @property
    def what(self) -> str:
        """What is done, in words."""
        return " ".join((self.happen.__doc__ or "").split())


FAULTS: list[Fault] = []


def fault(
    *causes: str,
    variant: str = "",
    words: tuple[str, ...] = (),
    prompts: str = ONE_PROMPT,
    resumes: int = 1,
    jobs: int = 0,
    ci: bool = False,
) -> Callable[[Callable[[Lab], None]], Callable[[Lab], None]]:
    """Enter a function in the table."""

    def enter(happen: Callable[[Lab], None]) -> Callable[[Lab], None]:
        asked = (*ON_SLURM, prompts, *words)
        FAULTS.append(Fault(happen, causes, variant, asked, resumes, jobs, ci))
        return happen

    return enter


# ---- Slurm ends a job


def _warned(lab: Lab, rank: Rank, seconds: float = 90) -> None:
    """Wait until a rank that stands still is sent a signal, then let it go on."""
    lab.until("the signal comes", rank.told, seconds, every=0.05)
    rank.go_on()


@fault("timeout", words=("cluster.minutes=1", "cluster.signal_seconds=1"), ci=True)
def walltime(lab: Lab) -> None:
    """The job's one minute runs out while it tunes."""
    lab.submit()
    _warned(lab, lab.held("finetune"))


@fault("preempted")
def early_signal(lab: Lab) -> None:
    """USR2 by `scancel --signal=USR2` in the middle of tuning, long before the walltime: as preemption sends it."""
    lab.submit()
    rank = lab.at_work("finetune")
    lab.cluster.run("scancel", "--signal=USR2", rank.job)


def _preempted(lab: Lab) -> None:
    lab.submit()
    rank = lab.held("finetune")
    lab.winner()
    _warned(lab, rank)


@fault("preempted")
def preempted_and_requeued(lab: Lab) -> None:
    """A job of a higher QOS takes both nodes; Slurm sends TERM, and requeues."""
    _preempted(lab)


@fault("preempted", variant="--user-signal")
def preempted_and_requeued_with_a_signal(lab: Lab) -> None:
    """A job of a higher QOS takes both nodes; Slurm sends USR2 first, and requeues."""
    _preempted(lab)


@fault("preempted", variant="--preempt cancel", ci=True)
def preempted_and_cancelled(lab: Lab) -> None:
    """A job of a higher QOS takes both nodes; Slurm sends TERM, and cancels, as PACE's `embers`."""
    _preempted(lab)


@fault("preempted", variant="--preempt cancel --user-signal")
def preempted_and_cancelled_with_a_signal(lab: Lab) -> None:
    """A job of a higher QOS takes both nodes; Slurm sends USR2 first, and cancels."""
    _preempted(lab)


@fault("cancelled", ci=True)
def cancelled(lab: Lab) -> None:
    """`scancel` of every job; nothing comes back by itself."""
    lab.submit()
    rank = lab.held("finetune")
    lab.cluster.run("scancel", *{job.partition("_")[0] for job in lab.jobs()})
    rank.go_on()
    lab.settle()
    time.sleep(8)  # longer than a requeued job is held back
    assert lab.queue_is_empty()
    assert not any(c["state"] == "running" for c in lab.cells().values())


# ---- things die


@fault("unknown", ci=True)
def rank_killed(lab: Lab) -> None:
    """SIGKILL of the process that tunes."""
    lab.submit()
    lab.held("finetune").kill()


@fault("unknown", "cancelled")
def step_killed(lab: Lab) -> None:
    """SIGKILL of the whole job step, by `scancel --signal=KILL JOB.0`."""
    lab.submit()
    lab.cluster.run("scancel", "--signal=KILL", f"{lab.held('finetune').job}.0")


@fault("node failure", ci=True)
def node_lost(lab: Lab) -> None:
    """The node that tunes goes down as if the power failed: slurmd and all that ran there is gone."""
    lab.submit()
    rank = lab.at_work("finetune")
    lab.cluster.control("node", "kill", rank.node)
    begun = rank.attempt.with_name("2") / "start.json"
    lab.until("Slurm noticed", lambda: lab.look("finetune")["cause"] == "node failure" or begun.exists(), 90)
    lab.cluster.control("node", "start", rank.node)


@fault()
def controller_restarted(lab: Lab) -> None:
    """slurmctld goes away while cells run, and comes back; meanwhile `status` calls no cell failed."""
    lab.submit()
    lab.at_work("finetune")
    lab.cluster.control("controller", "stop")
    told = {c["state"] for c in lab.cells().values()}
    refused = lab.paceline("resume", "s")
    lab.cluster.control("controller", "start")
    assert told <= {"running", "queued", "unknown", "waiting", "done"}, told
    assert refused.returncode in (0, 3), refused.stderr


@fault("unknown")
def database_down(lab: Lab) -> None:
    """slurmdbd is down when the tuning process is killed, and until the sweep is done."""
    lab.submit()
    rank = lab.held("finetune")
    lab.cluster.control("database", "stop")
    rank.kill()
    lab.settle()
    lab.look("finetune")


@fault("unknown", variant="--no-accounting", words=("cluster.qos=",))
def no_accounting(lab: Lab) -> None:
    """The cluster has neither slurmdbd nor QOS, and the tuning process is killed."""
    lab.submit()
    lab.held("finetune").kill()


# ---- the launcher dies, or is not alone


def _launcher_dies(lab: Lab, when: str, call: int) -> None:
    with lab.launcher_dies(when, call):
        assert lab.paceline("submit", *lab.words).returncode == -9
    lab.resume()


@fault(jobs=3, ci=True)
def launcher_killed_before_sbatch(lab: Lab) -> None:
    """SIGKILL of `submit` when it has recorded its intent and calls `sbatch`; then `resume`."""
    _launcher_dies(lab, "before", 1)


@fault(jobs=3, ci=True)
def launcher_killed_before_it_knew_the_job(lab: Lab) -> None:
    """SIGKILL of `submit` when Slurm has the first array and its id is not recorded; then `resume` at once."""
    _launcher_dies(lab, "after", 1)


@fault(jobs=3, ci=True)
def launcher_killed_after_sbatch(lab: Lab) -> None:
    """SIGKILL of `submit` when the first array is recorded and the second is not submitted; then `resume` at once."""
    _launcher_dies(lab, "before", 2)


@fault(jobs=3)
def submitted_twice(lab: Lab) -> None:
    """A second `submit` while the first one's jobs wait and run."""
    lab.submit()
    assert "nothing to start" in lab.submit()
    lab.at_work("finetune")
    assert "nothing to start" in lab.submit()


def _two_resumes(lab: Lab) -> None:
    both = [lab.start("resume", "s") for _ in range(2)]
    told = [process.communicate(timeout=180)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sorted("nothing to start" in text for text in told) == [False, True], told


@fault("cancelled", ci=True)
def resumed_twice_at_once(lab: Lab) -> None:
    """`paceline cancel` while it tunes; then two `resume` at the same instant."""
    lab.submit()
    lab.at_work("finetune")
    lab.well("cancel", "s", "--yes")
    lab.settle()
    lab.look("finetune")
    _two_resumes(lab)


# ---- the storage fails


@fault("disk full", "unknown", resumes=2)
def storage_read_only(lab: Lab) -> None:
    """The root is mounted read-only for a while, on the nodes and here, except for files that are open; `resume` says
    so in a line and exits 3."""
    lab.submit()
    rank = lab.held("finetune")
    with lab.read_only():
        rank.go_on()
        lab.settle()
        lab.cells()
        refused = lab.paceline("resume", "s")
    assert refused.returncode == 3, refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr


@fault("disk full", resumes=2, ci=True)
def storage_full(lab: Lab) -> None:
    """The root has 1 MB left, less than a checkpoint takes, until the jobs have ended."""
    lab.submit()
    rank = lab.held("finetune")
    with lab.full():
        rank.go_on()
        lab.settle()
        lab.look("finetune")


@fault("cancelled")
def checkpoint_half_written(lab: Lab) -> None:
    """The job is cancelled, and the newest checkpoint has lost half of its largest file."""
    lab.submit()
    rank = lab.at_work("finetune")
    lab.cluster.run("scancel", *{job.partition("_")[0] for job in lab.jobs()})
    lab.settle()
    newest = max(rank.attempt.glob("checkpoints/checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    cut(largest(newest))


@fault("unknown")
def predictions_half_written(lab: Lab) -> None:
    """The process that answers is killed, and the file of its answers ends in the middle of a line."""
    lab.submit()
    rank = lab.held("evaluate")
    rank.kill()
    lab.settle()
    cut(rank.attempt / "predictions.jsonl", 0.8)


def _other_clock(lab: Lab, seconds: int) -> None:
    lab.other_clock(seconds)
    lab.submit()
    rank = lab.held("finetune")
    assert "nothing to start" in lab.submit()
    rank.kill()
    lab.settle()
    assert lab.look("finetune")["state"] == "interrupted"
    _two_resumes(lab)


@fault("unknown")
def clock_of_the_storage_ahead(lab: Lab) -> None:
    """The file server's clock is 5 minutes ahead (a preloaded library shifts file times, here and in jobs); a second
    `submit`, a kill, and two `resume` at once."""
    _other_clock(lab, 300)


@fault("unknown")
def clock_of_the_storage_behind(lab: Lab) -> None:
    """The file server's clock is 5 minutes behind (a preloaded library shifts file times, here and in jobs); a second
    `submit`, a kill, and two `resume` at once."""
    _other_clock(lab, -300)


# ---- the cluster allows little


@fault(
    variant="--max-array 2 --max-submit 2",
    words=("cluster.max_array=2", "cluster.max_submit=2", "cluster.cells_per_element=1"),
    prompts=TWO_PROMPTS,
    resumes=3,
    jobs=5,
)
def small_limits(lab: Lab) -> None:
    """MaxArraySize 2 and at most two jobs of a user: what is over is held back, and released by each `resume`."""
    assert "held back" in lab.submit()
