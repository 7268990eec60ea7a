"""What is kept of marks: ``cells/<id>/marks/<marker>.csv``, one line for each answer that the marker marked.

A line names the sample, the part, and the digest of the answer's text, so that a mark is known to be of an older
answer once the cell has another.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paceline.errors import UserError
from paceline.store.cell_folder import CellFolder
from paceline.store.files import write_bytes
from paceline.store.spreadsheet import csv_bytes, plain, read_lines
from paceline.tasks.kind import Criterion

KEY = ("sample", "part", "answer")
NOTE = "note"
YES = ("yes", "y", "1", "x", "true")
NO = ("no", "n", "0", "false")
LONGEST_NAME = 200
"""Bytes of a marker's name: a file's has at most 255, with its suffix."""
_MARKER = re.compile(r"\w[\w.-]{0,63}")

Key = tuple[str, str, str]
"""Sample, part, and digest of the answer."""
Verdict = bool | str
"""Yes or no; the name of a choice."""


@dataclass(frozen=True)
class Mark:
    """What one marker says of one answer."""

    values: Mapping[str, Verdict]
    """Criterion -> whether it holds, or which choice it is; those that are not marked are not there."""
    note: str = ""


def answer_digest(text: str) -> str:
    """What a mark knows an answer by: 16 hex digits over its text, without the white space around it."""
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()[:16]


def check_marker(name: str) -> str:
    """A marker's name, which becomes a file's; an accent that stands by itself is joined to its letter.

    Raises:
        UserError: it is no safe name of a file.
    """
    name = unicodedata.normalize("NFC", name)
    if not _MARKER.fullmatch(name) or name.endswith(".") or len(name.encode()) > LONGEST_NAME:
        raise UserError(
            f"marker '{name}': use letters, digits, dots, dashes and underscores, at most 64, a letter first"
        )
    return name


def verdict(text: str, criterion: Criterion) -> Verdict | None:
    """A cell of a criterion's column: yes, no, or the name of a choice; None where it is empty.

    Raises:
        ValueError: it is something else.
    """
    word = plain(text.strip()).strip().lower()
    if criterion.choices:
        names = {name.lower(): name for name in criterion.choices}
        if word and word not in names:
            raise ValueError(f"'{text.strip()[:40]}' is none of {', '.join(criterion.choices)}, nor empty")
        return names.get(word)
    if word in YES or word in NO:
        return word in YES
    if word:
        raise ValueError(f"'{text.strip()[:40]}' is neither yes (1, x) nor no (0) nor empty")
    return None


def path_of(folder: CellFolder, marker: str) -> Path:
    """Where the marks of a marker lie, there or not."""
    return folder.marks / f"{marker}.csv"


def read(path: Path, criteria: Sequence[Criterion]) -> dict[Key, Mark]:
    """The marks of a file; none where there is no file.

    Args:
        path: of the file.
        criteria: those of the kind. What is marked by another, which the kind no longer has, is kept as it stands.

    Raises:
        UserError: it is damaged, with the row.
    """
    if not path.exists():
        return {}
    header, lines = read_lines(path, KEY)
    known = {criterion.name: criterion for criterion in criteria}
    columns = [name for name in header if name and name not in (*KEY, NOTE)]
    marks = {}
    for line in lines:
        values: dict[str, Verdict] = {}
        for name in columns:
            try:
                value = verdict(line.cells[name], known[name]) if name in known else plain(line.cells[name]) or None
            except ValueError as error:
                raise UserError(f"{path}: row {line.number}, {name}: {error}") from None
            if value is not None:
                values[name] = value
        sample, part, answer = (plain(line.cells[name]) for name in KEY)
        marks[sample, part, answer] = Mark(values, plain(line.cells.get(NOTE, "")))
    return marks


def merged(before: Mapping[Key, Mark], new: Mapping[Key, Mark]) -> dict[Key, Mark]:
    """Earlier marks with new ones: a new mark replaces an earlier one, and an empty cell takes none back."""
    together = dict(before)
    for key, mark in new.items():
        old = together.get(key, Mark({}))
        together[key] = Mark({**old.values, **mark.values}, mark.note or old.note)
    return together


def write(path: Path, marks: Mapping[Key, Mark], criteria: Iterable[str]) -> None:
    """Replace the file of a marker, whole or not at all.

    Args:
        path: of the file.
        marks: what it is to hold; those of criteria that the kind no longer has are kept behind the others.
        criteria: the criteria of the kind, in their order.
    """
    names = list(dict.fromkeys([*criteria, *(name for mark in marks.values() for name in mark.values)]))
    rows = [[*key, *(word(mark.values.get(name)) for name in names), mark.note] for key, mark in marks.items()]
    write_bytes(path, csv_bytes([*KEY, *names, NOTE], rows))


def word(value: Verdict | None) -> str:
    """A mark as it is written; empty where there is none."""
    return (value or "") if isinstance(value, str | None) else "yes" if value else "no"
