"""The report as tables for a terminal. Says the same without colour, and fits 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from paceline.counted import counted
from paceline.report import wording
from paceline.report.analysis import differences as compare
from paceline.report.analysis import ensembles, prompt_sensitivity
from paceline.report.analysis.differences import Difference, Standing
from paceline.report.analysis.prompt_sensitivity import PromptSummary
from paceline.report.consistency import Finding, sweeps
from paceline.report.read import sweep_results
from paceline.report.read.report_notes import notes
from paceline.report.read.sweep_results import Absent, Report, Row
from paceline.report.text import terminal_sections
from paceline.report.text.cell_names import INDENT, CellName, CellNames, name_of
from paceline.report.text.fitted import FittedTable, ruled

if TYPE_CHECKING:
    from paceline.report.two_sweeps.compare import Effect

Change = TypeVar("Change", Difference, "Effect")

BEST = "*"
TIED = "≈"
MOST_FINDINGS = 12
# Fewer metrics than this on one line, and their intervals go below them instead.
FEW = 3
ALONE = "alone, not among so many tests"
ALONE_MEANS = "alone: told apart by its own interval, but not among so many tests."
# So many of them, if a label has to wrap for it.
FEWEST = 2


@dataclass(frozen=True)
class Extent:
    """How much of a report is printed."""

    rows: int
    """Cells of the table of results."""
    tuned: int
    """Cells of a table of what tuning changed."""
    compared: int
    """Metrics in which tuned cells are compared; the page has all."""
    lines: int
    """Of the smaller tables."""
    whole: bool = True
    """Whether the sections that a summary leaves out are there."""


USUAL = Extent(40, 40, 2, 12)
SUMMARY = Extent(8, 5, 1, 8, whole=False)
ALL = Extent(1_000_000, 1_000_000, 2, 1_000_000)
# Of more results than this a summary is printed.
MOST_RESULTS = 40


def show(report: Report, console: Console, everything: bool = False) -> None:
    """Print the report, fitted to the console's width: a large one as a summary, unless everything is asked for."""
    results = sum(len(group.rows) for group in report.groups)
    extent = ALL if everything else SUMMARY if results > MOST_RESULTS else USUAL

    def say(part: RenderableType) -> None:
        console.print()
        console.print(part, crop=False)

    console.print(Text(_summary(report), style="bold"))
    for group in report.groups:
        for part in _group(report, group, extent, console):
            say(part)
    for part in terminal_sections.transfers(report, lambda name: ruled("", name), console.width):
        say(part)
    for part in terminal_sections.per_images(report, ruled("", "task: model · prompt · method")):
        say(part)
    early = ruled("What ended early", "cause", "how often", "what to do")
    for part in (*terminal_sections.ended_early(report, early), *_absent(report, extent)):
        say(part)
    if findings := sweeps.findings(report):
        say(Text(wording.findings(findings), style="bold"))
        show_findings(findings[:MOST_FINDINGS], console)
        if len(findings) > MOST_FINDINGS:
            console.print(Text(f"and {len(findings) - MOST_FINDINGS:,} more: paceline check {report.sweep}"))
    for note in notes(report):
        say(Text(f"Note: {note}"))
    if not extent.whole:
        more = "every cell, ensembles and figures by class" if report.groups else "every cell"
        say(Text(f"A summary. Also {more}: paceline report {report.sweep} --all; the page has charts too."))


def _group(report: Report, group: sweep_results.Group, extent: Extent, console: Console) -> Iterator[RenderableType]:
    """The tables of one task and split."""
    best = next(iter(_leading(group)), "")
    yield _leaderboard(report, group, compare.shortened(group, best, extent.rows), console)
    kept = {(group.task, group.split, row.id) for row in compare.shortened(group, best, extent.tuned).rows}
    differences = [d for d in compare.differences(report) if (d.task, d.split, d.after) in kept]
    if differences:
        yield _differences(group, differences, extent, console)
    yield from _prompts(group, extent)
    if extent.whole:
        yield from (*_ensembles(report, group, extent), *_sections(report, group))


def show_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print findings as a list: where and which figure, the numbers, and why they can't be."""
    for finding in findings:
        style = "red" if finding.severity == "impossible" else "yellow"
        console.print(Text.assemble((finding.severity, style), f"  {finding.row}: {finding.figure}"))
        explanation = Text(f"{finding.told}: {finding.why}.")
        if console.is_terminal:
            console.print(Padding(explanation, (0, 0, 0, 4)))
        else:  # whole, for grep
            console.print(Text("    ") + explanation, soft_wrap=True)


