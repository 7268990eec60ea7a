"""Two sweeps side by side, as tables for a terminal. Says the same without colour, and fits 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paceline.counted import counted
from paceline.report import wording
from paceline.report.read import sweep_results
from paceline.report.text.cell_names import CellName
from paceline.report.text.fitted import ruled
from paceline.report.text.terminal import ALONE_MEANS, TIED, changes, short_verdict
from paceline.report.two_sweeps.compare import CodeChange, Comparison, DataChange, Effect, FileChange, Pair
from paceline.tasks.kind import Kind

MOST_SETTINGS = 24
MOST_CHANGES = 3
MOST_FILES = 15
MOST_NAMED = 12
MOST_EFFECTS = 60
MOST_VALUE = 60  # characters of a setting
BEFORE_CHANGE = 20  # of them before the first that differs
UNPAIRED = " ‡"


def show(comparison: Comparison, console: Console) -> None:
    """Print the comparison, fitted to the console's width."""
    console.print(Text(_summary(comparison), style="bold"))
    parts = [
        _settings(comparison),
        _code(comparison),
        _data(comparison),
        *_effects(comparison, console),
        *_unmatched(comparison),
    ]
    for part in parts:
        console.print()
        console.print(part, crop=False)


def _summary(comparison: Comparison) -> str:
    same = sum(pair.same for pair in comparison.pairs)
    summary = f"{comparison.before.sweep} → {comparison.after.sweep}: {counted(len(comparison.pairs), 'matched cell')}"
    summary += f", {same} of them the very same cell" if same else ""
    for name, rows in (
        (comparison.before.sweep, comparison.only_before),
        (comparison.after.sweep, comparison.only_after),
    ):
        summary += f", {len(rows)} only in {name}" if rows else ""
    return summary


def _settings(comparison: Comparison) -> RenderableType:
    if not comparison.settings:
        return _section("Settings", "No setting of matched cells differs.")
    table = _table(comparison, "setting")
    table.add_column("cells", justify="right", no_wrap=True)
    for key, differing in list(comparison.settings.items())[:MOST_SETTINGS]:
        for setting, cells in differing[:MOST_CHANGES]:
            before = _value(setting.before, setting.before_default, setting.after)
            after = _value(setting.after, setting.after_default, setting.before)
            table.add_row(Text(key), before, after, Text(f"{cells:,}"))
        if len(differing) > MOST_CHANGES:
            table.add_row(Text(f"  and {counted(len(differing) - MOST_CHANGES, 'other change')} of it"))
    if len(comparison.settings) > MOST_SETTINGS:
        table.add_row(Text(f"and {len(comparison.settings) - MOST_SETTINGS} more; --json has all"))
    return Group(Text("Settings", style="bold"), table)


def _value(value: Any, default: bool, other: Any) -> Text:
    """A setting's value; of a long one the part in which it begins to differ from the other."""
    text, beside = _one_line(value), _one_line(other)
    same = next((i for i, (a, b) in enumerate(zip(text, beside, strict=False)) if a != b), min(len(text), len(beside)))
    start = max(0, same - BEFORE_CHANGE) if max(len(text), len(beside)) > MOST_VALUE and same > BEFORE_CHANGE else 0
    end = start + MOST_VALUE
    shown = f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}"
    return Text.assemble(shown, (" (default)", "dim")) if default else Text(shown)


def _one_line(value: Any) -> str:
    return wording.one_line(value if isinstance(value, str) else str(value)) or "(empty)"


def _table(comparison: Comparison, *names: str) -> Table:
    return ruled("", *names, comparison.before.sweep, comparison.after.sweep)


def _section(heading: str, *lines: str) -> RenderableType:
    return Group(Text(heading, style="bold"), *(Padding(Text(line), (0, 1)) for line in lines))


def _code(comparison: Comparison) -> RenderableType:
    code = comparison.code
    lines = list(_code_lines(comparison, code))
    if not code.files:
        return _section("Code", *lines)
    table = ruled("", "file")
    for name in ("lines added", "removed"):
        table.add_column(name, justify="right", no_wrap=True)
    largest = sorted(code.files, key=lambda f: -_size(f))
    for file in largest[:MOST_FILES]:
        label = f"{file.path} ({file.kind})" if file.kind != "changed" else file.path
        counts = ["–" if n is None else f"{sign}{n:,}" for sign, n in (("+", file.added), ("−", file.removed))]
        table.add_row(Text(label), *map(Text, counts))
    if len(largest) > MOST_FILES:
        table.add_row(Text(f"and {len(largest) - MOST_FILES} more"))
    return Group(_section("Code", *lines), table)


def _size(file: FileChange) -> int:
    return (file.added or 0) + (file.removed or 0)


