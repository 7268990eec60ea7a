"""A sheet of answers to be marked, as ``paceline marks SWEEP --out sheet.csv`` writes it, for a judge that is a model.

Each row is a sample: its pictures, the question, the answer and the right answer. Where people filled the sheet in,
their marks come along, and the judge is held to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from paceline.data.readers import Complete, Progress, Sample, Skipped, absolute, require_variables
from paceline.errors import UserError
from paceline.store.spreadsheet import plain, read_lines

PATHS = ("path",)
ANY_KIND = True
NEEDED = ("key", "picture", "question", "answer", "references")


@dataclass(frozen=True)
class Options:
    """Which sheet to read."""

    path: str = field(default="", metadata={"doc": "the sheet, a CSV file: paceline marks SWEEP --references --out"})


def made(options: Options) -> dict[str, str]:
    """The user's sheet; its licence is not recorded."""
    return {"source": options.path, "licence": "that of the pictures' owner; they are not copied"}


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The rows of a sheet in their order; all are of the split ``test``.

    Raises:
        UserError: no file was named, or it is no sheet, or one without the right answers.
    """
    require_variables({"path": options.path})
    if not options.path:
        raise UserError("task.options.path is not set; give a sheet: paceline marks SWEEP --references --out FILE.csv")
    path = absolute(options.path)
    _, lines = read_lines(path, NEEDED)
    keys: set[str] = set()
    for number, line in enumerate(lines, 1):
        cells = {name: plain(text.strip()) for name, text in line.cells.items()}
        key = cells.pop("key")
        if not key or key in keys:
            yield Skipped(f"row {line.number}", "no key" if not key else "a key that an earlier row has")
            continue
        keys.add(key)
        paths = [Path(one) for one in cells.pop("picture").splitlines() if one]
        paths = [one if one.is_absolute() else path.parent / one for one in paths]
        try:
            fields = complete(cells)
        except ValueError as error:
            yield Skipped(f"row {line.number}", str(error))
            continue
        shown = {"image": paths[0]} if len(paths) == 1 else {"images": tuple(paths)} if paths else {}
        yield Sample(key, "test", fields=fields, **shown)  # type: ignore[arg-type]
        progress("reading the sheet", number, len(lines))
