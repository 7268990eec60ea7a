"""From points to cells: identities, ids, what needs what, and the recorded sweep."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.config.build import unquoted
from paceline.config.cell_kinds import kind_of
from paceline.config.checks import named_by_folder
from paceline.config.declared import Kind
from paceline.config.identity import (
    clear_inactive,
    identity_of,
    model_placement,
    placement_of,
    read_config,
    with_placement,
)
from paceline.config.joined_parts import not_joined
from paceline.config.schema import PLACEMENT_GROUPS, Config, ModelSpec, PromptSpec, TaskSpec, TrainSpec
from paceline.errors import UserError
from paceline.models.registry import no_family
from paceline.store.cell_folder import Cell
from paceline.store.files import SCHEMA, canonical, digest, write_json
from paceline.store.root import Store, SweepFolder
from paceline.sweep.boosted import Boosted
from paceline.sweep.built_on import BuiltOn, not_trained_on
from paceline.sweep.combinations import impossible, unanswered_so, unscorable
from paceline.sweep.named_code import require_code
from paceline.sweep.shot_checks import ShotPins, unshowable
from paceline.sweep.sweep_lines import difference
from paceline.sweep.task_checks import TaskChecks, contradictions, unfit_prompt, untrainable

if TYPE_CHECKING:
    from paceline.sweep.compose import Composition, Point

HASH_LENGTH = 12
UNPREPARED = "unprepared"
# The parts of a config that are identity, and of those what a finetune cell is made of beside the prompt trained on.
IDENTITY = {f.name: f.metadata["only"] for f in dataclasses.fields(Config) if f.metadata["part"] == "identity"}
TUNING = [name for name, only in IDENTITY.items() if only != "evaluate" and name != "prompt"]


@dataclass(frozen=True)
class PlannedCell:
    """A cell, and the config of its point with the placement that holds for it."""

    cell: Cell
    config: Config

    @property
    def id(self) -> str:
        """The cell's id."""
        return self.cell.id


@dataclass
class Sweep:
    """An ordered list of cells: every cell stands before the first that needs it."""

    name: str
    overrides: tuple[str, ...]
    experiment: str | None
    cells: list[PlannedCell]
    dropped: list[dict[str, Any]] = field(default_factory=list)
    folded: int = 0
    transfers: list[tuple[TaskSpec, TaskSpec]] = field(default_factory=list)
    """Tasks that weights are tuned on, each with another that they are evaluated on."""
    points: int = 0
    """Cells that answer as a point asks, beside those that these need."""
    problems: list[str] = field(default_factory=list)
    """Why no cell may be frozen as asked: contradictions, found before anything runs. ``record`` refuses them."""

    def as_json(self, code: str) -> dict[str, Any]:
        """The content of ``sweep.json``: the cells, and how each is to be run until a resume changes that."""
        listed: list[dict[str, Any]] = []
        places: dict[int, int] = {}
        placed = {}
        for planned, placement in zip(self.cells, placements_of(self.cells), strict=True):
            if id(placement) not in places:
                if placement not in listed:
                    listed.append(placement)
                places[id(placement)] = listed.index(placement)
            placed[planned.id] = places[id(placement)]
        return {
            "schema": SCHEMA,
            "name": self.name,
            "experiment": self.experiment,
            "overrides": list(self.overrides),
            "cells": [c.id for c in self.cells],
            "placements": listed,
            "placed": placed,
            "dropped": self.dropped,
            "code": code,
        }


def placements_of(cells: Iterable[PlannedCell]) -> list[dict[str, Any]]:
    """The placement of each cell as JSON values. Cells that share their placement specs share one mapping."""
    known: dict[tuple[Any, ...], dict[str, Any]] = {}
    placements = []
    for planned in cells:
        groups = (id(getattr(planned.config, group)) for group in PLACEMENT_GROUPS)
        key = (canonical(model_placement(planned.config.model)), *groups)
        if key not in known:
            known[key] = placement_of(planned.config)
        placements.append(known[key])
    return placements


