"""Any table, for any kind of task: CSV, JSON, JSON lines, Parquet, a dataset of Hugging Face, a folder of classes.

``path`` is a file, a pattern, a folder with a table for each split (``train.csv``, ``test.csv``), a folder written by
``save_to_disk``, or a folder of classes (``cat/1.jpg``, or ``train/cat/1.jpg``); ``hub`` is a dataset of the hub.
``columns`` says which column becomes which field of the task's kind; without it every column is the field of its own
name. Four fields are not the kind's:

``image``   the picture: a path, or its bytes. Samples without the field show none.
``images``  several pictures, in order: a list of columns, or one column that holds a list.
``id``      the sample's name; else the path of its picture, or the number of its row.
``split``   the column that names each row's split; ``val``, ``dev`` and the like are known.

A field whose value is a list of columns gathers them, the empty ones left out: ``{captions: [first, second]}``.
``constants`` gives fields that every row has alike.

Pictures are referred to where they are, below ``images`` or the table's folder; bytes are written into the prepared
folder. A table without splits is parted by ``shares``. The split then depends on the sample's group alone, else on its
picture, else on its name, else on its content: more rows move no sample, and the questions about one picture stay
together. A folder of classes has the columns ``image`` and ``class``, in an order that is random and always the same.

Captions of COCO, one row an annotation, those of one picture gathered into a list::

    path: ~/coco/annotations/captions_val2017.json
    images: ~/coco/val2017
    columns: {id: image_id, image: file_name, references: caption}
    gather: references

Captions of Flickr30k, as ``image,caption`` or as ``image_name| comment_number| comment``::

    path: ~/flickr30k/results.csv
    images: ~/flickr30k/flickr30k_images
    columns: {image: image_name, references: comment}
    gather: references

Their first form, ``results_20130124.token``, has the columns ``image``, ``number`` and ``caption``. Files of Karpathy's
splits (``dataset_coco.json``) have ``image`` with its folder and ``captions``, a list, beside their own columns.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from paceline.data.readers import (
    Complete,
    Progress,
    Sample,
    Skipped,
    absolute,
    check_shares,
    fraction,
    require_columns,
    require_variables,
)
from paceline.data.readers import split_of as split_by_share
from paceline.data.readers.hf_datasets import LINK, write_image
from paceline.data.readers.table.rows import FORMATS, Row, json_value
from paceline.data.readers.table.sources import CLASS, Source, canonical_split, sources
from paceline.data.readers.table.where import where
from paceline.errors import UserError
from paceline.store.files import digest

PATHS = ("path", "images")
READS = {"path": (*FORMATS, ".arrow")}
ANY_KIND = True
SPECIAL = ("id", "image", "images", "split")
RESERVED = ("sha256", "sha256s")
NO_VALUE = "a field is no finite JSON value"  # as prepare says it
DRIVE = re.compile(r"[A-Za-z]:[\\/]")
"""Begin of a path of Windows that only its own machine knows."""
LACKS = re.compile(r"no (\w+)")
"""Reason of a row without a field."""


@dataclass(frozen=True)
class Options:
    """Where the table is, which column becomes which field, and how it is split."""

    path: str = field(default="", metadata={"doc": "table, pattern of tables, folder of them, or folder of classes"})
    format: Literal["", "csv", "json", "jsonl", "parquet", "token", "saved", "classes"] = field(
        default="", metadata={"doc": "what path holds, where its name does not tell it"}
    )
    hub: str = field(default="", metadata={"doc": "id of a dataset of the hub, in place of path"})
    revision: str = field(default="", metadata={"doc": "commit of the hub's dataset, 40 hex digits"})
    config: str = field(default="", metadata={"doc": "configuration of the hub's dataset, where it has several"})
    columns: dict[str, Any] = field(
        default_factory=dict, metadata={"doc": "field -> column, or a list of columns; empty: each by its own name"}
    )
    constants: dict[str, Any] = field(
        default_factory=dict, metadata={"doc": "field -> its value in every row, for fields that are no column"}
    )
    images: Any = field(
        default="", metadata={"doc": "folder of the pictures, or split -> folder; empty: that of the table"}
    )
    splits: dict[str, Any] = field(
        default_factory=dict,
        metadata={
            "doc": "split -> its file or folder below path, or its value in the split's column, or a list of these"
        },
    )
    shares: dict[str, float] = field(
        default_factory=lambda: {"train": 0.7, "validation": 0.15, "test": 0.15},
        metadata={"doc": "share that each split gets of a table without splits"},
    )
    group: str = field(default="", metadata={"doc": "column whose equal values stay in one split"})
    gather: str = field(default="", metadata={"doc": "field that rows of one picture (or one id) gather into a list"})
    where: dict[str, Any] = field(
        default_factory=dict,
        metadata={"doc": "field -> words of which it must hold one; samples that hold none are skipped and counted"},
    )
    where_least: int = field(
        default=1, metadata={"doc": "of a field that is a list: how many of its values must hold a word", "low": 1}
    )
    limit: int = field(default=0, metadata={"doc": "rows read of each split, the first; 0 reads all", "low": 0})
    sample: int = field(default=0, metadata={"doc": "samples taken of each split, at random; 0 takes all", "low": 0})
    n_per_class: int = field(
        default=0, metadata={"doc": "training samples taken of each class, at random; 0 takes all", "low": 0}
    )
    train: str = field(default="train", metadata={"doc": "split of which n_per_class is taken: that of task.train"})
    class_column: str = field(default=CLASS, metadata={"doc": "column that holds the class, for n_per_class"})
    delimiter: str = field(default="", metadata={"doc": "of the cells of CSV; empty: as the header has it"})
    encoding: str = field(default="", metadata={"doc": "of text; empty: UTF-8"})
    seed: int = field(default=0, metadata={"doc": "seed of the splits, and of what is taken at random"})


def made(options: Options) -> dict[str, str]:
    """The table, or the dataset and its revision; the licence is not recorded."""
    source = f"{options.hub} at {options.revision}" if options.hub else options.path
    return {"source": source, "licence": "that of the data's owner"}


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The rows of each source in their order, as samples."""
    _check(options)
    require_variables({"path": options.path, "images": options.images})
    if options.n_per_class and options.train != complete.train:
        raise UserError(
            f"task.options.n_per_class: is taken of split '{options.train}', and the task trains on "
            f"'{complete.train}'; set task.options.train={complete.train}"
        )
    table = _Table(options, complete)
    chosen_ids = table.chosen(progress)
    written = 0
    for item in table.items(progress):
        if isinstance(item, Skipped):
            yield item
        elif chosen_ids is None or item.id in chosen_ids:
            paths: list[Path] = []
            try:
                for picture in item.images:
                    if isinstance(picture, bytes):
                        paths.append(write_image(picture, images / f"{written:06d}"))
                        written += 1
                    else:
                        paths.append(picture)
            except ValueError as error:
                yield Skipped(item.id, str(error))
                continue
            several = tuple(paths) if len(paths) > 1 else ()
            yield Sample(item.id, item.split, paths[0] if len(paths) == 1 else None, item.fields, several)


