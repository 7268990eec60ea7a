"""The state of cells, derived from their files each time and never stored."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.attempts.attempt import lives
from paceline.config.identity import rung_of
from paceline.config.schema import ClusterSpec
from paceline.counted import counted
from paceline.errors import UserError
from paceline.slurm import history, queue
from paceline.slurm.queue import ENDED
from paceline.slurm.remembered import Answers
from paceline.store.causes import NOT_RETRIED, OUT_OF_MEMORY
from paceline.store.cell_folder import Attempt, Cell, CellFolder
from paceline.store.files import read_json, read_jsonl
from paceline.store.owner import age_of, alive
from paceline.store.root import Store

if TYPE_CHECKING:
    from paceline.sweep.cells import Sweep

STATES = ("done", "running", "queued", "held", "waiting", "interrupted", "failed", "missing", "unknown")
# What people read for a state; programs read the state itself.
STATE_NAMES = {"missing": "not started"}
_DEFAULT = ClusterSpec()

# What Slurm reports of a run of a job, ``1234_5.0``; None where it reports nothing.
Verdict = Callable[[str], history.Run | None]


def unheard(job: str) -> None:
    """The verdict where Slurm was not queried."""


@dataclass(frozen=True)
class Claim:
    """A submission that has taken a cell upon itself.

    Attributes:
        submission: its folder.
        state: ``pending``: will begin it, or begin it again; ``running``: its process runs; ``over``: its job has
            ended; ``unknown``: the queue gave no answer.
        job: the Slurm job; empty on this machine.
        detail: why it waits, as Slurm reports it; the cause that the end of its job stands for, where that is over.
        asked: when Slurm was asked, in seconds since the epoch.
    """

    submission: str
    state: str
    job: str = ""
    detail: str = ""
    asked: float = 0.0


@dataclass(frozen=True)
class CellState:
    """What is known of a cell now.

    Attributes:
        state: one of ``STATES``. ``held``: over the cluster's submit limit, for the next resume; ``waiting``: for a
            finetune cell that is not done; ``interrupted``: to be taken up by the next resume; ``failed``: not taken
            up again by itself; ``missing``: never started; ``unknown``: its job may live, and Slurm can't be asked.
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
        return self.state in ("missing", "interrupted", "waiting", "held")


def attempt_end(attempt: Attempt, verdict: Verdict = unheard) -> tuple[str, str]:
    """Cause and message of an attempt that is over.

    What the process recorded takes precedence, because Slurm reports most ends as FAILED. But a process that gets a
    signal to end can't know why, and one that was killed records nothing.
    """
    end = attempt.end()
    if end is not None and end["cause"] not in ("cancelled", "unknown"):
        return end["cause"], end["message"]
    for other in attempt.end_of_others():
        # Where one rank runs out of memory, the others see only a lost peer.
        if other["cause"] in OUT_OF_MEMORY:
            return other["cause"], other["message"]
    job = str((attempt.start() or {}).get("job", ""))
    run = verdict(job) if job else None
    if end is not None:
        known = run is not None and run.cause in ("preempted", "timeout", "node failure")
        return (run.cause or end["cause"], run.words) if run and known else (end["cause"], end["message"])
    if run is None:
        return "unknown", "ended without a word: killed, or its node went down"
    return run.cause or "unknown", f"ended without a word; {run.words}"


def stuck(attempts: Sequence[Attempt], verdict: Verdict = unheard) -> int:
    """How many attempts, up to the last, ended with its cause and got no further than the one before.

    One that ran out of memory on another rung of the ladder than the next has tried something else.
    """
    cause = attempt_end(attempts[-1], verdict)[0]
    count = 0
    for before, attempt in zip([None, *attempts[:-1]][::-1], attempts[::-1], strict=True):
        if attempt_end(attempt, verdict)[0] != cause or _reached(attempt) > (_reached(before) if before else 0):
            break
        count += 1
        if cause in OUT_OF_MEMORY and before and rung_of(before.placement()) != rung_of(attempt.placement()):
            break
    return count