def cell_id(kind: Kind, identity: dict[str, Any]) -> str:
    """A readable slug and 12 hex digits of sha256 over the canonical JSON of the identity."""
    slug = "-".join(name for name in slug_parts(identity) if name)
    return f"{kind}-{slug}-{digest({'kind': kind, **identity}, HASH_LENGTH)}"


def slug_parts(identity: Mapping[str, Any]) -> list[str]:
    """The names of model, task, prompt and method as an id spells them."""
    names = (identity[g].get("name", "") for g in ("model", "task", "prompt", "method"))
    return [re.sub(r"[^a-zA-Z0-9_.]+", "_", name) for name in names]


def training_prompt(config: Config, composition: Composition) -> PromptSpec:
    """The prompt that a point is tuned on: the one named, that of the task trained on, or the one evaluated."""
    name = config.train.prompt or config.task.prompt
    if not name:
        raise UserError(f"task '{config.task.name}' names no training prompt: give train.prompt=NAME or same")
    prompt: PromptSpec = config.prompt if name == "same" else composition.prompt(name)
    if prompt.shots.count:
        raise UserError(f"prompt '{prompt.name}' shows examples, and nothing is tuned on such: give train.prompt=NAME")
    not_trained_on(prompt)
    return prompt


def finetune_cell(config: Config, composition: Composition, data: str, boosted_on: Sequence[Cell] = ()) -> Cell:
    """The cell that makes the weights of a tuned point. Its task and its prompt are those trained on.

    Args:
        config: the point's.
        composition: what the user asked for.
        data: digest of the prepared data.
        boosted_on: the evaluate cells whose errors weigh the training samples, round by round.
    """
    prompt = training_prompt(config, composition)
    train = dataclasses.replace(config.train, task=TrainSpec.task, prompt=TrainSpec.prompt)
    tuned = dataclasses.replace(config, prompt=prompt, train=train)
    identity = {**identity_of(clear_inactive(tuned, "finetune"), "finetune"), "data": data}
    needs = tuple(cell.id for cell in boosted_on)
    identity |= {"boosted_on": list(needs)} if needs else {}
    return Cell(cell_id("finetune", identity), "finetune", identity, needs)


def evaluate_cell(
    config: Config, data: str, tuned: Cell | None, built_on: Cell | None = None, material: bool = False
) -> Cell:
    """The cell that answers a task's samples, with the weights as they came or as a finetune cell made them.

    Args:
        config: the point's.
        data: digest of the prepared data.
        tuned: the finetune cell.
        built_on: the evaluate cell whose answers the prompt builds on.
        material: whether its answers are no result, whatever the model is asked.
    """
    asked = clear_inactive(config, "evaluate")
    if material:
        asked = dataclasses.replace(asked, prompt=dataclasses.replace(asked.prompt, scored=False))
    identity = {**identity_of(asked, "evaluate"), "data": data}
    needed = {"tuned": tuned, "built_on": built_on}
    identity |= {name: cell.id for name, cell in needed.items() if cell is not None}
    return Cell(cell_id("evaluate", identity), "evaluate", identity, tuple(cell.id for cell in needed.values() if cell))


