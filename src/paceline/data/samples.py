"""Prepared data: what a reader made, frozen in a folder; its manifest's digest is part of a cell's identity.

    <root>/data/<reader>-<digest of reader and options>/
        manifest.json    counts, digest, where the data comes from; read in an instant
        samples.jsonl    one sample a line, in prepared order
        skipped.jsonl    each record left out, and why
        leakage.jsonl    each test image that is also trained on, or looks like one that is; texts likewise
        images/          what the reader made

A sample is ``{id, split, image, sha256}`` and the reader's fields. ``image`` is relative to the folder, or
absolute where the image lies in a folder of the user's. A sample of several images has ``images`` and ``sha256s``
in place of these two, lists in the order in which they are asked about; one without an image has none of the four. The
manifest's digest covers id, split, the images' digests and fields: neither paths nor times nor what was found out about
leakage and groups, so that the same data has the same digest on every machine and in every version.

The folder is built beside its place and renamed as a whole, so a crash leaves nothing that counts.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline import __version__, tasks
from paceline.config.build import build, defaults, plain
from paceline.config.schema import TaskSpec
from paceline.data import readers
from paceline.data.readers import Complete, Progress, Sample, Skipped
from paceline.errors import DataError, Unavailable, UserError, nearest
from paceline.store import files
from paceline.tasks.kind import images_of

if TYPE_CHECKING:
    from PIL import Image

    from paceline.tasks.kind import Kind

OWN_KEYS = ("id", "split", "image", "sha256", "images", "sha256s")
PATH_KEYS = ("image", "images")
MOST_ASPECT = 200  # the longer side by the shorter: Qwen2-VL's processor raises above


def options_of(task: TaskSpec) -> Any:
    """The task's reader options, checked, as the reader's ``Options``.

    Raises:
        UserError: no such reader, an unknown option, or a value of the wrong type.
    """
    return build(readers.load(task.reader).Options, task.options, "task.options")


def dataset_folder(root: Path, task: TaskSpec) -> Path:
    """Where the task's data lies once it is prepared.

    Tasks of the same reader and options share it; of a reader for any kind, those of the same kind.
    """
    options = _stated(options_of(task))
    for name, value in options.items():
        try:
            files.canonical(value)
        except (TypeError, ValueError) as error:
            raise UserError(f"task.options.{name}: {value!r} can't be recorded: {error}") from None
    key = {"reader": task.reader, "options": options}
    if getattr(readers.load(task.reader), "ANY_KIND", False) and (task.reader, task.kind) != _WITHOUT_KIND:
        key["kind"] = task.kind
    return root / "data" / f"{task.reader}-{files.digest(key, 12)}"


_WITHOUT_KIND = ("hf_datasets", "geolocation")
"""Reader and kind whose folders were named before there was another kind."""


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


def read_samples(root: Path, task: TaskSpec, splits: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """The samples of some splits, split by split, each in prepared order.

    Args:
        root: the storage root.
        task: the task.
        splits: names of splits.
        limit: samples taken of each split, the first; 0 takes all.

    Returns:
        Records ``{id, split, image, sha256, <fields>}`` with ``image`` an absolute path; ``images`` and ``sha256s``,
        or nothing of it, for samples of several images or of none.

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
    for record in files.read_jsonl(folder / "samples.jsonl"):
        if not _well_formed(record) or record["split"] not in found:
            break
        placed: dict[str, Any] = {}
        if "image" in record:
            placed["image"] = str(folder / record["image"])
        elif "images" in record:
            placed["images"] = [str(folder / image) for image in record["images"]]
        found[record["split"]].append({**record, **placed})
    if {split: len(records) for split, records in found.items()} != manifest["splits"]:
        raise DataError(
            f"task '{task.name}': {folder / 'samples.jsonl'} does not hold what its manifest says; "
            f"move {folder} away and run: paceline prepare task={task.name}"
        )
    return [record for split in splits for record in found[split][: limit or None]]


def _well_formed(record: Mapping[str, Any]) -> bool:
    """Whether a line of ``samples.jsonl`` says who it is, and has a digest for each image."""
    if not all(isinstance(record.get(key), str) for key in ("id", "split")):
        return False
    if "image" in record or "sha256" in record:
        return isinstance(record.get("image"), str) and isinstance(record.get("sha256"), str)
    images, digests = record.get("images", []), record.get("sha256s", [])
    return isinstance(images, list) and isinstance(digests, list) and len(images) == len(digests)