def descent(attempt: Attempt) -> str:
    """By what an attempt came from the placement that was asked for to the one it has; empty where it has that."""
    changes = [str((attempt.start() or {}).get("placement", {}).get("ladder", {}).get("why", ""))]
    changes += [f"{rung['change']}, in a trial of the largest batch" for rung in read_jsonl(attempt.rungs)]
    return "; ".join(filter(None, changes))


def _reached(attempt: Attempt) -> int:
    return int((attempt.progress() or {}).get("done", 0))


def claims(store: Store, answers: Answers) -> dict[str, Claim]:
    """Cell -> the submission that has taken it, over all sweeps. Queries Slurm only if it has to.

    A submission on this machine holds its cells while its launcher lives. One on Slurm holds them while the queue
    holds its jobs, which are known by their names: a name is written down before sbatch is called, a job id after.
    """
    claimed: dict[str, Claim] = {}
    for path in sorted(store.root.glob("sweeps/*/submissions/*/elements.json")):
        folder = path.parent
        if (folder / "closed.json").exists():
            continue
        try:
            intent, content = read_json(folder / "intent.json"), read_json(path)
        except UserError:
            continue
        here = alive(intent, age_of(folder / "heartbeat"))
        if "arrays" in content and not here:
            _claims_on_slurm(folder, intent, content, answers, claimed)
        elif here:
            claim = Claim(str(folder), "pending")
            claimed.update(dict.fromkeys((c for e in content["elements"] for c in e["cells"]), claim))
    return claimed


def _claims_on_slurm(
    folder: Path, intent: dict[str, Any], content: dict[str, Any], answers: Answers, claimed: dict[str, Claim]
) -> None:
    jobs = answers.jobs()
    for k, indices in enumerate(content["arrays"]):
        for place, index in enumerate(indices):
            job = None if jobs is None else jobs.get((f"{intent['name']}-{k}", place))
            cells = content["elements"][index]["cells"]
            if job is not None and not job.over:
                claim = Claim(str(folder), "pending" if job.pending else "running", job.id, job.reason, answers.asked)
            elif jobs is None:
                claim = Claim(str(folder), "unknown", detail="Slurm's queue gave no answer")
            elif job is None and intent.get("uid", os.getuid()) != os.getuid():
                claim = Claim(str(folder), "unknown", detail="submitted by another user, whose jobs are not seen here")
            elif job is None and intent["time"] > answers.asked:
                claim = Claim(str(folder), "pending", detail="submitted after Slurm was asked; look again in a minute")
            else:
                # What waited for a tuning that failed is cancelled by Slurm, not by a user. Of an element
                # that was cancelled by itself before it began, the queue keeps nothing at all.
                waited = job is not None and job.reason.startswith("Dependency")
                cause = "" if waited else "unknown" if job is None else ENDED[job.state]
                for cell in cells:
                    claimed.setdefault(cell, Claim(str(folder), "over", job.id if job else "", cause))
                continue
            claimed.update(dict.fromkeys(cells, claim))


def made_by(store: Store, answers: Answers) -> dict[str, str]:
    """Cell -> the Slurm job that is making it."""
    return {cell: c.job for cell, c in claims(store, answers).items() if c.job and c.state != "over"}


def cell_state(
    folder: CellFolder,
    cell: Cell,
    claim: Claim | None,
    needs_done: bool,
    cluster: ClusterSpec,
    verdict: Verdict = unheard,
) -> CellState:
    """Derive one cell's state.

    Args:
        folder: the cell's folder, there or not.
        cell: the cell.
        claim: the submission that has taken it, if one has.
        needs_done: whether all cells that it needs are done.
        cluster: sets how many attempts may end with one and the same cause before the cell is left to the user.
        verdict: what Slurm reports of a job that is over.
    """
    attempts = folder.attempts()
    if folder.done():
        return CellState(cell.id, "done", attempts=len(attempts))
    # The queue shows at once that a job is gone; its attempt's heartbeat stays fresh for another minute.
    ended = claim if claim is not None and claim.state == "over" else None
    if alive := _taken(cell.id, attempts, None if ended else claim, ended, verdict):
        return alive
    if not attempts and not needs_done:
        return CellState(cell.id, "waiting", detail=f"needs {', '.join(cell.needs)}")
    return _left(folder, cell.id, attempts, ended, cluster, verdict)