class _Expansion:
    """The cells of a composition as they are found, point by point; what many points share is made once."""

    def __init__(
        self,
        composition: Composition,
        data_digest: Callable[[TaskSpec], str],
        splits: Callable[[TaskSpec], Mapping[str, int] | None],
        pin: Callable[[ModelSpec], ModelSpec],
        root: Path | None,
    ) -> None:
        self.composition, self.data_digest, self.splits, self.pin = composition, data_digest, splits, pin
        self.cells: dict[str, PlannedCell] = {}
        self.problems: dict[str, None] = {}
        self.transfers: dict[str, tuple[TaskSpec, TaskSpec]] = {}
        self._data: dict[str, tuple[str, Mapping[str, int] | None]] = {}
        self._models: dict[int, ModelSpec] = {}
        self._tunings: dict[tuple[int | str, ...], Cell] = {}
        self._coded: set[tuple[str, str, str]] = set()
        self._task_checks = TaskChecks(root)
        self.shots, self.built_on = ShotPins(composition, root), BuiltOn(composition)
        self._boosted = Boosted(lambda config: training_prompt(config, composition), self.problems)
        self.asked: set[str] = set()
        self._root = root

    def add(self, point: Point) -> str:
        """Add a point's evaluate cell, behind the cells that it needs; or say why its model can't be asked."""
        config = self._pinned(point.config)
        self._use_code(config)
        data, splits = self._data_of(config.task)
        tuned = None
        if config.method.trains == "nothing":
            asked: Config | None = config
            while asked is not None:  # and what its prompt builds on, which is asked first
                if why := self._task_checks.too_long(self.shots.pinned(asked, splits)):
                    return why
                asked = self.built_on.earlier(asked)
        else:
            tuned = (
                self._add_tuning(config, data, splits)
                if point.tuned is None
                else self._add_transfer(self._pinned(point.tuned), config.task)
            )
        self.asked.add(self._add_answering(config, data, splits, tuned).id)
        return ""

    def _add_answering(self, config: Config, data: str, splits: Mapping[str, int] | None, tuned: Cell | None) -> Cell:
        """Add an evaluate cell, behind the one whose answers its prompt builds on, if it does."""
        earlier = self.built_on.earlier(config)
        needed = self._add_answering(earlier, data, splits, tuned) if earlier else None
        config = self.built_on.pinned(self.shots.pinned(config, splits))
        return self._add(evaluate_cell(config, data, tuned, needed), config, splits)

    def _add_tuning(self, config: Config, data: str, splits: Mapping[str, int] | None, asks: bool = True) -> Cell:
        """Add a finetune cell, behind the rounds of boosting that it needs."""
        answered: list[Cell] = []
        for one in self._boosted.rounds(config):
            tuned = self._tuning(one, data, answered)
            self._add(tuned, one, splits, asks)
            if answering := self._boosted.answering(one, last=one is config):
                answered.append(self._add(evaluate_cell(answering, data, tuned, material=True), answering, splits))
        return tuned

    def _pinned(self, config: Config) -> Config:
        # Points share their specs, and the composition holds them.
        if id(config.model) not in self._models:
            self._models[id(config.model)] = self.pin(config.model)
        return dataclasses.replace(config, model=self._models[id(config.model)])

    def _add_transfer(self, config: Config, evaluated: TaskSpec) -> Cell:
        """The finetune cell of a point that is evaluated on another task than it is tuned on."""
        trained = config.task
        self._use_code(config)
        data, splits = self._data_of(trained)
        prompt = training_prompt(config, self.composition)
        if why := unfit_prompt(prompt, trained, evaluated):
            self.problems[why] = None
        # The evaluated prompt may be one that fits the evaluated task alone.
        tuned = self._add_tuning(dataclasses.replace(config, prompt=prompt), data, splits, asks=not why)
        self.transfers[repr((trained, evaluated))] = trained, evaluated
        return tuned

    def _use_code(self, config: Config) -> None:
        code = (config.task.kind, config.task.reader, config.model.family)
        if code not in self._coded:
            require_code([config])
            self._coded.add(code)
            if why := no_family(config.model.family) or not_joined(config.model):
                self.problems[why] = None

    def _data_of(self, task: TaskSpec) -> tuple[str, Mapping[str, int] | None]:
        """Digest and splits of a task's prepared data."""
        key = repr((task.kind, task.reader, task.options, task.pictures))
        if key not in self._data:
            self._data[key] = self.data_digest(task), self.splits(task)
        return self._data[key]

    def _tuning(self, config: Config, data: str, boosted_on: Sequence[Cell]) -> Cell:
        # Many points share one. The composition makes each spec once and holds it, so its id stands for its content.
        parts: list[Any] = [*(getattr(config, name) for name in TUNING), training_prompt(config, self.composition)]
        key: tuple[int | str, ...] = tuple(p if isinstance(p, int) else id(p) for p in parts)
        key += tuple(cell.id for cell in boosted_on)
        if key not in self._tunings:
            self._tunings[key] = finetune_cell(config, self.composition, data, boosted_on)
        return self._tunings[key]

    def _add(self, cell: Cell, config: Config, splits: Mapping[str, int] | None, asks: bool = True) -> Cell:
        if cell.id in self.cells:
            return cell
        planned = self.cells[cell.id] = PlannedCell(cell, self.composition.placed(config, cell.kind))
        prompt = training_prompt(config, self.composition) if kind_of(cell.kind).trains else config.prompt
        self.problems.update(dict.fromkeys(contradictions(planned.config, cell.kind, splits)))
        if kind_of(cell.kind).trains:
            self.problems.update(dict.fromkeys(untrainable(planned.config, self._root)))
        if asks:
            self.problems.update(dict.fromkeys(self._task_checks.problems(config, prompt, cell.kind)))
        return cell


