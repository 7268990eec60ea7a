"""Taking a sweep away: its record, the cells that are its alone, and the code that nothing else names.

All that goes is first moved, by one rename each, to ``<root>/removed/<sweep>-<hex>/``, and deleted from there. The
record goes first: from then on the sweep is no longer there, and its cells are cells that no sweep names, which every
command can live with. A cell goes in one move, so no command ever sees half of one. A removal that broke off is
finished by a repeated one, which looks again at what other sweeps hold by then.

What stays: cells that another sweep names, or that a cell of another sweep needs, such as its adapter; prepared data;
weights, which lie outside the root. Prepared data goes by its own name, once no recorded sweep reads it.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.attempts.attempt import lives
from paceline.errors import Unavailable, UserError, nearest
from paceline.slurm.queue import Job
from paceline.slurm.queue import live as live_jobs
from paceline.slurm.remembered import Answers
from paceline.store.cell_folder import Cell, CellFolder
from paceline.store.disk_usage import Usage, of_each, total
from paceline.store.files import read_json, unwritable
from paceline.store.owner import age_of, alive
from paceline.store.root import Store, SweepFolder
from paceline.sweep import status
from paceline.sweep.inventory import readers_of, recorded_sweeps
from paceline.sweep.status import CellState

RECORD = "sweep"
BUSY = ("running", "queued", "unknown")


@dataclass(frozen=True)
class Removal:
    """What removing something takes away, and what it leaves.

    Attributes:
        name: of the sweep, or of the folder of prepared data.
        moves: what goes, each in one move: the record first, then the cells, then code.
        cells: the cells among it; ``done`` of them have their results.
        kept: cells that stay -> the sweeps that hold them.
        leftovers: folders of removals of it that broke off, which are deleted too.
    """

    name: str
    moves: list[Path]
    cells: list[CellFolder] = field(default_factory=list)
    done: int = 0
    kept: Mapping[str, list[str]] = field(default_factory=dict)
    leftovers: list[Path] = field(default_factory=list)

    @property
    def marked(self) -> list[CellFolder]:
        """Cells that go with what people marked, which no computer makes again."""
        return [cell for cell in self.cells if cell.markers()]

    def usage(self) -> Usage:
        """What it frees. Looks at every file, so not to be asked while a submit waits."""
        return total(of_each([*self.moves, *self.leftovers]))


@dataclass(frozen=True)
class Open:
    """What a sweep's submissions still have at work.

    Attributes:
        launchers: submission -> the process on some host that runs its cells.
        jobs: live jobs of Slurm: elements, and the one that would resume the sweep.
    """

    launchers: dict[str, dict[str, Any]]
    jobs: list[Job]


def open_work(folder: SweepFolder, answers: Answers) -> Open:
    """The launchers and jobs of a sweep that live, by the names that its submissions gave them.

    Raises:
        Unavailable: it has jobs, and Slurm gives no answer.
    """
    launchers: dict[str, dict[str, Any]] = {}
    names = []
    for path in folder.submissions():
        if (path / "intent.json").exists() and not (path / "closed.json").exists():
            owner = read_json(path / "intent.json")
            if (path / "elements.json").exists() and "arrays" in read_json(path / "elements.json"):
                names.append(owner["name"])
            if alive(owner, age_of(path / "heartbeat")):
                launchers[str(path)] = owner
    queued = answers.queue() if names else []
    if queued is None:
        raise Unavailable("squeue gave no answer, so what is in its queue is not known; try again in a minute")
    jobs = [job for job in live_jobs(queued) if any(job.name.startswith(f"{name}-") for name in names)]
    return Open(launchers, jobs)


def plan(name: str, store: Store, answers: Answers) -> Removal:
    """What removing a sweep, or a folder of prepared data, would take away.

    Args:
        name: a sweep's, or a folder's under ``data/``. Of a sweep whose removal broke off, the name that it had.
        store: the root.
        answers: what Slurm says.

    Raises:
        UserError: there is nothing of that name, cells of it run or wait in a queue, a sweep reads the data, or
            another sweep's record can't be read, so that what it shares is not known.
        Unavailable: Slurm gives no answer, and cells may be in its queue.
    """
    leftovers = [path for path in store.removals() if path.name.rpartition("-")[0] == name]
    there = name in store.sweeps()
    if not there and not leftovers:
        if (folder := store.root / "data" / name) in store.data_folders():
            return _of_data(folder, store)
        known = [*store.sweeps(), *(path.name for path in store.data_folders())]
        raise UserError(f"no sweep, and no data, of the name '{name}' under {store.root}: {nearest(name, known)}")
    contents, problems = recorded_sweeps(store)
    if problems:
        raise UserError(f"what the sweeps share is not known: {next(iter(problems.values()))}")
    records = [contents.pop(name)] if there else []
    records += [read_json(path) for folder in leftovers for path in folder.glob(f"{RECORD}*/sweep.json")]
    wanted = dict.fromkeys(cell for record in records for cell in record["cells"])
    holders = _holders(contents, store)
    kept = {cell: holders[cell] for cell in wanted if cell in holders}
    going = [store.cell(cell) for cell in wanted if cell not in kept and store.cell(cell).path.is_dir()]
    states = _idle(store.sweep(name), going, kept, store, answers)
    moves = [store.sweep(name).path] if there else []
    moves += [cell.path for cell in going]
    moves += _unused_code(store, contents, {cell.id for cell in going}, {str(r.get("code", "")) for r in records})
    done = sum(state.state == "done" for state in states.values())
    return Removal(name, moves, going, done, kept, leftovers)


def carry_out(removal: Removal, store: Store, again: Callable[[], Removal]) -> Removal:
    """Remove what a plan names, as it stands now: what another sweep has taken up since then stays.

    Args:
        removal: what was shown to the user.
        store: the root.
        again: plans anew, while no submit can decide.

    Returns:
        What was removed.

    Raises:
        UserError, Unavailable: as :func:`plan`; or something can't be moved or deleted, and is left for a repetition.
    """
    with store.mutex():
        removal = again()
        target = removal.leftovers[0] if removal.leftovers else _claimed(store, removal.name)
        for path in removal.moves:
            place = RECORD if path.parent.name == "sweeps" else f"{path.parent.name}/{path.name}"
            _move(path, target / place)
    for folder in {target, *removal.leftovers}:
        _delete(folder)
    return removal


def _claimed(store: Store, name: str) -> Path:
    target = store.root / "removed" / f"{name}-{secrets.token_hex(4)}"
    try:
        target.mkdir(parents=True)
    except OSError as error:
        raise unwritable(error, target) from error
    return target


def _move(path: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # of an earlier removal that broke off; it was submitted again since
            target = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
        path.rename(target)
    except OSError as error:
        raise Unavailable(f"can't move {path} to {target}: {error.strerror}; what is left stays as it is") from error


def _delete(folder: Path) -> None:
    """Delete a removal's folder, the record last: it names the cells that are still to be moved."""
    try:
        for path in sorted(folder.iterdir(), key=lambda path: path.name.startswith(RECORD)):
            shutil.rmtree(path)
        folder.rmdir()
        folder.parent.rmdir()  # where it was the last
    except FileNotFoundError:
        pass  # another removal of the same name was quicker
    except OSError as error:
        if not folder.exists():
            return
        name = folder.name.rpartition("-")[0]
        raise Unavailable(
            f"can't delete {error.filename or folder}: {error.strerror}; mend it, then: paceline rm {name}"
        ) from error


