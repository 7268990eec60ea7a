"""What a prompt's examples need before a cell is frozen: checked when planning, made by ``paceline prepare``."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from paceline.config.checks import CONTENT, from_hub, in_folder, unpinned
from paceline.config.identity import READ_OF_SHOTS, with_settled_shots
from paceline.config.schema import ModelSpec, PromptSpec, ShotsSpec, TaskSpec
from paceline.counted import counted
from paceline.data import preprocessing, prompts, samples
from paceline.data.images import BadImage, decode
from paceline.data.readers import Progress
from paceline.data.shots import shot_file, vectors
from paceline.data.shots.drawn import Choice, Shot
from paceline.errors import DataError, UserError, nearest
from paceline.models import local_weights
from paceline.store import files
from paceline.tasks import load as load_kind
from paceline.tasks import shows_images
from paceline.tasks.kind import images_of

Record = dict[str, Any]
Pin = Callable[[ModelSpec], ModelSpec]


def contradictions(prompt: PromptSpec, task: TaskSpec) -> Iterator[str]:
    """Settings of a prompt's shots that can't hold together, whatever the data.

    Args:
        prompt: as its file and the command line have it.
        task: whose samples are asked.
    """
    shots, name = prompt.shots, prompt.name
    if not shots.count:
        if shots != ShotsSpec():
            yield f"prompt {name}: prompt.shots says how examples are chosen and shows none; give prompt.shots.count=4"
        return
    read = READ_OF_SHOTS[shots.how]
    given = [f.name for f in dataclasses.fields(shots) if getattr(shots, f.name) != getattr(ShotsSpec(), f.name)]
    if idle := [key for key in given if key not in ("count", "how", *read)]:
        meant = next((how for how, keys in READ_OF_SHOTS.items() if idle[0] in keys and how != shots.how), "fixed")
        yield (
            f"prompt {name}: prompt.shots.{idle[0]} is not read by prompt.shots.how={shots.how}; leave it out, or give "
            f"prompt.shots.how={meant}"
        )
    for key, example in (("field", "label"), ("embedder", "FOLDER"), ("file", "FILE.csv")):
        if key in read and not getattr(shots, key):
            yield f"prompt {name}: prompt.shots.how={shots.how} needs prompt.shots.{key}={example}"
    full = with_settled_shots(prompt, task).shots
    if full.split in task.evaluate and shots.how != "file":  # of a file each row is held to what is evaluated
        yield (
            f"prompt {name} shows examples of split '{full.split}', which task {task.name} evaluates: their answers "
            "would be given away; give another prompt.shots.split or task.evaluate"
        )
    if "answer" not in read:
        return
    fields = load_kind(task.kind).documented_fields
    if not full.answer.strip():
        yield (
            f"prompt {name}: task {task.name} has no target, so its examples have no answer; give "
            f"prompt.shots.answer, a text with fields of kind '{task.kind}', or prompt.shots.how=file"
        )
    for brace in prompts.unfilled(full.answer, fields, trained_on=True):
        yield f"prompt {name}: the answer of its examples names {brace}: {nearest(brace.strip('{}'), fields)}"


def pinned(root: Path, task: TaskSpec, prompt: PromptSpec, pin: Pin) -> PromptSpec:
    """A prompt with its shots in full, and digests in the place of what lies elsewhere: a cell's.

    Args:
        root: the storage root.
        task: whose samples are asked.
        prompt: as its file and the command line have it.
        pin: gives a hub model its pinned revision.

    Raises:
        UserError: a file of examples that can't be read, an embedder that can't be found.
        DataError: a folder of an embedder that was not prepared, or changed since.
    """
    prompt = with_settled_shots(prompt, task)
    shots = prompt.shots
    if shots.file and not shots.file.startswith(CONTENT):
        shots = dataclasses.replace(shots, file=shot_file.digest(shot_file.read(shots.file)))
    if shots.embedder and not shots.embedder.startswith(CONTENT):
        by = located_embedder(prompt)
        try:
            by = local_weights.pin(by, root) if in_folder(by) else pin(by)
        except DataError as error:
            raise DataError(f"prompt {prompt.name}: {str(error).partition('; run:')[0]}") from None
        if unpinned(by):
            raise DataError(f"prompt {prompt.name}: the embedder {by.weights} has no revision yet")
        shots = dataclasses.replace(shots, embedder=by.weights, revision=by.revision)
    return dataclasses.replace(prompt, shots=shots)


def located_embedder(prompt: PromptSpec) -> ModelSpec:
    """The embedder of a prompt, in a folder or on the hub.

    Raises:
        UserError: it is neither.
    """
    by = vectors.embedder_of(prompt.shots)
    if not in_folder(by) and not from_hub(by):
        raise UserError(
            f"prompt {prompt.name}: prompt.shots.embedder: {by.weights} is neither a folder that is there nor a hub id "
            "(owner/name)"
        )
    return by


def problems(
    root: Path,
    task: TaskSpec,
    prompt: PromptSpec,
    remedy: str,
    further: Callable[[Choice], Iterable[str]] = lambda chosen: (),
) -> Iterator[str]:
    """Why examples can't be chosen as a pinned prompt says; reads prepared data.

    Args:
        root: the storage root.
        task: whose samples are asked.
        prompt: pinned, as a cell holds it.
        remedy: the command that makes what is missing.
        further: what is asked of a choice that can be made.
    """
    shots = prompt.shots
    there = samples.splits(root, task) or {}
    if shots.split not in there and (shots.how != "file" or any_of_task(root, shots)):
        yield f"prompt {prompt.name}: prompt.shots.split: task '{task.name}' has no split '{shots.split}': " + nearest(
            shots.split, there
        )
        return
    if shots.file and not shot_file.kept(root, shots.file):
        yield f"prompt {prompt.name}: its file of examples is not read yet, or changed since; run: {remedy}"
        return
    if not alike_place(root, task, shots).is_file():
        yield (
            f"prompt {prompt.name}: its examples were not compared with the samples that task {task.name} evaluates, "
            f"which may show the same pictures; run: {remedy}"
        )
        return
    if shots.how == "nearest" and not vectors.made(vectors.place(root, task, prompt)):
        yield f"prompt {prompt.name}: the samples of task {task.name} have no vectors to compare; run: {remedy}"
        return
    try:
        chosen = choice(root, task, prompt)
        yield from chosen.problems() or further(chosen)
    except UserError as error:
        yield str(error)


def any_of_task(root: Path, shots: ShotsSpec) -> bool:
    """Whether a kept file of examples names samples of the task."""
    return shot_file.kept(root, shots.file) and any(row.sample for row in shot_file.read_kept(root, shots.file))


def prepare(
    root: Path, task: TaskSpec, prompt: PromptSpec, by: ModelSpec | None, pin: Pin, progress: Progress
) -> tuple[PromptSpec, list[str]]:
    """Make what a prompt's examples need, unless it is there; safe to repeat.

    Args:
        root: the storage root.
        task: whose samples are asked, prepared.
        prompt: as its file and the command line have it.
        by: the embedder, with the place of its files, where the nearest are shown.
        pin: as in :func:`pinned`.
        progress: called as ``progress(stage, done, total)``.

    Returns:
        The pinned prompt, and what is to be told, a line each.

    Raises:
        UserError: settings or files that can't be used.
        DataError: data that is not prepared, or a picture that is gone.
        Unavailable: the disk is full or read-only.
    """
    if wrong := [*contradictions(prompt, task)]:
        raise UserError("; ".join(wrong))
    if prompt.shots.file:
        content = shot_file.keep(root, shot_file.read(prompt.shots.file))
        prompt = dataclasses.replace(prompt, shots=dataclasses.replace(prompt.shots, file=content))
    prompt = pinned(root, task, prompt, pin)
    shots, told = prompt.shots, []
    if not (path := alike_place(root, task, shots)).is_file():
        pairs = _alike(root, task, prompt, progress)
        files.write_jsonl(path, ({"sample": sample, "example": example} for sample, example in pairs))
        told.append(f"{counted(len(pairs), 'pair')} of an example and an evaluated sample look alike")
    if by is not None and not vectors.made(path := vectors.place(root, task, prompt)):
        told.append(f"{counted(vectors.make(root, task, prompt, by, path, progress), 'vector')} by {by.name}")
    return prompt, told


def alike_place(root: Path, task: TaskSpec, shots: ShotsSpec, data: str = "") -> Path:
    """Where the pairs of examples and evaluated samples lie that look alike, compared yet or not."""
    source = ["file", shots.file, shots.split] if shots.file else ["split", shots.split]
    data = data or samples.data_digest(root, task)
    key = {"data": data, "examples": source, "evaluated": sorted(set(task.evaluate))}
    return samples.dataset_folder(root, task, data) / "shots" / f"alike-{files.digest(key, 12)}.jsonl"


def choice(root: Path, task: TaskSpec, prompt: PromptSpec, data: str = "") -> Choice:
    """The choice of examples for a task's samples, from what was prepared.

    Args:
        root: the storage root.
        task: whose samples are asked.
        prompt: pinned, as a cell holds it.
        data: digest of the data that a cell was made for; empty: the data prepared last.

    Raises:
        UserError: a split that there is not, a file that names a sample that there is not.
        DataError: something is missing or damaged.
    """
    shots = prompt.shots
    path = alike_place(root, task, shots, data)
    if not path.is_file():
        raise DataError(
            f"prompt {prompt.name}: {path} is missing, which names examples that look like evaluated samples; run "
            "`paceline prepare` with the task and the prompt"
        )
    pairs = [(str(pair["sample"]), str(pair["example"])) for pair in files.read_jsonl(path)]
    shown = _examples(root, task, prompt, data)
    evaluated = samples.read_samples(root, task, task.evaluate, 0, data)
    by = vectors.Vectors(vectors.place(root, task, prompt, data)) if shots.how == "nearest" else None
    return Choice(task, prompt, shown, evaluated, [*pairs, *_known(root, task, data)], by)


def _known(root: Path, task: TaskSpec, data: str) -> Iterator[tuple[str, str]]:
    """Pairs that were found when the task's data was prepared.

    Of the kinds that every version finds: what a cell shows must not depend on which one prepared its data.
    """
    for twin in files.read_jsonl(samples.dataset_folder(root, task, data) / "leakage.jsonl"):
        if twin.get("kind") in ("turned", "words"):
            continue
        yield str(twin.get("sample")), str(twin.get("train"))


def _examples(root: Path, task: TaskSpec, prompt: PromptSpec, data: str = "") -> list[Shot]:
    shots = prompt.shots
    if not shots.file:
        return [Shot(record) for record in samples.read_samples(root, task, [shots.split], 0, data)]
    rows = shot_file.read_kept(root, shots.file)
    split: dict[str, Record] = {}
    if any(row.sample for row in rows):
        split = {r["id"]: r for r in samples.read_samples(root, task, [shots.split], 0, data)}
    folder = samples.dataset_folder(root, task, data)
    return [Shot(_record(row, split, task, prompt, folder), row.answer, row.part) for row in rows]


def _record(
    row: shot_file.ShotRow, split: dict[str, Record], task: TaskSpec, prompt: PromptSpec, folder: Path
) -> Record:
    """The record of a row: the sample's, or one of its own."""
    where = f"prompt {prompt.name}: line {row.line} of its file of examples"
    if row.sample:
        if row.sample not in split:
            raise UserError(
                f"{where}: task {task.name} has no sample '{row.sample}' in split '{prompt.shots.split}': "
                f"{nearest(row.sample, split)}"
            )
        return split[row.sample] | {k: v for k, v in row.fields.items() if k not in samples.OWN_KEYS}
    pictured = shows_images(task)
    if pictured != bool(row.images):
        told = "no picture, and its samples do" if pictured else "a picture, and its samples show none"
        raise UserError(f"{where} shows {told} (task {task.name}); give the column image, or leave it out")
    record: Record = ByHand({**row.fields, "answer": row.answer, "id": row.name, "split": ""})
    if complete := load_kind(task.kind).get("complete"):
        with contextlib.suppress(ValueError, KeyError, TypeError):  # an answer may stand for a list, as in a table
            record = ByHand({**dict(complete(record)), "id": row.name, "split": ""})
    images, sha256s = _shown(row, task, folder, where)
    if len(images) == 1:
        record |= {"image": images[0], "sha256": sha256s[0]}
    elif images:
        record |= {"images": images, "sha256s": sha256s}
    return record