def without_images(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A prepared sample as if it showed none."""
    return {key: value for key, value in sample.items() if key not in PATH_KEYS}


def images_per_sample(root: Path, task: TaskSpec) -> int:
    """The most images of a sample of the task, for what only needs an idea; 2 of several where it is not prepared."""
    needs = tasks.needs(task)
    if not {"image", "images"} & set(needs):
        return 0
    if (dataset_folder(root, task) / "manifest.json").exists():
        return int(read_manifest(root, task).get("images_per_sample", 1))
    return 2 if "images" in needs else 1


def largest_picture(root: Path, task: TaskSpec, looked_at: int = 64) -> tuple[int, int] | None:
    """Width and height of the largest of the first pictures of each split, by their headers; None where unprepared.

    For what only needs an idea: another picture may be larger.
    """
    if not (dataset_folder(root, task) / "manifest.json").exists():
        return None
    records = read_samples(root, task, list(read_manifest(root, task)["splits"]), looked_at)
    found = [size for record in records for path in images_of(record) if (size := picture_size(path))]
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
    from paceline.data import leakage  # numpy

    reader, options = readers.load(task.reader), options_of(task)
    records: list[dict[str, Any]] = []
    thumbnails: list[bytes] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    kind = tasks.load(task.kind)
    complete = (Complete(kind.complete, kind.group),) if getattr(reader, "ANY_KIND", False) else ()
    for item in reader.read(options, folder / "images", progress, *complete):
        if isinstance(item, Sample):
            made = _record(item, folder, seen)
            if not isinstance(made, Skipped):
                records.append(made[0])
                thumbnails += made[1]
                seen.add(item.id)
                continue
            skipped.append(made)
        else:
            skipped.append(item)
    reasons = dict(Counter(s.reason for s in skipped).most_common())
    if not records:
        told = "; ".join(f"{n} × {reason}" for reason, n in reasons.items()) or "the source is empty"
        raise DataError(f"task '{task.name}': no usable sample was found ({told}); check task.options")
    files.write_jsonl(folder / "samples.jsonl", records)
    files.write_jsonl(folder / "skipped.jsonl", ({k: _encodable(v) for k, v in plain(s).items()} for s in skipped))
    manifest = {
        "schema": files.SCHEMA,
        "digest": files.digest([without_images(r) for r in records]),
        "reader": task.reader,
        "options": _stated(options),
        "splits": dict(sorted(Counter(r["split"] for r in records).items())),
        "skipped": reasons,
        "leaks": _leaks(records, task.train),
        "leakage": _leakage(records, thumbnails, kind, task.train, folder, progress),
        "made": {**reader.made(options), "paceline": __version__},
    }
    if (most := max(len(images_of(r)) for r in records)) > 1:
        manifest["images_per_sample"] = most
    if shared := leakage.shared_groups(records, kind.group or "group"):
        manifest["groups"] = shared
    manifest |= kind.data_checks(records, task.train)
    files.write_json(folder / "manifest.json", manifest)


def _record(sample: Sample, folder: Path, seen: set[str]) -> tuple[dict[str, Any], list[bytes]] | Skipped:
    """A sample's record, and a thumbnail of each image, made while it is decoded anyway."""
    from paceline.data import leakage  # numpy

    name = ", ".join(path.name for path in sample.pictures)
    if sample.id in seen:
        return Skipped(sample.id, "id seen before", name)
    thumbnails = []
    for path in sample.pictures:
        try:
            thumbnails.append(leakage.thumbnail(_decode(path)))
        except _BadImage as error:
            return Skipped(sample.id, str(error), path.name)
    paths = [str(p.relative_to(folder) if p.is_relative_to(folder) else p.absolute()) for p in sample.pictures]
    digests = [files.file_digest(p) for p in sample.pictures]
    own: dict[str, Any] = {"id": sample.id, "split": sample.split}
    if len(paths) == 1:
        own |= {"image": paths[0], "sha256": digests[0]}
    elif paths:
        own |= {"images": paths, "sha256s": digests}
    record = {**{k: v for k, v in sample.fields.items() if k not in OWN_KEYS}, **own}
    try:
        files.canonical(record).encode()
    except (TypeError, ValueError) as error:
        return Skipped(sample.id, "a field is no finite JSON value", str(error))
    return record, thumbnails


def _encodable(text: str) -> str:
    """A text that UTF-8 can write: names of files, and JSON, may hold halves of characters."""
    return text.encode("utf-8", "replace").decode()


def _digests(record: Mapping[str, Any]) -> list[str]:
    """The digests of a record's images, in order."""
    return [record["sha256"]] if "sha256" in record else record.get("sha256s", [])


def _leaks(records: Iterable[dict[str, Any]], train: str) -> dict[str, int]:
    """Per other split, how many of its images are also trained on, byte for byte."""
    records = list(records)
    trained = {digest for r in records if r["split"] == train for digest in _digests(r)}
    counts = {r["split"]: 0 for r in records if r["split"] != train}
    for r in records:
        if r["split"] != train:
            counts[r["split"]] += sum(digest in trained for digest in _digests(r))
    return dict(sorted(counts.items()))


def _leakage(
    records: list[dict[str, Any]], thumbnails: list[bytes], kind: Kind, train: str, folder: Path, progress: Progress
) -> dict[str, dict[str, int]]:
    """Per other split, how many of its images are trained on too, by kind; names them in ``leakage.jsonl``.

    Samples without an image are compared by what a prompt may show of them, or by all that they hold.
    """
    from paceline.data import leakage  # numpy

    @functools.cache
    def pixels(image: str) -> str:
        decoded = _decode(folder / image)
        return hashlib.sha256(f"{decoded.size}".encode() + decoded.tobytes()).hexdigest()

    shown = [
        {"id": r["id"], "split": r["split"], "image": image, "sha256": digest}
        for r in records
        for image, digest in zip(images_of(r), _digests(r), strict=True)
    ]
    texts = [r for r in records if not images_of(r)]
    twins = list(leakage.twins(shown, thumbnails, train, pixels, progress))
    twins += leakage.equal_texts(texts, kind.shown, kind.group or "group", train)
    files.write_jsonl(folder / "leakage.jsonl", (plain(twin) for twin in twins))
    splits = {r["split"] for r in records}
    others = sorted(splits - {train}) if train in splits else []
    compared = [*(leakage.KINDS if shown else ()), *(["text"] if texts else ())]
    return {s: {k: sum((t.split, t.kind) == (s, k) for t in twins) for k in compared} for s in others}


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
