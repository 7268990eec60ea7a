"""A cell's folder and its attempts."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from paceline.config.declared import Kind
from paceline.config.identity import read_config
from paceline.config.schema import Config
from paceline.errors import UserError
from paceline.store.files import SCHEMA, claim, file_digest, numbered, read_json, read_jsonl, unwritable, write_json


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

    @property
    def tuned(self) -> str:
        """Id of the finetune cell whose weights answer; empty where they are as they came."""
        return str(self.identity.get("tuned", ""))

    @property
    def built_on(self) -> str:
        """Id of the evaluate cell whose answers this one puts into its prompt; empty where it needs none."""
        return str(self.identity.get("built_on", ""))

    @property
    def boosted_on(self) -> tuple[str, ...]:
        """Ids of the evaluate cells whose errors weigh the training samples, round by round; empty without boosting."""
        return tuple(self.identity.get("boosted_on", ()))

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
    """A path inside a folder, joined on first access: of a thousand cells, `status` needs few."""

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
        """How ranks other than the first ended, as far as they recorded it."""
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
    marks = _Inside("marks")
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

    def markers(self) -> list[str]:
        """Who marked answers of the cell by hand: the names of the files of its folder of marks."""
        try:
            return sorted(path.stem for path in self.marks.iterdir() if path.suffix == ".csv" and path.name[0] != ".")
        except OSError:
            return []

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
            raise unwritable(error, target) from error
        shutil.rmtree(aside, ignore_errors=True)