def _shown(row: shot_file.ShotRow, task: TaskSpec, folder: Path, where: str) -> tuple[list[str], list[str]]:
    """Paths and digests of a row's pictures as the task's pictures are shown.

    Raises:
        UserError: their illumination can't be corrected.
    """
    if not row.images or not preprocessing.changes(task.pictures):
        return list(row.images), list(row.sha256s)
    from paceline.data import shown_pictures

    zeniths: list[float | None] = [None] * len(row.images)
    if task.pictures.illumination != "none":
        try:
            zeniths = [*preprocessing.zeniths(row.fields, len(row.images))]
        except preprocessing.NoZenithError as error:
            raise UserError(
                f"{where}: {error}; task.pictures.illumination=cosine needs it: give the column {preprocessing.ZENITH}"
            ) from None
    shown = [
        shown_pictures.example(Path(image), folder, task.pictures, zenith)
        for image, zenith in zip(row.images, zeniths, strict=True)
    ]
    return [str(path) for path in shown], [files.file_digest(path) for path in shown]


class ByHand(dict[str, Any]):
    """A record of which only what a prompt shows need be there: the truth is what was written by hand."""

    def __missing__(self, name: str) -> None:
        return None


def _alike(root: Path, task: TaskSpec, prompt: PromptSpec, progress: Progress) -> list[tuple[str, str]]:
    """Every pair of an evaluated sample and an example of which a picture looks much the same."""
    from paceline.data import leakage  # numpy

    examples = [shot.record for shot in _examples(root, task, prompt)]
    evaluated = samples.read_samples(root, task, task.evaluate, 0)
    sides: list[tuple[list[str], list[bytes]]] = []
    done, total = 0, sum(len(images_of(record)) for record in (*evaluated, *examples))
    for records in (evaluated, examples):
        names, thumbnails = [], []
        for record in records:
            for image in images_of(record):
                try:
                    thumbnails.append(leakage.thumbnail(decode(Path(image))))
                except BadImage as error:
                    raise DataError(f"sample '{record['id']}': {image}: {error}") from error.__cause__
                names.append(str(record["id"]))
                done += 1
                progress("comparing examples", done, total)
        sides.append((names, thumbnails))
    (tested, ones), (shown, others) = sides
    return sorted({(tested[i], shown[j]) for i, j in leakage.alike(ones, others)})