def _code_lines(comparison: Comparison, code: CodeChange) -> Iterator[str]:
    if code.before == code.after:
        yield f"The same: {code.before or 'not recorded'}."
    else:
        yield f"{code.before or 'not recorded'} → {code.after or 'not recorded'}"
    if code.files is None:
        yield "Which files differ can't be told: a snapshot is not under this root any more."
    elif code.files:
        added, removed = (sum(getattr(f, name) or 0 for f in code.files) for name in ("added", "removed"))
        yield f"{counted(len(code.files), 'file')} differ{'s' if len(code.files) == 1 else ''}: +{added:,} −{removed:,}"
    for name, recorded, ran in (
        (comparison.before.sweep, code.before, code.ran_before),
        (comparison.after.sweep, code.after, code.ran_after),
    ):
        if other := {digest: n for digest, n in ran.items() if digest not in ("", recorded)}:
            counts = ", ".join(f"{n} on {digest[:16]}" for digest, n in other.items())
            yield f"Not all cells of {name} ran its recorded code: {counts}."
    if code.other_scorer:
        yield (
            "The metrics were computed by different scorers, so a difference may be of the scoring. Remedy: "
            f"paceline score {comparison.before.sweep}; paceline score {comparison.after.sweep}"
        )


def _data(comparison: Comparison) -> RenderableType:
    changed = [d for d in comparison.data if d.before != d.after]
    same = [d.task for d in comparison.data if d.before == d.after]
    lines = [f"The same: {', '.join(same)}."] if same else []
    if not changed:
        return _section("Data", *lines)
    table = _table(comparison, "task")
    for change in changed:
        shown = [
            _data_side(change, *side)
            for side in ((change.before, change.splits_before), (change.after, change.splits_after))
        ]
        table.add_row(Text(change.task), *map(Text, shown))
    return Group(_section("Data", *lines), table)


def _data_side(change: DataChange, digest: str, splits: Mapping[str, int]) -> str:
    if not digest:
        return "–"
    counts = ", ".join(f"{split} {n:,}" for split, n in splits.items()) or "gone or changed since"
    return f"{digest[:12]}: {counts}"


def _effects(comparison: Comparison, console: Console) -> Iterator[RenderableType]:
    """What became of the results, a table for each task, split and metric."""
    if not comparison.effects:
        yield _section("Results", "No two different cells that match have a result.")
        return
    tables: dict[tuple[str, str, str], list[Effect]] = {}
    for effect in comparison.effects:
        tables.setdefault((effect.task, effect.split, effect.metric), []).append(effect)
    for (task, split, metric), effects in tables.items():
        heading = f"{task} · {split} · {comparison.after.kinds[task].metric(metric).heading}"
        yield _fill_effects(heading, effects, console)
    yield Padding(Text(_caption(comparison.effects, comparison.after.kinds), style="dim"), (0, 1))


def _fill_effects(heading: str, effects: Sequence[Effect], console: Console) -> RenderableType:
    unit = effects[0].unit
    table = changes(
        heading,
        (f"before → after\n{wording.unit_name(unit)}", f"difference\n{wording.points(unit)}", ""),
        [(CellName(e.model, e.prompt, e.method), e) for e in effects[:MOST_EFFECTS]],
        lambda e: Text(_verdict(e)),
        console,
    )
    more = [Text(f" and {len(effects) - MOST_EFFECTS:,} more; --json has all")] if len(effects) > MOST_EFFECTS else []
    return Group(table, *more)


def _verdict(effect: Effect) -> str:
    return f"{short_verdict(effect.verdict, effect.p)}{'' if effect.paired else UNPAIRED}"


def _caption(effects: Sequence[Effect], kinds: Mapping[str, Kind]) -> str:
    caption = f"{TIED} can't be told apart. "
    if any(e.paired for e in effects):
        caption += f"{wording.paired(kinds[effects[0].task]).replace('the sweep', 'all tests here')} "
        caption += f"{ALONE_MEANS} "
    if not all(e.paired for e in effects):
        caption += (
            f"{UNPAIRED.strip()} not the same samples: told apart where the cells' own 95 % intervals do not meet, "
            "which is the stricter test."
        )
    return caption.strip()


def _unmatched(comparison: Comparison) -> Iterator[RenderableType]:
    for name, rows in (
        (comparison.before.sweep, comparison.only_before),
        (comparison.after.sweep, comparison.only_after),
    ):
        if rows:
            yield _listed(f"Only in {name}: {counted(len(rows), 'cell')}", [_named(row) for row in rows])
    if comparison.lacking:
        yield _listed(
            f"Without a result: {counted(len(comparison.lacking), 'matched cell')}", _lacking(comparison.lacking)
        )


def _lacking(pairs: Sequence[Pair]) -> list[str]:
    """A line for each pair: where either cell stands."""
    states = [tuple(wording.STATE_NAMES.get(row.state, row.state) for row in (p.before, p.after)) for p in pairs]
    return [f"{_named(p.after)}: {a} → {b}" for p, (a, b) in zip(pairs, states, strict=True)]


def _named(row: sweep_results.Row) -> str:
    return " · ".join((row.model, row.task, row.prompt, row.label))


def _listed(heading: str, lines: Sequence[str]) -> RenderableType:
    more = [f"and {len(lines) - MOST_NAMED} more; --json has all"] if len(lines) > MOST_NAMED else []
    return _section(heading, *lines[:MOST_NAMED], *more)
