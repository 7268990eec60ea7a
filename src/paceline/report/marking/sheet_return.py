"""A sheet that comes back: checked as a whole, and then kept beside the answers that it marks."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paceline.counted import counted
from paceline.errors import UserError
from paceline.report.marking import mark_files
from paceline.report.marking.answer_sheet import KEY, answers_of, question_key, row_key, shown
from paceline.report.marking.mark_files import Key, Mark
from paceline.report.read.sweep_results import Group, Report, Row
from paceline.store.spreadsheet import LONGEST, Line, plain, read_lines
from paceline.tasks.kind import Criterion

MOST_TOLD = 8  # problems that one message names


@dataclass(frozen=True)
class Known:
    """The answer that a key stands for."""

    task: str
    answer: str
    cells: tuple[tuple[str, Key], ...]
    """The cells that give it, each with the key of the mark."""


@dataclass
class Returned:
    """What a sheet holds."""

    marks: dict[str, dict[Key, Mark]] = field(default_factory=dict)
    """Cell -> its marks."""
    criteria: dict[str, tuple[Criterion, ...]] = field(default_factory=dict)
    """Cell -> the criteria of its kind."""
    answers: int = 0
    """Answers with a mark."""
    empty: int = 0
    """Rows without one."""
    partly: int = 0
    """Answers that are not marked by all criteria."""
    outdated: int = 0
    """Marked rows whose answer no cell gives any more."""


def read(report: Report, path: Path) -> Returned:
    """Read a sheet back.

    Raises:
        UserError: it is no such sheet, or rows of it are wrong: all of them are named, and nothing is kept.
    """
    marked = {group.task: group.kind.marks for group in report.groups if group.kind.marks}
    _, lines = read_lines(path, (KEY,))
    questions, known = _known(report, marked, {plain(line.cells[KEY].strip()) for line in lines})
    sheet, returned, problems = _Sheet(marked, questions, known), Returned(), []
    for line in lines:
        try:
            sheet.take(line)
        except ValueError as error:
            problems.append(f"row {line.number}: {error}")
    if problems:
        more = f"\n  and {len(problems) - MOST_TOLD} more" if len(problems) > MOST_TOLD else ""
        listed = "".join(f"\n  {problem}" for problem in problems[:MOST_TOLD])
        raise UserError(f"{path}: {counted(len(problems), 'row')} can't be read, so nothing was kept:{listed}{more}")
    if lines and not any(c.name in lines[0].cells for task in sheet.tasks for c in marked[task]):
        names = ", ".join(c.name for task in sheet.tasks for c in marked[task])
        raise UserError(f"{path}: no column of a criterion ({names}); write the sheet anew")
    for key, mark in sheet.marks.items():
        if not mark.values:
            returned.empty += 1
        elif key not in known:
            returned.outdated += 1
        else:
            returned.answers += 1
            criteria = marked[known[key].task]
            returned.partly += len(mark.values) < len(criteria)
            for cell, kept_as in known[key].cells:
                returned.marks.setdefault(cell, {})[kept_as] = mark
                returned.criteria[cell] = criteria
    return returned


def keep(report: Report, returned: Returned, marker: str) -> int:
    """Write the marks of a sheet into the folders of the cells, beside what the marker marked earlier.

    Returns:
        How many answers have other marks than before.

    Raises:
        UserError: the name is no safe one, or is that of another marker but for its case; a file of marks is damaged.
    """
    check_case(report, marker)
    with report.store.mutex():
        before = {cell: _kept(report, returned, cell, marker) for cell in returned.marks}
        changed: set[Key] = set()
        for cell, new in returned.marks.items():
            together = mark_files.merged(before[cell], new)
            changed |= {key for key in new if key in before[cell] and before[cell][key].values != together[key].values}
            if together != before[cell]:
                path = mark_files.path_of(report.store.cell(cell), marker)
                mark_files.write(path, together, [c.name for c in returned.criteria[cell]])
    return len(changed)


def check_case(report: Report, marker: str) -> None:
    """Refuse a marker's name that is another's in other letters: two names of one person would agree with themselves.

    Raises:
        UserError: with the name that there is; or it is no safe name.
    """
    mark_files.check_marker(marker)
    for row in report.done:
        for known in report.store.cell(row.id).markers():
            if known != marker and known.casefold() == marker.casefold():
                raise UserError(f"marker '{marker}': there are marks of '{known}'; write the name as it is there")


FEWEST_ALIKE = 10
"""Equal answers from which on two people's marks are taken for one person's."""


def marked_alike(report: Report, returned: Returned, marker: str) -> str:
    """Another marker who has exactly the marks of a sheet, notes too; empty where there is none, or they are few."""
    if returned.answers < FEWEST_ALIKE:
        return ""
    names = {name for cell in returned.marks for name in report.store.cell(cell).markers()} - {marker}
    for name in sorted(names):
        with contextlib.suppress(UserError):  # a damaged file of another's is told by the report
            others = {cell: _kept(report, returned, cell, name) for cell in returned.marks}
            if all(others[cell].get(key) == mark for cell, new in returned.marks.items() for key, mark in new.items()):
                return name
    return ""


def _kept(report: Report, returned: Returned, cell: str, marker: str) -> dict[Key, Mark]:
    """What a marker marked of a cell before."""
    return mark_files.read(mark_files.path_of(report.store.cell(cell), marker), returned.criteria[cell])


def marked_keys(report: Report, group: Group, rows: Sequence[Row], marker: str) -> set[str]:
    """Keys of the answers that a marker has marked by all criteria in every one of some cells that gives them."""
    criteria = group.kind.marks
    names = [criterion.name for criterion in criteria]
    whole: set[str] = set()
    lacking: set[str] = set()
    for row in rows:
        marks = mark_files.read(mark_files.path_of(report.store.cell(row.id), marker), criteria)
        for question, answer in answers_of(report, row).items():
            mark = marks.get((*question, mark_files.answer_digest(answer)), Mark({}))
            of = whole if all(name in mark.values for name in names) else lacking
            of.add(row_key(report, group.task, question, answer))
    return whole - lacking


class _Sheet:
    """The rows of a sheet, taken one by one."""

    def __init__(
        self, marked: Mapping[str, tuple[Criterion, ...]], questions: Mapping[str, str], known: Mapping[str, Known]
    ) -> None:
        self._marked, self._questions, self._known = marked, questions, known
        self.marks: dict[str, Mark] = {}
        self._first: dict[str, int] = {}
        self.tasks: dict[str, None] = {}

    def take(self, line: Line) -> None:
        """Take a row.

        Raises:
            ValueError: with what is wrong.
        """
        key = plain(line.cells[KEY].strip())
        if not key:
            raise ValueError("it has no key; write the sheet anew, or restore the row")
        task = self._questions.get(key.rpartition("-")[0])
        if task is None:
            raise ValueError(f"key '{key[:40]}' is of no answer of this sweep; is the sheet another sweep's?")
        self.tasks[task] = None
        if key in self._known and "answer" in line.cells:
            _require_same(line.cells["answer"], self._known[key].answer)
        mark = _mark(line, self._marked[task])
        if key in self.marks:
            _require_agreement(self.marks[key], mark, self._first[key])
            mark = Mark({**self.marks[key].values, **mark.values}, self.marks[key].note or mark.note)
        self._first.setdefault(key, line.number)
        self.marks[key] = mark


def _mark(line: Line, criteria: Sequence[Criterion]) -> Mark:
    values: dict[str, mark_files.Verdict] = {}
    for criterion in criteria:
        try:
            value = mark_files.verdict(line.cells.get(criterion.name, ""), criterion)
        except ValueError as error:
            raise ValueError(f"{criterion.name}: {error}") from None
        if value is not None:
            values[criterion.name] = value
    return Mark(values, plain(line.cells.get(mark_files.NOTE, "")).strip())


def _require_same(told: str, answer: str) -> None:
    """An answer that was edited is not what was marked; white space and a cut at the end are spreadsheet programs'."""
    here, there = (_letters(text) for text in (plain(told), shown(answer)))
    cut = len(there) > LONGEST // 2 and len(here) > LONGEST // 2 and there.startswith(here)
    if here != there and _letters(told) != there and not cut:
        raise ValueError(f"its answer was edited: '{plain(told).strip()[:60]}'; restore it, or write the sheet anew")


