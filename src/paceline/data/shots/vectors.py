"""A vector of each sample, by which examples like it are found; computed once, by a process of its own.

Vectors of length 1 are kept in whole numbers of 1 / 32767: products of these are exact in any order, so the same
examples are the nearest on every machine.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline import tasks
from paceline.config.schema import ModelSpec, PromptSpec, ShotsSpec, TaskSpec
from paceline.data.readers import Progress
from paceline.data.samples import dataset_folder, read_manifest, read_samples
from paceline.errors import DataError, UserError
from paceline.models import embedding
from paceline.store import files
from paceline.tasks.kind import digests_of, images_of

if TYPE_CHECKING:
    import numpy as np


def embedder_of(shots: ShotsSpec) -> ModelSpec:
    """The embedder that a prompt names, in the form that the functions for models' files take."""
    return embedding.embedder(shots.embedder, shots.revision)


def place(root: Path, task: TaskSpec, prompt: PromptSpec, data: str = "") -> Path:
    """Where the vectors of a task's samples lie, made yet or not.

    Args:
        root: the storage root.
        task: the task.
        prompt: with a pinned embedder.
        data: digest of the data that a cell was made for; empty: the data prepared last.
    """
    key: dict[str, Any] = {
        "data": data or read_manifest(root, task)["digest"],
        "embedder": prompt.shots.embedder,
        "revision": prompt.shots.revision,
    }
    if not tasks.shows_images(task):  # the text that is compared is what is asked
        key |= {"kind": task.kind, "text": prompt.text, "system": prompt.system}
    return dataset_folder(root, task, data) / "shots" / f"vectors-{files.digest(key, 12)}.npy"


def made(path: Path) -> bool:
    """Whether they are; the names are written last."""
    return path.is_file() and path.with_suffix(".json").is_file()


def make(root: Path, task: TaskSpec, prompt: PromptSpec, by: ModelSpec, path: Path, progress: Progress) -> int:
    """Embed every sample of a task by its pictures, or by its text where it shows none; how many.

    Args:
        by: the embedder, with the place of its files.
        path: where, from :func:`place`.

    Raises:
        UserError: files of the embedder that are not there or not whole; samples with and without pictures together.
        Unavailable: no room, or a process that was killed.
    """
    import numpy as np

    records = read_samples(root, task, list(read_manifest(root, task)["splits"]), 0)
    pictured = [bool(images_of(record)) for record in records]
    if any(pictured) and not all(pictured):
        bare = records[pictured.index(False)]["id"]
        raise UserError(
            f"prompt {prompt.name}: sample '{bare}' of task {task.name} shows no picture and others do, so they can't "
            "be compared; choose shots otherwise: prompt.shots.how=fixed"
        )
    if any(pictured):
        shown = [list(zip(images_of(r), digests_of(r), strict=True)) for r in records]
        vectors = embedding.embed_pictures(shown, by, progress)
    else:
        vectors = embedding.embed([text_of(record, prompt, task) for record in records], by, progress).vectors
    content = io.BytesIO()
    np.save(content, embedding.in_whole_numbers(vectors))
    files.write_bytes(path, content.getvalue())
    files.write_json(path.with_suffix(".json"), {"schema": files.SCHEMA, "samples": [r["id"] for r in records]})
    return len(records)


def text_of(record: dict[str, Any], prompt: PromptSpec, task: TaskSpec) -> str:
    """What a sample without a picture is compared by: what is asked of it, else what a prompt may show of it."""
    kind = tasks.load(task.kind)
    asked = [part.text for part in kind.parts(record, task, prompt) if part.text]
    shown = [str(record[name]) for name in kind.shown if record.get(name) is not None]
    return "\n".join(asked or shown)


class Vectors:
    """The vectors of a task's samples.

    Args:
        path: from :func:`place`.

    Raises:
        DataError: they are not there, or damaged.
    """

    def __init__(self, path: Path) -> None:
        import numpy as np

        try:
            ids = files.read_json(path.with_suffix(".json"))["samples"]
            self._vectors: np.ndarray = np.load(path, allow_pickle=False).astype(np.float64)
        except (OSError, EOFError, ValueError, KeyError, TypeError, UserError) as error:
            raise DataError(
                f"{path}: no vectors can be read ({error}); run `paceline prepare` with the prompt"
            ) from None
        self._rows = {str(name): row for row, name in enumerate(ids)}
        if self._vectors.ndim != 2 or len(self._vectors) != len(self._rows):
            raise DataError(f"{path} is damaged; remove it and run `paceline prepare` with the prompt again")
        self._pool: tuple[list[str], np.ndarray] = ([], self._vectors[:0])

    def nearest(self, sample: str, among: Sequence[str]) -> list[int]:
        """Places in ``among``, those with the highest cosine to a sample first; equal ones in their order.

        Raises:
            DataError: a sample without a vector.
        """
        import numpy as np

        try:
            if self._pool[0] != among:  # the same for all samples of a cell
                self._pool = (list(among), self._vectors[[self._rows[name] for name in among]])
            cosines = self._pool[1] @ self._vectors[self._rows[sample]]
        except KeyError as error:
            raise DataError(f"sample {error} has no vector; run `paceline prepare` with the prompt again") from None
        return [int(k) for k in np.argsort(-cosines, kind="stable")]
