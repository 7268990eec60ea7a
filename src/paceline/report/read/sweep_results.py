"""The results of a sweep: one row per evaluate cell, and every cell without a result by its id."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline import tasks
from paceline.config.cell_kinds import kind_of
from paceline.config.checks import named_by_folder
from paceline.config.schema import Config, TaskSpec
from paceline.data import samples as prepared
from paceline.errors import UserError
from paceline.report.read import likeness
from paceline.report.read.result_rows import Absent, Metric, Row, Tuning
from paceline.store.cell_folder import Cell
from paceline.store.files import read_json, read_jsonl
from paceline.store.root import Store, SweepFolder
from paceline.sweep import shot_checks, status
from paceline.sweep.cell_labels import variants
from paceline.sweep.status import CellState
from paceline.tasks.kind import Kind
from paceline.tasks.metrics import READ_SHARE, Unit

if TYPE_CHECKING:
    from paceline.tasks.answers import Answers


@dataclass(frozen=True)
class Group:
    """The rows that can be compared with each other: one split of one task."""

    task: str
    split: str
    rows: tuple[Row, ...]
    """Only those with a result."""
    headline: tuple[str, ...]
    kind: Kind

    @property
    def title(self) -> str:
        """Task and split, for people."""
        return f"{self.task} · {self.split}"

    def metric(self, row: Row, name: str) -> Metric | None:
        """One metric of one row; None where the row lacks it or it has no value."""
        metric = row.metrics.get(name if len(row.splits) == 1 else f"{self.split}/{name}")
        return metric if metric is not None and metric.value is not None else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The headline without the share read, which has a column of its own."""
        return tuple(name for name in self.headline if name != READ_SHARE)

    def lower_is_better(self, name: str) -> bool:
        """Whether less of a metric is better."""
        return self.kind.metric(name).lower_is_better

    def heading(self, name: str) -> str:
        """A metric's name as a heading: ``median_x`` -> ``median``."""
        return self.kind.metric(name).heading

    def unit(self, name: str) -> str:
        """The unit of a metric."""
        return next((m.unit for row in self.rows if (m := self.metric(row, name))), "")

    def rank(self, name: str) -> list[Row]:
        """Rows that have this metric, the best first; equal ones stay in sweep order.

        A figure over read answers does not cover the others: a row that read less than half as many as the row
        that read most is left out.
        """
        sign = 1 if self.lower_is_better(name) else -1
        measured = [(m, row) for row in self.rows if (m := self.metric(row, name)) and m.value is not None]
        least = max((m.n for m, _ in measured), default=0) / 2
        valued = [(sign * m.value, row) for m, row in measured if m.value is not None and m.n >= least]
        return [row for _, row in sorted(valued, key=lambda pair: pair[0])]


