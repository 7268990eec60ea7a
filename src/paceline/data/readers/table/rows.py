"""The rows of a table's file: CSV, JSON, JSON lines, Parquet or captions of Flickr, one at a time where they can be.

A row that can't be read is a :class:`Skipped` with a countable reason, and the rows after it are read; a file that
can't be read raises.
"""

from __future__ import annotations

import csv
import datetime
import decimal
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from paceline.data.readers import Skipped
from paceline.errors import DataError, UserError

Row = dict[str, Any]
Rows = Iterator[Row | Skipped]

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".token": "token",
}
"""Suffix of a file -> its format."""
DELIMITERS = "\t|;,"
LOOKED_AT = 100  # rows of JSON whose keys are taken for the columns
BATCH = 64  # rows of Parquet held at once: with images inside, some hundred kilobytes each
LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit of 131,072 is too low for documents


@dataclass(frozen=True)
class File:
    """One file of rows.

    Attributes:
        columns: those that a row may have.
        rows: the rows from the first on, with at least the requested columns; empty requests all.
    """

    columns: tuple[str, ...]
    rows: Callable[[Sequence[str]], Rows]


def format_of(path: Path) -> str:
    """The format of a file by its suffix; empty where the suffix is not known."""
    return FORMATS.get(path.suffix.lower(), "")


def open_file(path: Path, form: str, delimiter: str = "", encoding: str = "") -> File:
    """A file whose columns are known, and whose rows can be read any number of times.

    Args:
        path: the file.
        form: ``csv``, ``json``, ``jsonl``, ``parquet`` or ``token``.
        delimiter: of the cells of CSV; empty takes the one that the header has most of.
        encoding: of text; empty: UTF-8, or UTF-16 where the file begins with its mark.

    Raises:
        DataError: the file is missing, empty or not of that format.
        UserError: no such encoding.
    """
    try:
        if form == "parquet":
            return _parquet(path)
        if form == "csv":
            return _csv(path, delimiter, encoding)
        if form == "token":
            return _token(path, encoding)
        return _json(path, form, encoding)
    except OSError as error:
        raise DataError(f"task.options.path: can't read {path}: {error.strerror or error}") from None
    except LookupError:
        raise UserError(f"task.options.encoding: no encoding '{encoding}'; give for example cp1252") from None


