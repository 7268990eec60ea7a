"""The process that uploads pieces of runs with W&B's SDK, so that nothing else on a login node imports it.

Reads one line of JSON, ``[{run_id, project, entity, pieces: [path], metrics: {name: number}, uses: [cell]}]``, and
answers each piece, and each artifact of another cell that a run used, with one line. Pieces in which nothing is come
first: a process that is killed within seconds leaves them, and no service takes them. Uploading is the SDK's own
``wandb sync``, which puts the pieces of a resumed run together: rows go after those that the service has, config and
summary are merged. It repeats rows of a piece that it is given twice, and calls a piece uploaded whatever became of it.
So the service is queried before, the piece is cut to the rows that it lacks, and it is queried again after.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from paceline.counted import counted
from paceline.tracking import wandb_log, wandb_pack
from paceline.tracking.sdk_environment import load_wandb
from paceline.tracking.wandb import artifact_name, use
from paceline.tracking.wandb_key import wandb_key

REACH_SECONDS = 30.0
# What the service took shows up in its answers a moment later.
SETTLE_SECONDS = 15.0
# The SDK retries for a week; this call is interactive, and the next sync continues where this one ended.
RETRIES = 4
RETRY_SECONDS = 5.0
# An attempt makes three: what it supervised or predicted as tables, and its weights or predictions.
MOST_ARTIFACTS = 500

# Options of `wandb sync`, and what of a job they are.
_TARGET = {"id": "run_id", "project": "project", "entity": "entity"}

_STATUS = """
query PacelineRun(
  $project: String, $entity: String, $name: String!, $files: [String] = [], $most: Int = 1, $made: Int = 1
) {
  model(name: $project, entityName: $entity) {
    bucket(name: $name, missingOk: true) {
      historyLineCount historyTail state
      files(names: $files, first: $most) { edges { node { name sizeBytes } } }
      outputArtifacts(first: $made) { edges { node { digest state } } }
    }
  }
}
"""


@dataclass(frozen=True)
class Held:
    """What the service holds of a run: the step of its last row (-1 where there is none), and whether it has ended."""

    step: int = -1
    there: bool = False
    ended: bool = False
    files: frozenset[str] = frozenset()
    artifacts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Wanted:
    """What the service is to hold of a piece: its last step, its files by their names, its artifacts by digest."""

    step: int
    files: Sequence[str]
    artifacts: Sequence[str]

    def lacking(self, held: Held) -> str:
        """What is not there; empty where all is."""
        if not held.there:
            return "W&B did not take it"
        if held.step < self.step:
            return f"W&B has it up to step {held.step} of {self.step}"
        if lacking := len(set(self.files) - held.files):
            return f"W&B lacks {lacking} of {counted(len(self.files), 'file')}"
        if lacking := len(set(self.artifacts) - held.artifacts):
            return f"W&B lacks {lacking} of {counted(len(self.artifacts), 'artifact')}"
        return ""


class Stopped(Exception):
    """Nothing can be sent now: ``no key``, ``refused`` (the key), ``missing`` (a package), or ``unreachable``."""

    def __init__(self, end: str, why: str = "") -> None:
        super().__init__(why)
        self.end = end


def main() -> None:
    """Upload what stdin names."""
    answering(_upload_all)


def answering(work: Callable[[Any, Path, TextIO], None]) -> None:
    """Read a line of JSON from stdin, and do the work with it, which answers in lines of JSON on stdout.

    Ends with the calling process: when stdin closes, even during work.

    Args:
        work: gets the request, a folder for what the SDK writes, and the stream to answer on.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the SDK prints is no answer
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory(prefix="paceline-wandb-") as folder:
            for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
                os.environ[name] = folder
            work(request, Path(folder), answers)
    except Stopped as error:
        answers.write(json.dumps({"end": error.end, "why": str(error)[:300]}) + "\n")
    answers.flush()
    os._exit(0)  # the SDK's own end waits for what it could not send


