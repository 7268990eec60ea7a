"""Checks across rows, and of the statements about a table: bases, sentences, equal answers.

A kind of task adds its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from paceline import stats
from paceline.report.consistency import row_checks
from paceline.tasks.figures import (
    Better,
    Figure,
    Finding,
    Improved,
    Quoted,
    ResultTable,
    Row,
    above,
    below,
    known_checks,
    lower_is_better,
)


def within_rows(table: ResultTable) -> Iterator[Finding]:
    """Every check of :mod:`paceline.report.consistency.row_checks`, row by row."""
    for row in table.rows:
        for check in row_checks.checks():
            yield from check(row)


def implied_bases(table: ResultTable) -> Iterator[Finding]:
    """A figure less its change is the base's figure, and the base must be possible too."""
    for row in table.rows:
        base = _base(row)
        for check in row_checks.checks():
            yield from check(base)


def text_against_table(table: ResultTable) -> Iterator[Finding]:
    """A sentence that repeats a figure says what the table says, to the digits of the rougher of the two."""
    for s in table.statements:
        if not isinstance(s, Quoted):
            continue
        differs = {
            "=": above(s.said, s.table) or below(s.said, s.table),
            "<=": above(s.table, s.said),
            ">=": below(s.table, s.said),
        }[s.relation]
        if differs:
            numbers = {"text": s.said.printed, "table": s.table.printed}
            why = f"the text says otherwise: “{s.text}”"
            yield Finding("text_against_table", "impossible", s.row, s.figure, numbers, why)


def improved_or_not(table: ResultTable) -> Iterator[Finding]:
    """Models with a claimed improvement were tuned, and their figures did not get worse.

    What got worse is looked for among shares, means and medians: a minimum or maximum is one single answer.
    """
    for s in table.statements:
        if not isinstance(s, Improved):
            continue
        for model in s.models:
            model_rows = [row for row in table.rows if row.model == model]
            if not any(row.tuned for row in model_rows):
                why = f"“{s.text}”, and no row of it is tuned"
                numbers = {"methods": ", ".join(row.method or "none given" for row in model_rows)}
                yield Finding("improved_or_not", "impossible", model, "method", numbers, why)
            for row in (row for row in model_rows if row.tuned):
                for name, change in _changes(row, model_rows).items():
                    worse = change.low > 0 if lower_is_better(name) else change.high < 0
                    if worse and not name.startswith(("min_", "max_", "std_")):
                        why = f"“{s.text}”, and this got worse"
                        numbers = {"change": change.printed}
                        yield Finding("improved_or_not", "suspicious", row.label, name, numbers, why)


def changes_within_chance(table: ResultTable) -> Iterator[Finding]:
    """A change of a share is more than what n samples vary by.

    The 95 % interval of the difference is that of two samples (Newcombe); a paired test on the same samples could tell
    more apart, but no table shows its pairs. Only for shares whose n is known.
    """
    for row in table.rows:
        for name, figure in row.figures.items():
            if figure.unit != "share" or figure.n is None or not figure.change:
                continue
            base = figure.value - figure.change
            if (figure.change > 0) != lower_is_better(name) and 0 <= base <= 1 and _alike(figure, base, figure.n):
                numbers = {name: figure.printed, "n": f"{figure.n:,}", **_intervals(figure, base, figure.n)}
                why = "a difference that n samples can't tell from none is no improvement"
                yield Finding("changes_within_chance", "suspicious", row.label, name, numbers, why)


