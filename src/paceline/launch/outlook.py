"""What a submit does, and what stands in its way: looked at by ``plan``, required by ``submit``, by the same code.

Nothing is submitted or recorded here, and it works where there is no Slurm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from paceline.config.cell_kinds import kind_of
from paceline.config.joined_parts import is_joined
from paceline.errors import PacelineError, Unavailable, UserError
from paceline.launch import arrays as slurm
from paceline.launch import planned, preflight, signal_lead
from paceline.launch.arrays import Arrangement
from paceline.launch.elements import Element, group
from paceline.launch.planned import NO_WISHES, Plan, Seen, Wishes
from paceline.launch.preflight_checks import Finding
from paceline.slurm import site as site_of
from paceline.slurm.remembered import Answers
from paceline.store import code as snapshot
from paceline.store.root import Store, SweepFolder
from paceline.sweep import cells, status
from paceline.sweep.cells import Sweep
from paceline.sweep.config_files import ConfTree


@dataclass(frozen=True)
class ToSlurm:
    """What a submit hands to Slurm.

    Attributes:
        arranged: which elements go now, as which arrays, and what has to wait.
        findings: of every check.
        job_of_cell: cell -> job, of cells that other submissions make.
    """

    arranged: Arrangement
    findings: list[Finding]
    job_of_cell: Mapping[str, str]

    @property
    def ordered(self) -> list[Element]:
        """The elements that go now, then those that have to wait."""
        return [*self.arranged.elements, *self.arranged.rest]


@dataclass(frozen=True)
class Outlook:
    """What a submit would do now.

    Attributes:
        seen: the states of all cells.
        plan: what is to be run.
        code: digest of the code that runs it.
        to_slurm: None where nothing goes to Slurm.
        notes: messages for the user.
        refusals: why it can't be done, with the remedies.
        unanswered: why it can't be known from here, where a submit needs to know.
        unmade: cells of the recorded sweep that may leave it; None where it is not to be mended.
    """

    seen: Seen
    plan: Plan
    code: str
    to_slurm: ToSlurm | None
    notes: list[str]
    refusals: list[PacelineError]
    unanswered: list[PacelineError]
    unmade: frozenset[str] | None = None

    def require(self) -> None:
        """Raise one error for all that stands in the way of a submit.

        Raises:
            UserError: the user can mend it.
            Unavailable: the disk or Slurm stands in the way.
        """
        if errors := self.refusals or self.unanswered:
            raise together(errors)


def together(errors: Sequence[PacelineError]) -> PacelineError:
    """One error that says what several say, each once."""
    told = {str(e): e for e in errors}
    errors = [e for text, e in told.items() if not _made_of(text, told.keys() - {text})]
    if len(errors) == 1:
        return errors[0]
    kind = UserError if any(isinstance(e, UserError) for e in errors) else Unavailable
    lines = "\n".join("  " + str(e).replace("\n", "\n  ") for e in errors)
    return kind(f"{len(errors)} things stand in the way:\n{lines}")


def _made_of(text: str, others: Collection[str]) -> bool:
    """Whether a message is others in one line, as a check of several models makes it."""
    for other in sorted(others, key=len, reverse=True):
        text = text.replace(other, "")
    return not text.strip("; ")


def look_ahead(
    sweep: Sweep,
    store: Store,
    answers: Answers,
    tree: ConfTree,
    wishes: Wishes = NO_WISHES,
    code: str = "",
) -> Outlook:
    """What a submit would do now, and all that would stop it.

    Args:
        sweep: the cells.
        store: where.
        answers: of Slurm: fresh ones for a submit.
        tree: the configs that the sweep was composed of, whose DeepSpeed presets a rung or a remedy may name.
        wishes: of the person.
        code: digest of the code as it is now, where it is frozen already; else it is computed.

    Raises:
        Unavailable: Slurm gives no answer on what runs already.
    """
    refusals: list[PacelineError] = []
    unanswered: list[PacelineError] = []
    unmade = _unmade(sweep.name, store, answers) if wishes.mend else None
    with _collected(refusals):
        cells.require_recordable(sweep, store, wishes.extend, unmade)
    seen = planned.look(sweep, store, answers, wishes, tree)
    plan = _plan(seen, wishes, refusals)
    refusals += planned.refusals(plan, seen, store, tree.presets())
    notes = [*plan.notes, *_unlearnt(sweep)]
    code, code_notes = _code(store.sweep(sweep.name), store, code or snapshot.code_digest(), wishes, refusals)
    notes += code_notes
    to_slurm = None
    if plan.executor == "slurm":
        to_slurm, more = _to_slurm(sweep, plan, seen, store, code, wishes, unanswered)
        notes += more
        with _collected(refusals if any(f.ok is False for f in to_slurm.findings) else unanswered):
            preflight.require(to_slurm.findings)
    return Outlook(seen, plan, code, to_slurm, notes, refusals, unanswered, unmade)


def _unlearnt(sweep: Sweep) -> Iterator[str]:
    """Models that are joined of parts and evaluated before they learnt how the parts belong together."""
    untuned = {c.config.model.name for c in sweep.cells if is_joined(c.config.model) and not c.cell.needs}
    tuned = {c.config.model.name for c in sweep.cells if kind_of(c.cell.kind).trains}
    for name in sorted(untuned):
        alone = "" if name in tuned else "; a method that trains the connector, such as method=connector, tunes it"
        yield (
            f"model {name} is joined of two parts, and what joins them begins random: untuned it knows nothing of its "
            f"pictures, a baseline{alone}"
        )


def _unmade(name: str, store: Store, answers: Answers) -> frozenset[str]:
    """Cells of a recorded sweep that failed or never began, and that nothing will run by itself."""
    folder = store.sweep(name)
    if not folder.sweep_json.exists():
        return frozenset()
    states = status.of_sweep(store, cells.recorded(folder, store), answers)
    return frozenset(c for c, s in states.items() if s.state in ("failed", "missing", "waiting", "held"))


@contextmanager
def _collected(errors: list[PacelineError]) -> Iterator[None]:
    try:
        yield
    except PacelineError as error:
        errors.append(error)


def _plan(seen: Seen, wishes: Wishes, refusals: list[PacelineError]) -> Plan:
    try:
        return planned.plan_of(seen, wishes)
    except UserError as error:
        refusals.append(error)
        chosen, _ = planned.choose(seen.cells, seen.states, wishes)
        return Plan(tuple(chosen), tuple(group(chosen)), "", ())


def _code(
    folder: SweepFolder, store: Store, current: str, wishes: Wishes, refusals: list[PacelineError]
) -> tuple[str, list[str]]:
    """The code that the sweep runs, and notes for the user."""
    recorded = folder.read()["code"] if folder.sweep_json.exists() else current
    if recorded == current:
        return current, []
    if wishes.current_code:
        return current, [f"switched to the current code, {current}; reports flag cells made by mixed code"]
    if not (store.code(recorded) / snapshot.STAMP).exists():
        # Python skips a missing folder silently, and would run the clone's code instead.
        refusals.append(
            UserError(
                f"the code that sweep '{folder.name}' was recorded with is gone ({store.code(recorded)}); "
                f"--code=current goes on with the code as it is now"
            )
        )
    return recorded, [f"runs the code that the sweep was recorded with, {recorded}; --code=current switches"]


def _to_slurm(
    sweep: Sweep,
    plan: Plan,
    seen: Seen,
    store: Store,
    code: str,
    wishes: Wishes,
    unanswered: list[PacelineError],
) -> tuple[ToSlurm, list[str]]:
    """The arrays, with all checks; what the cluster reports overrides the YAML. Also notes for the user."""
    site = site_of.ask(store.root)
    elements, notes = preflight.applied(plan.elements, site)
    elements, leads = signal_lead.applied(elements, sweep.cells, store)
    notes += leads
    job_of_cell, kept = status.made_by(store, seen.answers), int(wishes.chain)
    try:
        arranged = slurm.arrange(elements, job_of_cell, seen.answers.queue(), site, kept)
    except Unavailable as error:
        unanswered.append(error)
        arranged = slurm.arrange(elements, job_of_cell, [], site, kept)
        notes.append("the queue can't be asked here: counted as if none of your jobs were in it")
    chosen = {c for e in elements for c in e.cells}
    placed = [c for c in sweep.cells if c.id in chosen]
    ordered = [*arranged.elements, *arranged.rest]
    findings = preflight.findings(ordered, arranged.arrays, placed, store, code, site)
    return ToSlurm(arranged, findings, job_of_cell), notes


def scripts(outlook: Outlook, sweep: Sweep, store: Store) -> list[str]:
    """The file that sbatch is given for each array, with placeholders for what is known only then."""
    if outlook.to_slurm is None:
        return []
    folder = store.sweep(sweep.name)
    number = max((int(p.name) for p in folder.submissions()), default=0) + 1
    path, name = folder.path / "submissions" / str(number), f"paceline-{sweep.name}-XXXXXXXX"
    arrays, ordered = outlook.to_slurm.arranged.arrays, outlook.to_slurm.ordered
    return preflight.texts(ordered, arrays, name, store, outlook.code, path, outlook.to_slurm.job_of_cell)


def as_json(outlook: Outlook, sweep: Sweep, store: Store) -> dict[str, Any] | None:
    """What goes to Slurm, for programs: arrays by the places of their elements in the plan; None where nothing does."""
    if outlook.to_slurm is None:
        return None
    arranged, ordered = outlook.to_slurm.arranged, outlook.to_slurm.ordered
    places = {e.cells[0]: i for i, e in enumerate(outlook.plan.elements)}
    array_places = [[places[ordered[i].cells[0]] for i in indices] for indices in arranged.arrays]
    texts = scripts(outlook, sweep, store)
    return {
        "arrays": [{"elements": a, "sbatch": t} for a, t in zip(array_places, texts, strict=True)],
        "held": {"cells": arranged.held, "reason": arranged.reason},
        "findings": [asdict(f) for f in outlook.to_slurm.findings],
        "notes": outlook.notes,
    }
