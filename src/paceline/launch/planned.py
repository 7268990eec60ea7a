"""What a submit does, computed from one snapshot of the states of all cells; nothing is written here.

``look`` reads: the cells' states, and the rungs on which tunings go on. ``plan_of`` is a function of what was seen:
which cells run, as which elements, and the notes on it. ``refusals`` are why a plan can't run, known before it is
recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from paceline import tasks
from paceline.attempts import checkpoints
from paceline.config import service_settings
from paceline.config.cell_kinds import kind_of
from paceline.config.schema import Config, DeepSpeedSpec
from paceline.errors import UserError
from paceline.launch import environments, gpu_fit
from paceline.launch.elements import Element, group
from paceline.launch.memory_rungs import Ladders, Taken, taken_up
from paceline.slurm.remembered import Answers
from paceline.store.cell_folder import CellFolder
from paceline.store.root import Store
from paceline.sweep import status
from paceline.sweep.cells import PlannedCell, Sweep
from paceline.sweep.config_files import ConfTree
from paceline.sweep.status import CellState


@dataclass(frozen=True)
class Wishes:
    """What a person, or a script in their place, wants of a submit besides its cells.

    Attributes:
        extend: add cells to a recorded sweep of the same name.
        mend: put cells of mended settings in the place of those that failed or never began.
        retry_failed: also run cells that ended with what is not retried by itself.
        current_code: go on with the code as it is now.
        chain: end the submission with a small job that resumes the sweep.
        unattended: leave alone what a person cancelled, and what a job could not begin.
    """

    extend: bool = False
    mend: bool = False
    retry_failed: bool = False
    current_code: bool = False
    chain: bool = False
    unattended: bool = False


NO_WISHES = Wishes()


@dataclass(frozen=True)
class Seen:
    """One snapshot of what a submit finds.

    Attributes:
        cells: the sweep's cells, each with the placement to run it with.
        states: of every cell.
        taken: cells that go on elsewhere than asked, or can't go on.
        answers: what Slurm answered.
    """

    cells: tuple[PlannedCell, ...]
    states: Mapping[str, CellState]
    taken: Mapping[str, Taken]
    answers: Answers


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        chosen: the cells.
        elements: the same, as processes run them.
        executor: how an element becomes a process; empty where there is none.
        notes: messages for the user.
    """

    chosen: tuple[PlannedCell, ...]
    elements: tuple[Element, ...]
    executor: str
    notes: tuple[str, ...]


def look(sweep: Sweep, store: Store, answers: Answers, wishes: Wishes, tree: ConfTree) -> Seen:
    """Read the states of all cells once, and where tunings that were begun go on.

    Raises:
        Unavailable: Slurm gives no answer.
    """
    states = status.of_sweep(store, sweep, answers)
    rungs = _taken_up(sweep, states, store, answers, wishes, tree)
    cells = (replace(c, config=rungs[c.id].config) if c.id in rungs else c for c in sweep.cells)
    return Seen(tuple(cells), states, rungs, answers)


def plan_of(seen: Seen, wishes: Wishes = NO_WISHES) -> Plan:
    """What to run of what was seen. A function of its arguments alone.

    Raises:
        UserError: the elements can't be run by one submission, or not in the way that is wished for.
    """
    chosen, _ = choose(seen.cells, seen.states, wishes)
    elements = _on_rungs(group(chosen), seen.taken)
    concerned = {p.id for p in chosen} | {c for c, t in seen.taken.items() if t.ended}
    notes = [f"{c}: {t.ended or t.why}" for c, t in seen.taken.items() if c in concerned]
    executor = executor_of(elements) if elements else ""
    if executor not in ("", "slurm") and wishes.chain:
        raise UserError("--chain is for Slurm: on this machine the launcher waits for its cells")
    if executor == "debug" and (many := [e for e in elements if e.ranks > 1]):
        raise UserError(f"cluster=debug is one process, and {many[0].cells[0]} is placed on {many[0].ranks} ranks")
    if executor == "debug" and (other := [e for e in elements if e.environment]):
        raise UserError(
            f"cluster=debug is this process, and {other[0].cells[0]} needs another environment; give cluster=local"
        )
    return Plan(tuple(chosen), tuple(elements), executor, tuple(notes))