def _end_with_parent() -> None:
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)  # the SDK's service, which is of this group, would go on uploading


def connect() -> Any:
    """The SDK's public interface to the service, once it has answered; retries of all that follows are bounded.

    Raises:
        Stopped: no key, one that is refused, or no answer.
    """
    wandb, _ = load_wandb()
    settings = wandb.setup(
        settings=wandb.Settings(
            silent=True,
            x_file_stream_retry_max=RETRIES,
            x_file_stream_retry_wait_max_seconds=RETRY_SECONDS,
            x_file_stream_timeout_seconds=REACH_SECONDS,
            x_file_transfer_retry_max=RETRIES,
            x_file_transfer_retry_wait_max_seconds=RETRY_SECONDS,
            x_graphql_retry_max=RETRIES,
            x_graphql_retry_wait_max_seconds=RETRY_SECONDS,
            x_graphql_timeout_seconds=REACH_SECONDS,
        )
    ).settings
    if not wandb_key(settings.base_url):
        raise Stopped("no key")
    try:
        return wandb.Api(timeout=int(REACH_SECONDS))
    except Exception as error:
        raise stopped(error) from error


def _upload_all(jobs: list[dict[str, Any]], folder: Path, answers: TextIO) -> None:
    api = connect()
    for job in jobs:
        job["pieces"] = [piece for piece in job["pieces"] if not _empty(Path(piece), answers)]
        if all(_piece(api, job, path, folder, answers) for path in map(Path, job["pieces"])):
            for artifact in job["uses"]:
                with contextlib.suppress(Exception):  # the next sync tries again
                    if use(api, job, {**artifact, "name": artifact_name(artifact["cell"])}):
                        answers.write(json.dumps({"run": job["run_id"], "used": artifact["cell"]}) + "\n")


def _empty(path: Path, answers: TextIO) -> bool:
    """Whether a piece names no run, and so holds nothing that could be uploaded; then it is told."""
    with contextlib.suppress(OSError):  # :func:`_piece` tells it
        size = path.stat().st_size
        if wandb_log.begun_run(path) is None:
            answers.write(json.dumps({"piece": str(path), "bytes": size, "rows": 0, "empty": True}) + "\n")
            return True
    return False


