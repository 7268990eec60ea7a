"""Where rows come from: files, folders of files, folders of classes, and datasets of the Hugging Face library."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.data.folders import HIDDEN, files_below
from paceline.data.images import SUFFIXES
from paceline.data.readers import Skipped, absolute, fraction, hf_datasets
from paceline.data.readers.table.rows import FORMATS, Rows, format_of, open_file
from paceline.errors import DataError, UserError, nearest

if TYPE_CHECKING:
    from paceline.data.readers.table import Options

ALIASES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Split -> what others call it, in any case."""
CLASS = "class"
"""Column of a folder of classes that holds the name of the class's folder."""
SHARD = re.compile(r"-\d+-of-\d+$")
"""End of the name of one file of several, such as ``train-00000-of-00004``."""


@dataclass(frozen=True)
class Source:
    """Rows that lie together.

    Attributes:
        split: of all its rows; empty where a column names it, or the shares choose it.
        name: for messages.
        folder: where relative paths of images start; None where rows have none.
        columns: those that a row may have.
        rows: its rows from the first on, with at least the requested columns; empty requests all.
        total: rows, where that is known, else 0.
    """

    split: str
    name: str
    folder: Path | None
    columns: tuple[str, ...]
    rows: Callable[[Sequence[str]], Rows]
    total: int = 0


def canonical_split(name: str) -> str:
    """The split that a name stands for: one of the three where it is an alias, else the name itself."""
    return next((split for split, others in ALIASES.items() if name.lower() in others), name)


def sources(options: Options) -> list[Source]:
    """What the options name, in the order in which it is read.

    Raises:
        UserError: options that contradict each other, or name nothing.
        DataError: a file or folder is missing, or holds nothing that can be read.
    """
    if options.hub:
        if options.path:
            raise UserError(f"task.options: give path or hub, not both ({options.path}; {options.hub})")
        return _hub(options)
    if not options.path:
        raise UserError(
            "task.options.path is not set; give a table, a folder of tables or a folder of classes: "
            "task.options.path=PATH"
        )
    path = absolute(options.path)
    if not path.is_dir():
        _refuse_splits(path, options)
        return [_file(file, "", options) for file in files(path, "task.options.path")]
    form = options.format or _folder_format(path, options)
    if form == "saved":
        return _saved(path, options)
    if form == "classes":
        return _classes(path, options)
    return _tables(path, options)


def _refuse_splits(path: Path, options: Options) -> None:
    """Refuse names of splits for one table that has no column of them."""
    if options.splits and "split" not in options.columns:
        raise UserError(
            f"task.options.splits: {path.name} is one table; name the column that tells its splits: "
            "columns: {split: COLUMN}, or give the folder of the tables as path"
        )


