"""Two sweeps side by side: what changed in settings, code and data, and what that did to the results.

Cells are matched by the names of their model, task, prompt and method. Where several share these, the same cell is
matched with itself and the others by the settings that tell them apart within their own sweep.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from paceline.report.analysis import differences
from paceline.report.analysis.differences import Difference
from paceline.report.read import sweep_provenance
from paceline.report.read.sweep_results import Group, Report, Row
from paceline.store.cell_folder import Cell
from paceline.store.code import STAMP
from paceline.store.files import SCHEMA, canonical
from paceline.sweep.cell_labels import flat, said

TUNED_ON = "tuned on "


@dataclass(frozen=True)
class Setting:
    """A setting in which two matched cells differ."""

    key: str
    """Dotted, as it is typed in an override; behind ``tuned on`` it is one of the finetune cell alone."""
    before: Any
    after: Any
    before_default: bool
    after_default: bool


@dataclass(frozen=True)
class Pair:
    """A cell of either sweep that stand for the same combination."""

    before: Row
    after: Row
    settings: tuple[Setting, ...]

    @property
    def same(self) -> bool:
        """Whether both sweeps name the very same cell, which has one result."""
        return self.before.id == self.after.id


@dataclass(frozen=True)
class FileChange:
    """A file of the code that differs."""

    path: str
    kind: str
    """``changed``, ``new`` or ``gone``."""
    added: int | None
    """Lines; None of a file that is no text."""
    removed: int | None


@dataclass(frozen=True)
class CodeChange:
    """The code of two sweeps."""

    before: str
    """Digest of the recorded snapshot."""
    after: str
    ran_before: Mapping[str, int]
    """Code that the cells with a result ran -> how many of them; empty text where it is not known."""
    ran_after: Mapping[str, int]
    scored_before: tuple[str, ...]
    """Digests of the scorers that wrote the metrics of matched cells."""
    scored_after: tuple[str, ...]
    files: tuple[FileChange, ...] | None
    """None where a snapshot is not under the root any more."""

    @property
    def other_scorer(self) -> bool:
        """Whether a metric may differ because it was computed in another way."""
        return set(self.scored_before) != set(self.scored_after)


@dataclass(frozen=True)
class DataChange:
    """The prepared data of one task in two sweeps; an empty digest where a sweep lacks the task."""

    task: str
    before: str
    after: str
    splits_before: Mapping[str, int]
    """Samples of each split; empty where the data is gone."""
    splits_after: Mapping[str, int]


@dataclass(frozen=True)
class Effect:
    """One metric of two matched cells."""

    model: str
    task: str
    split: str
    prompt: str
    method: str
    before: str
    after: str
    """Ids of the cells."""
    metric: str
    unit: str
    value_before: float
    value_after: float
    difference: float
    paired: bool
    """Whether both answered the same samples, so that the difference has an interval of its own."""
    low: float | None
    high: float | None
    own_before: tuple[float | None, float | None]
    """The interval of the cell alone."""
    own_after: tuple[float | None, float | None]
    n: int
    """Samples compared; of cells that are not paired the fewer."""
    p: float | None
    """Holm-corrected over all tests of this comparison; None for metrics that are no hits or not paired."""
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Two sweeps side by side."""

    before: Report
    after: Report
    pairs: tuple[Pair, ...]
    only_before: tuple[Row, ...]
    only_after: tuple[Row, ...]
    code: CodeChange
    data: tuple[DataChange, ...]
    effects: tuple[Effect, ...]

    @property
    def lacking(self) -> tuple[Pair, ...]:
        """Matched cells of which one has no result."""
        return tuple(p for p in self.pairs if p.before.state != "done" or p.after.state != "done")

    @property
    def settings(self) -> dict[str, list[tuple[Setting, int]]]:
        """Key -> each change of it, and how many matched cells it concerns; keys as an override would name them."""
        counted: dict[str, dict[str, tuple[Setting, int]]] = defaultdict(dict)
        for setting in (s for pair in self.pairs for s in pair.settings):
            change = canonical([setting.before, setting.after])
            before = counted[setting.key].get(change, (setting, 0))
            counted[setting.key][change] = (setting, before[1] + 1)
        return {key: list(counted[key].values()) for key in sorted(counted)}

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        changed = [
            {**dataclasses.asdict(setting), "cells": cells}
            for changes in self.settings.values()
            for setting, cells in changes
        ]
        return {
            "schema": SCHEMA,
            "before": self.before.sweep,
            "after": self.after.sweep,
            "matched": [{"before": p.before.id, "after": p.after.id} for p in self.pairs],
            "only_before": [row.id for row in self.only_before],
            "only_after": [row.id for row in self.only_after],
            "without_result": [{"before": p.before.id, "after": p.after.id} for p in self.lacking],
            "settings": changed,
            "code": {**dataclasses.asdict(self.code), "other_scorer": self.code.other_scorer},
            "data": [dataclasses.asdict(change) for change in self.data],
            "results": [dataclasses.asdict(effect) for effect in self.effects],
        }