def _submission(attempt: Attempt) -> Any:
    return (attempt.start() or {}).get("submission")


def _taken(
    cell: str, attempts: Sequence[Attempt], claim: Claim | None, ended: Claim | None, verdict: Verdict
) -> CellState | None:
    """The state of a cell that a submission runs or will run; None where none does."""
    count = len(attempts)
    last = attempts[-1] if attempts else None
    start = (last.start() or {}) if last else {}
    over = last is not None and ended is not None and ended.submission == start.get("submission")
    begun = claim is not None and last is not None and start.get("submission") == claim.submission
    # A requeued job runs nothing, however fresh its heartbeat, unless it began since Slurm was queried.
    again = begun and claim is not None and claim.state == "pending" and claim.job and start["time"] < claim.asked
    if last is not None and last.end() is None and not over and not again and lives(last):
        detail = descent(last)
        return CellState(cell, "running", detail=detail, attempts=count, progress=last.progress(), pid=start.get("pid"))
    if claim is None:
        return None
    if claim.state == "unknown":
        return CellState(cell, "unknown", detail=claim.detail, attempts=count)
    if begun and claim.state == "running" and last is not None and last.end() is None:
        # The heartbeat is late but the job runs, as when a file system hangs.
        return CellState(cell, "running", detail="no sign of life for a while", attempts=count)
    if not begun or (claim.job and claim.state == "pending"):
        cause = attempt_end(last, verdict)[0] if last is not None and again else ""
        return CellState(cell, "queued", cause, claim.detail, count)
    return None


def _left(
    folder: CellFolder,
    cell: str,
    attempts: Sequence[Attempt],
    ended: Claim | None,
    cluster: ClusterSpec,
    verdict: Verdict,
) -> CellState:
    """The state of a cell that no submission runs, and whether the next resume takes it up."""
    count = len(attempts)
    begun = bool(attempts) and ended is not None and ended.submission == _submission(attempts[-1])
    never = f"its job {ended.job} ended before it began".replace("  ", " ") if ended and not begun else ""
    if not attempts:
        return CellState(cell, "missing", ended.detail if ended else "", never)
    last = attempts[-1]
    cause, message = attempt_end(last, verdict)
    if cause == "done":
        why = "its results are gone since" if folder.done_json.exists() else "not published"
        return CellState(cell, "interrupted", "unknown", why, count)
    if cause in NOT_RETRIED:
        return CellState(cell, "failed", cause, message, count)
    if ended and never and ended.detail == "cancelled":
        return CellState(cell, "interrupted", "cancelled", never, count, last.progress())
    if cause in OUT_OF_MEMORY and (why := _nothing_left(folder, last)):
        return CellState(cell, "failed", cause, why, count)
    message = "; ".join(filter(None, (message, descent(last))))
    if cause != "cancelled" and (same := stuck(attempts, verdict)) >= cluster.attempts_after(cause):
        return CellState(
            cell, "failed", cause, f"{counted(same, 'attempt')} in a row got no further. {message}".strip(), count
        )
    return CellState(cell, "interrupted", cause, message, count, last.progress())


def _nothing_left(folder: CellFolder, last: Attempt) -> str:
    """What a submit recorded when there was no rung below the last attempt's; empty where it did not."""
    if not folder.ladder_json.exists():
        return ""
    ended = read_json(folder.ladder_json)
    return str(ended["why"]) if ended["attempt"] == last.n else ""


