"""Making a task's data, once: records, images, what was skipped, and what leaks between splits."""

from __future__ import annotations

import functools
import hashlib
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline import __version__, tasks
from paceline.config.build import plain
from paceline.config.schema import TaskSpec
from paceline.data import readers, source_files
from paceline.data.images import BadImage, decode
from paceline.data.readers import Complete, Embedder, Progress, Sample, Skipped
from paceline.data.samples import (
    OWN_KEYS,
    PATH_KEYS,
    current_json,
    dataset_folder,
    digest_folder,
    first_folder,
    options_of,
    read_manifest,
    stated_options,
    without_images,
)
from paceline.errors import DataError, Unavailable, UserError
from paceline.store import files
from paceline.store.owner import alive, this_process
from paceline.tasks.kind import digests_of, images_of

if TYPE_CHECKING:
    from PIL import Image

    from paceline.data.shown_pictures import Pictures
    from paceline.tasks.kind import Kind


OWNER = "owner.json"
"""Which process builds a folder, in it until it is whole."""


def prepare(root: Path, task: TaskSpec, progress: Progress, refresh: bool = False) -> dict[str, Any]:
    """Make the task's data, unless it is there; safe to call twice, also at the same time.

    Args:
        root: the storage root.
        task: the task.
        progress: called as ``progress(stage, done, total)``; a total of 0 means unknown.
        refresh: make it anew where it is there. Other data gets a folder of its own, and cells keep the old one.

    Returns:
        The manifest.

    Raises:
        UserError: wrong options.
        DataError: the source is missing, or no usable sample was found.
        Unavailable: the disk is full or read-only, or the source can't be reached.
    """
    current = dataset_folder(root, task)
    there = (current / "manifest.json").exists()
    if there and not refresh:
        return read_manifest(root, task)
    folder = first_folder(root, task)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        _remove_left(folder)
        (temporary / "images").mkdir(parents=True)
        files.write_json(temporary / OWNER, this_process())
        _build(temporary, root, task, progress)
        (temporary / OWNER).unlink()
        if there:
            _renew(temporary, current, folder)
        else:
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


def _remove_left(folder: Path) -> None:
    """Remove what preparations of a folder left that were killed on this host: of tables with pictures inside much."""
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):
        try:
            owner = files.read_json(left / OWNER)
            ended = owner["host"] == this_process()["host"] and not alive(owner, None)
        except (UserError, OSError, KeyError, TypeError, ValueError):
            continue  # just begun, or of an earlier version
        if ended:
            shutil.rmtree(left, ignore_errors=True)


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


def _renew(temporary: Path, current: Path, first: Path) -> None:
    """Put data that was made anew in the place of the current one, which cells may be reading."""
    digest = files.read_json(temporary / "manifest.json")["digest"]
    # The same data: only what is recorded of its sources is new. The manifest comes last.
    for folder in (current, first, digest_folder(first, digest)):
        if (folder / "manifest.json").exists() and files.read_json(folder / "manifest.json")["digest"] == digest:
            _keep_own_pictures(temporary, folder)
            names = [p.name for p in temporary.iterdir() if p.is_file()]
            for name in sorted(names, key=lambda n: n == "manifest.json"):
                (temporary / name).replace(folder / name)
            files.sync_folder(folder)
            break
    else:
        folder = digest_folder(first, digest)
        _publish(temporary, folder)
    if folder != current:
        files.write_json(current_json(first), {"schema": files.SCHEMA, "folder": folder.name})


def _keep_own_pictures(temporary: Path, folder: Path) -> None:
    """Let records that were made anew show the pictures that the folder holds: the same, by names of their own."""
    placed = [
        {**new, **{k: old[k] for k in PATH_KEYS if k in new and not _elsewhere(new[k])}}
        for new, old in zip(
            files.read_jsonl(temporary / "samples.jsonl"), files.read_jsonl(folder / "samples.jsonl"), strict=True
        )
    ]
    files.write_jsonl(temporary / "samples.jsonl", placed)


def _elsewhere(images: str | list[str]) -> bool:
    return all(Path(image).is_absolute() for image in ([images] if isinstance(images, str) else images))