def _check(options: Options) -> None:
    for name, columns in options.columns.items():
        listed = isinstance(columns, list | tuple)
        if not (isinstance(columns, str) or (listed and columns and all(isinstance(c, str) for c in columns))):
            raise UserError(f"task.options.columns.{name}: expected a column or a list of columns, got {columns!r}")
        if name in RESERVED:
            raise UserError(f"task.options.columns.{name}: prepared data keeps a field of that name itself; rename it")
        if listed and name in ("id", "image", "split"):
            remedy = "; several pictures are `images`" if name == "image" else ""
            raise UserError(f"task.options.columns.{name}: takes one column, got {columns!r}{remedy}")
    if wrong := sorted(set(options.constants) & {*SPECIAL, *RESERVED, *options.columns}):
        raise UserError(f"task.options.constants: '{wrong[0]}' is no field that all rows can have alike; take it out")
    if {"image", "images"} <= set(options.columns):
        raise UserError("task.options.columns: give image (one picture) or images (several), not both")
    if options.gather in (*SPECIAL, *RESERVED):
        raise UserError(f"task.options.gather: '{options.gather}' can't be gathered; give a field of the kind")
    folders = options.images if isinstance(options.images, dict) else {"": options.images}
    if not all(isinstance(folder, str) for folder in folders.values()):
        raise UserError(f"task.options.images: expected a folder, or split -> folder, got {options.images!r}")
    check_shares(options.shares)