def of_sweep(store: Store, sweep: Sweep, asked: Answers | None = None) -> dict[str, CellState]:
    """The states of a sweep's cells, under the caps of its clusters; those over the submit limit are ``held``."""
    clusters = {c.id: c.config.cluster for c in sweep.cells}
    cell_states = states(store, [c.cell for c in sweep.cells], clusters, asked)
    held = store.sweep(sweep.name).held()
    for cell in held["cells"]:
        if cell in cell_states and cell_states[cell].state in ("missing", "interrupted", "waiting"):
            cell_states[cell] = replace(cell_states[cell], state="held", detail=held["reason"])
    return cell_states


def states(
    store: Store,
    cells: Iterable[Cell],
    clusters: Mapping[str, ClusterSpec] | None = None,
    asked: Answers | None = None,
) -> dict[str, CellState]:
    """The states of cells, in their order.

    Args:
        store: the store.
        cells: those needed before those that need them.
        clusters: cell -> where it runs, for the caps on attempts; the default ones where it is not named.
        asked: the answers of Slurm so far.
    """
    asked = asked or Answers(store.root, fresh=False)
    cells = list(cells)
    claimed = claims(store, asked)
    verdict = Verdicts(store, cells, asked)
    cell_states: dict[str, CellState] = {}
    for cell in cells:
        needs = all(
            cell_states[n].state == "done" if n in cell_states else store.cell(n).done() is not None for n in cell.needs
        )
        cluster = (clusters or {}).get(cell.id, _DEFAULT)
        cell_states[cell.id] = cell_state(store.cell(cell.id), cell, claimed.get(cell.id), needs, cluster, verdict)
    return cell_states


class Verdicts:
    """What Slurm reports of the jobs of cells that are over. Queries it on first use only."""

    def __init__(self, store: Store, cells: Sequence[Cell], answers: Answers) -> None:
        self._store, self._cells, self._asked = store, cells, answers
        self._last: dict[str, queue.Job] | None = None
        self._runs: Mapping[str, list[history.Run]] | None = None

    def __call__(self, job: str) -> history.Run | None:
        """How the run ``1234_5.0`` of a job ended: its element, and after the point how often it had been requeued."""
        element, _, restart = job.partition(".")
        if not queue.base(element).isdigit() or not restart.isdigit():
            return None  # of this machine
        if self._last is None:
            self._last = {j.id: j for j in self._asked.queue() or []}
        if self._runs is None:
            self._runs = self._asked.history(self._unexplained()) or {}
        runs = self._runs.get(element, [])
        if int(restart) < len(runs) and runs[int(restart)].cause:
            return runs[int(restart)]
        ended = self._last.get(element)
        # The queue has the last run only, but has it before accounting does.
        return history.Run(ended.state) if ended and ended.over and int(restart) >= len(runs) - 1 else None

    def _unexplained(self) -> set[str]:
        """Jobs of all attempts that recorded no cause of their end, for one query."""
        jobs = set()
        for cell in self._cells:
            folder = self._store.cell(cell.id)
            if folder.done_json.exists():
                continue
            for attempt in folder.attempts():
                end = attempt.end()
                job = str((attempt.start() or {}).get("job", ""))
                if (end is None or end["cause"] in ("cancelled", "unknown")) and (base := queue.base(job)).isdigit():
                    jobs.add(base)
        return jobs


def in_words(by_state: Mapping[str, int]) -> str:
    """How many cells stand where, for people: ``3 done, 2 not started``."""
    return ", ".join(f"{n:,} {STATE_NAMES.get(state, state)}" for state, n in by_state.items())


def counts(cell_states: Iterable[CellState]) -> dict[str, int]:
    """State -> number of cells, in the order of ``STATES``, without zeros."""
    counter = Counter(s.state for s in cell_states)
    return {state: counter[state] for state in STATES if counter[state]}
