"""Prepared data: what a reader made, frozen in a folder; its manifest's digest is part of a cell's identity.

    <root>/data/<reader>-<digest of reader and options>/
        manifest.json    counts, digest, where the data comes from; read in an instant
        samples.jsonl    one sample a line, in prepared order
        skipped.jsonl    each record left out, and why
        leakage.jsonl    each test image that is also trained on, or looks like one that is; texts likewise
        pictures.jsonl   pictures that are not shown whole, or not as their file has them; not there without any
        sources.jsonl    the files elsewhere that were used, with sizes and times; folders.jsonl the folders searched
        images/          what the reader made
        scaled/          pictures as they are shown: of more than 8 bits, chosen bands, or changed light or contrast

A sample is ``{id, split, image, sha256}`` and the reader's fields. ``image`` is relative to the folder, or
absolute where the image lies in a folder of the user's. A sample of several images has ``images`` and ``sha256s``
in place of these two, lists in the order in which they are asked about; one without an image has none of the four. The
manifest's digest covers id, split, the images' digests and fields: neither paths nor times nor what was found out about
leakage and groups, so that the same data has the same digest on every machine and in every version.

Data that is prepared anew and differs has a folder of its own, ``<reader>-<digest>.<digest of the data>``, and
``<reader>-<digest>.current.json`` names it; cells of the old data keep the old folder. A folder is built beside its
place and renamed as a whole, so a crash leaves no partial data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline import tasks
from paceline.config.build import build, defaults, field_types, plain
from paceline.config.checks import check_pictures
from paceline.config.schema import TaskSpec
from paceline.data import readers
from paceline.data.images import picture_size
from paceline.errors import DataError, UserError, nearest
from paceline.store import files
from paceline.tasks.kind import images_of

if TYPE_CHECKING:
    pass

PATH_KEYS = ("image", "images")
OWN_KEYS = ("id", "split", "image", "sha256", "images", "sha256s")
"""Of a record: which sample it is and what it shows. All others are fields."""


def options_of(task: TaskSpec) -> Any:
    """The task's reader options, checked, as the reader's ``Options``.

    Raises:
        UserError: no such reader, an unknown option, or a value of the wrong type.
    """
    options: type = readers.load(task.reader).Options
    # A number for a text is refused when it is composed; cells that earlier versions recorded have some.
    texts = {name for name, hint in field_types(options).items() if hint is str}
    given = {
        name: str(value) if name in texts and isinstance(value, int | float) and not isinstance(value, bool) else value
        for name, value in task.options.items()
    }
    return build(options, given, "task.options")


def dataset_folder(root: Path, task: TaskSpec, digest: str = "") -> Path:
    """Where the task's data lies once it is prepared.

    Tasks of the same reader and options share it; of a reader for any kind, and of a kind that adds to what a reader
    gives, those of the same kind.

    Args:
        root: the storage root.
        task: the task.
        digest: of the data that a cell was made for, where it is no longer the one that was prepared last.

    Raises:
        UserError: options that can't be recorded, or that contradict each other.
    """
    first = first_folder(root, task)
    if digest:
        renewed = digest_folder(first, digest)
        return renewed if (renewed / "manifest.json").exists() else first
    pointer = current_json(first)
    current = first.with_name(str(files.read_json(pointer)["folder"])) if pointer.exists() else first
    return current if (current / "manifest.json").exists() else first


def digest_folder(first: Path, digest: str) -> Path:
    """The folder of data that was prepared anew, and differs from the first."""
    return first.with_name(f"{first.name}.{digest[:12]}")


def current_json(first: Path) -> Path:
    """Names the folder that was prepared last; not there where that is the first one."""
    return first.with_name(f"{first.name}.current.json")


def first_folder(root: Path, task: TaskSpec) -> Path:
    """Where the task's data lies that was prepared first; errors as in :func:`dataset_folder`."""
    options = stated_options(options_of(task))
    for name, value in options.items():
        try:
            files.canonical(value)
        except (TypeError, ValueError) as error:
            raise UserError(f"task.options.{name}: {value!r} can't be recorded: {error}") from None
    key = {"reader": task.reader, "options": options}
    check_pictures(task.pictures)
    if rule := stated_options(task.pictures):
        key["pictures"] = rule
    any_kind = getattr(readers.load(task.reader), "ANY_KIND", False)
    if (any_kind and (task.reader, task.kind) != _WITHOUT_KIND) or _adds_to_data(task.kind):
        key["kind"] = task.kind
    return root / "data" / f"{task.reader}-{files.digest(key, 12)}"


_WITHOUT_KIND = ("hf_datasets", "geolocation")
"""Reader and kind whose folders were named before there was another kind."""


def _adds_to_data(kind: str) -> bool:
    """Whether data of a reader holds more for this kind than for others."""
    try:
        return any(tasks.load(kind).get(name) is not None for name in ("pictured", "common"))
    except UserError:  # this checkout lacks it
        return False


def stated_options(options: Any) -> dict[str, Any]:
    """The options that are not the default, so that writing a default out changes nothing."""
    base = defaults(type(options))
    return {name: value for name, value in plain(options).items() if value != base[name]}


