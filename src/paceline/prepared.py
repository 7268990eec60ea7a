"""Prepared data: what a reader made, frozen in a folder; its manifest's digest is part of a cell's identity.

    <root>/data/<reader>-<digest of reader and options>/
        manifest.json    counts, digest, where the data comes from; read in an instant
        samples.jsonl    one sample a line, in prepared order
        skipped.jsonl    each record left out, and why
        leakage.jsonl    each test image that is also trained on, or looks like one that is
        images/          what the reader made

A sample is ``{id, split, image, sha256}`` and the reader's fields. ``image`` is relative to the folder, or
absolute where the image lies in a folder of the user's. The manifest's digest covers id, split, sha256 and
fields: neither paths nor times nor what was found out about leakage, so that the same data has the same digest on
every machine and in every version.

The folder is built beside its place and renamed as a whole, so a crash leaves nothing that counts.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline import __version__, readers, store, tasks
from paceline.errors import DataError, Unavailable, UserError, nearest
from paceline.readers import Progress, Sample, Skipped
from paceline.spec import TaskSpec, build, defaults, plain

if TYPE_CHECKING:
    from PIL import Image

OWN_KEYS = ("id", "split", "image", "sha256")
MOST_ASPECT = 200  # the longer side by the shorter: Qwen2-VL's processor raises above


def options_of(task: TaskSpec) -> Any:
    """The task's reader options, checked, as the reader's ``Options``.

    Raises:
        UserError: no such reader, an unknown option, or a value of the wrong type.
    """
    return build(readers.load(task.reader).Options, task.options, "task.options")


def dataset_folder(root: Path, task: TaskSpec) -> Path:
    """Where the task's data lies once it is prepared. Tasks of the same reader and options share it."""
    options = _stated(options_of(task))
    for name, value in options.items():
        try:
            store.canonical(value)
        except (TypeError, ValueError) as error:
            raise UserError(f"task.options.{name}: {value!r} can't be recorded: {error}") from None
    key = store.digest({"reader": task.reader, "options": options}, 12)
    return root / "data" / f"{task.reader}-{key}"


def _stated(options: Any) -> dict[str, Any]:
    """The options that are not the default, so that writing a default out changes nothing."""
    base = defaults(type(options))
    return {name: value for name, value in plain(options).items() if value != base[name]}


def read_manifest(root: Path, task: TaskSpec) -> dict[str, Any]:
    """The manifest of the task's prepared data. Reads one small file.

    Raises:
        DataError: the data is not prepared, or the manifest is damaged.
    """
    folder = dataset_folder(root, task)
    if not (folder / "manifest.json").exists():
        raise DataError(f"task '{task.name}' is not prepared under {root}; run: paceline prepare task={task.name}")
    remedy = f"move {folder} away and run: paceline prepare task={task.name}"
    try:
        manifest = store.read_json(folder / "manifest.json")
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


