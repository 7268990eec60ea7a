"""The state of cells, derived from their files each time and never stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paceline.attempts import lives
from paceline.errors import UserError
from paceline.process import age_of, alive
from paceline.slurm import queue
from paceline.spec import ClusterSpec
from paceline.store import NOT_RETRIED, Attempt, Cell, CellFolder, Store, read_json

if TYPE_CHECKING:
    from paceline.sweep import Sweep

STATES = ("done", "running", "queued", "waiting", "interrupted", "failed", "missing", "unknown")


@dataclass(frozen=True)
class Claim:
    """A submission that has taken a cell upon itself.

    Attributes:
        submission: its folder.
        state: ``pending``: will begin it, or begin it again; ``running``: its process runs; ``over``: the queue
            holds its job no more; ``unknown``: the queue gave no answer.
        job: the Slurm job; empty on this machine.
        detail: why it waits, in Slurm's words.
    """

    submission: str
    state: str
    job: str = ""
    detail: str = ""


@dataclass(frozen=True)
class CellState:
    """What is known of a cell now.

    Attributes:
        state: one of ``STATES``. ``waiting``: for a finetune cell that is not done; ``interrupted``: to be taken up
            by the next resume; ``failed``: not taken up again by itself; ``missing``: never begun; ``unknown``: its
            job may live, and Slurm can't be asked.
        cause: how the last attempt ended, where it did not end well.
        detail: one line for people.
        attempts: attempts so far.
        progress: the last heartbeat of a running or interrupted attempt.
        pid: process of a running attempt, on its own host.
    """

    id: str
    state: str
    cause: str = ""
    detail: str = ""
    attempts: int = 0
    progress: dict[str, Any] | None = None
    pid: int | None = None

    @property
    def needed(self) -> bool:
        """Whether a submit would run the cell."""
        return self.state in ("missing", "interrupted", "waiting")


def attempt_end(attempt: Attempt) -> tuple[str, str]:
    """Cause and message of an attempt that is over."""
    end = attempt.end()
    if end is None:
        return "unknown", "ended without a word: killed, or its node went down"
    return end["cause"], end["message"]


def stuck(attempts: Sequence[Attempt]) -> int:
    """How many attempts, up to the last, ended with its cause and got no further than the one before."""
    cause = attempt_end(attempts[-1])[0]
    count = 0
    for before, attempt in zip([None, *attempts[:-1]][::-1], attempts[::-1], strict=True):
        if attempt_end(attempt)[0] != cause or _reached(attempt) > (_reached(before) if before else 0):
            break
        count += 1
    return count


def _reached(attempt: Attempt) -> int:
    return int((attempt.progress() or {}).get("done", 0))


def claims(store: Store) -> dict[str, Claim]:
    """Cell -> the submission that has taken it, over all sweeps. Asks Slurm once, and only if it has to.

    A submission on this machine holds its cells while its launcher lives. One on Slurm holds them while the queue
    holds its jobs, which are known by their names: a name is written down before sbatch is called, a job id after.
    """
    found: dict[str, Claim] = {}
    jobs: dict[tuple[str, int], queue.Job] | None = None
    for path in sorted(store.root.glob("sweeps/*/submissions/*/elements.json")):
        folder = path.parent
        if (folder / "closed.json").exists():
            continue
        try:
            intent, content = read_json(folder / "intent.json"), read_json(path)
        except UserError:
            continue
        here = alive(intent, age_of(folder / "heartbeat"))
        if "arrays" not in content or here:
            if here:
                claim = Claim(str(folder), "pending")
                found.update(dict.fromkeys((c for e in content["elements"] for c in e["cells"]), claim))
            continue
        if jobs is None:
            listed = queue.ask()
            if listed is None:
                jobs = {}
                asked = False
            else:
                jobs = {(job.name, job.index): job for job in listed}
                asked = True
        for k, indices in enumerate(content["arrays"]):
            for place, index in enumerate(indices):
                job = jobs.get((f"{intent['name']}-{k}", place))
                if job is None and asked:
                    for cell in content["elements"][index]["cells"]:
                        found.setdefault(cell, Claim(str(folder), "over"))
                    continue
                claim = (
                    Claim(str(folder), "unknown", detail="Slurm's queue gave no answer")
                    if job is None
                    else Claim(str(folder), "pending" if job.pending else "running", job.id, job.reason)
                )
                found.update(dict.fromkeys(content["elements"][index]["cells"], claim))
    return found


def cell_state(folder: CellFolder, cell: Cell, claim: Claim | None, needs_done: bool, cap: int) -> CellState:
    """Derive one cell's state.

    Args:
        folder: the cell's folder, there or not.
        cell: the cell.
        claim: the submission that has taken it, if one has.
        needs_done: whether all cells that it needs are done.
        cap: attempts that end with one and the same cause before the cell is left to the user.
    """
    attempts = folder.attempts()
    count = len(attempts)
    if folder.done():
        return CellState(cell.id, "done", attempts=count)
    last = attempts[-1] if attempts else None
    # The queue knows at once that a job is gone; the pulse of its attempt would look alive for another minute.
    submission = (last.start() or {}).get("submission") if last else None
    over = claim is not None and claim.state == "over" and claim.submission == submission
    claim = None if claim is not None and claim.state == "over" else claim
    if last is not None and last.end() is None and not over and lives(last):
        start = last.start() or {}
        return CellState(cell.id, "running", attempts=count, progress=last.progress(), pid=start.get("pid"))
    if claim is not None and claim.state == "unknown":
        return CellState(cell.id, "unknown", detail=claim.detail, attempts=count)
    begun = last is not None and (last.start() or {}).get("submission") == claim.submission if claim else False
    if claim is not None and begun and claim.state == "running" and last is not None and last.end() is None:
        # Its pulse is late and its job runs: a file system that hangs looks so.
        return CellState(cell.id, "running", detail="no sign of life for a while", attempts=count)
    if claim is not None and (not begun or (claim.job and claim.state == "pending")):
        return CellState(cell.id, "queued", detail=claim.detail, attempts=count)
    if last is None:
        if not needs_done:
            return CellState(cell.id, "waiting", detail=f"needs {', '.join(cell.needs)}")
        return CellState(cell.id, "missing")
    cause, message = attempt_end(last)
    if cause == "done":
        cause, message = (
            "unknown",
            "its results are gone since" if folder.done_json.exists() else "not published",
        )
        return CellState(cell.id, "interrupted", cause, message, count)
    if cause in NOT_RETRIED:
        return CellState(cell.id, "failed", cause, message, count)
    if cause != "cancelled" and (same := stuck(attempts)) >= cap:
        return CellState(cell.id, "failed", cause, f"{same} attempts in a row got no further. {message}".strip(), count)
    return CellState(cell.id, "interrupted", cause, message, count, last.progress())


def of_sweep(store: Store, sweep: Sweep, taken: Mapping[str, Claim] | None = None) -> dict[str, CellState]:
    """The states of a sweep's cells, under the attempts that its cluster allows."""
    cap = min((c.config.cluster.attempts for c in sweep.cells), default=ClusterSpec.attempts)
    return states(store, [c.cell for c in sweep.cells], cap, taken)


def states(
    store: Store, cells: Iterable[Cell], cap: int = ClusterSpec.attempts, taken: Mapping[str, Claim] | None = None
) -> dict[str, CellState]:
    """The states of cells, in their order. ``taken`` saves asking again for :func:`claims`."""
    taken = claims(store) if taken is None else taken
    found: dict[str, CellState] = {}
    for cell in cells:
        needs = all(found[n].state == "done" if n in found else store.cell(n).done() is not None for n in cell.needs)
        found[cell.id] = cell_state(store.cell(cell.id), cell, taken.get(cell.id), needs, cap)
    return found


def counts(found: Iterable[CellState]) -> dict[str, int]:
    """State -> number of cells, in the order of ``STATES``, without zeros."""
    counter = Counter(s.state for s in found)
    return {state: counter[state] for state in STATES if counter[state]}