def read_manifest(root: Path, task: TaskSpec, digest: str = "") -> dict[str, Any]:
    """The manifest of the task's prepared data. Reads one small file; ``digest`` as in :func:`dataset_folder`.

    Raises:
        DataError: the data is not prepared, or the manifest is damaged.
    """
    folder = dataset_folder(root, task, digest)
    if not (folder / "manifest.json").exists():
        raise DataError(f"task '{task.name}' is not prepared under {root}; run: paceline prepare task={task.name}")
    remedy = f"move {folder} away and run: paceline prepare task={task.name}"
    try:
        manifest = files.read_json(folder / "manifest.json")
    except UserError as error:
        raise DataError(f"task '{task.name}': {error}; or {remedy}") from None
    if not (
        isinstance(manifest, dict)
        and isinstance(manifest.get("digest"), str)
        and isinstance(manifest.get("splits"), dict)
        and all(isinstance(n, int) for n in manifest["splits"].values())
    ):
        raise DataError(f"task '{task.name}': {folder / 'manifest.json'} is no manifest; {remedy}")
    return manifest


def data_digest(root: Path, task: TaskSpec) -> str:
    """What stands for the prepared data in a cell's identity; errors as in :func:`read_manifest`."""
    return str(read_manifest(root, task)["digest"])


def splits(root: Path, task: TaskSpec) -> dict[str, int] | None:
    """Samples of each split of the task's prepared data; None where it is not prepared."""
    if not (dataset_folder(root, task) / "manifest.json").exists():
        return None
    return dict(read_manifest(root, task)["splits"])


def read_samples(
    root: Path, task: TaskSpec, splits: Sequence[str], limit: int, digest: str = ""
) -> list[dict[str, Any]]:
    """The samples of some splits, split by split, each in prepared order.

    Args:
        root: the storage root.
        task: the task.
        splits: names of splits.
        limit: samples taken of each split, the first; 0 takes all.
        digest: as in :func:`dataset_folder`.

    Returns:
        Records ``{id, split, image, sha256, <fields>}`` with ``image`` an absolute path; ``images`` and ``sha256s``,
        or nothing of it, for samples of several images or of none. What all samples have in common, by their kind, is
        among the fields of each, as one object.

    Raises:
        DataError: not prepared, damaged, or the prepared data is not what the manifest says.
        UserError: a split that there is not.
    """
    manifest = read_manifest(root, task, digest)
    folder = dataset_folder(root, task, digest)
    for split in splits:
        if split not in manifest["splits"]:
            raise UserError(f"task '{task.name}' has no split '{split}': {nearest(split, manifest['splits'])}")
    common = manifest.get("common", {})
    by_split: dict[str, list[dict[str, Any]]] = {split: [] for split in manifest["splits"]}
    for record in files.read_jsonl(folder / "samples.jsonl"):
        if not _well_formed(record) or record["split"] not in by_split:
            break
        placed: dict[str, Any] = {}
        if "image" in record:
            placed["image"] = str(folder / record["image"])
        elif "images" in record:
            placed["images"] = [str(folder / image) for image in record["images"]]
        by_split[record["split"]].append({**common, **record, **placed})
    if {split: len(records) for split, records in by_split.items()} != manifest["splits"]:
        raise DataError(
            f"task '{task.name}': {folder / 'samples.jsonl'} does not hold what its manifest says; "
            f"move {folder} away and run: paceline prepare task={task.name}"
        )
    return [record for split in splits for record in by_split[split][: limit or None]]


def _well_formed(record: Mapping[str, Any]) -> bool:
    """Whether a line of ``samples.jsonl`` has an id, and a digest for each image."""
    if not all(isinstance(record.get(key), str) for key in ("id", "split")):
        return False
    if "image" in record or "sha256" in record:
        return isinstance(record.get("image"), str) and isinstance(record.get("sha256"), str)
    images, digests = record.get("images", []), record.get("sha256s", [])
    return isinstance(images, list) and isinstance(digests, list) and len(images) == len(digests)


def without_images(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A prepared sample as if it showed none."""
    return {key: value for key, value in sample.items() if key not in PATH_KEYS}


def form_of(record: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Which fields a record has, and of what type each is, or that it is nothing: what can be asked depends on it."""
    return frozenset(
        (name, type(value).__name__ if value or isinstance(value, bool | int | float) else "nothing")
        for name, value in record.items()
    )


def images_per_sample(root: Path, task: TaskSpec) -> int:
    """The most images of a sample of the task, for what only needs an idea; 2 of several where it is not prepared."""
    if not tasks.shows_images(task):
        return 0
    if (dataset_folder(root, task) / "manifest.json").exists():
        return int(read_manifest(root, task).get("images_per_sample", 1))
    return 2 if "images" in tasks.needs(task) else 1


def largest_picture(root: Path, task: TaskSpec, looked_at: int = 64) -> tuple[int, int] | None:
    """Width and height of the largest of the first pictures of each split, by their headers; None where unprepared.

    For what only needs an idea: another picture may be larger.
    """
    if not (dataset_folder(root, task) / "manifest.json").exists():
        return None
    records = read_samples(root, task, list(read_manifest(root, task)["splits"]), looked_at)
    sizes = [size for record in records for path in images_of(record) if (size := picture_size(path))]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def require(root: Path, task: TaskSpec, digest: str) -> None:
    """Refuse data that is not what a cell was made for.

    Raises:
        DataError: the data is gone, or was prepared anew and differs.
    """
    digest_now = str(read_manifest(root, task, digest)["digest"])
    if digest_now != digest:
        raise DataError(
            f"the data of task '{task.name}' is not what the cell was made for ({digest_now[:12]} now, {digest[:12]} "
            f"then): put the old data back, or submit again for cells of the new"
        )