def expand(
    composition: Composition,
    data_digest: Callable[[TaskSpec], str],
    splits: Callable[[TaskSpec], Mapping[str, int] | None] = lambda task: None,
    pin: Callable[[ModelSpec], ModelSpec] = lambda model: model,
    root: Path | None = None,
) -> Sweep:
    """The cells of a composition, equal ones folded into one, in the order of the product.

    Args:
        composition: what the user asked for.
        data_digest: digest of a task's prepared data; called once per task.
        splits: split -> samples of a task's prepared data, None where it is not prepared; called once per task.
        pin: the model with the digest of its weights' content, where they lie in a folder; called once per model.
        root: the storage root, whose prepared samples are looked at for what would end a cell; None looks at none.

    Raises:
        UserError: no point is left, or the only one is impossible; code of a lab's can't be used.
    """
    expansion = _Expansion(composition, data_digest, splits, pin, root)
    dropped: list[dict[str, Any]] = []
    evaluations = 0
    for point in composition.points():
        transferred = point.tuned if point.config.method.trains != "nothing" else None
        reason = impossible(point.config) or (impossible(transferred) if transferred else None)
        reason = reason or unscorable(point.config) or unshowable(point.config)
        reason = reason or expansion.built_on.impossible(point.config)
        if reason := reason or unanswered_so(point.config) or expansion.add(point):
            dropped.append({"point": point.label(), "reason": reason})
            continue
        evaluations += 1
    cells = expansion.cells
    if not cells:
        if dropped:
            raise UserError("; ".join(dict.fromkeys(d["reason"] for d in dropped)))
        raise UserError("no point is left: `only` and `exclude` leave out the whole product")
    return Sweep(
        name=sweep_name(composition, cells),
        overrides=composition.overrides,
        experiment=composition.experiment,
        cells=list(cells.values()),
        dropped=dropped,
        folded=evaluations - len(expansion.asked),
        transfers=list(expansion.transfers.values()),
        points=len(expansion.asked),
        problems=[*expansion.problems, *expansion.shots.problems, *expansion.built_on.problems],
    )


def sweep_name(composition: Composition, cells: Iterable[str]) -> str:
    """The name given, else the experiment's, else one that stands for just these cells."""
    if isinstance(composition.name, bool | float):
        raise UserError(f"name: {unquoted(composition.name)}: quote it")
    name = composition.name or composition.experiment or f"sweep-{digest(sorted(cells), 8)}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", str(name)):
        raise UserError(f"name '{name}': use letters, digits, '_', '.' and '-', beginning with a letter or digit")
    return str(name)


def record(sweep: Sweep, store: Store, code: str, extend: bool, unmade: Collection[str] | None = None) -> SweepFolder:
    """Freeze the cells and the sweep. The same name with other cells is refused, unless it is to be extended or mended.

    Args:
        sweep: the cells.
        store: where.
        code: digest of the code that runs them, where the sweep is new.
        extend: add cells to a recorded sweep.
        unmade: cells of the recorded sweep that failed or never began: those that are not asked for any more leave it.
            Their folders stay. None where it is not to be mended.

    Raises:
        UserError: settings contradict each other, or the name is taken by other cells; the message has the remedy.
    """
    require_recordable(sweep, store, extend, unmade)
    folder = store.sweep(sweep.name)
    content = sweep.as_json(code)
    if folder.sweep_json.exists():
        before = folder.read()
        if unmade is not None:
            before = _without(before, set(before["cells"]) - set(content["cells"]))
        content = _extended(before, content)
    store.freeze(planned.cell for planned in sweep.cells)
    if not folder.sweep_json.exists() or _said(folder.read()) != _said(content):
        write_json(folder.sweep_json, content)
    return folder


