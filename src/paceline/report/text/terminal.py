"""The report as tables for a terminal. Says the same without colour, and fits 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paceline.report import wording
from paceline.report.analysis import differences as compare
from paceline.report.analysis import ensembles, prompt_sensitivity
from paceline.report.analysis.differences import Difference, Standing
from paceline.report.analysis.prompt_sensitivity import PromptSummary
from paceline.report.consistency import Finding, sweeps
from paceline.report.read import sweep_results
from paceline.report.read.sweep_results import Absent, Report, Row
from paceline.report.text import terminal_sections

if TYPE_CHECKING:
    from paceline.report.two_sweeps.compare import Effect

Change = TypeVar("Change", Difference, "Effect")

BEST = "*"
TIED = "≈"
OTHER_PROMPT = " †"
MOST_ABSENT = 12
MOST_ROWS = 60
MOST_SUMMARIES = 12
MOST_FINDINGS = 12
# Fewer metrics than this on one line, and their intervals go below them instead.
FEW = 3
# The tested metric and one more; the page has all.
MOST_COMPARED = 2


def show(report: Report, console: Console) -> None:
    """Print the report, fitted to the console's width."""
    console.print(Text(_summary(report), style="bold"))
    for group in report.groups:
        shown = compare.shortened(group, next(iter(_leading(group)), ""), MOST_ROWS)
        console.print()
        console.print(_leaderboard(report, group, shown, console))
        kept = {(group.task, group.split, row.id) for row in shown.rows}
        differences = [d for d in compare.differences(report) if (d.task, d.split, d.after) in kept]
        if differences:
            console.print()
            console.print(_differences(group, differences))
        for part in (*_prompts(group), *_ensembles(report, group), *_sections(report, group)):
            console.print()
            console.print(part)
    for part in terminal_sections.transfers(report, lambda name: ruled("", name, whole=False), console.width):
        console.print()
        console.print(part)
    early = ruled("What ended early", "cause", "attempts", "what to do", whole=False)
    for part in (*terminal_sections.ended_early(report, early), *_absent(report)):
        console.print()
        console.print(part)
    if findings := sweeps.findings(report):
        console.print()
        console.print(Text(wording.findings(findings), style="bold"))
        show_findings(findings[:MOST_FINDINGS], console)
        if len(findings) > MOST_FINDINGS:
            console.print(Text(f"and {len(findings) - MOST_FINDINGS} more: paceline check {report.sweep}"))
    for note in report.notes:
        console.print()
        console.print(Text(f"Note: {note}"))


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
    missing = f", {len(report.missing)} without a result" if report.missing else ""
    return f"Sweep {report.sweep}: {report.cells} cells{missing}"


def _leaderboard(
    report: Report, group: sweep_results.Group, shortened: sweep_results.Group, console: Console
) -> RenderableType:
    """One row a cell: the share read and the headline metrics, as many as fit, the interval beside or below."""
    standings = {metric: compare.standing(report, group, metric) for metric in group.columns}
    wide = console.options.update(max_width=10_000)
    order = _leading(group)
    for stacked in (False, True):
        for n in range(len(order), 0, -1):
            shown = [m for m in group.columns if m in order[:n]]
            table = _fill_leaderboard(report, shortened, shown, standings, stacked)
            fits = Measurement.get(console, wide, table).maximum <= console.width
            if (fits and n >= min(FEW, len(order))) or (stacked and (fits or n == 1)):
                hidden = len(group.rows) - len(shortened.rows)
                return Group(table, _caption(report, group, [m for m in order if m not in shown], hidden))
    return _caption(report, group, (), 0)


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
) -> Table:
    table = ruled(group.title, "model · prompt", "method")
    table.add_column("read", justify="right", no_wrap=True)
    for metric in metrics:
        unit = wording.unit_name(group.unit(metric))
        # The mark's column is part of the number's, so the heading keeps off it too.
        table.add_column(Text(f"{group.heading(metric)}  \n{unit}  "), justify="right", no_wrap=True)
    for model, rows in groupby(group.rows, key=lambda row: row.model):
        table.add_row(Text(model, style="bold"))
        for row in rows:
            answers = report.chosen(row, group.split)
            read = wording.share(answers.outcomes.count("parsed"), len(answers.outcomes))
            cells = [_value(group, row, metric, standings[metric].mark(row), stacked) for metric in metrics]
            prompt = Text(f"  {row.prompt}{OTHER_PROMPT if row.other_prompt else ''}")
            table.add_row(prompt, Text(row.label), Text(read), *cells)
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
    others = sorted({row.trained_on for row in group.rows if row.other_prompt})
    if others:
        caption += f"{OTHER_PROMPT} trained on another prompt ({', '.join(others)})."
    if hidden:
        caption += (
            f" The best {MOST_ROWS} cells by {group.heading(_leading(group)[0])}; "
            f"the page and the CSV file have the other {hidden:,} too."
        )
    if left_out:
        caption += f" A wider terminal, the page and the CSV file also show: {', '.join(map(group.heading, left_out))}."
    return Padding(Text(caption, style="dim"), (0, 1))