@dataclass(frozen=True, eq=False)
class Report:
    """A sweep's results, rows in sweep order. Equal to itself alone, so that what is worked out from it is kept."""

    sweep: str
    experiment: str
    code: str
    cells: int
    rows: tuple[Row, ...]
    tunings: tuple[Tuning, ...]
    missing: tuple[Absent, ...]
    dropped: tuple[Mapping[str, Any], ...]
    tasks: Mapping[str, TaskSpec]
    kinds: Mapping[str, Kind]
    limits: Mapping[str, int]
    data: Mapping[str, str]
    """Task -> digest of the data that its cells answered."""
    by_folder: Mapping[str, str]
    """Model -> folder, of cells that an earlier version made: what the folder held is not recorded."""
    trained: Mapping[str, tuple[TaskSpec, str]]
    """Task that weights were tuned on -> the task, and the digest of the data that they were tuned on."""
    store: Store = dataclasses.field(repr=False, compare=False)
    unscored: tuple[Tuning, ...] = ()
    """Evaluate cells whose answers are not judged, because they are only what other prompts build on."""
    examples: tuple[str, ...] = ()
    """What prompts show before their questions, a line for each such prompt."""

    @property
    def done(self) -> list[Row]:
        """Rows with a result."""
        return [row for row in self.rows if row.state == "done"]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Task by task and split by split, in sweep order; only those with a result."""
        by_group: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.done:
            for split in row.splits:
                by_group[row.task, split].append(row)
        return tuple(
            Group(task, split, tuple(rows), self._headline(task, rows), self.kinds[task])
            for (task, split), rows in by_group.items()
        )

    def _headline(self, task: str, rows: list[Row]) -> tuple[str, ...]:
        kind = self.kinds[task]
        available = {
            name
            for row in rows
            for split in row.splits
            for name, metric in row.of(split).items()
            # The data has nothing that it could be made of; a figure of read answers tells that none was read.
            if metric.value is not None or kind.metric(name).statistic != "set"
        }
        return tuple(name for name in kind.headline if name in available)

    @cached_property
    def samples(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Task -> sample id -> prepared record with its image and split; empty for a task whose data is gone."""
        by_task: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in self.tasks}
        for name, manifest in self.manifests.items():
            task = self.tasks[name]
            if manifest:
                records = prepared.read_samples(
                    self.store.root, task, task.evaluate, self.limits[name], self.data[name]
                )
                by_task[name] = {record["id"]: record for record in records}
        return by_task

    @cached_property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Task -> manifest of the prepared data that its cells answered; empty where that is gone or changed."""
        by_task: dict[str, dict[str, Any]] = {}
        for name, task in self.tasks.items():
            try:
                manifest = prepared.read_manifest(self.store.root, task, self.data[name])
            except UserError:
                manifest = {}
            by_task[name] = manifest if manifest.get("digest") == self.data[name] else {}
        return by_task

    @cached_property
    def _chosen(self) -> dict[tuple[str, str], Answers]:
        return {}

    @cached_property
    def _positions(self) -> dict[tuple[str, tuple[str, ...]], list[int]]:
        return {}

    def chosen(self, row: Row, split: str) -> Answers:
        """The scored answers of a row with a result to one split, in the order of the file; read once.

        With several splits, which sample is of which is read from the prepared data; where that is gone no answer is
        chosen, so that splits are never mixed.
        """
        if (row.id, split) not in self._chosen:
            answers = self._read(row)
            for name in row.splits:
                whole = len(row.splits) == 1
                self._chosen[row.id, name] = answers if whole else self._of_split(row.task, name, answers)
        return self._chosen[row.id, split]

    def _read(self, row: Row) -> Answers:
        kind = self.kinds[row.task]
        # Samples are read where the kind ties them together, so that no other report waits for them.
        samples = self.samples[row.task] if kind.group else None
        return kind.answers(read_jsonl(self.store.cell(row.id).scores), samples)

    def _of_split(self, task: str, split: str, answers: Answers) -> Answers:
        # Cells of one task hold the same samples in the same order, so a thousand cells share a few lists.
        key = (split, answers.samples)
        if key not in self._positions:
            records = self.samples[task]
            positions = [i for i, s in enumerate(answers.sample_ids) if records.get(s, {}).get("split") == split]
            self._positions[key] = positions
        return answers.take(self._positions[key])


def collect(store: Store, sweep: SweepFolder) -> Report:
    """Read a sweep's results.

    Raises:
        UserError: the sweep is not recorded, or a file of it is damaged.
    """
    record = sweep.read()
    folders = {cell_id: store.cell(cell_id) for cell_id in record["cells"]}
    cells = {cell_id: folder.read() for cell_id, folder in folders.items() if folder.cell_json.exists()}
    gone = "its cell.json is gone; submit again"
    absent = {i: Absent(i, "", "missing", "", gone, 0) for i in folders if i not in cells}
    scored: dict[str, dict[str, Any] | None] = {}
    for cell_id, state in status.states(store, cells.values()).items():
        if state.state == "done" and kind_of(cells[cell_id].kind).answers:
            scored[cell_id] = _read_metrics(store.cell(cell_id).metrics)
        if no_result := _absent(cells[cell_id], state, scored.get(cell_id), sweep.name):
            absent[cell_id] = no_result
    evaluated, unscored = _answering(cells.values())
    tunings = {cell.id: _tuning(store, cells, cell) for cell in evaluated}
    configs = {cell.id: cell.config for cell in evaluated}
    trained = {cell.id: cell.config for cell in tunings.values() if cell}
    differing = variants(evaluated, {cell.id: cell for cell in tunings.values() if cell})
    rows = []
    specs: dict[str, TaskSpec] = {}
    data: dict[str, str] = {}
    limits: dict[str, int] = {}
    for cell in evaluated:
        config = configs[cell.id]
        specs.setdefault(config.task.name, config.task)
        data.setdefault(config.task.name, cell.data)
        limits[config.task.name] = _wider(limits.get(config.task.name), config.limit)
        tuned = str(cell.identity.get("tuned", ""))
        shown = absent[cell.id].state if cell.id in absent else "done"
        tuning = tunings[cell.id]
        row = _row(cell, config, tuning, trained.get(tuned), shown, differing[cell.id], scored.get(cell.id) or {})
        weighed_by = _weighed_by(cell, tuning, unscored)
        rows.append(dataclasses.replace(row, weighed_by=weighed_by, needed=_needed(store, cells, cell)))
    kinds = {name: _kind(task, [r for r in rows if r.task == name]) for name, task in specs.items()}
    rows = [_with_decimals(row, kinds[row.task]) for row in rows]
    return Report(
        sweep=record["name"],
        experiment=record.get("experiment", ""),
        code=record.get("code", ""),
        cells=len(record["cells"]),
        rows=tuple(rows),
        tunings=_tunings(cell for cell in cells.values() if kind_of(cell.kind).trains),
        missing=tuple(absent[i] for i in record["cells"] if i in absent),
        dropped=tuple(record.get("dropped", [])),
        tasks=specs,
        kinds=kinds,
        limits=limits,
        data=data,
        by_folder={c.model.name: c.model.weights for c in configs.values() if named_by_folder(c.model)},
        trained={trained[c.id].task.name: (trained[c.id].task, c.data) for c in tunings.values() if c},
        store=store,
        unscored=_tunings(unscored),
        examples=tuple(shot_checks.told(configs.values())),
    )


def _row(
    cell: Cell,
    config: Config,
    tuning: Cell | None,
    trained: Config | None,
    state: str,
    variant: str,
    metrics: Mapping[str, Any],
) -> Row:
    """The row of an evaluate cell.

    Args:
        cell: the cell.
        config: its config.
        tuning: the cell that tuned its weights, where there is one.
        trained: that cell's config.
        state: as a report names it.
        variant: what tells the cell from others.
        metrics: what its metrics.json holds; empty without a result.
    """
    return Row(
        id=cell.id,
        state=state,
        model=config.model.name,
        task=config.task.name,
        prompt=config.prompt.name,
        method=config.method.name,
        variant=variant,
        trained_on=trained.prompt.name if trained else "",
        trained_task=trained.task.name if trained else "",
        other_text=likeness.other_text(tuning, cell),
        tuned=str(cell.identity.get("tuned", "")),
        built_on=cell.built_on,
        splits=tuple(config.task.evaluate),
        samples=metrics.get("samples", 0),
        parsed=metrics.get("parsed", 0),
        metrics=metrics.get("metrics", {}),
        seed=trained.seed if trained else config.seed,
        resampled=trained is not None and trained.train.resample != "none",
        round=trained.train.boost if trained else 0,
        weighed_by=(),
        needed=(),
        **likeness.keys(cell, tuning),
    )


def _answering(cells: Iterable[Cell]) -> tuple[list[Cell], list[Cell]]:
    """The evaluate cells whose answers are judged, and those whose answers other prompts build on alone."""
    by_scored: dict[bool, list[Cell]] = {True: [], False: []}
    for cell in cells:
        if kind_of(cell.kind).answers:
            by_scored[cell.identity.get("prompt", {}).get("scored", True)].append(cell)
    return by_scored[True], by_scored[False]


def _tunings(cells: Iterable[Cell]) -> tuple[Tuning, ...]:
    tuned_cells = list(cells)
    differing = variants(tuned_cells)
    named = [(cell, cell.config) for cell in tuned_cells]
    return tuple(Tuning(c.id, f.model.name, f.prompt.name, f.method.name, differing[c.id]) for c, f in named)


def _wider(before: int | None, limit: int) -> int:
    """The limit that covers both; 0 takes all samples."""
    return limit if before is None else 0 if 0 in (before, limit) else max(before, limit)


def _read_metrics(path: Path) -> dict[str, Any] | None:
    """The content of ``metrics.json``, its metrics as :class:`Metric`; None where it is missing or damaged.

    Nothing is lost with it: it is made again from the answers.
    """
    try:
        content = read_json(path)
        metrics = {name: Metric(**metric) for name, metric in content["metrics"].items()}
        return {"samples": int(content["samples"]), "parsed": int(content["parsed"]), "metrics": metrics}
    except (UserError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _with_decimals(row: Row, kind: Kind) -> Row:
    """The same row; the unit of a metric whose decimals the kind states says them too, wherever it is shown."""
    stated = {metric.name: metric.decimals for metric in kind.metrics if metric.decimals is not None}
    if not stated:
        return row

    def unit(name: str, metric: Metric) -> Metric:
        plain = name.rpartition("/")[2]
        return dataclasses.replace(metric, unit=Unit(metric.unit, stated[plain])) if plain in stated else metric

    return dataclasses.replace(row, metrics={name: unit(name, metric) for name, metric in row.metrics.items()})


def _absent(cell: Cell, state: CellState, metrics: Mapping[str, Any] | None, sweep: str) -> Absent | None:
    """Why a cell has no result; None where it has one."""
    if state.state != "done":
        return Absent(cell.id, cell.kind, state.state, state.cause, state.detail, state.attempts)
    if not kind_of(cell.kind).answers or metrics is not None:
        return None
    remedy = f"answered, and metrics.json is missing or damaged; run: paceline score {sweep}"
    return Absent(cell.id, cell.kind, "unscored", "", remedy, state.attempts)


def _tuning(store: Store, cells: Mapping[str, Cell], cell: Cell) -> Cell | None:
    """The finetune cell whose weights an evaluate cell uses; it may belong to another sweep."""
    tuned = cell.identity.get("tuned")
    if not tuned:
        return None
    if tuned in cells:
        return cells[tuned]
    folder = store.cell(tuned)
    return folder.read() if folder.cell_json.exists() else None


def _weighed_by(cell: Cell, tuning: Cell | None, unscored: Iterable[Cell]) -> tuple[str, ...]:
    """The cells that answered the training samples of the rounds of boosting, as far as they are in the sweep."""
    if tuning is None or not tuning.boosted_on:
        return ()
    how = likeness.answered_with(cell)
    own = [
        one.id
        for one in unscored
        if likeness.answered_with(one) == how and one.config.task.evaluate == [tuning.config.task.train]
    ]
    return (*tuning.boosted_on, *own[:1])


def _needed(store: Store, cells: Mapping[str, Cell], cell: Cell) -> tuple[str, ...]:
    """All cells behind a cell, as far as they are there."""
    found: dict[str, None] = {}
    for name in cell.needs:
        known = cells.get(name)
        if known is None and store.cell(name).cell_json.exists():
            known = store.cell(name).read()
        found |= dict.fromkeys((*(_needed(store, cells, known) if known else ()), name))
    return tuple(found)


def _kind(task: TaskSpec, rows: Iterable[Row]) -> Kind:
    """The kind of a task; of one that this checkout lacks, one that is derived from its metrics."""
    kind = tasks.known(task.kind)
    if kind.module is not None:
        return kind
    names = dict.fromkeys(name for row in rows for split in row.splits for name in row.of(split))
    return Kind(task.kind, None, [kind.metric(name) for name in names])