def _summary(report: Report) -> str:
    missing = f", {len(report.missing):,} without a result" if report.missing else ""
    return f"Sweep {report.sweep}: {counted(report.cells, 'cell')}{missing}"


def _leaderboard(
    report: Report, group: sweep_results.Group, shortened: sweep_results.Group, console: Console
) -> RenderableType:
    """One row a cell: the share read and the headline metrics, as many as fit, the interval beside or below."""
    standings = {metric: compare.standing(report, group, metric) for metric in group.columns}
    order = _leading(group)
    # Figures side by side first; then intervals below them, which leaves a label two lines; then less and less.
    for stacked, joined, lines, fewest in (
        (False, False, 1, FEW),
        (True, False, 1, FEWEST),
        (True, False, 2, FEWEST),
        (True, True, 2, FEWEST),
        (True, True, None, 1),
    ):
        columns = CellNames([name_of(row) for row in shortened.rows], joined)
        for n in range(len(order), min(fewest, len(order)) - 1, -1):
            shown = [m for m in group.columns if m in order[:n]]
            table = _fill_leaderboard(report, shortened, shown, standings, stacked, columns)
            if table.least_width(console, lines) <= console.width or (lines is None and n <= 1):
                hidden = len(group.rows) - len(shortened.rows)
                left_out = [m for m in order if m not in shown]
                return Group(*_headed(group.title, columns.shared), table, _caption(report, group, left_out, hidden))
    return _caption(report, group, (), 0)


def _headed(title: str, shared: str) -> Iterator[Text]:
    """The title of a table, and the names that all of its cells share."""
    yield Text(title, style="bold")
    if shared:
        yield Text(f"all: {shared}")


def _leading(group: sweep_results.Group) -> list[str]:
    """The headline metrics in the order in which a narrow terminal gives them room."""
    first = [m for m in group.columns if group.kind.metric(m).leads or m == compare.tested_metric(group)]
    return first + [m for m in group.columns if m not in first]


def _fill_leaderboard(
    report: Report,
    group: sweep_results.Group,
    metrics: Sequence[str],
    standings: Mapping[str, Standing],
    stacked: bool,
    columns: CellNames,
) -> FittedTable:
    table = ruled("", *columns.headings)
    table.add_column("read", justify="right", no_wrap=True)
    for metric in metrics:
        unit = wording.unit_name(group.unit(metric))
        # The mark's column is part of the number's, so the heading keeps off it too.
        table.add_column(Text(f"{group.heading(metric)}  \n{unit}  "), justify="right", no_wrap=True)
    figures = []
    for row in group.rows:
        answers = report.chosen(row, group.split)
        read = wording.share(answers.outcomes.count("parsed"), len(answers.outcomes))
        cells = [_value(group, row, metric, standings[metric].mark(row), stacked) for metric in metrics]
        figures.append([Text(read), *cells])
    columns.add(table, figures)
    return table


def _value(group: sweep_results.Group, row: Row, metric: str, mark: str, stacked: bool) -> Text:
    measured = group.metric(row, metric)
    if measured is None:
        return Text("–  ")
    style = "bold" if mark == BEST else ""
    number = Text(wording.number(measured.value, measured.unit), style=style)
    interval = Text(wording.interval(measured.low, measured.high, measured.unit), style="dim")
    end = Text(f" {mark or ' '}", style=style)
    return number + end + "\n" + interval + "  " if stacked else number + " " + interval + end


def _caption(report: Report, group: sweep_results.Group, left_out: Sequence[str], hidden: int) -> RenderableType:
    caption = f"[ ] 95 % interval. {BEST} best, {TIED} can't be told apart from the best. "
    caption += wording.denominators(report, group)
    caption += f" {wording.other_prompts(group)}".rstrip()
    if hidden:
        caption += (
            f" The best {counted(len(group.rows) - hidden, 'cell')} by {group.heading(_leading(group)[0])}; "
            f"--all, the page and the CSV file have the other {hidden:,} too."
        )
    if left_out:
        caption += f" A wider terminal, the page and the CSV file also show: {', '.join(map(group.heading, left_out))}."
    return Padding(Text(caption, style="dim"), (0, 1))