def require_recordable(sweep: Sweep, store: Store, extend: bool, unmade: Collection[str] | None = None) -> None:
    """Refuse what :func:`record` would refuse; nothing is written.

    Raises:
        UserError: settings contradict each other, or the name is taken by other cells; the message has the remedy.
    """
    if sweep.problems:
        raise UserError("; ".join(sweep.problems))
    folder = store.sweep(sweep.name)
    # Without the data, or the content of the weights, an id only stands for one.
    known = all(c.cell.data != UNPREPARED and not named_by_folder(c.config.model) for c in sweep.cells)
    if known and folder.sweep_json.exists() and (unmade is not None or not extend):
        old, new = set(folder.read()["cells"]), {c.id for c in sweep.cells}
        if old != new and unmade is None:
            raise UserError(difference(sweep.name, old, new) + _of_earlier_version(old - new, store))
        if made := sorted(old - new - set(unmade or ())):
            raise UserError(
                f"sweep '{sweep.name}': --mend takes out what failed or never began; {len(made)} of its cells are not "
                f"asked for now and did begin ({made[0]}): ask for these too, or give --extend or name=OTHER"
            )


def _of_earlier_version(cells: Iterable[str], store: Store) -> str:
    """That cells name their weights by a folder, and so are told apart from those of its content."""
    named = [c for c in cells if named_by_folder(store.cell(c).read().config.model)]
    if not named:
        return ""
    return (
        f". {len(named)} of its own name a folder of weights whose content an earlier version did not record, so they "
        "are not those of the folder as it is now"
    )


def _without(before: dict[str, Any], left: Collection[str]) -> dict[str, Any]:
    """A recorded sweep without some of its cells."""
    return {
        **before,
        "cells": [c for c in before["cells"] if c not in left],
        "placed": {c: place for c, place in before["placed"].items() if c not in left},
    }


def _said(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a recorded sweep, independent of the order of its placements."""
    placed = {c: content["placements"][i] for c, i in content["placed"].items()}
    return {**content, "placements": None, "placed": placed}


def _extended(before: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """A recorded sweep with the cells and the placement of a new request; its code stays."""
    shift = len(before["placements"])
    dropped = set(map(canonical, before["dropped"]))
    return {
        **content,
        "overrides": content["overrides"] if set(content["cells"]) >= set(before["cells"]) else before["overrides"],
        "cells": before["cells"] + [c for c in content["cells"] if c not in before["placed"]],
        "placements": before["placements"] + content["placements"],
        "placed": {**before["placed"], **{c: i + shift for c, i in content["placed"].items()}},
        "dropped": before["dropped"] + [d for d in content["dropped"] if canonical(d) not in dropped],
        "code": before["code"],
    }


def recorded(folder: SweepFolder, store: Store) -> Sweep:
    """A sweep as it was recorded: frozen cells, and the placement of the last submit."""
    content = folder.read()
    placements = [with_placement(Config(), p) for p in content["placements"]]
    specs: dict[tuple[str, str], Any] = {}
    cells = []
    for cell_id in content["cells"]:
        cell = store.cell(cell_id).read()
        placed = placements[content["placed"][cell_id]]
        values = {group: getattr(placed, group) for group in PLACEMENT_GROUPS}
        # As `cell.config`, but a group that several cells share is read once.
        for name, section in cell.identity.items():
            if name in IDENTITY:
                key = (name, canonical(section))
                if key not in specs:
                    specs[key] = getattr(read_config({name: section}, f"cell {cell_id}"), name)
                values[name] = specs[key]
        config = Config(**values)
        if model := model_placement(placed.model):
            config = with_placement(config, {"model": model})
        cells.append(PlannedCell(cell, config))
    return Sweep(folder.name, tuple(content["overrides"]), content["experiment"], cells, content["dropped"])
