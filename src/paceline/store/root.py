"""Where state lives: cell folders, attempts, sweeps, and the only functions that write them.

Everything is a file under one root. A file is written to a temporary name, flushed to the disk and renamed, so a crash
at any instant leaves the old version or the new one. Folders are claimed by ``mkdir``, which is atomic on shared file
systems too, where locks are not.

    <root>/cells/<id>/cell.json                      the cell, frozen
                      attempts/<n>/start.json        placement and provenance
                                   heartbeat         progress, renewed while the attempt lives
                                   rungs.jsonl       what its probe changed of the placement
                                   end.json          the cause it ended with
                                   log               what it printed
                                   predictions.jsonl or checkpoints/
                      predictions.jsonl scores.jsonl metrics.json
                      weights/ tracking.json         what tuning made; the cell's W&B run
                      explanations/<sample>.png      what `paceline explain` drew; no part of the result
                      ladder.json                    why nothing is left to try of a cell that runs out of memory
                      DONE.json                      written last; attests the artefacts
    <root>/sweeps/<name>/sweep.json held.json        the cells; those that a submit limit held back
                         dashboard.json              the W&B workspace that was made of it
                         submissions/<n>/{intent,elements,jobs,granted}.json
    <root>/data/<reader>-<digest>/manifest.json
    <root>/code/<digest>/
    <root>/trackio/                                  Trackio's database, with tracking=trackio
    <root>/asked/                                    what Slurm answered, for a minute or an hour
    <root>/submitting <root>/syncing                 folders that exist while one process decides, or uploads
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from paceline.config.identity import read_config
from paceline.config.schema import Config, Kind
from paceline.errors import Unavailable, UserError, nearest
from paceline.store.owner import age_of, alive, this_process

SCHEMA = 1
# Files written at a time: on a shared file system a writer waits for the disk, and hardly computes.
WRITERS = 8
MUTEX_WAIT_SECONDS = 20.0
MUTEX_STALE_SECONDS = 120.0

CAUSES = (
    "done",
    "timeout",
    "preempted",
    "node failure",
    "out of host memory",
    "CUDA out of memory",
    "code bug",
    "bad data",
    "NaN loss",
    "cancelled",
    "disk full",
    "unknown",
)
# A second try with the same input ends the same way, so these wait for `--retry-failed`.
NOT_RETRIED = ("code bug", "bad data", "NaN loss")
# As those, or what waits for somebody to make room: trackers ring for it. The others are taken up by the next resume.
WAITS_FOR_PEOPLE = (*NOT_RETRIED, "disk full")
# What a tuning takes the next rung of the ladder after.
OUT_OF_MEMORY = ("CUDA out of memory", "out of host memory")


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8, NaN refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any, length: int = 64) -> str:
    """Hex sha256 over the canonical JSON of a value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def file_digest(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _explain(error: OSError, path: Path) -> Unavailable:
    return Unavailable(f"can't write {path}: {error.strerror or error}; free space or choose another root=")


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file whole or not at all.

    Raises:
        Unavailable: disk full, quota reached, or a read-only file system; the old file stays and no half one is left.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _explain(error, path) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut: the folder's entry is data of its own."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people: indented, keys in the given order, whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    write_bytes(path, "".join(canonical(r) + "\n" for r in records).encode())


def append_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append records in one write and flush them to the disk; only the file's single writer may call it."""
    content = "".join(canonical(r) + "\n" for r in records).encode()
    try:
        with path.open("ab") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise _explain(error, path) from error


def read_json(path: Path) -> Any:
    """Read a JSON file that some version of paceline wrote.

    Raises:
        UserError: the file is missing, damaged, or of a schema that this version does not know.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}); move it away and submit again") from None
    schema = value.get("schema", SCHEMA) if isinstance(value, dict) else SCHEMA
    if schema != SCHEMA:
        raise UserError(f"{path} has schema {schema}, this version reads {SCHEMA}; use the paceline that wrote it")
    return value


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Read the whole records of a file that may have been cut anywhere: a torn line is passed over."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


def claim(parent: Path) -> Path:
    """Make the next numbered folder under ``parent``; two processes never get the same one."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        n = max((int(p.name) for p in parent.iterdir() if p.name.isdigit()), default=0)
        while True:
            n += 1
            try:
                (parent / str(n)).mkdir()
            except FileExistsError:
                continue
            return parent / str(n)
    except OSError as error:
        raise _explain(error, parent) from error


def numbered(parent: Path) -> list[Path]:
    """The numbered folders under ``parent``, in order."""
    try:
        return sorted((p for p in parent.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    except FileNotFoundError:
        return []


@dataclass(frozen=True)
class Cell:
    """One point of a sweep, frozen: the content of ``cell.json``."""

    id: str
    kind: Kind
    identity: dict[str, Any]
    needs: tuple[str, ...] = ()

    @property
    def config(self) -> Config:
        """The identity as a config, defaults filled in; its placement groups are the defaults, not this cell's."""
        return read_config(self.identity, f"cell {self.id}")

    @property
    def data(self) -> str:
        """Digest of the prepared data that the cell reads."""
        return str(self.identity["data"])

    def as_json(self) -> dict[str, Any]:
        """The content of ``cell.json``."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "kind": self.kind,
            "identity": self.identity,
            "needs": list(self.needs),
        }


class _Inside:
    """A path inside a folder, joined when it is asked for: of a thousand cells, `status` asks for few."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: Attempt | CellFolder, owner: type) -> Path:
        return folder.path / self._name


class Attempt:
    """One execution of a cell. Its folder has a single writer: the process that claimed it."""

    start_json = _Inside("start.json")
    heartbeat = _Inside("heartbeat")
    rungs = _Inside("rungs.jsonl")
    end_json = _Inside("end.json")
    log = _Inside("log")
    predictions = _Inside("predictions.jsonl")
    checkpoints = _Inside("checkpoints")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n = int(path.name)
        self._start: dict[str, Any] | None = None

    def start(self) -> dict[str, Any] | None:
        """Placement and provenance; None while the attempt has only just claimed its folder.

        Read once: it is written once.
        """
        if self._start is None and self.start_json.exists():
            self._start = read_json(self.start_json)
        return self._start

    def placement(self) -> dict[str, Any]:
        """The placement that it was launched with, as its probe changed it since; empty before it has one."""
        placed = dict((self.start() or {}).get("placement", {}))
        for rung in read_jsonl(self.rungs):
            placed["placement"] = {**placed.get("placement", {}), **rung["placement"]}
        return placed

    def end(self) -> dict[str, Any] | None:
        """How it ended: ``{cause, message, seconds, peaks, …}``; None while it runs and for ever after SIGKILL."""
        return read_json(self.end_json) if self.end_json.exists() else None

    def end_of_others(self) -> list[dict[str, Any]]:
        """How ranks other than the first ended, as far as they told."""
        return [read_json(path) for path in sorted(self.path.glob("end.rank*.json"))]

    def progress(self) -> dict[str, Any] | None:
        """The last heartbeat: ``{done, total, unit, note, time}``."""
        try:
            return read_json(self.heartbeat)
        except UserError:
            return None


class CellFolder:
    """The files of one cell."""

    cell_json = _Inside("cell.json")
    predictions = _Inside("predictions.jsonl")
    scores = _Inside("scores.jsonl")
    metrics = _Inside("metrics.json")
    weights = _Inside("weights")
    tracking = _Inside("tracking.json")
    ladder_json = _Inside("ladder.json")
    done_json = _Inside("DONE.json")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name

    def read(self) -> Cell:
        """The cell, as it was frozen."""
        raw = read_json(self.cell_json)
        try:
            cell = Cell(raw["id"], raw["kind"], raw["identity"], tuple(raw["needs"]))
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.cell_json} is no cell file: {error} is missing") from None
        if cell.id != self.id:
            raise UserError(f"{self.cell_json} says it is {cell.id}; a cell folder can't be renamed")
        return cell

    def freeze(self, cell: Cell) -> None:
        """Write ``cell.json`` once; a cell that is there already is left as it is.

        Raises:
            UserError: what is there is no such cell: another schema, or damaged.
        """
        if not self.cell_json.exists():
            write_json(self.cell_json, cell.as_json())
        elif self.read() != cell:
            raise UserError(f"{self.cell_json} is not the cell that its name stands for; move {self.path} away")

    def attempts(self) -> list[Attempt]:
        """Every attempt, oldest first."""
        return [Attempt(p) for p in numbered(self.path / "attempts")]

    def new_attempt(self) -> Attempt:
        """Claim the next attempt."""
        return Attempt(claim(self.path / "attempts"))

    def explanation(self, sample: str) -> Path:
        """Where the picture that explains the answer to a sample lies, there or not."""
        return self.path / "explanations" / f"{quote(sample, safe='')}.png"

    def done(self) -> dict[str, Any] | None:
        """The content of ``DONE.json``, or None where it is missing or an artefact that it attests is."""
        try:
            record = read_json(self.done_json)
            sizes = {name: entry["bytes"] for name, entry in record["artefacts"].items()}
        except (UserError, KeyError, TypeError, AttributeError):
            return None
        for name, size in sizes.items():
            try:
                if (self.path / name).stat().st_size != size:
                    return None
            except OSError:
                return None
        return record

    def verify(self) -> list[str]:
        """Names of attested artefacts whose bytes are not those attested. Reads every file."""
        record = read_json(self.done_json)
        return [
            name
            for name, entry in record["artefacts"].items()
            if not (self.path / name).exists() or file_digest(self.path / name) != entry["sha256"]
        ]

    def publish(self, attempt: Attempt, artefacts: Iterable[Path], counts: Mapping[str, int]) -> bool:
        """Attest the artefacts, unless a later attempt has begun: only the highest publishes."""
        if self.superseded(attempt):
            return False
        entries = {
            str(p.relative_to(self.path)): {"bytes": p.stat().st_size, "sha256": file_digest(p)}
            for p in sorted(artefacts)
        }
        record = {"schema": SCHEMA, "attempt": attempt.n, "counts": dict(counts), "artefacts": entries}
        write_json(self.done_json, record)
        return True

    def superseded(self, attempt: Attempt) -> bool:
        """Whether a later attempt has begun, so that this one must not write beside ``cell.json`` any more."""
        return self.attempts()[-1].n != attempt.n

    def publish_folder(self, source: Path, target: Path) -> None:
        """Put a finished folder in place: the old one steps aside first, so a crash leaves one whole or none."""
        aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
        try:
            if target.exists():
                target.rename(aside)
            source.rename(target)
        except OSError as error:
            raise _explain(error, target) from error
        shutil.rmtree(aside, ignore_errors=True)


class SweepFolder:
    """The files of one sweep."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.sweep_json = path / "sweep.json"
        self.held_json = path / "held.json"

    def read(self) -> dict[str, Any]:
        """The recorded sweep: ``{name, overrides, cells, dropped, code}``."""
        return read_json(self.sweep_json)

    def held(self) -> dict[str, Any]:
        """What the last submit held back: ``{cells, reason}``."""
        try:
            return dict(read_json(self.held_json))
        except UserError:
            return {"cells": [], "reason": ""}

    def submissions(self) -> list[Path]:
        """Every submission's folder, oldest first."""
        return numbered(self.path / "submissions")

    def new_submission(self) -> Path:
        """Claim the next submission."""
        return claim(self.path / "submissions")


def _left(held: Path) -> bool:
    """Whether the holder of a mutex died: known at once on its own host, and by an age that no decision reaches."""
    for token in held.glob("*"):  # one, or none for a moment
        with contextlib.suppress(OSError, ValueError):
            owner = json.loads(token.read_text())
            if owner["host"] == this_process()["host"] and not alive(owner, None):
                return True
    return (age_of(held) or 0.0) > MUTEX_STALE_SECONDS


def _move_away(held: Path) -> None:
    """Take a left-over mutex away. Another process may have put a fresh one in its place meanwhile: that goes back."""
    aside = held.with_name(f".{held.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        held.rename(aside)
        if _left(aside):
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(held)


class Store:
    """The root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._cells = root / "cells"

    def cell(self, cell_id: str) -> CellFolder:
        """The folder of a cell, there or not."""
        return CellFolder(self._cells / cell_id)

    def freeze(self, cells: Iterable[Cell]) -> None:
        """Freeze many cells, several at a time, each whole or not at all.

        On return all of them and their folders are on the disk, and not before: a sweep that names a cell is written
        after it, so a crash leaves at worst cells that no sweep names.

        Raises:
            UserError: as :meth:`CellFolder.freeze`; of the cells that were not begun none is written.
            Unavailable: they can't be written.
        """
        with ThreadPoolExecutor(WRITERS) as pool:
            deque(pool.map(lambda cell: self.cell(cell.id).freeze(cell), cells), maxlen=0)
        try:
            for parent in (self._cells, self.root):
                _sync_folder(parent)
        except OSError as error:
            raise _explain(error, self._cells) from error

    def sweep(self, name: str) -> SweepFolder:
        """The folder of a sweep, there or not."""
        return SweepFolder(self.root / "sweeps" / name)

    def code(self, code_digest: str) -> Path:
        """The snapshot of code with this digest."""
        return self.root / "code" / code_digest

    @contextlib.contextmanager
    def mutex(self) -> Iterator[None]:
        """Only one process at a time decides what to submit under this root. Held for a moment, never while cells run.

        A folder made by ``mkdir``, because shared file systems break locks. One that is older than any decision
        takes was left by a process that died, and is moved away.

        Raises:
            Unavailable: another submit holds it for longer than we wait.
        """
        held = self.root / "submitting"
        token = secrets.token_hex(8)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _explain(error, self.root) from error
        deadline = time.monotonic() + MUTEX_WAIT_SECONDS
        while True:
            try:
                held.mkdir()
                (held / token).write_text(json.dumps(this_process()))
                break
            except FileExistsError:
                if _left(held):
                    _move_away(held)
                    continue
            except OSError as error:
                with contextlib.suppress(OSError):  # a full disk takes the folder and not the word in it
                    (held / token).unlink()
                    held.rmdir()
                raise _explain(error, held) from error
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"another submit is deciding under {self.root}; try again in a minute"
                    f" (or remove {held} if none runs)"
                )
            time.sleep(0.1)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (held / token).unlink()  # gone where another took it for left over; then the folder is not ours
                held.rmdir()

    def sweeps(self) -> list[str]:
        """Names of the recorded sweeps, the one last submitted last."""
        found = [self.sweep(p.parent.name) for p in (self.root / "sweeps").glob("*/sweep.json")]
        return [folder.name for folder in sorted(found, key=_submitted)]

    def find_sweep(self, name: str | None) -> SweepFolder:
        """The sweep of that name, or where none is given the one last submitted, before any single `run`.

        Raises:
            UserError: there is none, with the names that there are.
        """
        names = self.sweeps()
        if not names:
            raise UserError(f"no sweep was submitted under {self.root}; begin with: paceline submit experiment=demo")
        if name is None:
            return self.sweep(([n for n in names if not _SINGLE_RUN.fullmatch(n)] or names)[-1])
        if name not in names:
            raise UserError(f"no sweep '{name}' under {self.root}: {nearest(name, names)}")
        return self.sweep(name)

    def find_cell(self, text: str) -> CellFolder:
        """The one cell whose id, id's beginning, or hash is ``text``; a path to its folder serves too.

        Raises:
            UserError: none or several match.
        """
        if "/" in text and (Path(text) / "cell.json").exists():
            return CellFolder(Path(text).resolve())
        folder = self.root / "cells"
        ids = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
        if text in ids:
            return self.cell(text)
        found = [i for i in ids if i.startswith(text) or i.rsplit("-", 1)[-1].startswith(text)]
        if len(found) == 1:
            return self.cell(found[0])
        if found:
            raise UserError(f"'{text}' matches {len(found)} cells: {', '.join(found[:4])}; give more of the id")
        raise UserError(f"no cell '{text}' under {self.root}: {nearest(text, ids)}")


# What `paceline run` calls the sweep of its one cell.
_SINGLE_RUN = re.compile("run-[0-9a-f]{12}")


def _submitted(folder: SweepFolder) -> float:
    """When a sweep was last submitted, in seconds since the epoch; when it was recorded, where it never was."""
    for path in reversed(folder.submissions()):
        try:
            return float(read_json(path / "intent.json")["time"])
        except (UserError, KeyError, TypeError, ValueError):
            continue
    try:
        return folder.sweep_json.stat().st_mtime
    except OSError:
        return 0.0


def resolve_root(override: str | None, configured: str) -> Path:
    """The storage root: ``root=`` over ``PACELINE_ROOT`` over the cluster's YAML, ``~`` and ``$VARIABLES`` expanded."""
    chosen = override or os.environ.get("PACELINE_ROOT") or configured or "runs"
    path = Path(os.path.expandvars(chosen)).expanduser()
    if left := re.search(r"\$\w+|\$\{\w+\}", str(path)):
        raise UserError(f"root '{chosen}' names {left.group()}, which is not set; set it or give root=FOLDER")
    return path.absolute()