def _of_data(folder: Path, store: Store) -> Removal:
    """Prepared data that no cell of a recorded sweep reads.

    Raises:
        UserError: one does.
    """
    contents, problems = recorded_sweeps(store)
    if problems:
        raise UserError(f"which sweeps read the data is not known: {next(iter(problems.values()))}")
    cells = {cell for content in contents.values() for cell in content["cells"]}
    identities = {cell: store.cell(cell).read().identity for cell in cells if store.cell(cell).cell_json.exists()}
    if readers := readers_of(folder, store, identities):
        sweeps = [name for name, content in contents.items() if readers.intersection(content["cells"])]
        raise UserError(f"the data {folder.name} is read by {_some(sweeps, 'sweep')}; remove what reads it first")
    return Removal(folder.name, [folder])


def _holders(contents: Mapping[str, dict[str, Any]], store: Store) -> dict[str, list[str]]:
    """Cell -> the sweeps that name it, or that have a cell which needs it."""
    found: dict[str, list[str]] = {}
    needs: dict[str, tuple[str, ...]] = {}
    for name, content in contents.items():
        for cell in content["cells"]:
            if cell not in needs:
                needs[cell] = store.cell(cell).read().needs if store.cell(cell).cell_json.exists() else ()
            for held in (cell, *needs[cell]):
                if name not in found.setdefault(held, []):
                    found[held].append(name)
    return found


