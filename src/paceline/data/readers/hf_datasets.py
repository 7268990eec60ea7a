"""Anything that Hugging Face ``datasets`` reads: a dataset of the hub, files, or a folder that it saved.

Exactly one of ``hub``, ``files`` and ``folder`` is given. The rows' images are written into the prepared
folder, so that a compute node needs neither the library nor the network. Streaming takes the first rows
without fetching the rest, which is the only way with a dataset of terabytes.
"""

from __future__ import annotations

import datetime
import io
import itertools
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data.images import SUFFIXES, TIFF_STARTS, BadImage, opened
from paceline.data.readers import Complete, Progress, Sample, Skipped, absolute, require_columns
from paceline.errors import DataError, Unavailable, UserError, nearest

PATHS = ("files", "folder")
READS = {"files": (".csv", ".tsv", ".json", ".jsonl", ".parquet", *SUFFIXES), "folder": (".arrow",)}
ANY_KIND = True
BUILDERS = ("csv", "imagefolder", "json", "parquet")
COMMIT = re.compile(r"[0-9a-f]{40}")
LINK = re.compile(r"[a-z][a-z0-9+]*://")


@dataclass(frozen=True)
class Options:
    """Which dataset to read, and which column becomes which field."""

    hub: str = field(default="", metadata={"doc": "id of a dataset of the hub"})
    revision: str = field(default="", metadata={"doc": "commit of the hub's dataset, 40 hex digits"})
    config: str = field(default="", metadata={"doc": "configuration of the hub's dataset, where it has several"})
    builder: str = field(default="", metadata={"doc": f"kind of the files: {', '.join(BUILDERS)}"})
    files: dict[str, Any] = field(
        default_factory=dict, metadata={"doc": "split -> file, folder, pattern, or a list of them"}
    )
    folder: str = field(default="", metadata={"doc": "folder written by save_to_disk"})
    splits: dict[str, str] = field(
        default_factory=dict, metadata={"doc": "split -> the split's name in the hub's dataset or the folder"}
    )
    columns: dict[str, str] = field(
        default_factory=lambda: {"image": "image"},
        metadata={"doc": "field -> column; `image` is needed, `id` is the row's number where it is not given"},
    )
    streaming: bool = field(default=False, metadata={"doc": "fetch rows one by one; needs limit_rows"})
    limit_rows: int = field(default=0, metadata={"doc": "rows read of each split, the first; 0 reads all"})