@dataclass(frozen=True)
class Item:
    """A row that became a sample; its images are paths, or bytes that are not written yet."""

    id: str
    split: str
    images: tuple[Path | bytes, ...]
    fields: dict[str, Any]
    label: str
    """Its class, where samples of classes are counted."""


@dataclass(frozen=True)
class _Place:
    """Where a row stands: its source with field -> column, and its number in its split, from 0."""

    source: Source
    columns: Mapping[str, Any]
    n: int


class _Table:
    """The sources of the options, which can be read repeatedly."""

    def __init__(self, options: Options, complete: Complete) -> None:
        self.options = options
        self.complete = complete
        self.tie = complete.group or "group"
        self.shares = check_shares(options.shares)
        self.sources = [(source, _mapping(options, source)) for source in sources(options)]
        self.split_names = {
            str(value): split
            for split, named in options.splits.items()
            for value in (named if isinstance(named, list | tuple) else [named])
        }
        self.where = where(options.where, options.where_least)
        self.lists = self._gathered() if options.gather else {}

    def chosen(self, progress: Progress) -> set[str] | None:
        """Ids of the samples that are taken at random; None takes all."""
        if not self.options.sample and not self.options.n_per_class:
            return None
        classes: dict[tuple[str, str], list[tuple[float, str]]] = {}
        for item in self.items(progress):
            if isinstance(item, Item):
                entry = fraction(self.options.seed, f"sample {item.id}"), item.id
                label = item.label if item.split == self.options.train else ""
                classes.setdefault((item.split, label), []).append(entry)
        splits: dict[str, list[tuple[float, str]]] = {}
        for (split, _), entries in classes.items():
            most = self.options.n_per_class if split == self.options.train else 0
            splits.setdefault(split, []).extend(_first(entries, most))
        return {name for entries in splits.values() for _, name in _first(entries, self.options.sample)}

    def items(self, progress: Progress) -> Iterator[Item | Skipped]:
        """Every row as an item, or as what can't be one with the reason; of rows that are gathered the first."""
        ids: Counter[str] = Counter()
        met: set[tuple[str, str]] = set()
        for place, row in self._rows(progress):
            if isinstance(row, Skipped):
                yield row
                continue
            try:
                fields = {**_fields(place.columns, row), **self.options.constants}
                if self.options.gather:
                    key = self._common(place, row)
                    if key in met:
                        continue
                    met.add(key)
                    fields[self.options.gather] = self.lists[key]
                if self.options.group:
                    fields.setdefault(self.tie, json_value(row.get(self.options.group)))
                completed = self.complete(fields)
                self.where.check(completed)
                yield self._item(place, row, completed, ids)
            except UnicodeError:
                yield Skipped(f"{place.source.name}, row {place.n + 1}", NO_VALUE)
            except ValueError as error:
                reason = str(error) if self.options.columns else _other_case(str(error), place.columns)
                yield Skipped(f"{place.source.name}, row {place.n + 1}", reason)

    def _item(self, place: _Place, row: Row, fields: dict[str, Any], ids: Counter[str]) -> Item:
        pictures = self._pictures(place, row)
        folder = self._folder(place, row)
        names = [_reference(picture, folder) for picture in pictures]
        raw_id = row.get(place.columns["id"]) if "id" in place.columns else None
        row_id = str(json_value(raw_id)) if raw_id not in (None, "") else ""
        tie = fields.get(self.tie)
        key = f"group {tie}" if tie not in (None, "") else " ".join(names) or row_id or _content(fields)
        split = self._split(place, row) or split_by_share(self.options.seed, key, self.shares)
        name = row_id
        if not row_id:
            name = names[0] if names and isinstance(pictures[0], Path) else f"{split}_{place.n:06d}"
            ids[name] += 1
            name += f"#{ids[name]}" if ids[name] > 1 else ""
        label = str(row.get(self.options.class_column)) if self.options.n_per_class else ""
        return Item(name, split, tuple(pictures), fields, label)

    def _rows(self, progress: Progress) -> Iterator[tuple[_Place, Row | Skipped]]:
        """The rows of all sources, at most ``limit`` of each split."""
        limit = self.options.limit
        read: Counter[str] = Counter()
        for source, columns in self.sources:
            total = min(filter(None, (source.total, limit)), default=0)
            for row in source.rows(self._wanted(columns)):
                if limit and read[source.split] >= limit:
                    break
                yield _Place(source, columns, read[source.split]), row
                read[source.split] += 1
                progress(f"reading {source.name}", read[source.split], total)

    def _wanted(self, columns: Mapping[str, Any]) -> list[str]:
        """The columns that are needed of a source."""
        named = [c for value in columns.values() for c in (value if isinstance(value, list | tuple) else [value])]
        option_columns = [self.options.group, self.options.class_column if self.options.n_per_class else ""]
        return list(dict.fromkeys(c for c in (*named, *option_columns) if c))

    def _split(self, place: _Place, row: Row) -> str:
        """The split of the row's source, or that the row names; empty where the shares choose it.

        Raises:
            ValueError: the row names none, or one that is not read.
        """
        if place.source.split or "split" not in place.columns:
            return place.source.split
        value = str(row.get(place.columns["split"]) or "").strip()
        if not value:
            raise ValueError("row names no split")
        if not self.options.splits:
            return canonical_split(value)
        if value not in self.split_names:
            raise ValueError("row of a split that task.options.splits does not name")
        return self.split_names[value]

    def _folder(self, place: _Place, row: Row) -> Path | None:
        """Where relative paths of a row's images start; None where they have no place."""
        image_root = self.options.images
        if isinstance(image_root, dict):
            image_root = image_root.get(self._split(place, row), "")
        return _absolute(image_root) if image_root else place.source.folder

    def _pictures(self, place: _Place, row: Row) -> list[Path | bytes]:
        """A row's images, in order.

        Raises:
            ValueError: one is lacking, or can't be one.
        """
        named = place.columns.get("images", place.columns.get("image"))
        if named is None:
            return []
        values = [row.get(c) for c in named] if isinstance(named, list | tuple) else row.get(named)
        values = list(values) if isinstance(values, list | tuple) else [values]
        folder = self._folder(place, row)
        return [_picture(value, folder) for value in values or [None]]

    def _common(self, place: _Place, row: Row) -> tuple[str, str]:
        """What rows have in common that are gathered: their split, and their images or else their id."""
        split, pictures = self._split(place, row), self._pictures(place, row)
        if pictures:
            return split, " ".join(_reference(p, None) if isinstance(p, bytes) else str(p) for p in pictures)
        if "id" not in place.columns:
            raise UserError("task.options.gather: rows are gathered by image or id; name one of them in columns")
        return split, str(row.get(place.columns["id"]))

    def _gathered(self) -> dict[tuple[str, str], list[Any]]:
        """The values of the gathered field, by what their rows have in common."""
        lists: dict[tuple[str, str], list[Any]] = {}
        for place, row in self._rows(lambda *_: None):
            if self.options.gather not in place.columns:
                fields = ", ".join(sorted(set(place.columns) - set(SPECIAL)))
                raise UserError(f"task.options.gather: no field '{self.options.gather}'; fields: {fields}")
            if isinstance(row, Skipped):
                continue
            try:
                values = lists.setdefault(self._common(place, row), [])
            except ValueError:
                continue  # skipped with its reason when the row is read as an item
            value = _field(place.columns[self.options.gather], row)
            values += [v for v in (value if isinstance(value, list) else [value]) if v not in (None, "")]
        return lists