def _differences(group: sweep_results.Group, differences: Sequence[Difference]) -> RenderableType:
    """Untuned -> tuned, a table for each of the leading metrics."""
    tested = [d.metric for d in differences if d.p is not None]
    shown = list(dict.fromkeys([*tested, *(m for m in _leading(group) if m in {d.metric for d in differences})]))[
        :MOST_COMPARED
    ]
    tables = [_fill_differences(group, metric, [d for d in differences if d.metric == metric]) for metric in shown]
    return Group(*tables, Padding(Text(wording.paired(group.kind), style="dim"), (0, 1)))


def _fill_differences(group: sweep_results.Group, metric: str, differences: Sequence[Difference]) -> Table:
    unit = differences[0].unit
    heading = f"{group.title} · what tuning changed: {group.heading(metric)}"
    table = ruled(heading, "model · prompt", "method")
    table.add_column(f"untuned → tuned\n{wording.unit_name(unit)}", justify="right", no_wrap=True)
    table.add_column(f"difference\n{wording.points(unit)}", justify="right", no_wrap=True)
    table.add_column("in words")
    add_changes(table, differences, lambda d: Text(wording.verdict(d), style="dim" if d.low <= 0 <= d.high else ""))
    return table


def add_changes(table: Table, changes: Iterable[Change], verdict: Callable[[Change], Text]) -> None:
    """Rows of what changed from one value to another, under their models; ``verdict`` gives the last column of each."""
    for model, model_changes in groupby(changes, key=lambda d: d.model):
        table.add_row(Text(model, style="bold"))
        for d in model_changes:
            number = wording.number(d.difference, d.unit, signed=True)
            table.add_row(
                Text(f"  {d.prompt}"),
                Text(d.method),
                Text(f"{wording.number(d.value_before, d.unit)} → {wording.number(d.value_after, d.unit)}"),
                Text(f"{number} {wording.interval(d.low, d.high, d.unit, signed=True)}".rstrip()),
                verdict(d),
            )


def _prompts(group: sweep_results.Group) -> Iterator[RenderableType]:
    """What the choice of the prompt does to the leading metric: over models, and within each."""
    sensitivity = prompt_sensitivity.prompt_sensitivity(group, compare.leading(group)[0]) if group.headline else None
    if sensitivity is None:
        return
    heading = f"{group.title} · how much the prompt matters: {group.heading(sensitivity.metric)}"
    yield Group(
        Text(heading, style="bold"),
        _summaries("prompt", "cells", sensitivity.by_prompt, sensitivity.unit, ranked=True),
        _summaries("model, method", "prompts", sensitivity.by_model, sensitivity.unit),
        Padding(Text(_ranking(sensitivity), style="dim"), (0, 1)),
    )


