"""A sheet for marking answers by hand: which answers stand on it, and in which order.

It is blind: a row names no cell, equal answers to a question stand once, and the order is drawn. The key of a row is
made of what it asks and of the answer, so a sheet is read back without any record of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from paceline.counted import counted
from paceline.errors import UserError, nearest
from paceline.report.marking import mark_files
from paceline.report.read.sweep_results import Group, Report, Row
from paceline.scoring.judge import unanswered
from paceline.store.files import digest, read_jsonl
from paceline.store.spreadsheet import LONGEST, csv_bytes
from paceline.tasks.kind import Criterion, images_of
from paceline.tasks.metrics import CONTENT_FILTER, ERROR
from paceline.tasks.questions import Part, lettered
from paceline.tasks.short_answers import shows_letters

KEY = "key"
BEFORE, AFTER = (KEY, "picture", "question", "answer"), (mark_files.NOTE,)
REFERENCES = "references"

Question = tuple[str, str]
"""Sample and part."""


@dataclass(frozen=True)
class SheetRow:
    """An answer to be marked."""

    key: str
    sample: str
    part: str
    pictures: tuple[str, ...]
    """Paths of the sample's images."""
    question: str
    """Empty where the task asks the same of every sample."""
    answer: str
    references: str = ""
    """The truth for display; empty where the sheet does not show it."""


@dataclass(frozen=True)
class AnswerSheet:
    """What a marker gets."""

    title: str
    """The test set."""
    criteria: tuple[Criterion, ...]
    rows: tuple[SheetRow, ...]
    references: bool
    """Whether it has a column of references."""

    @property
    def columns(self) -> list[str]:
        """The columns of its CSV file."""
        return [*BEFORE, *([REFERENCES] if self.references else []), *(c.name for c in self.criteria), *AFTER]

    def lines(self) -> Iterator[list[str]]:
        """The rows of its CSV file, with nothing marked."""
        empty = [""] * (len(self.criteria) + len(AFTER))
        for row in self.rows:
            told = [row.references] if self.references else []
            yield [row.key, "\n".join(row.pictures), row.question, row.answer, *told, *empty]

    def csv(self) -> bytes:
        """The content of its CSV file."""
        return csv_bytes(self.columns, self.lines())


def answers_of(report: Report, row: Row) -> dict[Question, str]:
    """What a cell answered to each question, without the white space around it; the first record of each counts.

    What a service's filter left of an answer is none, as for the scorer.
    """
    texts: dict[Question, str] = {}
    for record in read_jsonl(report.store.cell(row.id).predictions):
        if "sample" in record:
            text = "" if unanswered(record) in (CONTENT_FILTER, ERROR) else str(record.get("text") or "")
            texts.setdefault((str(record["sample"]), str(record.get("part", ""))), text.strip())
    return texts


def question_key(report: Report, task: str, question: Question) -> str:
    """The first half of a row's key: what was asked, of which data."""
    return f"row-{digest([task, report.data[task], *question], 10)}"


def row_key(report: Report, task: str, question: Question, answer: str) -> str:
    """The key of a row; letters stand first, so that no spreadsheet program takes it for a number or a date."""
    return f"{question_key(report, task, question)}-{mark_files.answer_digest(answer)}"


def shown(answer: str) -> str:
    """An answer as a sheet shows it."""
    return answer if len(answer) <= LONGEST else f"{answer[:LONGEST]} …"


def group_of(report: Report, task: str = "", split: str = "") -> Group:
    """The test set that a sheet is of.

    Raises:
        UserError: as for :func:`groups_of`, or several fit.
    """
    fitting = groups_of(report, task, split)
    if len(fitting) > 1:
        listed = "; ".join(f"--task {group.task} --split {group.split}" for group in fitting)
        raise UserError(f"a sheet is of one test set; give one of: {listed}")
    return fitting[0]


def groups_of(report: Report, task: str = "", split: str = "") -> list[Group]:
    """The test sets with these names that people can mark; an empty name fits all.

    Raises:
        UserError: none is of a kind that people mark, or none has these names.
    """
    groups = [group for group in report.groups if group.kind.marks]
    if not groups:
        if not report.groups:
            raise UserError(f"{report.sweep}: no evaluate cell has a result yet; see: paceline status {report.sweep}")
        kinds = ", ".join(dict.fromkeys(group.kind.name for group in report.groups))
        raise UserError(
            f"{report.sweep}: its answers ({kinds}) are not marked by hand: the kind of task names no MARKS"
        )
    for name, value, values in (
        ("task", task, [group.task for group in groups]),
        ("split", split, [group.split for group in groups if not task or group.task == task]),
    ):
        if value and value not in values:
            raise UserError(f"--{name} {value}: no such {name} to mark: {nearest(value, dict.fromkeys(values))}")
    return [group for group in groups if (not task or group.task == task) and (not split or group.split == split)]