def _mapping(options: Options, source: Source) -> dict[str, Any]:
    """Field -> column of a source, checked."""
    columns = dict(options.columns) or {c: c for c in source.columns if c not in RESERVED}
    if source.columns == ("image", CLASS):
        columns.setdefault("image", "image")  # of a folder of classes, the images are meant as well as the names
    named: dict[str, str] = {}
    for name, value in columns.items():
        for i, column in enumerate(value if isinstance(value, list | tuple) else [value]):
            named[f"columns.{name}" if isinstance(value, str) else f"columns.{name}[{i}]"] = column
    named |= {"group": options.group} if options.group else {}
    named |= {"class_column": options.class_column} if options.n_per_class else {}
    require_columns(named, source.columns)
    return columns


def _other_case(reason: str, columns: Mapping[str, Any]) -> str:
    """A reason such as ``no label``, and how a column is told that differs from the field in its letters' case."""
    if lacks := LACKS.fullmatch(reason):
        field_name = lacks[1]
        for column in columns:
            if column != field_name and column.lower() == field_name.lower():
                return f"{reason} (a column is called '{column}': task.options.columns.{field_name}={column})"
    return reason


def _fields(columns: Mapping[str, Any], row: Row) -> dict[str, Any]:
    return {name: _field(column, row) for name, column in columns.items() if name not in SPECIAL}


