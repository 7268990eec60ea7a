"""Samples of one task that are evaluated by weights tuned on another, and that the other trains on.

What :mod:`paceline.data.leakage` finds between the splits of one task, found between the training split of a task and
the evaluated splits of another. Written once for each such pair, beside the data of the evaluated task:

    <root>/data/<reader>-<digest>/transfer/<digest of the pair>.json    counts by split and kind
    <root>/data/<reader>-<digest>/transfer/<digest of the pair>.jsonl   each sample, with the one trained on

The digest covers both tasks' data and splits, so that data that was prepared anew is compared anew.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline import tasks
from paceline.config.build import plain
from paceline.config.schema import TaskSpec
from paceline.data.images import BadImage, decode
from paceline.data.readers import Progress
from paceline.data.samples import data_digest, dataset_folder, read_samples
from paceline.errors import DataError, Unavailable, UserError
from paceline.store import files
from paceline.tasks.kind import images_of

if TYPE_CHECKING:
    from paceline.data.text_leakage import Fields

Record = dict[str, Any]

TRAINED = "trained on"
"""The split of the training samples while they are compared, told apart from every split of the evaluated task."""


def place(root: Path, trained: TaskSpec, evaluated: TaskSpec) -> Path:
    """Where the counts of a pair of tasks lie, compared yet or not.

    Raises:
        DataError: the data of one of them is not prepared.
    """
    key = {
        "trained": [data_digest(root, trained), trained.train],
        "evaluated": [data_digest(root, evaluated), *sorted(set(evaluated.evaluate))],
    }
    return dataset_folder(root, evaluated) / "transfer" / f"{files.digest(key, 12)}.json"


def read(root: Path, trained: TaskSpec, evaluated: TaskSpec) -> dict[str, dict[str, int]] | None:
    """Split of the evaluated task -> kind of leakage -> samples; None where the pair was not compared yet.

    Raises:
        DataError: the data of one of them is not prepared.
    """
    path = place(root, trained, evaluated)
    try:
        splits = files.read_json(path)["splits"] if path.exists() else None
    except (UserError, KeyError, TypeError):
        return None  # damaged, and made again by the next prepare
    return splits if isinstance(splits, dict) else None


def require(root: Path, trained: TaskSpec, evaluated: TaskSpec) -> None:
    """Refuse a pair of tasks that was not compared.

    Raises:
        DataError: with the command that compares them; or the data of one of them is not prepared.
    """
    if read(root, trained, evaluated) is None:
        raise DataError(
            f"the test data of task '{evaluated.name}' was not compared with the training data of task "
            f"'{trained.name}', which may hold the same images; "
            f"run: paceline prepare task={evaluated.name} train.task={trained.name}"
        )


def compare(root: Path, trained: TaskSpec, evaluated: TaskSpec, progress: Progress) -> dict[str, dict[str, int]]:
    """Compare the evaluated splits of a task with the training split of another, unless that was done; safe to repeat.

    Args:
        root: the storage root.
        trained: the task that weights are tuned on.
        evaluated: the task that they are evaluated on.
        progress: called as ``progress(stage, done, total)``.

    Returns:
        As :func:`read`.

    Raises:
        DataError: the data of one of them is not prepared or damaged, or an image is gone.
        UserError: a split that there is not.
        Unavailable: the disk is full or read-only.
    """
    if (known := read(root, trained, evaluated)) is not None:
        return known
    from paceline.data import leakage, text_leakage  # numpy

    train = [{**r, "split": TRAINED} for r in read_samples(root, trained, [trained.train], 0)]
    test = read_samples(root, evaluated, evaluated.evaluate, 0)
    shown = [*_images(train), *_images(test)]
    thumbnails = []
    for done, record in enumerate(shown):
        thumbnails.append(_thumbnail(record))
        progress("reading images", done + 1, len(shown))
    twins = list(leakage.twins(shown, thumbnails, TRAINED, _pixels(), progress))
    texts = [*_texts(train, trained), *_texts(test, evaluated)]
    twins += leakage.equal_texts(texts, ("text",), "", TRAINED)
    of_trained, of_evaluated = _fields(trained), _fields(evaluated)
    twins += text_leakage.near_twins(
        [*train, *test],
        lambda record: of_trained if record["split"] == TRAINED else of_evaluated,
        TRAINED,
        {twin.sample for twin in twins},
    )
    splits = leakage.counts(twins, evaluated.evaluate, bool(shown), bool(texts))
    path = place(root, trained, evaluated)
    sides = {"trained": [trained.name, trained.train], "evaluated": [evaluated.name, *evaluated.evaluate]}
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise Unavailable(f"can't write {path.parent}: {error.strerror or error}") from error
    files.write_jsonl(path.with_suffix(".jsonl"), (plain(twin) for twin in twins))
    files.write_json(path, {"schema": files.SCHEMA, **sides, "splits": splits})
    return splits


def _images(records: Sequence[Record]) -> list[Record]:
    """A record for each image."""
    return [
        {"id": r["id"], "split": r["split"], "image": image, "sha256": sha256}
        for r in records
        for image, sha256 in zip(images_of(r), r.get("sha256s") or [r.get("sha256")], strict=False)
    ]


def _texts(records: Sequence[Record], task: TaskSpec) -> list[Record]:
    """Samples without images, with what a prompt may show of them, or all that they hold, whatever its fields' names.

    Tasks name the same text differently.
    """
    kind = tasks.load(task.kind)
    own = ("id", "split", kind.group or "group")
    bare = []
    for record in records:
        if not images_of(record):
            values = [record[name] for name in kind.shown if name in record]
            values = values or [value for name, value in record.items() if name not in own]
            text = sorted(map(files.canonical, values))
            bare.append({"id": record["id"], "split": record["split"], "text": text})
    return bare


def _fields(task: TaskSpec) -> Fields:
    from paceline.data import text_leakage  # numpy

    kind = tasks.load(task.kind)
    return text_leakage.Fields(list(kind.documented_fields), kind.shown, kind.group or "group")


def _thumbnail(record: Mapping[str, Any]) -> bytes:
    from paceline.data import leakage  # numpy

    try:
        return leakage.thumbnail(decode(Path(record["image"])))
    except BadImage as error:
        raise DataError(f"sample '{record['id']}': {record['image']}: {error}") from error.__cause__


def _pixels() -> Any:
    @functools.cache
    def pixels(image: str) -> str:
        decoded = decode(Path(image))
        return hashlib.sha256(f"{decoded.size}".encode() + decoded.tobytes()).hexdigest()

    return pixels