def _summaries(name: str, counted: str, summaries: Sequence[PromptSummary], unit: str, ranked: bool = False) -> Table:
    table = ruled("", name)
    shown = wording.unit_name(unit)
    for column in (counted, f"mean\n{shown}", f"spread\nSD, {wording.points(unit)}", f"lowest–highest\n{shown}"):
        table.add_column(column, justify="right", no_wrap=True)
    if ranked:
        table.add_column("ranks", justify="right", no_wrap=True)
    for one in summaries[:MOST_SUMMARIES]:
        numbers = (one.mean, one.spread, one.low, one.high)
        mean, spread, low, high = (wording.number(value, unit) for value in numbers)
        cells = [one.name, str(one.n), mean, spread, f"{low}–{high}", *([wording.ranks(one.ranks)] if ranked else [])]
        table.add_row(*map(Text, cells))
    if len(summaries) > MOST_SUMMARIES:
        table.add_row(f"and {len(summaries) - MOST_SUMMARIES} more")
    return table


def _ranking(sensitivity: prompt_sensitivity.Sensitivity) -> str:
    caption = "Rank 1 is best, among the models and methods that answered every prompt"
    return f"{caption}; {wording.agreement(sensitivity.agreement)}." if sensitivity.agreement else f"{caption}."


def _ensembles(report: Report, group: sweep_results.Group) -> Iterator[RenderableType]:
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
    for over, members in groupby(group_ensembles.in_metric(metric), key=lambda pair: pair[0].over):
        table.add_row(Text(f"over {over}", style="bold"))
        for one, gain in members:
            number = wording.number(gain.difference, unit, signed=True)
            table.add_row(
                Text(f"  {one.name} ({len(one.members)})"),
                Text(f"{wording.number(gain.value_best, unit)} → {wording.number(gain.value_ensemble, unit)}"),
                Text(f"{number} {wording.interval(gain.low, gain.high, unit, signed=True)}"),
                Text(TIED if gain.low <= 0 <= gain.high else gain.verdict),
            )
    more = f" {TIED} can't be told apart from the best member."
    more += f" {wording.fewer_ensembles(group_ensembles)}" if group_ensembles.left_out else ""
    yield Group(
        Text(heading, style="bold"), table, Padding(Text(wording.ensembles(group.kind) + more, style="dim"), (0, 1))
    )


def _sections(report: Report, group: sweep_results.Group) -> Iterator[RenderableType]:
    for panel in compare.panels(report, group):
        if part := terminal_sections.panel(group, panel, lambda name: ruled("", name, whole=False)):
            yield part
    if part := terminal_sections.costs(report, group, ruled("", "model · prompt · method", whole=False)):
        yield part


def ruled(title: str, *names: str, whole: bool = True) -> Table:
    """A table with a rule under its headings; columns that stay whole are cut where they find no room."""
    # Names and messages come from files: as Text, a bracket in one is a bracket.
    heading = Text(title, style="bold")
    table = Table(box=SIMPLE_HEAD, title=heading, title_justify="left", padding=(0, 1, 0, 0), pad_edge=True)
    for name in names:
        table.add_column(name, no_wrap=whole, overflow="ellipsis" if whole else "fold")
    return table


def _absent(report: Report) -> Iterator[RenderableType]:
    """Cells without a result and combinations that were dropped, by name."""
    if report.missing:
        table = ruled(f"No result: {len(report.missing)} of {report.cells} cells", "cell", "why", whole=False)
        for cell in report.missing[:MOST_ABSENT]:
            table.add_row(Text(cell.id), Text(_why(cell)))
        if len(report.missing) > MOST_ABSENT:
            table.add_row(f"and {len(report.missing) - MOST_ABSENT} more", Text(f"see paceline status {report.sweep}"))
        yield table
    if report.dropped:
        table = ruled(f"Dropped: {len(report.dropped)} combinations that can't be", "combination", "why", whole=False)
        for dropped in report.dropped[:MOST_ABSENT]:
            table.add_row(Text(" · ".join(map(str, dropped["point"].values()))), Text(dropped["reason"]))
        if len(report.dropped) > MOST_ABSENT:
            table.add_row(f"and {len(report.dropped) - MOST_ABSENT} more", "")
        yield table


def _why(cell: Absent) -> str:
    tries = f", {cell.attempts} attempts" if cell.attempts > 1 else ""
    return wording.absent(cell) + tries