def _field(column: Any, row: Row) -> Any:
    if isinstance(column, str):
        return json_value(row.get(column))
    return [json_value(row[c]) for c in column if row.get(c) not in (None, "")]


def _picture(value: Any, folder: Path | None) -> Path | bytes:
    """An image as a table has it: its bytes, or where it lies.

    Raises:
        ValueError: there is none, or it is not here.
    """
    if isinstance(value, dict):  # as the datasets library stores it
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) and value:
        return value
    text = str(value).strip() if isinstance(value, str | int) else ""
    if not text:
        raise ValueError("no image")
    if LINK.match(text):
        raise ValueError("image is a link, which is not fetched")
    if DRIVE.match(text):
        raise ValueError(
            "image is a path of Windows with a drive, which is not here; write paths relative to the table, or to the "
            "folder that task.options.images names"
        )
    path = Path(text)
    if folder is None and not path.is_absolute():
        raise ValueError("image is missing")
    if "\\" in text and not (folder / path if folder else path).exists():
        path = Path(text.replace("\\", "/"))  # as Windows parts folders; a backslash may be part of a name here
    # Without its `..`, so that one file has one name; links are left as they are.
    return Path(os.path.normpath(folder / path if folder else path))


def _reference(picture: Path | bytes, folder: Path | None) -> str:
    """What a picture is called on every machine: its path below the folder, else its name; of bytes their digest."""
    if isinstance(picture, bytes):
        return hashlib.sha256(picture).hexdigest()
    return picture.relative_to(folder).as_posix() if folder and picture.is_relative_to(folder) else picture.name


_absolute = functools.cache(absolute)  # called for every row


def _content(fields: Mapping[str, Any]) -> str:
    """The id of a record without a picture or a name."""
    try:
        return digest(fields)
    except (TypeError, ValueError):
        raise ValueError(NO_VALUE) from None


def _first(entries: list[tuple[float, str]], most: int) -> list[tuple[float, str]]:
    return heapq.nsmallest(most, entries) if most else entries