def _build(folder: Path, root: Path, task: TaskSpec, progress: Progress) -> None:
    from paceline.data import leakage  # numpy
    from paceline.data.shown_pictures import Pictures

    reader, options = readers.load(task.reader), options_of(task)
    # Before it reads: what comes or is edited meanwhile is told.
    folders, beside = source_files.searched(task, root), source_files.read_beside(task, root)
    pictures = Pictures(folder, task.pictures)
    records: list[dict[str, Any]] = []
    thumbnails: list[bytes] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    narrow: dict[str, dict[str, Any]] = {}
    kind = tasks.load(task.kind)
    embedder = _embedder(root, progress) if getattr(reader, "EMBEDS", False) else None
    any_kind = getattr(reader, "ANY_KIND", False)
    complete = (Complete(kind.complete, kind.group, task.train, embedder),) if any_kind else ()
    for item in reader.read(options, folder / "images", progress, *complete):
        if isinstance(item, Sample):
            prepared = _record(item, folder, seen, pictures, kind)
            if not isinstance(prepared, Skipped):
                records.append(prepared[0])
                thumbnails += prepared[1]
                seen.add(item.id)
                _note_narrow(narrow, item, pictures)
                continue
            skipped.append(prepared)
        else:
            skipped.append(item)
    pictures.require_zeniths(task.name)
    reasons = dict(Counter(s.reason for s in skipped).most_common())
    if not records:
        raise DataError(f"task '{task.name}': no usable sample was found ({_first_of(skipped)}); check task.options")
    files.write_jsonl(folder / "samples.jsonl", records)
    files.write_jsonl(folder / "folders.jsonl", folders)
    files.write_jsonl(folder / "skipped.jsonl", ({k: _encodable(v) for k, v in plain(s).items()} for s in skipped))
    manifest = {
        "schema": files.SCHEMA,
        "digest": files.digest([without_images(r) for r in records]),
        "reader": task.reader,
        "options": stated_options(options),
        "splits": dict(sorted(Counter(r["split"] for r in records).items())),
        "skipped": reasons,
        "leaks": _leaks(records, task.train),
        "leakage": _leakage(records, thumbnails, kind, task.train, folder, progress),
        "made": {**reader.made(options), "paceline": __version__},
    }
    if told := pictures.told():
        manifest["pictures"] = told
    if narrow:
        manifest["narrowest"] = dict(sorted(narrow.items()))
    files.write_jsonl(folder / "sources.jsonl", source_files.used(folder, beside))
    if (most := max(len(images_of(r)) for r in records)) > 1:
        manifest["images_per_sample"] = most
    if shared := leakage.shared_groups(records, kind.group or "group"):
        manifest["groups"] = shared
    if common := _common(kind, records, task):
        manifest["common"] = common
    manifest |= kind.data_checks(records, task.train)
    files.write_json(folder / "manifest.json", manifest)


def _first_of(skipped: Sequence[Skipped]) -> str:
    """Why records were skipped, how many for each reason, and the first of them."""
    first = {s.reason: s.record for s in reversed(skipped)}
    counts = Counter(s.reason for s in skipped).most_common()
    told = (f"{n} × {reason}, the first: {_encodable(first[reason])[:200]}" for reason, n in counts)
    return "; ".join(told) or "the source is empty"


def _common(kind: Kind, records: Sequence[dict[str, Any]], task: TaskSpec) -> dict[str, Any]:
    try:
        return kind.common(records)
    except DataError as error:
        raise DataError(f"task '{task.name}': {error}") from None


def _embedder(root: Path, progress: Progress) -> Callable[[], Embedder]:
    def made() -> Embedder:
        from paceline.data.text_embedder import TextEmbedder

        return TextEmbedder(root, progress)

    return made


