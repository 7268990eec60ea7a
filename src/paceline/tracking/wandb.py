"""Weights & Biases as a backend of :mod:`paceline.tracking.tracker`.

A cell is one W&B run: its random id is made at the first attempt and kept in ``tracking.json``. Every attempt leaves a
piece of it under ``attempts/<n>/wandb``, which ``paceline sync`` puts together; online, it is sent at once as well. W&B
drops rows whose step goes back, so a resumed attempt leaves out the steps that an earlier one has in its history, and
begins with those that the earlier one could not hand over: a killed process loses what its SDK had not written yet.

Files go as artifacts of the cell's name: weights, which the cells that answer with them name as their input, and
predictions. The SDK measures the machine and its GPUs by itself.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import io
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paceline.attempts.run import Run
from paceline.config.build import plain
from paceline.config.cell_kinds import kind_of
from paceline.errors import Unavailable
from paceline.store.causes import WAITS_FOR_PEOPLE
from paceline.store.cell_folder import CellFolder
from paceline.store.files import SCHEMA, read_json, write_json
from paceline.tracking import wandb_log, wandb_pack
from paceline.tracking.answers_table import Results
from paceline.tracking.sdk_environment import load_wandb
from paceline.tracking.tracker import FINISH_SECONDS
from paceline.tracking.wandb_key import WANDB_DISCREET, wandb_key

# How long W&B may take to be reached, before an attempt stays offline. Less than the end waits for, so that the piece
# of a short attempt is written all the same.
START_SECONDS = 20.0
# The SDK's service is a process that starts from a file system which many jobs may be reading at once.
SERVICE_SECONDS = 300
# The elements of an array start together; 500 of them within this time are 17 a second.
STAGGER_SECONDS = 30.0
# What Slurm takes up again: W&B shows such a run as preempted, not as failed.
PREEMPTED = ("preempted", "timeout")
# Adapters are megabytes. Whole models are gigabytes on the cluster's own disk, and are named there, not uploaded.
MOST_UPLOAD = 2 * 2**30
# W&B refuses longer names of artifacts.
MOST_NAME = 128

_USED = """
query PacelineArtifact($project: String!, $entity: String, $artifact: String!) {
  project(name: $project, entityName: $entity) { artifact(name: $artifact) { id } }
}
"""


class Attempt:
    """One attempt's part of the cell's W&B run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._wandb: Any = None

    def turn(self) -> float:
        return _stagger(self._run.cell.id) if _online(self._run) else 0.0

    def begin(self) -> int:
        self._wandb, held = _begin(self._run)
        if not self._wandb.offline:
            with contextlib.suppress(Exception):  # a sync looks for it again
                _use_online(self._run, self._wandb)
        return held

    def log(self, step: int, values: Mapping[str, float]) -> None:
        # Several records may share a step (training and validation): W&B merges them.
        self._wandb.log(dict(values), step=step)

    def supervised(self, rows: Sequence[Mapping[str, str]]) -> None:
        import wandb

        shown = [[row["prompt"], row["supervised"]] for row in rows]
        # In the summary, which has no steps: every attempt may write it, and none repeats a row of the curve.
        self._wandb.summary["supervised"] = wandb.Table(columns=["prompt", "supervised"], data=shown)

    def weights(self, folder: Path) -> None:
        import wandb

        sizes = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
        trains = self._run.config.method.trains
        upload = trains == "adapter" and sum(sizes.values()) <= MOST_UPLOAD
        metadata = {"cell": self._run.cell.id, "trains": trains, "uploaded": upload, "bytes": sizes}
        artifact = wandb.Artifact(
            artifact_name(self._run.cell.id), "model", description=_notes(self._run), metadata=metadata
        )
        if upload:
            # Published files do not change, so they are read where they are, and not copied into a cache.
            artifact.add_dir(str(folder), policy="immutable", skip_cache=True)
        else:
            artifact.add_reference(folder.absolute().as_uri(), checksum=False)
        self._wandb.log_artifact(artifact)

    def results(self, results: Results) -> None:
        import wandb

        self._wandb.summary.update(results.metrics)
        shown: dict[str, Any] = {name: wandb.Image(picture) for name, picture in results.pictures.items()}
        for name, images in results.galleries.items():
            shown[name] = [wandb.Image(picture, caption=text, file_type="jpg") for picture, text in images]
        for name, content in results.all_tables.items():
            table = wandb.Table(columns=list(content.columns))
            for row in content.rows:
                table.add_data(*(_image(cell) if isinstance(cell, bytes) else cell for cell in row))
            shown[name] = table
        # An evaluate cell has no other steps; each attempt needs one of its own, or the later would be dropped.
        self._wandb.log(shown, step=max(self._wandb.step, self._run.attempt.n - 1))
        folder = self._run.folder
        artifact = wandb.Artifact(artifact_name(self._run.cell.id), "predictions", description=_notes(self._run))
        artifact.add_file(str(folder.predictions), policy="immutable", skip_cache=True)
        artifact.add_file(str(folder.scores))  # a later `paceline score` writes it anew, so it is copied
        self._wandb.log_artifact(artifact)

    def end(self, cause: str, message: str, summary: Mapping[str, Any]) -> None:
        if cause in WAITS_FOR_PEOPLE:
            cell = self._run.cell.id
            text = f"{cell}, attempt {self._run.attempt.n}: {message[:500]}\npaceline logs {cell.rsplit('-', 1)[-1]}"
            self._wandb.alert(f"{cause}: {self._run.config.model.name}"[:63], text, level="ERROR")
        self._wandb.summary.update(dict(summary))
        if cause in PREEMPTED:
            self._wandb.mark_preempting()
        self._wandb.finish(exit_code=0 if cause == "done" else 1)
        with contextlib.suppress(Unavailable):  # a full disk: what lies there is uploaded as it lies
            wandb_pack.pack_cell(self._run.folder, self._run.attempt)