def files(pattern: Path, option: str) -> list[Path]:
    """The files that a path or a pattern with ``*`` names, sorted; those of a folder without its subfolders.

    Raises:
        DataError: there are none.
    """
    if pattern.is_dir():
        matches = [p for p in pattern.iterdir() if format_of(p)]
    elif pattern.exists():
        matches = [pattern]
    else:
        matches = list(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    chosen = sorted(p for p in matches if p.is_file() and not p.name.startswith("."))
    if not chosen:
        beside = [p.name for p in pattern.parent.iterdir()] if pattern.parent.is_dir() else []
        raise DataError(f"{option}: no file {pattern}: {nearest(pattern.name, beside)}")
    return chosen


def _file(path: Path, split: str, options: Options) -> Source:
    form = options.format or format_of(path)
    if form not in FORMATS.values():
        raise UserError(
            f"task.options.format: what {path.name} holds is not told by its name; give one of "
            f"{', '.join(dict.fromkeys(FORMATS.values()))}"
        )
    file = open_file(path, form, options.delimiter, options.encoding)
    return Source(split, path.name, path.parent, file.columns, file.rows)


def _folder_format(folder: Path, options: Options) -> str:
    named = [value for v in options.splits.values() for value in (v if isinstance(v, list | tuple) else [v])]
    if any(format_of(Path(str(value))) for value in named):
        return "tables"
    if any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return "saved"
    return "tables" if any(format_of(p) and p.is_file() for p in folder.iterdir()) else "classes"


def _tables(folder: Path, options: Options) -> list[Source]:
    """The tables of a folder: as ``splits`` names them, else one for each split, by their names."""
    if options.splits and "split" not in options.columns:
        tables = []
        for split, named in options.splits.items():
            for pattern in named if isinstance(named, list | tuple) else [named]:
                place = folder / Path(str(pattern)).expanduser()
                tables += [_file(path, split, options) for path in files(place, f"task.options.splits.{split}")]
        return tables
    paths = files(folder, "task.options.path")
    named_splits = {path: canonical_split(SHARD.sub("", path.stem)) for path in paths}
    split_paths = [path for path, split in named_splits.items() if split in ALIASES]
    if split_paths and len(split_paths) < len(paths) and "split" not in options.columns:
        others = ", ".join(p.name for p in paths if p not in split_paths)
        raise DataError(
            f"task.options.path: {folder} holds tables of splits ({', '.join(p.name for p in split_paths)}) beside "
            f"others ({others}); name those to read: splits: {{train: {split_paths[0].name}, …}}"
        )
    by_name = bool(split_paths) and "split" not in options.columns
    return [_file(path, named_splits[path] if by_name else "", options) for path in paths]


# Folders of classes


def _classes(folder: Path, options: Options) -> list[Source]:
    """A folder for each class; above them a folder for each split, or none."""
    below = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if options.splits:
        split_folders = {}
        for split, name in options.splits.items():
            if not (folder / str(name)).is_dir():
                raise DataError(
                    f"task.options.splits.{split}: no folder '{name}' in {folder}: "
                    f"{nearest(str(name), [p.name for p in below])}"
                )
            split_folders[split] = folder / str(name)
    else:
        split_folders = {canonical_split(p.name): p for p in below if canonical_split(p.name) in ALIASES}
        others = [p.name for p in below if canonical_split(p.name) not in ALIASES]
        if split_folders and others:
            named = ", ".join(p.name for p in split_folders.values())
            raise DataError(
                f"task.options.path: {folder} holds folders of splits ({named}) "
                f"beside others ({', '.join(others[:5])}); name the splits: splits: {{train: FOLDER, …}}"
            )
    class_sources = [
        _class_source(folder, place, split, options.seed) for split, place in (split_folders or {"": folder}).items()
    ]
    if split_folders:
        beside = [p.name for p in sorted(folder.iterdir()) if not p.is_dir()]
        first = class_sources[0]

        def rows(column_names: Sequence[str]) -> Rows:
            yield from first.rows(column_names)
            yield from (Skipped(name, "file in no folder of a split") for name in beside)

        class_sources[0] = replace(first, rows=rows)
    if not any(source.total for source in class_sources):
        raise DataError(
            f"task.options.path: {folder} holds no table ({', '.join(FORMATS)}), and no image in a folder of a class"
            + _tables_below(below)
        )
    return class_sources


def _tables_below(folders: Sequence[Path]) -> str:
    """Which tables the folders hold, and how they are named: such as ``train/metadata.csv``."""
    tables = [p for place in folders for p in sorted(place.iterdir()) if p.is_file() and format_of(p)]
    if not tables:
        return ""
    place = tables[0].parent
    if all(p.parent == place for p in tables):
        return f"; its folder '{place.name}' holds tables: task.options.path={place}"
    named = ", ".join(f"{canonical_split(p.parent.name)}: {p.parent.name}/{p.name}" for p in tables[:3])
    return f"; its folders hold tables: splits: {{{named}}}"


def _class_source(root: Path, folder: Path, split: str, seed: int) -> Source:
    rows: list[tuple[str, str]] = []
    paths, others = files_below(folder, SUFFIXES)
    passed = [Skipped((folder / item.record).relative_to(root).as_posix(), item.reason) for item in others]
    for path in paths:
        parts, name = path.relative_to(folder).parts, path.relative_to(root).as_posix()
        if (stored := name.encode("utf-8", "backslashreplace").decode()) != name:
            passed.append(Skipped(stored, "name is no UTF-8"))
        elif any(part.startswith(".") for part in parts):
            passed.append(Skipped(name, HIDDEN))
        elif len(parts) > 1:
            rows.append((name, parts[0]))
        else:
            passed.append(Skipped(name, "image in no folder of a class"))
    shown = {label for _, label in rows}
    for place in sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and p.name[0] != "."):
        if place.name not in shown:
            passed.append(Skipped(place.relative_to(root).as_posix(), "folder of a class without an image"))
    # Class by class, the first hundred samples would show one class.
    rows.sort(key=lambda row: fraction(seed, f"order {row[0]}"))

    def read(column_names: Sequence[str]) -> Rows:
        yield from ({"image": name, CLASS: label} for name, label in rows)
        yield from passed

    return Source(split, split or folder.name, root, ("image", CLASS), read, len(rows))


# Datasets of the library


def _hub(options: Options) -> list[Source]:
    return [_library(options, split, None, options.splits) for split in options.splits or [""]]


def _saved(folder: Path, options: Options) -> list[Source]:
    """A folder written by ``save_to_disk``: one dataset, or one for each split."""
    names = options.splits
    if not (folder / "dataset_dict.json").is_file():
        _refuse_splits(folder, options)
        names = {"": ""}
    elif not names:
        try:
            split_names = json.loads((folder / "dataset_dict.json").read_bytes())["splits"]
        except (ValueError, LookupError, TypeError):
            raise DataError(f"task.options.path: {folder / 'dataset_dict.json'} is damaged") from None
        names = {canonical_split(name): name for name in split_names}
    return [_library(options, split, folder, names) for split in names]


def _library(options: Options, split: str, folder: Path | None, names: Mapping[str, Any]) -> Source:
    """One split of a dataset in a folder, or of the hub's; ``names`` maps to the dataset's names of its splits."""
    reader_options = hf_datasets.Options(
        hub=options.hub,
        folder=str(folder or ""),
        revision=options.revision,
        config=options.config,
        splits={k: str(v) for k, v in names.items()},
        streaming=bool(options.hub and options.limit),
        limit_rows=options.limit,
    )
    hf_datasets.check(reader_options)
    data = hf_datasets.open_split(reader_options, split)
    columns = tuple(hf_datasets.column_names(data, reader_options))

    def rows(column_names: Sequence[str]) -> Iterator[Any]:
        kept = data.select_columns(list(column_names)) if column_names else data
        yield from hf_datasets.iterate(kept, reader_options)

    return Source(split, split or "dataset", folder, columns, rows, 0 if reader_options.streaming else len(data))