def _differences(
    group: sweep_results.Group, differences: Sequence[Difference], extent: Extent, console: Console
) -> RenderableType:
    """Untuned -> tuned, a table for each of the leading metrics."""
    tested = [d.metric for d in differences if d.p is not None]
    shown = list(dict.fromkeys([*tested, *(m for m in _leading(group) if m in {d.metric for d in differences})]))
    tables = [
        _fill_differences(group, metric, [d for d in differences if d.metric == metric], console)
        for metric in shown[: extent.compared]
    ]
    caption = f"{TIED} can't be told apart. {wording.paired(group.kind)}"
    if any(d.verdict.endswith(ALONE) for d in differences):
        caption += f" {ALONE_MEANS}"
    return Group(*tables, Padding(Text(caption, style="dim"), (0, 1)))


def _fill_differences(
    group: sweep_results.Group, metric: str, differences: Sequence[Difference], console: Console
) -> RenderableType:
    unit = differences[0].unit
    rows = {row.id: row for row in group.rows}
    names = [name_of(rows[d.after]) for d in differences]
    return changes(
        f"{group.title} · what tuning changed: {group.heading(metric)}",
        (f"untuned → tuned\n{wording.unit_name(unit)}", f"difference\n{wording.points(unit)}", ""),
        list(zip(names, differences, strict=True)),
        lambda d: Text(short_verdict(d.verdict, d.p), style="dim" if d.low <= 0 <= d.high else ""),
        console,
    )


def short_verdict(verdict: str, p: float | None) -> str:
    """A verdict in a word or two, its p below."""
    short = TIED if verdict.startswith("can't") else verdict.split(",", 1)[0]
    return f"{short}\n{wording.p_value(p)}" if p is not None else short


def changes(
    title: str,
    headings: tuple[str, str, str],
    named: Sequence[tuple[CellName, Change]],
    verdict: Callable[[Change], Text],
    console: Console,
) -> RenderableType:
    """What changed from one value to another, a row for each cell; ``verdict`` gives the last column of each."""
    names = [name for name, _ in named]
    for joint, joined in ((" ", False), ("\n", False), ("\n", True)):
        columns = CellNames(names, joined)
        table = _fill_changes(columns, headings, [change for _, change in named], verdict, joint)
        if table.least_width(console, 2) <= console.width:
            break
    return Group(*_headed(title, columns.shared), table)


def _fill_changes(
    columns: CellNames,
    headings: tuple[str, str, str],
    listed: Sequence[Change],
    verdict: Callable[[Change], Text],
    joint: str,
) -> FittedTable:
    """The table of changes; ``joint`` stands between a difference and its interval."""
    table = ruled("", *columns.headings)
    for heading in headings[:2]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(headings[2], no_wrap=True)
    figures = []
    for d in listed:
        number = wording.number(d.difference, d.unit, signed=True)
        before, after = wording.number(d.value_before, d.unit), wording.number(d.value_after, d.unit)
        interval = wording.interval(d.low, d.high, d.unit, signed=True)
        figures.append([Text(f"{before} → {after}"), Text(f"{number}{joint}{interval}".rstrip()), verdict(d)])
    columns.add(table, figures)
    return table


def _prompts(group: sweep_results.Group, extent: Extent) -> Iterator[RenderableType]:
    """What the choice of the prompt does to the leading metric: over models, and within each."""
    sensitivity = prompt_sensitivity.prompt_sensitivity(group, compare.leading(group)[0]) if group.headline else None
    if sensitivity is None:
        return
    heading = f"{group.title} · how much the prompt matters: {group.heading(sensitivity.metric)}"
    yield Group(
        Text(heading, style="bold"),
        _summaries("prompt", "cells", sensitivity.by_prompt, sensitivity.unit, extent.lines, ranked=True),
        *(
            [_summaries("model, method", "prompts", sensitivity.by_model, sensitivity.unit, extent.lines)]
            if extent.whole
            else []
        ),
        Padding(Text(_ranking(sensitivity), style="dim"), (0, 1)),
    )


def _summaries(
    name: str, noun: str, summaries: Sequence[PromptSummary], unit: str, most: int, ranked: bool = False
) -> FittedTable:
    table = ruled("", name)
    shown = wording.unit_name(unit)
    for column in (noun, f"mean\n{shown}", f"spread\nSD, {wording.points(unit)}", f"lowest–highest\n{shown}"):
        table.add_column(column, justify="right", no_wrap=True)
    if ranked:
        table.add_column("ranks", justify="right", no_wrap=True)
    for one in summaries[:most]:
        numbers = (one.mean, one.spread, one.low, one.high)
        mean, spread, low, high = (wording.number(value, unit) for value in numbers)
        cells = [one.name, str(one.n), mean, spread, f"{low}–{high}", *([wording.ranks(one.ranks)] if ranked else [])]
        table.add_row(*map(Text, cells))
    if len(summaries) > most:
        table.add_row(f"and {len(summaries) - most:,} more")
    return table