def _image(content: bytes) -> Any:
    import wandb
    from PIL import Image

    return wandb.Image(Image.open(io.BytesIO(content)), file_type="jpg")


def artifact_name(cell_id: str) -> str:
    """The name of the artifact that a cell makes: its id, or of a long one its kind and hash."""
    if len(cell_id) <= MOST_NAME:
        return re.sub(r"[^a-zA-Z0-9_.-]", "_", cell_id)
    return f"{cell_id.partition('-')[0]}-{cell_id.rpartition('-')[2]}"


def use(api: Any, run: Mapping[str, str], artifact: Mapping[str, str]) -> bool:
    """Tell W&B that a run read an artifact. Offline the SDK can't, so a sync does it for such a run.

    Args:
        api: the SDK's public one.
        run: ``{run_id, project, entity}``.
        artifact: ``{name, project, entity}``; its latest version is meant, since a cell has one.

    Returns:
        Whether W&B has the artifact.
    """
    from wandb.sdk.artifacts._gqlutils import record_artifact_use

    entity = artifact["entity"] or api.default_entity
    variables = {"project": artifact["project"], "entity": entity, "artifact": f"{artifact['name']}:latest"}
    # The SDK's public calls load the whole artifact and the whole run.
    response = api._service_api.execute_graphql(_USED, variables, timeout=START_SECONDS)
    identity = ((response.get("project") or {}).get("artifact") or {}).get("id")
    if identity is None:
        return False
    record_artifact_use(
        api._service_api,
        artifact_id=identity,
        entity_name=run["entity"] or api.default_entity,
        project_name=run["project"],
        run_name=run["run_id"],
        artifact_entity_name=entity,
        artifact_project_name=artifact["project"],
    )
    return True


