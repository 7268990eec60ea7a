"""What a kind shows, and transfer between tasks, as Markdown: tables, and answers beside references."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from paceline.counted import counted
from paceline.report import wording
from paceline.report.analysis import per_image, transfer
from paceline.report.marking.marking_panel import Marking
from paceline.report.read.sweep_results import Group, Report
from paceline.report.text import marking_tables
from paceline.tasks.panels import Panel, Table, Texts

MOST_ROWS = 60
MOST_CASES, MOST_ANSWERS = 12, 6
MOST_LETTERS = 400

Line = Callable[[list[str]], str]


def panels(group: Group, shown: Sequence[Panel], line: Line, escape: Callable[[str], str]) -> Iterator[str]:
    """The panels of a test set that Markdown can hold, a part each.

    Args:
        group: the test set.
        shown: its panels.
        line: makes a line of a table, with what stands in it escaped.
        escape: keeps a text from becoming markup.
    """
    for panel in shown:
        if isinstance(panel, Table) and panel.rows:
            lines = list(_table(panel, line))
        elif isinstance(panel, Texts) and panel.cases:
            lines = list(_texts(panel, line))
        elif isinstance(panel, Marking):
            lines = list(marking_tables.markdown(panel, line))
        else:
            continue
        caption = ["", escape(panel.caption)] if panel.caption else []
        yield "\n".join([f"### {escape(f'{group.title}: {panel.title}')}", "", *lines, *caption])


def transfers(report: Report, line: Line, escape: Callable[[str], str]) -> Iterator[str]:
    """Tasks tuned on by tasks evaluated, a part for each model and method; ``line`` and ``escape`` as for panels."""
    for matrix in transfer.matrices(report):
        headings = [
            f"{c.group.title}: {c.group.heading(c.metric)} {wording.unit_name(c.unit)}".rstrip() for c in matrix.columns
        ]
        lines = [line(["tuned on", *headings]), line(["---", *["---:"] * len(headings)])]
        for one in matrix.lines:
            lines.append(line([one.name, *(wording.with_interval(p.metric if p else None) for p in one.places)]))
        title = escape(f"Transfer: {matrix.model}, {matrix.method}")
        yield "\n".join([f"## {title}", "", *lines, "", escape(wording.transfer(report, matrix))])


def _table(panel: Table, line: Line) -> Iterator[str]:
    units = ["" if c.unit in (None, "count") else wording.unit_name(c.unit or "") for c in panel.columns]
    yield line([f"{c.heading} {unit}".rstrip() for c, unit in zip(panel.columns, units, strict=True)])
    yield line(["---" if c.unit is None else "---:" for c in panel.columns])
    for row in panel.rows[:MOST_ROWS]:
        yield line([_cut(wording.value_with_interval(v, c.unit)) for v, c in zip(row, panel.columns, strict=True)])
    if len(panel.rows) > MOST_ROWS:
        yield line([f"and {len(panel.rows) - MOST_ROWS:,} more", *[""] * (len(panel.columns) - 1)])


def _texts(panel: Texts, line: Line) -> Iterator[str]:
    others = [""] * len(panel.headings)
    yield line(["sample", "answered by", "text", *panel.headings])
    yield line(["---", "---", "---", *["---:"] * len(others)])
    for case in panel.cases[:MOST_CASES]:
        name = f"{case.sample}, {case.label}" if case.label else case.sample
        for who, text in (("question", case.question), ("reference", next(iter(case.references), ""))):
            if text:
                yield line([name, who, _cut(text), *others])
        for one in case.answers[:MOST_ANSWERS]:
            yield line([name, one.name, wording.answered(one.outcome, _cut(one.text)), *one.scores])
        if len(case.answers) > MOST_ANSWERS:
            yield line([name, f"and {len(case.answers) - MOST_ANSWERS:,} more", "", *others])
    if len(panel.cases) > MOST_CASES:
        yield line([f"and {counted(len(panel.cases) - MOST_CASES, 'more sample')}", "", "", *others])


def _cut(text: str) -> str:
    line = wording.one_line(text)
    return line if len(line) <= MOST_LETTERS else f"{line[:MOST_LETTERS]} …"


def per_images(report: Report, line: Line, escape: Callable[[str], str]) -> Iterator[str]:
    """Seconds and peak memory per image, the slowest cell first."""
    found = per_image.slowest_first(report)
    if not found:
        return
    headings = ["task", "model", "prompt", "method", "mean s", "median s", "host GiB", "GPU GiB", "batch", "samples"]
    lines = ["## Seconds and memory per image", "", line(headings), line(["---"] * 4 + ["---:"] * 6)]
    for row, took in found:
        numbers = [took.seconds, took.median_seconds, took.host_gib, took.cuda_gib]
        cells = ["–" if number is None else wording.amount(number) for number in numbers]
        lines.append(line([row.task, row.model, row.asked, row.label, *cells, str(took.batch), f"{took.samples:,}"]))
    yield "\n".join([*lines, "", escape(per_image.NOTE)])
