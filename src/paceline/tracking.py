"""Curves and tables for people, in Weights & Biases. What counts is in our own files; nothing here can hurt a cell.

Everything that touches the SDK happens on a thread of its own: importing it, starting its service, writing. So a slow
disk or network delays no step, and whatever fails is noted once and ends the tracking, not the training.

A cell is one W&B run: its random id is made at the first attempt and kept in ``tracking.json``. Offline, every attempt
makes a folder of its own under ``attempts/<n>/wandb``; ``wandb sync --id ID`` puts them together. W&B drops rows whose
step goes back, so a resumed attempt leaves out the steps that an earlier one has in its history.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import netrc
import os
import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from paceline.attempts import Run
from paceline.errors import Interrupted
from paceline.spec import plain
from paceline.store import SCHEMA, CellFolder, read_json, read_jsonl, write_json

START_SECONDS = 60.0
FINISH_SECONDS = 30.0
# Points wait here while the service starts; beyond it the disk or network is not keeping up, and points are left out.
_WAITING = 20_000


class Tracker:
    """Takes points and tables and keeps none of them: the tracker of ``tracking=disabled`` and of ranks above 0."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Points of curves at a step, which must not go back."""

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
        self._cause = "unknown"
        self._logged = _logged_before(run)
        self._thread = threading.Thread(target=self._work, daemon=True, name="tracking")
        self._thread.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step <= self._logged:
            return
        # Several records may share a step (training and validation): W&B merges them.
        shown = {k: v for k, v in values.items() if k != "schema"}
        self._put(lambda wandb_run: wandb_run.log(shown, step=step))

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
            wandb_run.log({"samples": table, **({"images": images} if images else {})})

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
            wandb_run = _begin(self._run)
            while (call := self._calls.get()) is not None:
                call(wandb_run)
            wandb_run.summary["cause"] = self._cause
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
    except Interrupted as error:
        cause = error.cause
        raise
    except BaseException as error:
        cause = f"failed: {type(error).__name__}"
        raise
    finally:
        tracker.finish(cause)


def record(folder: CellFolder, project: str) -> dict[str, Any]:
    """The cell's ``tracking.json``, made where it is missing: ``{schema, run_id, project}``.

    Raises:
        UserError: the file is damaged.
    """
    if not folder.tracking.exists():
        # Lower-case letters and digits, as W&B makes them; chance alone keeps two cells apart.
        write_json(folder.tracking, {"schema": SCHEMA, "run_id": secrets.token_hex(8), "project": project})
    return dict(read_json(folder.tracking))


def _logged_before(run: Run) -> int:
    """The last step of the histories of earlier attempts. A curve's points are logged after they are in the history."""
    steps = [
        int(point.get("step", 0))
        for attempt in run.folder.attempts()
        if attempt.n < run.attempt.n
        for point in read_jsonl(attempt.path / "history.jsonl")
    ]
    return max(steps, default=-1)


def _begin(run: Run) -> Any:
    settings = run.config.tracking
    kept = record(run.folder, settings.project)
    os.environ["WANDB_SILENT"] = "true"  # read at import
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):  # else a home folder fills up behind a quota
        os.environ[name] = str(run.attempt.path / "wandb")
    import wandb

    mode = settings.mode
    if mode == "online" and not _credentials():
        run.note("tracking: no W&B key on this machine, so the run stays offline; wandb login, then wandb sync")
        mode = "offline"
    return wandb.init(
        id=kept["run_id"],
        project=kept["project"],
        entity=settings.entity or None,
        name=run.cell.id,
        group=run.sweep or None,
        job_type=run.cell.kind,
        tags=_tags(run),
        config=_config(run),
        dir=str(run.attempt.path),
        mode=mode,
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
            finish_timeout=FINISH_SECONDS,
        ),
    )


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


def _credentials() -> bool:
    """Whether the SDK would find a key without asking a person. The key itself is not looked at."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