def refusals(plan: Plan, seen: Seen, store: Store, presets: Mapping[str, DeepSpeedSpec]) -> Iterator[UserError]:
    """Why it can't run, each with the remedy.

    A checkpoint under another ZeRO stage, weights that are not there, too small a GPU.
    """
    for planned in seen.cells:
        if kind_of(planned.cell.kind).trains:
            try:
                _refuse_misfit(store.cell(planned.id), planned.config)
            except UserError as error:
                yield error
    served = {p.config.model.name: p.config for p in plan.chosen if p.config.model.served}
    for config in served.values():
        # A job's own lines may set what this shell has not.
        if not (config.cluster.executor == "slurm" and config.cluster.setup):
            yield from map(UserError, service_settings.lacks(config.model))
    packages = tasks.packages(p.config.task.kind for p in plan.chosen if p.config.model.environment)
    lacks = environments.lacks((p.config.model for p in plan.chosen), store, packages)
    yield from map(UserError, dict.fromkeys([*lacks, *environments.lacks_tracker(p.config for p in plan.chosen)]))
    try:
        _refuse_too_large(plan.chosen, store, presets)
    except UserError as error:
        yield error


def choose(
    cells: Sequence[PlannedCell], states: Mapping[str, CellState], wishes: Wishes = NO_WISHES
) -> tuple[list[PlannedCell], dict[str, str]]:
    """The cells to run, and why each of the others is not.

    A cell is run when it is needed and so are, or done, all cells that it needs.
    """
    chosen: dict[str, PlannedCell] = {}
    left: dict[str, str] = {}
    for planned in cells:
        state = states[planned.id]
        if not (state.needed or (wishes.retry_failed and state.state == "failed")):
            left[planned.id] = state.state
            continue
        # A job that could not even begin its cell (a prologue that fails) would come back for ever.
        if wishes.unattended and (state.cause == "cancelled" or (state.state == "missing" and state.cause)):
            left[planned.id] = f"{state.cause}: {state.detail}"
            continue
        blocked = [
            n
            for n in planned.cell.needs
            if n not in chosen and (n not in states or states[n].state not in ("done", "running", "queued"))
        ]
        if blocked:
            left[planned.id] = f"needs {blocked[0]}, which failed"
            continue
        chosen[planned.id] = planned
    return list(chosen.values()), left


def executor_of(elements: Sequence[Element]) -> str:
    """The executor of a submission.

    Raises:
        UserError: its elements name several.
    """
    names = sorted({e.placement["cluster"]["executor"] for e in elements})
    if len(names) > 1:
        raise UserError(f"one submission runs in one place, not on {' and '.join(names)}; mend the place rules")
    return str(names[0])


def _taken_up(
    sweep: Sweep, states: dict[str, CellState], store: Store, answers: Answers, wishes: Wishes, tree: ConfTree
) -> dict[str, Taken]:
    """Where tunings that were begun go on, if not as asked. What has no rung left is failed in ``states``."""
    tunings = [c for c in sweep.cells if kind_of(c.cell.kind).trains and states[c.id].attempts]
    tunings = [c for c in tunings if states[c.id].state != "done"]
    if not tunings:
        return {}
    verdict = status.Verdicts(store, [c.cell for c in tunings], answers)
    ladders = Ladders(store, tree.presets(), verdict)
    return taken_up(ladders, tunings, states, wishes.retry_failed)


def _on_rungs(elements: Sequence[Element], rungs: Mapping[str, Taken]) -> list[Element]:
    """Elements whose placement records why it differs from the requested one."""
    return [
        replace(e, placement={**e.placement, "ladder": rungs[e.cells[0]].recorded}) if e.cells[0] in rungs else e
        for e in elements
    ]


def _refuse_too_large(chosen: Sequence[PlannedCell], store: Store, presets: Mapping[str, DeepSpeedSpec]) -> None:
    """Refuse cells that can't fit the GPUs that they ask for.

    Raises:
        UserError: what they take, what was assumed, and what would fit.
    """
    configs = {p.id: p.config for p in chosen if gpu_fit.on_gpu(p.config)}
    if not configs:
        return
    fits = gpu_fit.look([p for p in chosen if p.id in configs], store, presets)
    if bad := gpu_fit.refused(fits, configs):
        raise UserError("\n".join(bad))


def _refuse_misfit(folder: CellFolder, config: Config) -> None:
    """Refuse a placement that a cell's checkpoint can't be taken up under, before it is recorded.

    Raises:
        UserError: the checkpoint was saved under another ZeRO stage.
    """
    checkpoint = None if folder.done() else checkpoints.newest(folder)
    if checkpoint is not None and (why := checkpoints.misfit(checkpoint, config.deepspeed)):
        raise UserError(f"{folder.id}: {why}")