def _letters(text: str) -> str:
    return "".join(c for c in text.encode("utf-8", "replace").decode() if c.isprintable() and not c.isspace())


def _require_agreement(before: Mark, now: Mark, first: int) -> None:
    for name, value in now.values.items():
        if before.values.get(name, value) != value:
            raise ValueError(f"it says of '{name}' the contrary of row {first}, which has the same key; keep one")


def _known(report: Report, marked: Mapping[str, object], keys: set[str]) -> tuple[dict[str, str], dict[str, Known]]:
    """Of the keys of a sheet: first half -> task, and whole key -> the answer that some cells give now."""
    halves = {key.rpartition("-")[0] for key in keys}
    questions: dict[str, str] = {}
    known: dict[str, Known] = {}
    asked: dict[tuple[str, tuple[str, str]], str] = {}
    for row in report.done:
        if row.task not in marked:
            continue
        for question, answer in answers_of(report, row).items():
            if (half := asked.get((row.task, question))) is None:
                half = asked[row.task, question] = question_key(report, row.task, question)
            if half not in halves:
                continue
            questions[half] = row.task
            key = row_key(report, row.task, question, answer)
            if key in keys:
                cells = known[key].cells if key in known else ()
                kept_as = (*question, mark_files.answer_digest(answer))
                known[key] = Known(row.task, answer, (*cells, (row.id, kept_as)))
    return questions, known