def _idle(
    folder: SweepFolder, going: Iterable[CellFolder], kept: Iterable[str], store: Store, answers: Answers
) -> dict[str, CellState]:
    """The states of the cells that go. Refuses while something of the sweep is at work, or may be.

    Raises:
        UserError: cells run or are queued, or a launcher or a job of the sweep lives.
        Unavailable: Slurm gives no answer.
    """
    work = open_work(folder, answers)
    sync = store.root / "syncing" / "owner.json"
    if (owner := _content(sync)) and alive(owner, age_of(sync)):
        raise UserError(f"a sync is at work on {owner.get('host')}, and may be reading what would go; let it end")
    readable, damaged = _readable(going)
    states = status.states(store, readable, asked=answers)
    busy = status.counts(state for state in states.values() if state.state in BUSY)
    # A process whose launcher died may still run a cell that another sweep has too, or whose file is damaged since.
    orphans = sum(_runs_for(folder.name, cell) for cell in (*map(store.cell, kept), *damaged))
    if orphans:
        busy["running"] = busy.get("running", 0) + orphans
    if busy:
        words = ", ".join(f"{count} {state}" for state, count in busy.items())
        raise UserError(
            f"{folder.name}: cells are at work ({words}); wait for them, or: paceline cancel {folder.name}, "
            f"then again: paceline rm {folder.name}"
        )
    if work.launchers or work.jobs:
        what = (
            f"jobs are in Slurm's queue ({', '.join(job.id for job in work.jobs[:3])})"
            if work.jobs
            else "its launcher lives"
        )
        raise UserError(f"{folder.name}: {what}, and may begin cells of it; paceline cancel {folder.name} stops that")
    return states


def _readable(folders: Iterable[CellFolder]) -> tuple[list[Cell], list[CellFolder]]:
    """Cells, and the folders of those whose file is missing or damaged: removing them is a cure."""
    cells, damaged = [], []
    for folder in folders:
        try:
            cells.append(folder.read())
        except UserError:
            damaged.append(folder)
    return cells, damaged


def _runs_for(sweep: str, cell: CellFolder) -> bool:
    attempts = cell.attempts()
    last = attempts[-1] if attempts else None
    return bool(last and last.end() is None and (last.start() or {}).get("sweep") == sweep and lives(last))


def _unused_code(
    store: Store, contents: Mapping[str, dict[str, Any]], going: Collection[str], candidates: Iterable[str]
) -> list[Path]:
    """Frozen code of removed sweeps that no other sweep was submitted with, and no cell that stays was run by."""
    there = {code for code in candidates if code and store.code(code).is_dir()}
    for name, content in contents.items():
        there.discard(str(content.get("code", "")))
        for path in store.sweep(name).submissions():
            there.discard(str(_content(path / "intent.json").get("code", "")))
    for cell in store.cells() if there else ():
        for attempt in cell.attempts() if cell.id not in going else ():
            code = _content(attempt.start_json).get("provenance", {}).get("code", {})
            there.discard(str(code.get("digest", "")))
    return [store.code(code) for code in sorted(there)]


def _content(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (UserError, TypeError, ValueError):
        return {}


def _some(names: list[str], word: str) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{word}{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"