def _ranking(sensitivity: prompt_sensitivity.Sensitivity) -> str:
    caption = "Rank 1 is best, among the models and methods that answered every prompt"
    return f"{caption}; {wording.agreement(sensitivity.agreement)}." if sensitivity.agreement else f"{caption}."


def _ensembles(report: Report, group: sweep_results.Group, extent: Extent) -> Iterator[RenderableType]:
    """What cells gain together in the leading metric."""
    group_ensembles = ensembles.ensembles(report)[group.task, group.split]
    metric = next((m for m in compare.leading(group) if group_ensembles.in_metric(m)), None)
    if metric is None:
        return
    unit = group.unit(metric)
    heading = f"{group.title} · cells together: {group.heading(metric)}"
    table = ruled("", "over … of")
    table.add_column(f"best → together\n{wording.unit_name(unit)}", justify="right", no_wrap=True)
    table.add_column(f"gain\n{wording.points(unit)}", justify="right", no_wrap=True)
    table.add_column("")
    for over, judged in groupby(group_ensembles.in_metric(metric), key=lambda pair: pair[0].over):
        table.add_row(Text(f"over {over}", style="bold"))
        members = list(judged)
        for one, gain in members[: extent.lines]:
            number = wording.number(gain.difference, unit, signed=True)
            table.add_row(
                Padding(Text(f"{one.name} ({len(one.members)})"), INDENT),
                Text(f"{wording.number(gain.value_best, unit)} → {wording.number(gain.value_ensemble, unit)}"),
                Text(f"{number} {wording.interval(gain.low, gain.high, unit, signed=True)}"),
                Text(TIED if gain.low <= 0 <= gain.high else gain.verdict),
            )
        if len(members) > extent.lines:
            table.add_row(Text(f"  and {len(members) - extent.lines:,} more"))
    more = f" {TIED} can't be told apart from the best member."
    more += f" {wording.fewer_ensembles(group_ensembles)}" if group_ensembles.left_out else ""
    yield Group(
        Text(heading, style="bold"),
        table,
        Padding(Text(wording.ensembles(group.kind, group_ensembles) + more, style="dim"), (0, 1)),
    )


def _sections(report: Report, group: sweep_results.Group) -> Iterator[RenderableType]:
    for panel in compare.panels(report, group):
        if part := terminal_sections.panel(group, panel, lambda name: ruled("", name)):
            yield part
    if part := terminal_sections.costs(report, group, ruled("", "model · prompt · method")):
        yield part


def _absent(report: Report, extent: Extent) -> Iterator[RenderableType]:
    """Cells without a result and combinations that were dropped: by name, or many of them by their reason."""
    if report.missing:
        yield _listed(
            f"No result: {len(report.missing):,} of {counted(report.cells, 'cell')}",
            [(cell.id, _why(cell)) for cell in report.missing],
            extent.lines,
            "cell",
            f"all: paceline status {report.sweep} --all",
        )
    if report.dropped:
        yield _listed(
            f"Dropped: {counted(len(report.dropped), 'combination')} that can't be",
            [(" · ".join(map(str, d["point"].values())), str(d["reason"])) for d in report.dropped],
            extent.lines,
            "combination",
            f"all: paceline report {report.sweep} --all",
        )


def _listed(title: str, named: Sequence[tuple[str, str]], most: int, noun: str, hint: str) -> RenderableType:
    """What something is called, with its reason below, so that neither is cut; more than ``most`` by their reasons."""
    lines: list[RenderableType] = [Text(title, style="bold")]
    if len(named) <= most:
        for name, why in named:
            lines += [Padding(Text(name), (0, 0, 0, 1)), Padding(Text(why), (0, 0, 0, 3))]
        return Group(*lines)
    counts = Counter(why for _, why in named)
    example = {why: name for name, why in reversed(named)}
    for why, n in counts.most_common(most):
        lines.append(Padding(Text(f"{counted(n, noun)}: {why}"), (0, 0, 0, 1)))
        lines.append(Padding(Text(f"{example[why]}{' and others' if n > 1 else ''}", style="dim"), (0, 0, 0, 3)))
    if len(counts) > most:
        lines.append(Padding(Text(f"and {counted(len(counts) - most, 'other reason')}"), (0, 0, 0, 1)))
    return Group(*lines, Padding(Text(hint), (0, 0, 0, 1)))


def _why(cell: Absent) -> str:
    tries = f", {counted(cell.attempts, 'attempt')}" if cell.attempts > 1 else ""
    return wording.absent(cell) + tries