def _use_online(run: Run, wandb_run: Any) -> None:
    import wandb

    api = wandb.Api(timeout=int(START_SECONDS))
    reading_run = {"run_id": wandb_run.id, "project": wandb_run.project, "entity": wandb_run.entity}
    for need in filter(None, [run.cell.tuned]):  # only weights are an artifact
        kept = read_json(CellFolder(run.folder.path.parent / need).tracking)
        use(
            api,
            reading_run,
            {"name": artifact_name(need), "project": kept["project"], "entity": kept.get("entity", "")},
        )


def record(folder: CellFolder, project: str, entity: str) -> dict[str, Any]:
    """The cell's ``tracking.json``, made where it is missing: ``{schema, run_id, project, entity}``.

    Raises:
        UserError: the file is damaged.
    """
    if not folder.tracking.exists():
        # Lower-case letters and digits, as W&B makes them; chance alone keeps two cells apart.
        new_record = {"schema": SCHEMA, "run_id": secrets.token_hex(8), "project": project, "entity": entity}
        write_json(folder.tracking, new_record)
    return {"entity": "", **read_json(folder.tracking)}


def _held_before(run: Run) -> int:
    """The last step in the pieces of earlier attempts."""
    earlier = [a for a in run.folder.attempts() if a.n < run.attempt.n]
    return max(
        (step for a in earlier for piece in wandb_log.pieces(a) for step in wandb_log.steps(piece.path)), default=-1
    )


def _online(run: Run) -> bool:
    """Whether an attempt is to be sent while it runs, and could be."""
    return run.config.tracking.mode == "online" and wandb_key()


def _stagger(cell_id: str) -> float:
    """Seconds by which a cell waits for its turn at the service; the same for every attempt of it."""
    return STAGGER_SECONDS * int.from_bytes(hashlib.sha256(cell_id.encode()).digest()[:4], "big") / 2**32


def _begin(run: Run) -> tuple[Any, int]:
    """The attempt's part of the run, and the last step that W&B has of it: where it was sent to, or in the pieces."""
    settings = run.config.tracking
    os.environ.setdefault("WANDB__SERVICE_WAIT", str(SERVICE_SECONDS))
    os.environ["WANDB_DIR"] = str(run.attempt.path)
    # Else a home folder fills up behind a quota. The cache holds logs of the SDK's service, which outlives the attempt.
    os.environ["WANDB_DATA_DIR"] = str(run.attempt.path / "wandb")
    os.environ["WANDB_CACHE_DIR"] = _cache()
    wandb, entity = load_wandb()
    kept = record(run.folder, settings.project, settings.entity or entity)

    def begin(mode: str) -> Any:
        return wandb.init(
            id=kept["run_id"],
            project=kept["project"],
            entity=kept["entity"] or None,
            name=run.cell.id,
            group=run.sweep or None,
            job_type=run.cell.kind,
            tags=_tags(run),
            notes=_notes(run),
            config=_config(run),
            dir=str(run.attempt.path),
            mode=mode,  # type: ignore[arg-type]
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                **WANDB_DISCREET,
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
            load_wandb()
    else:
        why = "no W&B key on this machine" if settings.mode == "online" else ""
    if why:
        run.note(f"tracking: {why}, so the run stays offline; later, on a login node: wandb login, then paceline sync")
    return begin("offline"), _held_before(run)


@functools.cache
def _cache() -> str:
    """A folder for what the SDK keeps while this process lives, on the node's own disk."""
    folder = tempfile.mkdtemp(prefix="paceline-wandb-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _tags(run: Run) -> list[str]:
    config = run.config
    names = (config.model.name, config.task.name, config.prompt.name, config.method.name)
    return [name[:64] for name in dict.fromkeys(names) if name]  # W&B refuses tags longer than 64


def _notes(run: Run) -> str:
    """What the run is, and where it lies, in one line."""
    config = run.config
    does = "tuned on" if kind_of(run.cell.kind).trains else "asked"
    what = f"{config.model.name} {does} {config.prompt.name or config.task.name}, {config.method.name}"
    where = f"{config.cluster.name}:{run.folder.path}" if config.cluster.name else str(run.folder.path)
    return f"{what}; sweep {run.sweep or '(none)'}, {where}"


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
