"""CSV that passes through spreadsheet programs: safe on the way out, and read in any form that they save it in."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paceline.errors import UserError

FORMULA = "=+-@＝＋－＠"
"""A cell that begins so is a formula to a spreadsheet program, which runs it."""
MARK = "'"
LONGEST = 30_000  # characters of a cell: a spreadsheet program cuts off what is above 32,767
SEPARATORS = ",;\t"
REMEDY = "save it as 'CSV UTF-8'"
_DECLARED = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


def safe(text: str) -> str:
    """A text as no spreadsheet program runs it: with an apostrophe before what would be a formula."""
    text = text.encode("utf-8", "replace").decode()
    return MARK + text if text.lstrip()[:1] in tuple(FORMULA) or text[:1] in ("\t", "\r", "\n", MARK) else text


def plain(text: str) -> str:
    """What :func:`safe` was given, but for surrogates that UTF-8 can't hold."""
    return text.removeprefix(MARK)


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A table as CSV: every cell safe and in quotes, UTF-8 with the mark by which spreadsheet programs know it."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([safe(cell) for cell in row] for row in rows)
    return stream.getvalue().encode("utf-8-sig")


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    number: int
    """As a spreadsheet program numbers it: the header is 1."""
    cells: Mapping[str, str]
    """By the names of the columns."""


def read_lines(path: Path, needed: Sequence[str]) -> tuple[list[str], list[Line]]:
    """The columns and the rows of a CSV file with a header, separated by commas, semicolons or tabs.

    Args:
        path: the file.
        needed: columns without which it is another file.

    Raises:
        UserError: it is missing, no UTF-8, no CSV, lacks a column, or a row is longer than the header; with the remedy.
    """
    text = _text(path)
    if declared := _DECLARED.match(text):
        text = text[declared.end() :]
    first = text.partition("\n")[0]
    separators = [declared[1]] if declared else sorted(SEPARATORS, key=first.count, reverse=True)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separators[0], strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: no CSV: {error}; {REMEDY}, or write the sheet anew") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if lacking := [name for name in needed if name not in header]:
        known = ", ".join(filter(None, header))[:200] or "none"
        raise UserError(f"{path}: no column '{lacking[0]}' in its first row (columns: {known}); is it the sheet?")
    if twice := [name for name in dict.fromkeys(header) if name and header.count(name) > 1]:
        raise UserError(f"{path}: the column '{twice[0]}' stands twice; keep one")
    lines = []
    for number, row in enumerate(rows[1:], 2):
        if any(cell.strip() for cell in row[len(header) :]):
            raise UserError(f"{path}: row {number} has more cells than the header; write the sheet anew")
        cells = dict(zip(header, [*row, *[""] * len(header)], strict=False))
        if any(cell.strip() for cell in cells.values()):
            lines.append(Line(number, cells))
    return header, lines


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from None
    if content.startswith(b"PK\x03\x04") or content.startswith(b"\xd0\xcf\x11\xe0"):
        raise UserError(f"{path} is a workbook of a spreadsheet program, no CSV; {REMEDY}")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:4]:
        raise UserError(f"{path} is UTF-16 text; {REMEDY}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path} is no UTF-8 text (line {line}); {REMEDY}") from None
    if text.lstrip()[:1] == "<":
        raise UserError(f"{path} is a page, no CSV; open it in a browser, mark, and give the file that it saves")
    return text
