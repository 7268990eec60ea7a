"""A table of right answers: which document, which question, and what is right."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from paceline.data.readers import absolute, require_columns
from paceline.errors import DataError

COLUMNS = ("document", "question", "answer")


def read_truths(path: str, questions: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, list[str]]]:
    """Document -> name of a question -> right answers, in the order of the table.

    Args:
        path: CSV with a header, or JSON lines, with ``document`` (as a sample is named: the file below the folder),
            ``question`` (its name, or its words) and ``answer``; several rows may answer one question.
        questions: name -> its ``question``.

    Raises:
        DataError: no such file, columns that are missing, or a question that is not asked.
    """
    file = absolute(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"task.options.truths: {file} can't be read ({error}); give a CSV file or JSON lines") from None
    rows = list(_rows(text, file))
    require_columns({f"truths ({name})": name for name in COLUMNS}, rows[0] if rows else [])
    names = {one["question"].strip().lower(): name for name, one in questions.items()} | {
        n.lower(): n for n in questions
    }
    found: dict[str, dict[str, list[str]]] = {}
    for number, row in enumerate(rows, 1):
        document, asked, answer = (str(row.get(name) or "").strip() for name in COLUMNS)
        if not document or not answer:
            continue
        if (name := names.get(asked.lower())) is None:
            raise DataError(
                f"task.options.truths: row {number} of {file} gives a truth of '{asked}', which is not asked; there is "
                f"{', '.join(questions)}"
            )
        found.setdefault(document, {}).setdefault(name, []).append(answer)
    return found


def _rows(text: str, file: Path) -> Iterable[dict[str, Any]]:
    if file.suffix.lower() == ".csv":
        try:
            yield from csv.DictReader(io.StringIO(text, newline=""))
        except csv.Error as error:
            raise DataError(f"task.options.truths: {file} is no CSV: {error}") from None
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                raise DataError(f"task.options.truths: line {number} of {file} is no JSON object")
            yield row