def _piece(api: Any, job: dict[str, Any], path: Path, folder: Path, answers: TextIO) -> bool:
    """Upload a piece and write the outcome; True where the service has all of it. An error holds back its cell alone.

    Raises:
        Stopped: nothing can be sent now.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="files-", dir=folder) as beside:
            answer = _send(api, job, path, _unpacked(path, Path(beside)), folder)
    except Stopped:
        raise
    except Exception as error:
        answer = {"why": f"it can't be read or sent ({type(error).__name__}: {str(error)[:200]})"}
    answers.write(json.dumps({"piece": str(path), **answer}) + "\n")
    return "why" not in answer


def _unpacked(path: Path, beside: Path) -> Path | None:
    """The folder in which the files beside a piece were unpacked; None where they are not packed."""
    try:
        return wandb_pack.unpack(path, beside)
    except (OSError, tarfile.TarError) as error:
        raise ValueError(f"{wandb_pack.ARCHIVE} beside it can't be unpacked: {error}") from error


def _send(api: Any, job: dict[str, Any], path: Path, unpacked: Path | None, folder: Path) -> dict[str, Any]:
    """Upload what the service lacks of a piece: ``{bytes, rows}``, or ``{why}`` where it did not take all."""
    size = path.stat().st_size
    # Cells that named no entity were written to that of the shell by earlier versions.
    target = {**job, "entity": job["entity"] or wandb_log.begun_run(path).entity}
    steps, shown = wandb_log.steps(path), wandb_log.summary(path)
    metrics = job["metrics"] if str(path) == job["pieces"][-1] else {}
    metrics = {name: value for name, value in metrics.items() if shown.get(name) != value}
    files, artifacts = wandb_log.files(path, unpacked), wandb_log.artifacts(path, unpacked)
    expected = Wanted(max(steps, default=-1), tuple(files), tuple(artifacts))
    held = _held(api, target, expected)
    rows = sum(step > held.step for step in steps)
    # Sent while it was written, to its end; or the SDK never got so far as to write a row.
    whole = held.ended and not expected.lacking(held)
    if wandb_log.Piece(path, 0).online and not job.get("sent") and (whole or not steps) and not metrics:
        return {"bytes": size, "rows": 0}
    _upload(target, path, unpacked, held, folder, metrics)
    job["sent"] = True
    if why := _lacking(api, target, expected):
        return {"why": why}
    return {"bytes": size, "rows": rows}


def _upload(
    job: Mapping[str, Any],
    path: Path,
    unpacked: Path | None,
    held: Held,
    folder: Path,
    metrics: Mapping[str, float],
) -> None:
    """Hand what of a piece is missing to ``wandb sync``, in a folder of its own: it leaves marks beside its input."""
    from wandb.cli.cli import sync

    with tempfile.TemporaryDirectory(prefix="offline-run-", dir=folder) as staging:
        copy = Path(staging) / path.name
        wandb_log.write_rest(copy, path, held.step, metrics, unpacked)
        # The SDK numbers rows anew that are below its first step, and takes that from the summary, which may be ahead
        # of the rows that arrived. What stands beside the log goes before.
        copy.with_name(copy.name + ".syncstate").write_text(json.dumps({"starting_step": held.step + 1}))
        if (files := wandb_log.files_folder(path, unpacked)).is_dir():
            (Path(staging) / "files").symlink_to(files.resolve())
        # A piece that the shell redirected while it was written still goes to its cell's run.
        target = [f"--{name}={job[key]}" for name, key in _TARGET.items() if job[key]]
        with contextlib.suppress(SystemExit):
            sync.main([*target, str(copy)], standalone_mode=False)


def _lacking(api: Any, job: Mapping[str, Any], expected: Wanted) -> str:
    """What the service lacks of a piece, once it had the time to take it in; empty where it has it all."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        held = _held(api, job, expected)
        why = expected.lacking(held) or ("" if held.ended else "W&B was not told how it ended")
        if not why or time.monotonic() > deadline:
            return why
        time.sleep(0.5)


def _held(api: Any, job: Mapping[str, Any], expected: Wanted) -> Held:
    variables = {"project": job["project"], "entity": job["entity"] or None, "name": job["run_id"]}
    variables |= {"files": [*expected.files], "most": len(expected.files) or 1, "made": MOST_ARTIFACTS}
    try:
        # The SDK's public calls load the whole run, and give the last step from an index that follows late.
        answer = api._service_api.execute_graphql(_STATUS, variables, timeout=REACH_SECONDS)
    except Exception as error:
        raise stopped(error) from error
    bucket = (answer.get("model") or {}).get("bucket")
    if bucket is None:
        return Held()
    tail = json.loads(bucket["historyTail"] or "[]")
    return Held(
        step=int(json.loads(tail[-1]).get("_step", -1)) if tail and bucket["historyLineCount"] else -1,
        there=True,
        ended=bucket["state"] not in ("running", "pending"),
        files=frozenset(e["node"]["name"] for e in bucket["files"]["edges"] if int(e["node"]["sizeBytes"] or 0)),
        artifacts=frozenset(
            e["node"]["digest"] for e in bucket["outputArtifacts"]["edges"] if e["node"]["state"] == "COMMITTED"
        ),
    )


def stopped(error: Exception) -> Stopped:
    """What an error of the SDK means: a key that is refused, or a service that can't be reached."""
    code = getattr(getattr(error, "response", None), "http_status", 0)
    return Stopped("refused" if code in (401, 403) else "unreachable", f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