def side_by_side(
    before: Report, after: Report, metrics: Callable[[Group], Sequence[str]] = differences.leading
) -> Comparison:
    """Compare two sweeps.

    Args:
        before: the one that is compared with.
        after: the other one; a metric is better where it is better here.
        metrics: of a group, those whose results are compared: every one costs a bootstrap per pair of cells.
    """
    matched, only_before, only_after = match(before, after)
    pairs = tuple(Pair(a, b, tuple(_differing(_settings(before, a), _settings(after, b)))) for a, b in matched)
    return Comparison(
        before=before,
        after=after,
        pairs=pairs,
        only_before=tuple(only_before),
        only_after=tuple(only_after),
        code=_code(before, after, pairs),
        data=tuple(_data(before, after)),
        effects=tuple(_effects(before, after, pairs, metrics)),
    )


def match(before: Report, after: Report) -> tuple[list[tuple[Row, Row]], list[Row], list[Row]]:
    """Pairs in the order of ``after``, and the cells of either sweep that have no partner.

    Of several cells with the same names, those are matched that are the same cell; then those whose settings agree in
    all that tell cells of either sweep apart, then in what does so in both. What is left of such cells, and not
    one to one, is reported as unmatched and not guessed.
    """
    names: dict[tuple[str, ...], tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
    for side, report in enumerate((before, after)):
        for row in report.rows:
            names[row.model, row.task, row.prompt, row.method][side].append(row)
    partner: dict[str, Row] = {}
    for rows_before, rows_after in names.values():
        _match_alike(before, after, rows_before, rows_after, partner)
    matched = {row.id for row in partner.values()}
    pairs = [(partner[row.id], row) for row in after.rows if row.id in partner]
    lonely = [row for row in after.rows if row.id not in partner]
    return pairs, [row for row in before.rows if row.id not in matched], lonely


def _match_alike(
    before: Report, after: Report, rows_before: list[Row], rows_after: list[Row], partner: dict[str, Row]
) -> None:
    """Match rows of the same names; ``partner`` is by the id in the second sweep."""
    left = _match_by(lambda row: row.id, rows_before, rows_after, partner)
    if not all(left):
        return
    settings = {row.id: _settings(before, row) for row in left[0]} | {row.id: _settings(after, row) for row in left[1]}
    telling = [_telling([settings[row.id] for row in rows]) for rows in left]
    for keys in (telling[0] | telling[1], telling[0] & telling[1]):
        ordered = sorted(keys)
        left = _match_by(lambda row: canonical([said(settings[row.id], k) for k in ordered]), *left, partner)  # noqa: B023


def _match_by(
    key: Callable[[Row], Hashable], rows_before: Iterable[Row], rows_after: Iterable[Row], partner: dict[str, Row]
) -> tuple[list[Row], list[Row]]:
    """Match rows whose key is equal and unique on either side; answers those that are left."""
    sides: list[dict[Hashable, list[Row]]] = [defaultdict(list), defaultdict(list)]
    for side, rows in zip(sides, (rows_before, rows_after), strict=True):
        for row in rows:
            side[key(row)].append(row)
    left: tuple[list[Row], list[Row]] = ([], [])
    for value in dict.fromkeys([*sides[0], *sides[1]]):
        a, b = sides[0].get(value, []), sides[1].get(value, [])
        if len(a) == len(b) == 1:
            partner[b[0].id] = a[0]
        else:
            left[0].extend(a)
            left[1].extend(b)
    return left


def _telling(settings: Sequence[Mapping[str, Any]]) -> set[str]:
    """The keys in which some of these differ."""
    keys = set().union(*settings) if settings else set()
    return {key for key in keys if len({canonical(said(cell_settings, key)) for cell_settings in settings}) > 1}


def _settings(report: Report, row: Row) -> dict[str, Any]:
    """All that a cell and its tuning compute, by dotted key; defaults are left out, and the data's digest."""
    cell = report.store.cell(row.id).read()
    settings = dict(flat({k: v for k, v in cell.identity.items() if k not in ("tuned", "data")}))
    tuning = _tuning(report, row)
    for key, value in flat({k: v for k, v in tuning.identity.items() if k != "data"}) if tuning else ():
        if key.startswith("prompt.") or (key in settings and canonical(settings[key]) != canonical(value)):
            settings[TUNED_ON + key] = value
        else:
            settings[key] = value
    return settings


def _tuning(report: Report, row: Row) -> Cell | None:
    folder = report.store.cell(row.tuned) if row.tuned else None
    return folder.read() if folder is not None and folder.cell_json.exists() else None


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Setting]:
    for key in sorted({*before, *after}):
        plain = key.removeprefix(TUNED_ON)
        a, b = (side[key] if key in side else said({}, plain) for side in (before, after))
        if canonical(a) != canonical(b):
            yield Setting(key, a, b, key not in before, key not in after)