def made(options: Options) -> dict[str, str]:
    """The dataset and its revision; its licence is on its card."""
    source = f"{options.hub} at {options.revision}" if options.hub else options.folder or str(options.files)
    return {"source": source, "licence": "that of the dataset, see its card"}


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The rows of each split, in their order."""
    check(options)
    written = 0
    # The library keeps a copy of what it reads from files; it is not needed once the images are written out.
    with tempfile.TemporaryDirectory(dir=images.parent, ignore_cleanup_errors=True) as cache:
        for split in options.splits or options.files:
            rows, total = _rows(options, split, cache)
            for n in range(total or options.limit_rows or 2**63):
                row = _next(rows, options)
                if row is None:
                    break
                label = f"{split}_{n:06d}"
                try:
                    known = complete(_fields(row, options))
                    path = write_image(row[options.columns["image"]], images / f"{written:06d}")
                except ValueError as error:
                    yield Skipped(label, str(error))
                else:
                    written += 1
                    yield Sample(str(known.pop("id", label)), str(split), path, known)
                progress(f"reading {split}", n + 1, total or options.limit_rows)


def check(options: Options) -> None:
    """Refuse options that don't name one dataset, or that would not read the same tomorrow.

    Raises:
        UserError: with the option to change.
    """
    sources = [name for name in ("hub", "files", "folder") if getattr(options, name)]
    if len(sources) != 1:
        raise UserError(
            f"task.options: give one of hub, files and folder; given: {', '.join(sources) or 'none of them'}"
        )
    if options.hub and not COMMIT.fullmatch(options.revision):
        raise UserError(
            f"task.options.revision: pin a revision of {options.hub}, got '{options.revision}': give a commit of "
            "40 hex digits from the history of its files on the hub; a branch would change under the results"
        )
    if options.files and options.builder not in BUILDERS:
        raise UserError(f"task.options.builder: '{options.builder}' is not one of {', '.join(BUILDERS)}")
    if not options.files and not options.splits:
        raise UserError("task.options.splits is not set; give for example {test: validation}")
    if options.streaming and options.limit_rows <= 0:
        raise UserError("task.options.streaming needs limit_rows: how many rows to take of each split")
    if options.limit_rows < 0:
        raise UserError(f"task.options.limit_rows: must not be negative, got {options.limit_rows}")
    if "image" not in options.columns:
        raise UserError("task.options.columns: says no column for 'image'; give {image: COLUMN, …}")


def open_split(options: Options, split: str, cache: str = "") -> Any:
    """One split as the library gives it, its images as they are stored, not decoded.

    Raises:
        UserError: no such dataset, split or file; the library's message, with a remedy where there is one.
        Unavailable: the hub can't be reached.
    """
    import datasets

    datasets.disable_progress_bars()
    try:
        data = _load(options, split, cache)
        for column, feature in (data.features or {}).items():
            # Decoding and encoding again would cost time and quality, and fail on a broken image.
            if isinstance(feature, datasets.Image):
                data = data.cast_column(column, datasets.Image(decode=False))
            elif isinstance(feature, datasets.List) and isinstance(feature.feature, datasets.Image):
                data = data.cast_column(column, datasets.List(datasets.Image(decode=False)))
    except UserError:
        raise
    except Exception as error:
        raise _explain(error, options) from error
    return data


def column_names(data: Any, options: Options) -> list[str]:
    """The columns of a split; those of a stream are read from its first row."""
    try:
        return list(data.column_names if data.column_names is not None else next(iter(data), {}))
    except Exception as error:
        raise _explain(error, options) from error


def iterate(data: Any, options: Options) -> Iterator[dict[str, Any]]:
    """The rows of a split, with errors of the library as in :func:`open_split`."""
    rows = itertools.islice(iter(data), options.limit_rows) if options.streaming else iter(data)
    while (row := _next(rows, options)) is not None:
        yield row


def _rows(options: Options, split: str, cache: str) -> tuple[Iterator[dict[str, Any]], int]:
    """An iterator over the rows of one split, and their number where it is known, else 0."""
    data = open_split(options, split, cache)
    named = {f"columns.{name}": column for name, column in options.columns.items()}
    require_columns(named, column_names(data, options))
    data = data.select_columns(list(dict.fromkeys(options.columns.values())))
    if options.streaming:
        return itertools.islice(iter(data), options.limit_rows), 0
    total = min(len(data), options.limit_rows or len(data))
    return iter(data.select(range(total))), total


def _load(options: Options, split: str, cache: str) -> Any:
    import datasets

    if options.files:
        return datasets.load_dataset(
            options.builder,
            data_files={split: _paths(options.files[split], split)},
            split=split,
            streaming=options.streaming,
            cache_dir=cache,
        )
    source_split = options.splits[split]
    if options.hub:
        return datasets.load_dataset(
            options.hub,
            options.config or None,
            split=source_split,
            revision=options.revision,
            streaming=options.streaming,
        )
    data = datasets.load_from_disk(str(absolute(options.folder)))
    if isinstance(data, datasets.Dataset):
        if len(options.splits) > 1:
            raise UserError(f"task.options.splits: {options.folder} holds one dataset without splits; name one split")
    elif source_split not in data:
        raise UserError(f"task.options.splits.{split}: no split '{source_split}': {nearest(source_split, data)}")
    else:
        data = data[source_split]
    return data.to_iterable_dataset() if options.streaming else data


def _paths(value: Any, split: str) -> list[str]:
    patterns = value if isinstance(value, list | tuple) else [value]
    paths: list[str] = []
    for pattern in patterns:
        path = absolute(str(pattern))
        matches = path.rglob("*") if path.is_dir() else Path(path.anchor).glob(str(path.relative_to(path.anchor)))
        files = [str(match) for match in sorted(matches) if match.is_file()]
        if not files:
            raise DataError(f"task.options.files.{split}: no file {path}")
        paths += files
    return paths


def _explain(error: Exception, options: Options) -> UserError | Unavailable:
    import datasets

    what = f"task.options: can't read {options.hub or options.folder or 'the files'}"
    message = " ".join(str(error).split())[:300] or type(error).__name__
    if "scripts are no longer supported" in message:
        return DataError(f"{what}: it is made by a script, which datasets no longer runs; give a parquet copy of it")
    if isinstance(error, datasets.exceptions.DatasetNotFoundError):
        return DataError(f"{what}: {message}; check the id and the revision, and log in where it is gated")
    if isinstance(error, FileNotFoundError | ValueError | datasets.exceptions.DatasetsError):
        return DataError(f"{what}: {message}")
    if options.hub:
        return Unavailable(f"{what}: {message}; prepare it where the hub can be reached")
    return DataError(f"{what}: {message}")


def _next(rows: Iterator[dict[str, Any]], options: Options) -> dict[str, Any] | None:
    try:
        return next(rows, None)
    except Exception as error:
        raise _explain(error, options) from error


def _fields(row: dict[str, Any], options: Options) -> dict[str, Any]:
    """The row's fields, by the columns that are named for them."""
    return {name: plain_value(row[column]) for name, column in options.columns.items() if name != "image"}


def plain_value(value: Any) -> Any:
    """A value of a row as JSON has it: dates as ISO 8601, numbers of numpy as numbers."""
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def write_image(value: Any, stem: Path) -> Path:
    """Write a row's image as it came, with the suffix of its format.

    Args:
        value: the image's bytes, its path, or ``{bytes, path}`` as the library stores it.
        stem: where to write it, without a suffix.

    Raises:
        ValueError: with a countable reason: there is none, or it is broken.
    """
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and LINK.match(value):
        raise ValueError("image is a link, which is not fetched")
    if isinstance(value, str) and value:
        try:
            value = Path(value).read_bytes()
        except OSError:
            raise ValueError("image is missing") from None
    if not isinstance(value, bytes) or not value:
        raise ValueError("no image")
    suffix = "tiff"
    if not value.startswith(TIFF_STARTS):  # of which Pillow does not read all: told when it is decoded
        try:
            with opened(io.BytesIO(value)) as image:
                suffix = (image.format or "image").lower()
        except BadImage as error:
            raise ValueError(str(error)) from None
    path = stem.with_suffix(f".{suffix}")
    path.write_bytes(value)
    return path