def better_or_not(table: ResultTable) -> Iterator[Finding]:
    """A row that is called better has the better figure, by more than what n samples vary by; as above."""
    for s in table.statements:
        if not isinstance(s, Better):
            continue
        a, b = s.row.figures[s.metric], s.than.figures[s.metric]
        numbers = {s.row.label: a.printed, s.than.label: b.printed}
        worse = above(a, b) if lower_is_better(s.metric) else below(a, b)
        counted = a.unit == "share" and a.n and b.n and all(0 <= figure.value <= 1 for figure in (a, b))
        if worse:
            yield Finding("better_or_not", "impossible", s.row.label, s.metric, numbers, f"“{s.text}”: it is worse")
        elif counted and _alike(a, b.value, b.n or 0):
            numbers |= {"n": f"{a.n:,} and {b.n:,}", **_intervals(a, b.value, b.n or 0)}
            why = f"“{s.text}”, and n samples can't tell them apart"
            yield Finding("better_or_not", "suspicious", s.row.label, s.metric, numbers, why)


def same_answers(table: ResultTable) -> Iterator[Finding]:
    """Other weights give other answers: seen in a public benchmark, where one file stood for two models."""
    seen: dict[str, Row] = {}
    for row in table.rows:
        first = seen.setdefault(row.predictions, row) if row.predictions else row
        if first is not row and _weights(first) != _weights(row):
            numbers = {"sha256": row.predictions[:12]}
            why = (
                f"{row.label} and {first.label} hold the same answers, byte for byte: one file was taken for another, "
                "or the tuned weights were not used"
            )
            yield Finding("same_answers", "suspicious", row.label, "predictions", numbers, why)


def checks() -> tuple[Callable[[ResultTable], Iterator[Finding]], ...]:
    """The checks that hold for every task, and those of each kind."""
    return (
        within_rows,
        implied_bases,
        *(check for one in known_checks() for check in one.tables),
        text_against_table,
        improved_or_not,
        better_or_not,
        changes_within_chance,
        same_answers,
    )


def _weights(row: Row) -> str:
    return row.weights or f"{row.model} {row.method}"


def _base(row: Row) -> Row:
    """The row before the changes that it prints; figures without a change are left out."""
    figures = {
        name: replace(
            figure,
            value=figure.value - figure.change,
            slack=figure.slack + figure.change_slack,
            change=None,
            percent=None,
            n=None,  # the base need not have answered as many
            printed=f"{_shown(figure.value - figure.change, figure.unit)} (from {figure.printed})",
        )
        for name, figure in row.figures.items()
        if figure.change is not None
    }
    return replace(row, method=" ".join(filter(None, (row.method, "before its change"))), figures=figures)


def _shown(value: float, unit: str) -> str:
    return f"{100 * value:.6g} %" if unit == "share" else f"{value:.8g}"


def _changes(row: Row, others: list[Row]) -> dict[str, Figure]:
    """Metric -> change of a tuned row: as printed, or against the untuned row of the same prompt and test set."""
    changes = {
        name: Figure(f.change, f.unit, f.printed, slack=f.change_slack)
        for name, f in row.figures.items()
        if f.change is not None
    }
    bases = [o for o in others if not o.tuned and (o.prompt, o.test) == (row.prompt, row.test)]
    for name, after in row.figures.items() if len(bases) == 1 else ():
        if before := bases[0].figures.get(name):
            printed = f"{before.printed} → {after.printed}"
            changes.setdefault(
                name, Figure(after.value - before.value, after.unit, printed, before.slack + after.slack)
            )
    return changes


def _alike(a: Figure, other: float, n: int) -> bool:
    """Whether the 95 % interval of the difference of two shares holds 0."""
    size = a.n or n
    change = stats.newcombe_interval(round(other * n), n, round(a.value * size), size)
    return change.low is not None and change.high is not None and change.low <= 0 <= change.high


def _intervals(a: Figure, other: float, n: int) -> dict[str, str]:
    """The 95 % intervals of both shares, for people."""
    shown = {}
    for key, value, size in (("interval", a.value, a.n or n), ("against", other, n)):
        wilson = stats.wilson_interval(round(value * size), size)
        shown[key] = f"{100 * (wilson.low or 0):.1f}–{100 * (wilson.high or 0):.1f} %"
    return shown