def _record(
    sample: Sample, folder: Path, seen: set[str], pictures: Pictures, kind: Kind
) -> tuple[dict[str, Any], list[bytes]] | Skipped:
    """A sample's record, and a thumbnail of each image, made while it is decoded anyway."""
    from paceline.data import leakage  # numpy

    name = ", ".join(path.name for path in sample.pictures)
    if sample.id in seen:
        return Skipped(sample.id, "id seen before", name)
    thumbnails = []
    shown: list[Path] = []
    images: list[Image.Image] = []
    looked_at = kind.get("pictured") is not None
    for path, zenith in zip(sample.pictures, pictures.zeniths(sample), strict=True):
        try:
            file, image = pictures.take(path, zenith)
            shown.append(file)
            thumbnails.append(leakage.thumbnail(image))
            images += [image] if looked_at else []
        except BadImage as error:
            return Skipped(sample.id, str(error), path.name)
    paths = [str(p.relative_to(folder) if p.is_relative_to(folder) else p.absolute()) for p in shown]
    digests = [files.file_digest(p) for p in shown]
    image_keys: dict[str, Any] = {"id": sample.id, "split": sample.split}
    if len(paths) == 1:
        image_keys |= {"image": paths[0], "sha256": digests[0]}
    elif paths:
        image_keys |= {"images": paths, "sha256s": digests}
    try:
        fields = sample.fields | kind.pictured(sample.fields, images)
    except ValueError as error:
        return Skipped(sample.id, str(error), name)
    record = {**{k: v for k, v in fields.items() if k not in OWN_KEYS}, **image_keys}
    try:
        files.canonical(record).encode()
    except UnicodeError as error:
        return Skipped(sample.id, _no_text([sample.id, *paths]), str(error))
    except (TypeError, ValueError) as error:
        return Skipped(sample.id, "a field is no finite JSON value", str(error))
    return record, thumbnails


def _no_text(names: Iterable[str]) -> str:
    """Why a record can't be written whose texts are not all UTF-8."""
    broken = any(_encodable(name) != name for name in names)
    return "a name of a file or folder is no UTF-8; rename it" if broken else "a field is no UTF-8"


def _note_narrow(narrow: dict[str, dict[str, Any]], sample: Sample, pictures: Pictures) -> None:
    """Keep each split's narrowest picture: what a processor that scales to few pixels may not take."""
    for path in sample.pictures:
        width, height = pictures.sizes[path]
        before = narrow.get(sample.split)
        if before is None or _narrowness(width, height) > _narrowness(before["width"], before["height"]):
            narrow[sample.split] = {"sample": sample.id, "width": width, "height": height}


def _narrowness(width: int, height: int) -> float:
    return max(width, height) / min(width, height)


def _encodable(text: str) -> str:
    """A text that UTF-8 can write: names of files, and JSON, may hold halves of characters."""
    return text.encode("utf-8", "replace").decode()


def _leaks(records: Iterable[dict[str, Any]], train: str) -> dict[str, int]:
    """Per other split, how many of its images are also trained on, byte for byte."""
    records = list(records)
    trained = {digest for r in records if r["split"] == train for digest in digests_of(r)}
    counts = {r["split"]: 0 for r in records if r["split"] != train}
    for r in records:
        if r["split"] != train:
            counts[r["split"]] += sum(digest in trained for digest in digests_of(r))
    return dict(sorted(counts.items()))


def _leakage(
    records: list[dict[str, Any]], thumbnails: list[bytes], kind: Kind, train: str, folder: Path, progress: Progress
) -> dict[str, dict[str, int]]:
    """Per other split, how many of its images are trained on too, by kind; names them in ``leakage.jsonl``.

    Samples without an image are compared by what a prompt may show of them, or by all that they hold; long texts of a
    truth, such as captions, by their words too.
    """
    from paceline.data import leakage, text_leakage  # numpy

    @functools.cache
    def pixels(image: str) -> str:
        decoded = decode(folder / image)
        return hashlib.sha256(f"{decoded.size}".encode() + decoded.tobytes()).hexdigest()

    shown = [
        {"id": r["id"], "split": r["split"], "image": image, "sha256": digest}
        for r in records
        for image, digest in zip(images_of(r), digests_of(r), strict=True)
    ]
    texts = [r for r in records if not images_of(r)]
    twins = list(leakage.twins(shown, thumbnails, train, pixels, progress))
    twins += leakage.equal_texts(texts, kind.shown, kind.group or "group", train)
    fields = text_leakage.Fields(list(kind.documented_fields), kind.shown, kind.group or "group")
    twins += text_leakage.near_twins(records, lambda record: fields, train, {t.sample for t in twins})
    files.write_jsonl(folder / "leakage.jsonl", (plain(twin) for twin in twins))
    splits = {r["split"] for r in records}
    others = sorted(splits - {train}) if train in splits else []
    return leakage.counts(twins, others, bool(shown), bool(texts))
