"""Curves and tables for people, in Weights & Biases. What counts is in our own files; nothing here can hurt a cell.

Everything that touches the SDK happens on a thread of its own: importing it, starting its service, writing. So a slow
disk or network delays no step, and whatever fails is noted once and ends the tracking, not the training.

A cell is one W&B run: its random id is made at the first attempt and kept in ``tracking.json``. Every attempt leaves a
piece of it under ``attempts/<n>/wandb``, which ``paceline sync`` puts together; online, it is sent at once as well. W&B
drops rows whose step goes back, so a resumed attempt leaves out the steps that an earlier one has in its history, and
begins with those that the earlier one could not hand over: a killed process loses what its SDK had not written yet.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paceline import pieces
from paceline.attempts import Run, classify
from paceline.credentials import wandb_key
from paceline.spec import plain
from paceline.store import SCHEMA, CellFolder, read_json, read_jsonl, write_json

# How long W&B may take to be reached, before an attempt stays offline. Less than the end waits for, so that the piece
# of a short attempt is written all the same.
START_SECONDS = 20.0
FINISH_SECONDS = 30.0
# The SDK's service is a process that starts from a file system which many jobs may be reading at once.
SERVICE_SECONDS = 300
# The elements of an array start together; 500 of them within this time are 17 a second.
STAGGER_SECONDS = 30.0
# What Slurm takes up again: W&B shows such a run as preempted, not as failed.
PREEMPTED = ("preempted", "timeout")
# Points wait here while the service starts; beyond it the disk or network is not keeping up, and points are left out.
_WAITING = 20_000


class Tracker:
    """Takes points and tables and keeps none of them: the tracker of ``tracking=disabled`` and of ranks above 0."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Points of curves at a step, which must not go back."""

    def supervised(self, rows: Sequence[Mapping[str, str]]) -> None:
        """A table of what is trained on in the first samples; each row has ``prompt`` and ``supervised``."""

    def metrics(self, metrics: Mapping[str, Mapping[str, Any]]) -> None:
        """Final numbers, ``name -> {value, low, high, …}``, shown as ``name``, ``name_low`` and ``name_high``."""

    def samples(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """A table of answers; each row has ``image`` (a path or None), ``truth``, ``answer`` and ``outcome``."""

    def results(self, run: Run, metrics: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        """What an evaluate cell published: the content of its ``metrics.json``, and its first answers."""

    def finish(self, cause: str) -> None:
        """End, telling how the attempt did; returns within ``FINISH_SECONDS``."""


class WandbTracker(Tracker):
    """One attempt's part of the cell's W&B run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._calls: queue.Queue[Callable[[Any], None] | None] = queue.Queue(_WAITING)
        self._broken = False
        self._over = threading.Event()
        self._cause = "unknown"
        self._before = _logged_before(run)
        self._logged = max(self._before, default=-1)
        self._thread = threading.Thread(target=self._work, daemon=True, name="tracking")
        self._thread.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step <= self._logged:
            return
        # Several records may share a step (training and validation): W&B merges them.
        shown = dict(values)
        self._put(lambda wandb_run: wandb_run.log(shown, step=step))

    def supervised(self, rows: Sequence[Mapping[str, str]]) -> None:
        shown = [[row["prompt"], row["supervised"]] for row in rows]

        def show(wandb_run: Any) -> None:
            import wandb

            # In the summary, which has no steps: every attempt may write it, and none repeats a row of the curve.
            wandb_run.summary["supervised"] = wandb.Table(columns=["prompt", "supervised"], data=shown)

        self._put(show)

    def metrics(self, metrics: Mapping[str, Mapping[str, Any]]) -> None:
        flat = {}
        for name, entry in metrics.items():
            for key, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
                if isinstance(entry.get(key), int | float) and math.isfinite(entry[key]):
                    flat[name + suffix] = entry[key]
        self._put(lambda wandb_run: wandb_run.summary.update(flat))

    def samples(self, rows: Sequence[Mapping[str, Any]]) -> None:
        shown = [dict(row) for row in rows[: self._run.config.tracking.samples]]

        def show(wandb_run: Any) -> None:
            import wandb

            columns = ("truth", "answer", "outcome")
            table = wandb.Table(columns=list(columns), data=[[str(row[c]) for c in columns] for row in shown])
            # Beside the table, not in it: offline, a table's images wait outside of the run's folder to be uploaded.
            images = [
                wandb.Image(str(row["image"]), caption=f"{row['answer']}\ntruth: {row['truth']} ({row['outcome']})")
                for row in shown
                if row.get("image") and Path(row["image"]).exists()
            ]
            # An evaluate cell has no other steps; each attempt needs one of its own, or the later would be dropped.
            step = max(wandb_run.step, self._run.attempt.n - 1)
            wandb_run.log({"samples": table, **({"images": images} if images else {})}, step=step)

        if shown:
            self._put(show)

    def results(self, run: Run, metrics: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        self.metrics(metrics["metrics"])
        images = {sample["id"]: sample.get("image") for sample in samples}
        answers = {p["sample"]: p["text"] for p in read_jsonl(run.folder.predictions)}
        scores = itertools.islice(read_jsonl(run.folder.scores), run.config.tracking.samples)
        rows = [
            {
                "image": images.get(score["sample"]),
                "truth": score["truth"],
                "answer": answers.get(score["sample"], ""),
                "outcome": score["outcome"],
            }
            for score in scores
        ]
        self.samples(rows)

    def finish(self, cause: str) -> None:
        self._cause = cause
        self._over.set()
        with contextlib.suppress(queue.Full):
            self._calls.put(None, timeout=1)
        self._thread.join(FINISH_SECONDS)
        if self._thread.is_alive():
            self._give_up(f"did not end within {FINISH_SECONDS:.0f} s")

    def _put(self, call: Callable[[Any], None]) -> None:
        if self._broken:
            return
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._give_up("does not keep up")

    def _give_up(self, why: str) -> None:
        if not self._broken:
            self._broken = True
            self._run.note(f"tracking {why}; the cell goes on without it, its curve is in history.jsonl")

    def _work(self) -> None:
        try:
            if _online(self._run):
                self._over.wait(_stagger(self._run.cell.id))
            wandb_run, held = _begin(self._run)
            for step, points in sorted(self._before.items()):
                for values in points if step > held else ():
                    wandb_run.log(values, step=step)
            while (call := self._calls.get()) is not None:
                call(wandb_run)
            wandb_run.summary.update({"cause": self._cause, "attempts": self._run.attempt.n})
            if self._cause in PREEMPTED:
                wandb_run.mark_preempting()
            wandb_run.finish(exit_code=0 if self._cause == "done" else 1)
        except BaseException as error:  # the SDK raises SystemExit too
            self._give_up(f"failed ({type(error).__name__}: {str(error)[:200]})")


def start(run: Run) -> Tracker:
    """The tracker of an attempt. Returns at once; on ranks above 0, and with ``tracking=disabled``, it does nothing."""
    if run.rank != 0 or run.config.tracking.backend == "none":
        return Tracker()
    try:
        return WandbTracker(run)
    except Exception as error:
        run.note(f"tracking failed ({error}); the cell goes on without it")
        return Tracker()


@contextlib.contextmanager
def tracked(run: Run) -> Iterator[Tracker]:
    """Track an attempt while the block runs, and end with its cause."""
    tracker = start(run)
    cause = "done"
    try:
        yield tracker
    except BaseException as error:
        cause = classify(error)
        raise
    finally:
        tracker.finish(cause)


def record(folder: CellFolder, project: str, entity: str) -> dict[str, Any]:
    """The cell's ``tracking.json``, made where it is missing: ``{schema, run_id, project, entity}``.

    Raises:
        UserError: the file is damaged.
    """
    if not folder.tracking.exists():
        # Lower-case letters and digits, as W&B makes them; chance alone keeps two cells apart.
        made = {"schema": SCHEMA, "run_id": secrets.token_hex(8), "project": project, "entity": entity}
        write_json(folder.tracking, made)
    return {"entity": "", **read_json(folder.tracking)}


def _logged_before(run: Run) -> dict[int, list[dict[str, float]]]:
    """Step -> points, of the histories of earlier attempts. A curve's points are logged after they are in the history.

    Of steps that were repeated, the first counts, because that is what W&B was given.
    """
    found: dict[int, list[dict[str, float]]] = {}
    for attempt in run.folder.attempts():
        if attempt.n < run.attempt.n:
            known = max(found, default=-1)
            for point in read_jsonl(attempt.path / "history.jsonl"):
                if (step := int(point.pop("step", 0))) > known:
                    found.setdefault(step, []).append(point)
    return found


def _held_before(run: Run) -> int:
    """The last step in the pieces of earlier attempts."""
    earlier = [a for a in run.folder.attempts() if a.n < run.attempt.n]
    return max((step for a in earlier for piece in pieces.pieces(a) for step in pieces.steps(piece.path)), default=-1)


def _online(run: Run) -> bool:
    """Whether an attempt is to be sent while it runs, and could be."""
    return run.config.tracking.mode == "online" and wandb_key()


def _stagger(cell_id: str) -> float:
    """Seconds by which a cell waits for its turn at the service; the same for every attempt of it."""
    return STAGGER_SECONDS * int.from_bytes(hashlib.sha256(cell_id.encode()).digest()[:4], "big") / 2**32


def _begin(run: Run) -> tuple[Any, int]:
    """The attempt's part of the run, and the last step that W&B has of it: where it was sent to, or in the pieces."""
    settings = run.config.tracking
    kept = record(run.folder, settings.project, settings.entity)
    os.environ["WANDB_SILENT"] = "true"  # read at import
    os.environ.setdefault("WANDB__SERVICE_WAIT", str(SERVICE_SECONDS))
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):  # else a home folder fills up behind a quota
        os.environ[name] = str(run.attempt.path / "wandb")
    import wandb

    def begin(mode: str) -> Any:
        return wandb.init(
            id=kept["run_id"],
            project=kept["project"],
            entity=kept["entity"] or None,
            name=run.cell.id,
            group=run.sweep or None,
            job_type=run.cell.kind,
            tags=_tags(run),
            config=_config(run),
            dir=str(run.attempt.path),
            mode=mode,  # type: ignore[arg-type]
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                save_code=False,
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,  # host, user, command line: start.json has what is needed
                x_save_requirements=False,
                symlink=False,
                init_timeout=START_SECONDS,
                finish_timeout=FINISH_SECONDS / 2,
                finish_timeout_raises=True,
            ),
        )

    if _online(run):
        try:
            wandb_run = begin("online")
            return wandb_run, wandb_run.starting_step - 1
        except Exception as error:
            why = f"W&B can't be reached ({type(error).__name__})"
            wandb.teardown()  # its service goes on trying, and holds the run's id
    else:
        why = "no W&B key on this machine" if settings.mode == "online" else ""
    if why:
        run.note(f"tracking: {why}, so the run stays offline; later, on a login node: wandb login, then paceline sync")
    return begin("offline"), _held_before(run)


def _tags(run: Run) -> list[str]:
    config = run.config
    names = (config.model.name, config.task.name, config.prompt.name, config.method.name)
    return [name[:64] for name in dict.fromkeys(names) if name]  # W&B refuses tags longer than 64


def _config(run: Run) -> dict[str, Any]:
    config = run.config
    return {
        "cell": run.cell.id,
        "kind": run.cell.kind,
        "sweep": run.sweep,
        "attempt": run.attempt.n,
        **run.cell.identity,
        "placement": plain(config.placement),
        "deepspeed": plain(config.deepspeed),
        "cluster": config.cluster.name,
    }