def _code(before: Report, after: Report, pairs: Sequence[Pair]) -> CodeChange:
    rows = [(before, [p.before for p in pairs]), (after, [p.after for p in pairs])]
    ran = [
        dict(Counter(sweep_provenance.code(sweep_provenance.of_cell(report, row.id)) for row in report.done))
        for report in (before, after)
    ]
    scored = [
        sorted({sweep_provenance.scorer(report, row.id) for row in sweep_rows if row.state == "done"})
        for report, sweep_rows in rows
    ]
    folders = [report.store.code(report.code) if report.code else None for report in (before, after)]
    files: tuple[FileChange, ...] | None = ()
    if before.code != after.code:
        known = [folder for folder in folders if folder is not None and folder.is_dir()]
        files = tuple(changed_files(*known)) if len(known) == 2 else None
    return CodeChange(before.code, after.code, ran[0], ran[1], tuple(scored[0]), tuple(scored[1]), files)


def changed_files(before: Path, after: Path) -> Iterator[FileChange]:
    """The files that differ between two snapshots of code, with the lines that were added and removed."""
    listed = [{p.relative_to(root) for p in root.rglob("*") if p.is_file()} for root in (before, after)]
    for path in sorted(listed[0] | listed[1]):
        if path == Path(STAMP) or "__pycache__" in path.parts:
            continue
        old, new = (
            (root / path).read_bytes() if path in files else None
            for root, files in zip((before, after), listed, strict=True)
        )
        if old != new:
            kind = "new" if old is None else "gone" if new is None else "changed"
            yield FileChange(path.as_posix(), kind, *_lines(old or b"", new or b""))


def _lines(old: bytes, new: bytes) -> tuple[int | None, int | None]:
    """Lines added and removed; None where it is no text."""
    try:
        a, b = old.decode().splitlines(), new.decode().splitlines()
    except UnicodeDecodeError:
        return None, None
    changes = [code for code in SequenceMatcher(None, a, b).get_opcodes() if code[0] != "equal"]
    return sum(end - start for *_, start, end in changes), sum(end - start for _, start, end, *_ in changes)


def _data(before: Report, after: Report) -> Iterator[DataChange]:
    for task in dict.fromkeys([*before.data, *after.data]):
        splits = [dict(report.manifests.get(task, {}).get("splits", {})) for report in (before, after)]
        yield DataChange(task, before.data.get(task, ""), after.data.get(task, ""), *splits)


def _effects(
    before: Report, after: Report, pairs: Sequence[Pair], metrics: Callable[[Group], Sequence[str]]
) -> Iterator[Effect]:
    groups = {(group.task, group.split): group for group in after.groups}
    alone: dict[tuple[str, str, str], Effect] = {}
    paired: list[Difference] = []
    for pair in pairs:
        if pair.same or pair.before.state != "done" or pair.after.state != "done":
            continue
        same_data = before.data[pair.before.task] == after.data[pair.after.task]
        for split in pair.after.splits:
            group = groups[pair.after.task, split]
            for metric in metrics(group):
                unpaired = _unpaired(group, metric, before, pair)
                if unpaired is None:
                    continue
                alone[pair.after.id, split, metric] = unpaired
                if same_data and (
                    one := differences.difference(group, metric, (before, pair.before), (after, pair.after))
                ):
                    paired.append(one)
    kinds = {group.task: group.kind for group in after.groups}
    judged = {(d.after, d.split, d.metric): d for d in differences.with_verdicts(paired, kinds)}
    for key, effect in alone.items():
        shown = dataclasses.asdict(judged[key]) if key in judged else {}
        yield dataclasses.replace(effect, **shown, paired=bool(shown))


def _unpaired(group: Group, metric: str, before: Report, pair: Pair) -> Effect | None:
    """The effect on a metric judged by the cells' own intervals; None where one of them lacks it."""
    group_before = next((g for g in before.groups if (g.task, g.split) == (group.task, group.split)), None)
    a = group_before.metric(pair.before, metric) if group_before and group.split in pair.before.splits else None
    b = group.metric(pair.after, metric)
    if a is None or b is None or a.value is None or b.value is None:
        return None
    row = pair.after
    return Effect(
        model=row.model,
        task=group.task,
        split=group.split,
        prompt=row.prompt,
        method=row.label,
        before=pair.before.id,
        after=row.id,
        metric=metric,
        unit=b.unit,
        value_before=a.value,
        value_after=b.value,
        difference=b.value - a.value,
        paired=False,
        low=None,
        high=None,
        own_before=(a.low, a.high),
        own_after=(b.low, b.high),
        n=min(a.n, b.n),
        p=None,
        verdict=_by_own_intervals(a.low, a.high, b.low, b.high, group.lower_is_better(metric)),
    )


def _by_own_intervals(
    a_low: float | None, a_high: float | None, b_low: float | None, b_high: float | None, lower_is_better: bool
) -> str:
    """Intervals that meet do not prove equality, and those that do not are apart with more than 95 %."""
    if a_low is None or a_high is None or b_low is None or b_high is None:
        return "no interval"
    if a_low <= b_high and b_low <= a_high:
        return "can't be told apart"
    return "better" if (b_high < a_low) == lower_is_better else "worse"