def rows_of(group: Group, cells: Sequence[str]) -> list[Row]:
    """The rows of a group by ids, their beginnings or their hashes; all where none is named.

    Raises:
        UserError: none or several match a name.
    """
    chosen = []
    for name in cells:
        fitting = [
            r for r in group.rows if r.id == name or r.id.startswith(name) or r.id.split("-")[-1].startswith(name)
        ]
        if len(fitting) != 1:
            several = f"{counted(len(fitting), 'cell')} match" if fitting else "no cell with a result"
            raise UserError(f"--cells {name}: {several}: {nearest(name, [row.id for row in group.rows])}")
        chosen += fitting
    return list({row.id: row for row in chosen or group.rows}.values())


def build(
    report: Report,
    group: Group,
    rows: Sequence[Row],
    n: int,
    seed: int,
    references: bool = False,
    marked: Container[str] = frozenset(),
    wrong: bool = False,
) -> AnswerSheet:
    """The sheet of some cells: the same samples for each of them, all their parts, answers in a drawn order.

    Args:
        report: the report.
        group: the test set.
        rows: the cells.
        n: how many samples; a larger number with the same seed holds those of a smaller one.
        seed: of the samples and of the order.
        references: whether the truth stands beside the answers; it does where a criterion can't be marked without.
        marked: keys of rows that are left out.
        wrong: only answers that are not right. Samples are drawn before: those of a sheet of all answers.

    Raises:
        UserError: the prepared data is gone, no sample was answered by all cells, or the task knows no right answer.
    """
    samples = report.samples[group.task]
    if not samples:
        raise UserError(
            f"the data of task {group.task} is not what its cells answered, so there is no picture to mark by; "
            f"run: paceline prepare task={group.task}"
        )
    answers = [answers_of(report, row) for row in rows]
    of_split = {name for name, record in samples.items() if record.get("split", group.split) == group.split}
    common = set.intersection(*({sample for sample, _ in texts} for texts in answers)) & of_split
    if not common:
        raise UserError(
            f"{group.title}: no sample was answered by all {counted(len(rows), 'cell')}; name some by --cells"
        )
    chosen = set(sorted(common, key=lambda sample: _drawn(seed, "sample", sample))[:n])
    texts_asked = _questions(report, group, rows, chosen)
    references = references or any(criterion.by_truth for criterion in group.kind.marks)
    truths = _truths(report, group, rows[0], chosen) if references else {}
    found: dict[str, SheetRow] = {}
    for row, texts in zip(rows, answers, strict=True):
        right = _right(report, group, row) if wrong else frozenset()
        for question, answer in texts.items():
            if question[0] in chosen and question not in right:
                key = row_key(report, group.task, question, answer)
                pictures = tuple(images_of(samples[question[0]]))
                told = truths.get(question, "")
                found[key] = SheetRow(key, *question, pictures, texts_asked.get(question, ""), shown(answer), told)
    order = sorted((key for key in found if key not in marked), key=lambda key: _drawn(seed, "row", key))
    return AnswerSheet(group.title, group.kind.marks, tuple(found[key] for key in order), references)


def how(criteria: Iterable[Criterion]) -> str:
    """What the columns of a sheet are filled in with."""
    return "; ".join(f"{c.name} with {', '.join(c.choices) if c.choices else 'yes or no'}" for c in criteria)


def right_by(group: Group) -> str:
    """The metric that tells right from wrong: the first of the headline by which an answer is a hit or a miss.

    Raises:
        UserError: the kind has none.
    """
    metric = group.kind.right_by
    if metric is None:
        raise UserError(f"--wrong: answers of {group.kind.name} are not right or wrong; mark all of them")
    return metric.name


def _right(report: Report, group: Group, row: Row) -> frozenset[Question]:
    """The questions that a cell answers rightly."""
    answers = report.chosen(row, group.split)
    metric = group.kind.metric(right_by(group))
    scores = answers.scores[metric.score]
    hits = scores == 1 if metric.at_most is None else scores <= metric.at_most
    questions = zip(answers.sample_ids, answers.samples, hits, strict=True)
    return frozenset((sample, name[len(sample) + 1 :]) for sample, name, hit in questions if hit)


def _drawn(seed: int, what: str, name: str) -> str:
    """A random number for a name, which does not depend on what else there is."""
    return hashlib.sha256(f"{seed}/{what}/{name}".encode("utf-8", "surrogatepass")).hexdigest()


def _questions(report: Report, group: Group, rows: Sequence[Row], samples: Iterable[str]) -> dict[Question, str]:
    """The texts of the questions, as the first cell asks them; with lettered choices where any prompt shows such."""
    configs = [report.store.cell(row.id).read().config for row in rows]
    letters = any(shows_letters(config.prompt) for config in configs)
    records = report.samples[group.task]
    return {
        (sample, part.name): asked(part, letters)
        for sample in samples
        for part in group.kind.parts(records[sample], configs[0].task, configs[0].prompt)
    }


def asked(part: Part, letters: bool) -> str:
    """A question; with its lettered choices, as nobody can tell else what an answer such as ``B`` names."""
    return "\n".join(filter(None, (part.text, lettered(part.choices) if letters else "")))


def _truths(report: Report, group: Group, row: Row, samples: Container[str]) -> Mapping[Question, str]:
    records = read_jsonl(report.store.cell(row.id).scores)
    return {
        (str(record["sample"]), str(record.get("part", ""))): group.kind.show(record.get("truth"))
        for record in records
        if str(record["sample"]) in samples
    }
