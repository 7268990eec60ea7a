"""The marks of a test set as a panel: shares per cell and marker, agreement, and which cells differ."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from paceline import stats
from paceline.counted import counted
from paceline.errors import UserError
from paceline.report.marking import mark_files
from paceline.report.marking.answer_sheet import answers_of
from paceline.report.marking.kappa import cohen_kappa
from paceline.report.marking.mark_files import Mark, Verdict
from paceline.report.marking.marking_panel import MarkedCell, MarkedChange, MarkedShare, MarkersAgreement, Marking
from paceline.report.read.sweep_results import Group, Report, Row
from paceline.tasks.kind import Criterion

ACCEPTABLE = "acceptable"
METRIC = f"{ACCEPTABLE}_accuracy"
FEWEST_GROUPS = 20
"""Samples with several questions below which their interval is too short, and none is shown."""
MOST_CELLS = 10
"""Marked cells of which every pair is tested; of more, those that differ in one of model, prompt and method."""

Verdicts = Mapping[str, bool]
"""Question, as ``Answers.samples`` names it -> yes or no."""


@dataclass(frozen=True)
class _Share:
    """What a column of the panel is the share of."""

    name: str
    meaning: str
    metric: str
    criterion: str = ""
    """Empty: all criteria of yes or no together."""
    choice: str = ""


@dataclass(frozen=True)
class _Criteria:
    """What answers of a kind are marked by."""

    all: tuple[Criterion, ...]

    @property
    def yes_or_no(self) -> list[str]:
        """Names of those that hold or do not: an answer is acceptable if all of them hold."""
        return [criterion.name for criterion in self.all if not criterion.choices]

    @property
    def names(self) -> list[str]:
        """Names of what two markers can agree on."""
        together = [ACCEPTABLE] if len(self.yes_or_no) > 1 else []
        return [*(criterion.name for criterion in self.all), *together]

    @property
    def shares(self) -> list[_Share]:
        """The columns of the panel."""
        shares = []
        for one in self.all:
            for choice, meaning in one.choices.items():
                shares.append(_Share(choice, meaning, f"marked_{one.name}_{choice}_share", one.name, choice))
            if not one.choices:
                shares.append(_Share(one.name, one.question, f"marked_{one.name}_share", one.name))
        if self.yes_or_no:
            shares.append(_Share(ACCEPTABLE, f"{' and '.join(self.yes_or_no)}", METRIC))
        return shares


@dataclass
class _Marked:
    """The marks of one cell that are of its answers to one split."""

    row: Row
    name: str
    by_marker: dict[str, dict[str, Mark]] = field(default_factory=dict)
    """Marker -> question -> mark."""
    outdated: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    """Question -> digest of the answer."""
    groups: dict[str, str] = field(default_factory=dict)
    """Question -> what ties it to others: its sample, or the group of the kind."""

    def verdicts(self, marker: str, name: str, criteria: _Criteria) -> dict[str, Verdict]:
        """What a marker says by one criterion, or of all of yes or no together."""
        marks = self.by_marker[marker].items()
        if name != ACCEPTABLE:
            return {question: mark.values[name] for question, mark in marks if name in mark.values}
        asked = criteria.yes_or_no
        whole = {question: mark for question, mark in marks if all(c in mark.values for c in asked)}
        return {question: all(mark.values[c] for c in asked) for question, mark in whole.items()}

    def agreed(self, name: str, criteria: _Criteria) -> tuple[dict[str, Verdict], int]:
        """What all say who marked it, and on how many answers they disagree."""
        said: dict[str, set[Verdict]] = defaultdict(set)
        for marker in self.by_marker:
            for question, value in self.verdicts(marker, name, criteria).items():
                said[question].add(value)
        agreed = {question: next(iter(values)) for question, values in said.items() if len(values) == 1}
        return agreed, len(said) - len(agreed)


def panel(report: Report, group: Group) -> Marking | None:
    """What people marked of a test set; None where nobody marked an answer, or its kind is not marked."""
    criteria = _Criteria(group.kind.marks)
    if not criteria.all:
        return None
    damaged: list[str] = []
    cells = [cell for row in group.rows if (cell := _read(report, group, row, damaged))]
    if not cells and not damaged:
        return None
    changes = _changes(cells, criteria) if criteria.yes_or_no else ()
    return Marking(
        "marking",
        "Marked by hand",
        "Marked",
        criteria=tuple((criterion.name, criterion.question) for criterion in criteria.all),
        columns=tuple((share.name, share.meaning) for share in criteria.shares),
        cells=tuple(one for cell in cells for one in _figures(cell, criteria)),
        agreement=tuple(_agreement(cells, criteria)),
        changes=changes,
        command=command(report, group),
        caption=_caption(cells, criteria, damaged, bool(changes)),
    )


def command(report: Report, group: Group) -> str:
    """The command that writes a sheet of a test set."""
    return f"paceline marks {report.sweep} --task {group.task} --split {group.split} --out sheet.html"


def _read(report: Report, group: Group, row: Row, damaged: list[str]) -> _Marked | None:
    folder = report.store.cell(row.id)
    markers = folder.markers()
    if not markers:
        return None
    marked = _Marked(row, f"{row.model} · {row.asked} · {row.label}")
    answers = report.chosen(row, group.split)
    marked.groups = dict(zip(answers.samples, answers.group_names or answers.sample_ids, strict=True))
    given = {_name(*question): text for question, text in answers_of(report, row).items()}
    marked.digests = {question: mark_files.answer_digest(given.get(question, "")) for question in answers.samples}
    for marker in markers:
        try:
            marks = mark_files.read(mark_files.path_of(folder, marker), group.kind.marks)
        except UserError as error:
            damaged.append(str(error))
            continue
        # A mark of the other split is of no answer here, and no older one.
        here = [(_name(sample, part), answer, mark) for (sample, part, answer), mark in marks.items() if mark.values]
        here = [one for one in here if one[0] in marked.digests]
        current = {question: mark for question, answer, mark in here if answer == marked.digests[question]}
        if here:
            marked.by_marker[marker] = current
            marked.outdated[marker] = len(here) - len(current)
    return marked if marked.by_marker else None


def _name(sample: str, part: str) -> str:
    return f"{sample}/{part}" if part else sample


def _figures(cell: _Marked, criteria: _Criteria) -> Iterable[MarkedCell]:
    """All markers together where there are several, then each."""
    if len(cell.by_marker) > 1:
        shares = [_share(of, *cell.agreed(of.criterion or ACCEPTABLE, criteria), cell.groups) for of in criteria.shares]
        answers = len(set().union(*cell.by_marker.values()))
        yield MarkedCell(cell.row.id, cell.name, "", answers, tuple(shares))
    for marker, marks in cell.by_marker.items():
        shares = [
            _share(of, cell.verdicts(marker, of.criterion or ACCEPTABLE, criteria), 0, cell.groups)
            for of in criteria.shares
        ]
        yield MarkedCell(cell.row.id, cell.name, marker, len(marks), tuple(shares), cell.outdated[marker])


def _share(of: _Share, marked: Mapping[str, Verdict], disputed: int, groups: Mapping[str, str]) -> MarkedShare:
    verdicts = {question: value == of.choice if of.choice else bool(value) for question, value in marked.items()}
    hits, n = sum(verdicts.values()), len(verdicts)
    tied = [groups[question] for question in verdicts]
    if len(set(tied)) == n:
        return MarkedShare(of.name, of.metric, hits, stats.wilson_interval(hits, n), disputed)
    # Several questions about a sample are not independent.
    _, numbers = np.unique(tied, return_inverse=True)
    interval = stats.grouped_interval([float(value) for value in verdicts.values()], numbers)
    if len(set(tied)) < FEWEST_GROUPS or interval.low == interval.high:  # samples that are all alike tell no spread
        interval = replace(interval, low=None, high=None)
    return MarkedShare(of.name, of.metric, hits, interval, disputed)


def _agreement(cells: Sequence[_Marked], criteria: _Criteria) -> Iterable[MarkersAgreement]:
    """Each two markers, by each criterion. An answer that several cells give was marked once, and counts once."""
    markers = sorted({marker for cell in cells for marker in cell.by_marker})
    for first, second in itertools.combinations(markers, 2):
        for name in criteria.names:
            both: dict[tuple[str, str], tuple[Verdict, Verdict, str]] = {}
            for cell in cells:
                if not {first, second} <= set(cell.by_marker):
                    continue
                a, b = (cell.verdicts(marker, name, criteria) for marker in (first, second))
                for question in (q for q in a if q in b):
                    both[question, cell.digests[question]] = a[question], b[question], cell.groups[question]
            said = list(both.values())
            _, groups = np.unique([group for _, _, group in said], return_inverse=True)
            a_says, b_says = (np.array([mark_files.word(one[i]) for one in said], dtype=str) for i in (0, 1))
            kappa = cohen_kappa(a_says, b_says, groups)
            yield MarkersAgreement(first, second, name, kappa.n, kappa.equal, kappa.interval, kappa.why)


def _changes(cells: Sequence[_Marked], criteria: _Criteria) -> tuple[MarkedChange, ...]:
    """Each two cells whose acceptable answers can be paired, the p values corrected for all of them together."""
    agreed: dict[str, Verdicts] = {
        cell.row.id: {question: bool(value) for question, value in cell.agreed(ACCEPTABLE, criteria)[0].items()}
        for cell in cells
    }
    changes = []
    for a, b in itertools.combinations(cells, 2):
        if len(cells) > MOST_CELLS and _differences(a.row, b.row) > 1:
            continue
        before, after = agreed[a.row.id], agreed[b.row.id]
        common = [question for question in before if question in after]
        # McNemar's test takes questions for independent.
        if len(common) < 2 or len({a.groups[question] for question in common}) < len(common):
            continue
        x, y = ([one[question] for question in common] for one in (before, after))
        only_before, only_after = (sum(p and not q for p, q in zip(*pair, strict=True)) for pair in ((x, y), (y, x)))
        p = stats.mcnemar_exact(x, y)
        named = (a.name, b.name, a.row.id, b.row.id)
        changes.append(MarkedChange(*named, len(common), sum(x), sum(y), only_before, only_after, p))
    corrected = stats.holm([change.p for change in changes])
    return tuple(replace(change, p=p) for change, p in zip(changes, corrected, strict=True))


def _differences(a: Row, b: Row) -> int:
    return (a.model != b.model) + (a.asked != b.asked) + (a.label != b.label)


def _caption(cells: Sequence[_Marked], criteria: _Criteria, damaged: Sequence[str], changes: bool) -> str:
    told = [
        f"Acceptable: {' and '.join(criteria.yes_or_no)}." if len(criteria.yes_or_no) > 1 else "",
        "Of the answers that were marked; brackets: 95 % interval.",
    ]
    if any(len(cell.by_marker) > 1 for cell in cells):
        told.append(
            "Agreed: the answers on which all agree who marked them; those on which they disagree do not count there."
        )
        told.append("Kappa: Cohen's, over the answers of all cells that both marked, equal answers once.")
    if changes:
        told.append("Gained, lost: acceptable in the second cell alone, in the first alone; p is Holm-corrected.")
    if outdated := sum(n for cell in cells for n in cell.outdated.values()):
        told.append(f"{counted(outdated, 'mark')} of answers that the cells no longer give: not counted.")
    partly = sum(
        len(marks) - len(cell.verdicts(marker, ACCEPTABLE, criteria))
        for cell in cells
        for marker, marks in cell.by_marker.items()
    )
    if partly and criteria.yes_or_no:
        told.append(f"{counted(partly, 'answer')} not marked by all criteria: none is counted as acceptable or not.")
    told += [f"Not read: {problem}." for problem in damaged]
    return " ".join(filter(None, told))


def joined(panel: Marking) -> dict[str, MarkedCell]:
    """Cell -> what all its markers say together, or the only one."""
    first: dict[str, MarkedCell] = {}
    for cell in panel.cells:
        first.setdefault(cell.id, cell)
    return first