def read_samples(root: Path, task: TaskSpec, splits: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """The samples of some splits, split by split, each in prepared order.

    Args:
        root: the storage root.
        task: the task.
        splits: names of splits.
        limit: samples taken of each split, the first; 0 takes all.

    Returns:
        Records ``{id, split, image, sha256, <fields>}`` with ``image`` an absolute path.

    Raises:
        DataError: not prepared, damaged, or the prepared data is not what the manifest says.
        UserError: a split that there is not.
    """
    manifest = read_manifest(root, task)
    folder = dataset_folder(root, task)
    for split in splits:
        if split not in manifest["splits"]:
            raise UserError(f"task '{task.name}' has no split '{split}': {nearest(split, manifest['splits'])}")
    found: dict[str, list[dict[str, Any]]] = {split: [] for split in manifest["splits"]}
    for record in store.read_jsonl(folder / "samples.jsonl"):
        if not all(isinstance(record.get(key), str) for key in OWN_KEYS) or record["split"] not in found:
            break
        found[record["split"]].append({**record, "image": str(folder / record["image"])})
    if {split: len(records) for split, records in found.items()} != manifest["splits"]:
        raise DataError(
            f"task '{task.name}': {folder / 'samples.jsonl'} does not hold what its manifest says; "
            f"move {folder} away and run: paceline prepare task={task.name}"
        )
    return [record for split in splits for record in found[split][: limit or None]]


def largest_picture(root: Path, task: TaskSpec, looked_at: int = 64) -> tuple[int, int] | None:
    """Width and height of the largest of the first pictures of each split, by their headers; None where unprepared.

    For what only needs an idea: another picture may be larger.
    """
    if not (dataset_folder(root, task) / "manifest.json").exists():
        return None
    records = read_samples(root, task, list(read_manifest(root, task)["splits"]), looked_at)
    found = [size for record in records if record.get("image") and (size := picture_size(record["image"]))]
    return max(found, key=lambda size: size[0] * size[1], default=None)


def picture_size(path: Path | str) -> tuple[int, int] | None:
    """Width and height by the header alone, before EXIF turns it; None where that can't be read."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            return opened.size
    except (OSError, Image.DecompressionBombError):
        return None


def load_image(path: Path | str, side: int = 0) -> Image.Image:
    """An image as RGB, turned as its EXIF says, transparent parts on white.

    Args:
        path: the image file.
        side: pixels that are enough for the longest side: a JPEG file is decoded at the smallest of its scales that
            has them, which is much faster. 0 decodes all.

    Raises:
        DataError: missing, broken, more than 200 times as long as wide, or of more pixels than Pillow's limit
            against decompression bombs.
    """
    try:
        return _decode(Path(path), side)
    except _BadImage as error:
        raise DataError(f"{path}: {error}") from error.__cause__


def check_image(path: Path | str) -> str | None:
    """Why an image can't be used, after decoding all of it; None where it can."""
    try:
        _decode(Path(path))
    except _BadImage as error:
        return str(error)
    return None


class _BadImage(Exception):
    """Its text is a countable reason."""


def _decode(path: Path, side: int = 0) -> Image.Image:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            # Pillow only warns from here up to twice its limit.
            if Image.MAX_IMAGE_PIXELS and opened.width * opened.height > Image.MAX_IMAGE_PIXELS:
                raise _BadImage("image has too many pixels")
            if max(opened.size) > MOST_ASPECT * min(opened.size):
                raise _BadImage("image is too narrow")
            if side:
                opened.draft(None, (side, side))
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return image.convert("RGB")
    except _BadImage:
        raise
    except Image.DecompressionBombError as error:
        raise _BadImage("image has too many pixels") from error
    except FileNotFoundError as error:
        raise _BadImage("image is missing") from error
    except PermissionError as error:
        raise _BadImage("image may not be read") from error
    except Exception as error:  # a damaged file makes the decoders raise nearly anything
        raise _BadImage("broken image") from error


def prepare(root: Path, task: TaskSpec, progress: Progress) -> dict[str, Any]:
    """Make the task's data, unless it is there; safe to call twice, also at the same time.

    Args:
        root: the storage root.
        task: the task.
        progress: called as ``progress(stage, done, total)``; a total of 0 means unknown.

    Returns:
        The manifest.

    Raises:
        UserError: wrong options.
        DataError: the source is missing, or no usable sample was found.
        Unavailable: the disk is full or read-only, or the source can't be reached.
    """
    folder = dataset_folder(root, task)
    if (folder / "manifest.json").exists():
        return read_manifest(root, task)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        (temporary / "images").mkdir(parents=True)
        _build(temporary, task, progress)
        _publish(temporary, folder)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise Unavailable(
            f"can't prepare task '{task.name}' in {folder}: {error.strerror or error}{where}; "
            "free space or choose another root="
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return read_manifest(root, task)


def _publish(temporary: Path, folder: Path) -> None:
    if folder.exists() and not (folder / "manifest.json").exists():
        # Somebody took the manifest away to have the data made again.
        folder.rename(temporary / "replaced")
        shutil.rmtree(temporary / "replaced")
    try:
        temporary.rename(folder)
    except OSError:
        if not (folder / "manifest.json").exists():
            raise
        # Another prepare was quicker; its data is the same.


def _build(folder: Path, task: TaskSpec, progress: Progress) -> None:
    reader, options = readers.load(task.reader), options_of(task)
    records: list[dict[str, Any]] = []
    thumbnails: list[bytes] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    kind = tasks.load(task.kind)
    complete = (kind.complete,) if getattr(reader, "ANY_KIND", False) else ()
    for item in reader.read(options, folder / "images", progress, *complete):
        if isinstance(item, Sample):
            made = _record(item, folder, seen)
            if not isinstance(made, Skipped):
                records.append(made[0])
                thumbnails.append(made[1])
                seen.add(item.id)
                continue
            skipped.append(made)
        else:
            skipped.append(item)
    reasons = dict(Counter(s.reason for s in skipped).most_common())
    if not records:
        told = "; ".join(f"{n} × {reason}" for reason, n in reasons.items()) or "the source is empty"
        raise DataError(f"task '{task.name}': no usable sample was found ({told}); check task.options")
    store.write_jsonl(folder / "samples.jsonl", records)
    store.write_jsonl(folder / "skipped.jsonl", (plain(s) for s in skipped))
    manifest = {
        "schema": store.SCHEMA,
        "digest": store.digest([{k: v for k, v in r.items() if k != "image"} for r in records]),
        "reader": task.reader,
        "options": _stated(options),
        "splits": dict(sorted(Counter(r["split"] for r in records).items())),
        "skipped": reasons,
        "leaks": _leaks(records, task.train),
        "leakage": _leakage(records, thumbnails, task.train, folder, progress),
        "made": {**reader.made(options), "paceline": __version__},
    }
    manifest |= kind.data_checks(records, task.train)
    store.write_json(folder / "manifest.json", manifest)


def _record(sample: Sample, folder: Path, seen: set[str]) -> tuple[dict[str, Any], bytes] | Skipped:
    """A sample's record, and its thumbnail, made while the image is decoded anyway."""
    from paceline import leakage  # numpy

    if sample.id in seen:
        return Skipped(sample.id, "id seen before", str(sample.image.name))
    try:
        thumbnail = leakage.thumbnail(_decode(sample.image))
    except _BadImage as error:
        return Skipped(sample.id, str(error), str(sample.image.name))
    image = sample.image.relative_to(folder) if sample.image.is_relative_to(folder) else sample.image.absolute()
    own = {
        "id": sample.id,
        "split": sample.split,
        "image": str(image),
        "sha256": store.file_digest(sample.image),
    }
    record = {**sample.fields, **own}
    try:
        store.canonical(record)
    except (TypeError, ValueError) as error:
        return Skipped(sample.id, "a field is no finite JSON value", str(error))
    return record, thumbnail


def _leaks(records: Iterable[dict[str, Any]], train: str) -> dict[str, int]:
    """Per other split, how many of its images are also trained on, byte for byte."""
    records = list(records)
    trained = {r["sha256"] for r in records if r["split"] == train}
    counts = {r["split"]: 0 for r in records if r["split"] != train}
    for r in records:
        if r["split"] != train and r["sha256"] in trained:
            counts[r["split"]] += 1
    return dict(sorted(counts.items()))


def _leakage(
    records: list[dict[str, Any]], thumbnails: list[bytes], train: str, folder: Path, progress: Progress
) -> dict[str, dict[str, int]]:
    """Per other split, how many of its images are trained on too, by kind; names them in ``leakage.jsonl``."""
    from paceline import leakage  # numpy

    @functools.cache
    def pixels(image: str) -> str:
        decoded = _decode(folder / image)
        return hashlib.sha256(f"{decoded.size}".encode() + decoded.tobytes()).hexdigest()

    found = list(leakage.twins(records, thumbnails, train, pixels, progress))
    store.write_jsonl(folder / "leakage.jsonl", (plain(twin) for twin in found))
    splits = {r["split"] for r in records}
    others = sorted(splits - {train}) if train in splits else []
    return {s: {k: sum((t.split, t.kind) == (s, k) for t in found) for k in leakage.KINDS} for s in others}


def require(root: Path, task: TaskSpec, digest: str) -> None:
    """Refuse data that is not what a cell was made for.

    Raises:
        DataError: the data is gone, or was prepared anew and differs.
    """
    found = data_digest(root, task)
    if found != digest:
        raise DataError(
            f"the data of task '{task.name}' is not what the cell was made for ({found[:12]} now, {digest[:12]} "
            f"then): put the old data back, or submit again for cells of the new"
        )