def _text(path: Path, encoding: str) -> IO[str]:
    """The file as text; bytes that are invalid in the encoding become lone surrogates, so that a row alone is lost."""
    if not encoding:
        with path.open("rb") as stream:
            begin = stream.read(LOOKED_AT)
        encoding = "utf-16" if begin[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        if encoding != "utf-16" and 3 * begin.count(0) > len(begin):
            guess = "utf-16-be" if begin[:1] == b"\0" else "utf-16-le"
            raise DataError(
                f"task.options.path: {path} holds zero bytes: UTF-16 without its mark, or no text; if it is UTF-16, "
                f"give task.options.encoding={guess}"
            )
    return path.open(encoding=encoding, errors="surrogateescape", newline="")


def _is_text(text: str) -> bool:
    """Whether every character was decoded."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


NO_TEXT = "row is not in the encoding of the file"


# CSV


def _csv(path: Path, delimiter: str, encoding: str) -> File:
    with _text(path, encoding) as stream:
        first = stream.readline()
        if not delimiter:
            delimiter = max(DELIMITERS, key=first.count) if any(d in first for d in DELIMITERS) else ","
        stream.seek(0)
        header = _header(path, _reader(stream, delimiter))
    columns = tuple(name for name in header if name)

    def rows(column_names: Sequence[str]) -> Rows:
        with _text(path, encoding) as stream:
            reader = _reader(stream, delimiter)
            next(reader)
            yield from _csv_rows(path.name, reader, header)

    return File(columns, rows)


def _reader(stream: IO[str], delimiter: str) -> Any:
    csv.field_size_limit(LONGEST_CELL)
    if len(delimiter) != 1:
        raise UserError(f"task.options.delimiter: one character, not '{delimiter}'; a tab is written \"\\t\"")
    # Who parts cells by bars does not quote them: there a quote is a character of its text.
    return csv.reader(
        stream,
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if delimiter == "|" else csv.QUOTE_MINIMAL,
        skipinitialspace=True,
        strict=True,
    )


def _header(path: Path, reader: Any) -> list[str]:
    """The names of the columns; empty for one without a name, such as the row numbers that pandas writes."""
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"{path}: its first line is no header ({error}); name the columns in it") from None
    if not any(header):
        raise DataError(f"{path}: its first line must name the columns, and is empty")
    if not all(map(_is_text, header)):
        raise DataError(f"{path}: its header is not UTF-8; give task.options.encoding, for example cp1252")
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise DataError(f"{path}: two columns are called '{twice[0]}'; rename one")
    return header


def _csv_rows(name: str, reader: Any, header: Sequence[str]) -> Rows:
    while True:
        begins = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Skipped(f"{name}:{begins}", "row is no CSV", f"up to line {reader.line_num}: {error}")
            continue
        if not cells:
            continue
        if len(cells) != len(header):
            few = "fewer" if len(cells) < len(header) else "more"
            detail = f"{len(cells)} of {len(header)}"
            yield Skipped(f"{name}:{begins}", f"row has {few} cells than the header", detail)
        elif not all(map(_is_text, cells)):
            yield Skipped(f"{name}:{begins}", NO_TEXT)
        else:
            yield {column: cell for column, cell in zip(header, cells, strict=True) if column}


# Captions of Flickr: a line each, ``1000092795.jpg#0``, a tab, the caption


def _token(path: Path, encoding: str) -> File:
    def rows(column_names: Sequence[str]) -> Rows:
        with _text(path, encoding) as stream:
            for n, line in enumerate(stream, 1):
                name, tab, caption = line.rstrip("\r\n").partition("\t")
                image, mark, number = name.rpartition("#")
                if not line.strip():
                    continue
                if not _is_text(line):
                    yield Skipped(f"{path.name}:{n}", NO_TEXT)
                elif not (tab and mark and image and number.strip().isdecimal()):
                    yield Skipped(f"{path.name}:{n}", "line is no caption of a numbered picture")
                else:
                    yield {"image": image, "number": int(number), "caption": caption.strip()}

    if not any(isinstance(row, dict) for row in itertools.islice(rows(()), LOOKED_AT)):
        raise DataError(f"{path}: its first lines are no captions, such as: 1000092795.jpg#0, a tab, the caption")
    return File(("image", "number", "caption"), rows)


# JSON


def _json(path: Path, form: str, encoding: str) -> File:
    def lines(column_names: Sequence[str]) -> Rows:
        with _text(path, encoding) as stream:
            yield from _json_lines(path.name, stream)

    if form == "jsonl":
        return File(_keys(path, lines(())), lines)
    with _text(path, encoding) as stream:
        text = stream.read()
    if not _is_text(text):
        raise DataError(f"{path}: is not UTF-8; give task.options.encoding, for example cp1252")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Many write JSON lines under the suffix of JSON.
        if _is_object(text.partition("\n")[0]):
            return File(_keys(path, lines(())), lines)
        raise DataError(f"{path}: is no JSON ({' '.join(str(error).split())[:100]})") from None
    records = _records(path, whole)
    return File(_keys(path, iter(records)), lambda column_names: iter(records))


def _json_lines(name: str, stream: IO[str]) -> Rows:
    for n, line in enumerate(stream, 1):
        if not line.strip():
            continue
        if not _is_text(line):
            yield Skipped(f"{name}:{n}", NO_TEXT)
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Skipped(f"{name}:{n}", "line is no JSON", " ".join(str(error).split())[:100])
            continue
        yield row if isinstance(row, dict) else Skipped(f"{name}:{n}", "line is no JSON object")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _keys(path: Path, rows: Rows) -> tuple[str, ...]:
    """The keys of the first records, in their order."""
    keys: dict[str, None] = {}
    for row in itertools.islice((r for r in rows if isinstance(r, dict)), LOOKED_AT):
        keys |= dict.fromkeys(row)
    if not keys:
        raise DataError(f"{path}: holds no JSON object with a key; give records, one a line or in one list")
    return tuple(keys)


def _records(path: Path, whole: Any) -> list[Row | Skipped]:
    """The records of a JSON file: a list, the one list of an object, or annotations as COCO has them."""
    if isinstance(whole, dict):
        lists = {key: value for key, value in whole.items() if isinstance(value, list) and _holds_objects(value)}
        if {"images", "annotations"} <= set(lists):
            return _coco(lists)
        if len(lists) != 1:
            names = f"its lists of records are {', '.join(map(repr, lists))}" if lists else "it has none"
            raise DataError(f"{path}: a JSON object with one list of records is read, and {names}")
        (whole,) = lists.values()
    if not isinstance(whole, list):
        raise DataError(f"{path}: holds no list of records")
    return [
        _with_sentences(row) if isinstance(row, dict) else Skipped(f"{path.name}:{n}", "record is no JSON object")
        for n, row in enumerate(whole, 1)
    ]


def _holds_objects(values: Sequence[Any]) -> bool:
    return any(isinstance(value, dict) for value in values)


def _with_sentences(row: Row) -> Row:
    """A record of Karpathy's splits with its captions as texts, and its image with its folder; others as they are."""
    sentences = row.get("sentences")
    if not isinstance(sentences, list) or not isinstance(row.get("filename"), str):
        return row
    raw = [sentence.get("raw") for sentence in sentences if isinstance(sentence, dict)]
    image = "/".join(filter(None, (str(row.get("filepath") or ""), row["filename"])))
    return {"image": image, "captions": [text for text in raw if isinstance(text, str)], **row}


def _coco(lists: Mapping[str, Sequence[Any]]) -> list[Row | Skipped]:
    """One record an annotation, with the keys of its image and the name of its category."""
    listed = [row for row in lists["images"] if isinstance(row, dict)]
    images = {str(row.get("id")): row for row in listed}
    times = Counter(str(row.get("id")) for row in listed)
    categories = {str(row.get("id")): row.get("name") for row in lists.get("categories", ()) if isinstance(row, dict)}
    records: list[Row | Skipped] = []
    for n, row in enumerate(lists["annotations"], 1):
        image = images.get(str(row.get("image_id"))) if isinstance(row, dict) else None
        if image is None:
            records.append(Skipped(f"annotation {n}", "annotation of an image that is not listed"))
            continue
        if times[str(image.get("id"))] > 1:
            records.append(Skipped(f"annotation {n}", "annotation of an image whose id is listed twice"))
            continue
        name = {"category": categories.get(str(row.get("category_id")))} if categories else {}
        records.append({**image, **name, **row})
    annotated = {str(row.get("image_id")) for row in lists["annotations"] if isinstance(row, dict)}
    records += [Skipped(f"image {name}", "image without an annotation") for name in images if name not in annotated]
    return records


# Parquet


def _parquet(path: Path) -> File:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns = tuple(file.schema_arrow.names)
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: is no Parquet file ({' '.join(str(error).split())[:100]})") from None

    def rows(column_names: Sequence[str]) -> Rows:
        try:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH, columns=list(column_names) or None):
                    yield from batch.to_pylist()
        except pyarrow.ArrowException as error:
            raise DataError(f"{path}: is damaged ({' '.join(str(error).split())[:100]})") from None

    return File(columns, rows)


def json_value(value: Any) -> Any:
    """A value of a row as JSON has it: dates as ISO 8601, decimal numbers as floats."""
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, list | tuple):
        return [json_value(v) for v in value]
    if isinstance(value, dict):
        return {str(k): json_value(v) for k, v in value.items()}
    return value.item() if hasattr(value, "item") else value
