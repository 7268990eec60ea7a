"""The report as LaTeX: a booktabs table per task and split, to be read by ``\\input`` in a paper."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from paceline.report import wording
from paceline.report.analysis import differences, transfer
from paceline.report.analysis.differences import Standing
from paceline.report.analysis.transfer import Matrix
from paceline.report.read.sweep_results import Group, Report, Row
from paceline.store.files import write_bytes

# What TeX takes for a command, or sets as another sign, and signs that the fonts of an article lack. A bracket or a
# star at the beginning of a row would be taken for an argument of the row before it.
ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "-": "{-}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "−": r"\ensuremath{-}",
    "≈": r"\ensuremath{\approx}",
    "≤": r"\ensuremath{\leq}",
    "→": r"\ensuremath{\rightarrow}",
    "·": r"\ensuremath{\cdot}",
    "×": r"\ensuremath{\times}",
    "±": r"\ensuremath{\pm}",
    "°": r"\ensuremath{^{\circ}}",
    "†": r"\dag{}",
    "–": "--",
    "…": r"\dots{}",
}
HEAD = """\
% Sweep {sweep}, code {code}; written by paceline report.
% Needs the packages booktabs, graphicx (no table is wider than the text) and fontenc with T1.
"""
MARKED = (
    "Bold: the best, told apart from each other cell by the paired 95 % interval of the difference. Where it is not, ≈ "
    "marks it and those that can't be told apart from it. Brackets: 95 % intervals."
)


def escape(text: str) -> str:
    """Text that TeX sets as it stands, on one line."""
    return "".join(ESCAPES.get(c, c) for c in wording.one_line(text))


def latex_text(report: Report) -> str:
    """A table per task and split: the headline metrics, their intervals below them; and one of transfer per model and
    method, where weights were tuned on one task and evaluated on another.

    Only a best cell that can be told apart from all others is bold. Names in other scripts than Latin need XeLaTeX.
    """
    head = HEAD.format(sweep=_plain(report.sweep), code=_plain(report.code) or "unknown")
    tables = [_table(report, group) for group in report.groups]
    return "\n".join([head, *tables, *(_transfer(report, matrix) for matrix in transfer.matrices(report))])


def write_latex(report: Report, path: Path) -> None:
    """Write :func:`latex_text` whole or not at all."""
    write_bytes(path, latex_text(report).encode())


def _plain(text: str) -> str:
    """A name for a comment or a label, where nothing is escaped."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)


def _table(report: Report, group: Group) -> str:
    standings = {m: differences.standing(report, group, m) for m in group.columns}
    caption = f"{report.sweep}: {group.title}. {MARKED} {wording.denominators(report, group)}"
    caption += f" {wording.other_prompts(group)}".rstrip()
    units = [wording.unit_name(group.unit(m)) for m in group.columns]
    # The first word above the others, so that a heading is no wider than its numbers.
    headings = [group.heading(m).partition(" ") for m in group.columns]
    lines = [
        r"\begin{table}",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{tab:{_plain(report.sweep)}-{_plain(group.task)}-{_plain(group.split)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}ll{'r' * (1 + len(units))}@{{}}}}",
        r"\toprule",
        _row(["", "", "", *(escape(first) for first, _, _ in headings)]),
        _row(["model, prompt", "method", "read", *(escape(rest) for _, _, rest in headings)]),
        _row(["", "", escape("%"), *map(escape, units)]),
    ]
    for model, rows in groupby(group.rows, key=lambda row: row.model):
        lines += [r"\midrule", rf"\multicolumn{{{3 + len(units)}}}{{@{{}}l}}{{\textit{{{escape(model)}}}}} \\"]
        for row in rows:
            lines += _cell(report, group, row, standings)
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}", ""])


def _transfer(report: Report, matrix: Matrix) -> str:
    """Tasks tuned on by tasks evaluated."""
    titles = [column.group.title for column in matrix.columns]
    units = [f"{c.group.heading(c.metric)} {wording.unit_name(c.unit)}".rstrip() for c in matrix.columns]
    caption = f"{report.sweep}: transfer, {matrix.model}, {matrix.method}. {wording.transfer(report, matrix)}"
    lines = [
        r"\begin{table}",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{tab:{_plain(report.sweep)}-transfer-{_plain(matrix.model)}-{_plain(matrix.method)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}l{'r' * len(titles)}@{{}}}}",
        r"\toprule",
        _row(["", *map(escape, titles)]),
        _row(["tuned on", *map(escape, units)]),
        r"\midrule",
    ]
    for line in matrix.lines:
        measured = [place.metric if place else None for place in line.places]
        values = [escape(wording.number(m.value, m.unit)) if m else "--" for m in measured]
        intervals = [escape(wording.interval(m.low, m.high, m.unit)) if m else "" for m in measured]
        lines.append(_row([escape(line.name), *values]))
        lines.append(_row(["", *(rf"{{\scriptsize {interval}}}" if interval else "" for interval in intervals)]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}", ""])


def _cell(report: Report, group: Group, row: Row, standings: dict[str, Standing]) -> list[str]:
    """A line of values, and one of their intervals."""
    outcomes = report.chosen(row, group.split).outcomes
    read = wording.share(outcomes.count("parsed"), len(outcomes)).removesuffix(" %")
    values, intervals = [r"\quad " + escape(row.asked), escape(row.label), escape(read)], [""] * 3
    for metric in group.columns:
        measured = group.metric(row, metric)
        standing = standings[metric]
        alone = row.id == standing.best and not standing.tied
        number = escape(wording.number(measured.value, measured.unit)) if measured else "--"
        values.append(rf"\textbf{{{number}}}" if alone else number + escape(standing.mark(row, best="≈")))
        interval = escape(wording.interval(measured.low, measured.high, measured.unit)) if measured else ""
        intervals.append(rf"{{\scriptsize {interval}}}" if interval else "")
    return [_row(values), _row(intervals)]


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
