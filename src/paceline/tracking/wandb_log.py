"""The files of W&B's SDK: each attempt leaves one piece of its cell's run, a log of records, under ``wandb/``.

The log is W&B's own format: seven bytes of header, then blocks of 32 KiB in LevelDB's framing, each record a protobuf
message. It is read here because the SDK of this version has no reader for Python, and cut because the SDK can't leave
out what the service has: uploading a piece again repeats every row. Reading steps needs the SDK's messages, finding
pieces does not.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paceline.store.cell_folder import Attempt

_HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
_BLOCK = 32 * 1024
_CHUNK = struct.Struct("<IHB")  # checksum over kind and content, length, kind
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


@dataclass(frozen=True)
class Piece:
    """One log of the SDK.

    Attributes:
        path: the ``.wandb`` file.
        attempt: number of the attempt that wrote it.
    """

    path: Path
    attempt: int

    @property
    def synced_json(self) -> Path:
        """``{schema, bytes, rows, metrics, empty, time}`` of what was uploaded or passed over; not there until then."""
        return self.path.parent / "synced.json"

    @property
    def online(self) -> bool:
        """Whether the SDK was sending it while it wrote."""
        return not self.path.parent.name.startswith("offline-")


def pieces(attempt: Attempt) -> list[Piece]:
    """The pieces that an attempt left, oldest first: several where the service could not be reached."""
    unsorted = [Piece(p, attempt.n) for p in attempt.path.glob("wandb/*run-*/*.wandb")]
    # offline-run-<time>-<id> and run-<time>-<id>
    return sorted(unsorted, key=lambda p: p.path.parent.name.partition("run-")[2])


def messages(path: Path) -> Iterator[bytes]:
    """The whole records of a log that may have been cut anywhere: it ends where it can't be read further."""
    with path.open("rb") as stream:
        if stream.read(len(_HEADER))[:6] != _HEADER[:6]:
            return
        begun = b""
        while True:
            left = _BLOCK - stream.tell() % _BLOCK
            if left < _CHUNK.size:
                stream.seek(left, 1)
                continue
            head = stream.read(_CHUNK.size)
            if len(head) < _CHUNK.size:
                return
            checksum, length, kind = _CHUNK.unpack(head)
            content = stream.read(length)
            if len(content) < length or zlib.crc32(head[-1:] + content) != checksum:
                return
            begun = content if kind in (_FULL, _FIRST) else begun + content
            if kind in (_FULL, _LAST):
                yield begun


def write(path: Path, contents: Iterable[bytes]) -> None:
    """Write a log of records."""
    with path.open("wb") as stream:
        stream.write(_HEADER)
        for content in contents:
            rest, first = content, True
            while True:
                left = _BLOCK - stream.tell() % _BLOCK
                if left < _CHUNK.size:
                    stream.write(bytes(left))
                    left = _BLOCK
                part, rest = rest[: left - _CHUNK.size], rest[left - _CHUNK.size :]
                kind = (_FULL if first else _LAST) if not rest else (_FIRST if first else _MIDDLE)
                stream.write(_CHUNK.pack(zlib.crc32(bytes([kind]) + part), len(part), kind) + part)
                first = False
                if not rest:
                    break


def records(path: Path) -> Iterator[tuple[Any, bytes]]:
    """The records of a log, each as the SDK's message and as its bytes."""
    from wandb.proto import wandb_internal_pb2 as messages_of

    for content in messages(path):
        yield messages_of.Record.FromString(content), content  # type: ignore[attr-defined]


def begun_run(path: Path) -> Any:
    """The SDK's record of the run that a log is of; None where its process was killed before it wrote one."""
    found = (r.run for r, _ in records(path) if r.WhichOneof("record_type") == "run")
    return next(found, None)


def steps(path: Path) -> list[int]:
    """The steps of the rows in a log, in their order."""
    return [int(r.history.step.num) for r, _ in records(path) if r.WhichOneof("record_type") == "history"]


def summary(path: Path) -> dict[str, Any]:
    """The summary of a log's run: the last value of each key, nested ones joined by dots."""
    values: dict[str, Any] = {}
    for record, _ in records(path):
        if record.WhichOneof("record_type") == "summary":
            values |= {u.key or ".".join(u.nested_key): json.loads(u.value_json) for u in record.summary.update}
    return values


def files_folder(path: Path, unpacked: Path | None) -> Path:
    """Where the files that go with a log are: beside it, or where they were unpacked to."""
    return (unpacked / path.parent.name if unpacked else path.parent) / "files"


def files(path: Path, unpacked: Path | None = None) -> list[str]:
    """Names of the files that go with a log, such as images; those only that are still there.

    Args:
        path: the log.
        unpacked: where its files were unpacked to, if they were packed (:mod:`paceline.tracking.wandb_pack`).
    """
    named = [f.path for r, _ in records(path) if r.WhichOneof("record_type") == "files" for f in r.files.files]
    folder = files_folder(path, unpacked)
    return [name for name in dict.fromkeys(named) if (folder / name).is_file()]


def artifacts(path: Path, unpacked: Path | None = None) -> list[str]:
    """Digests of the artifacts that go with a log; those only whose files are all still there."""
    recorded = [r.artifact for r, _ in records(path) if r.WhichOneof("record_type") == "artifact"]
    return list(dict.fromkeys(artifact.digest for artifact in recorded if _in_place(artifact, path, unpacked)))


def _in_place(artifact: Any, piece: Path, unpacked: Path | None) -> bool:
    """Whether an artifact's files are there, with their paths set to where they are now.

    The SDK keeps whole paths. A cell's folder may have been moved since, or be seen from another machine; and what an
    artifact names may have been made again, which is no longer what it attests.
    """
    cell = piece.parents[4]  # attempts/<n>/wandb/<piece's folder>/<log>
    for entry in artifact.manifest.contents:
        if not entry.local_path:  # a reference, which is not uploaded
            continue
        _, _, inside = entry.local_path.rpartition(f"/{cell.name}/")
        candidates = [cell / inside, Path(entry.local_path)]
        if unpacked and candidates[0].is_relative_to(piece.parents[1]):
            candidates.insert(0, unpacked / candidates[0].relative_to(piece.parents[1]))
        for candidate in candidates:
            if candidate.is_file() and candidate.stat().st_size == entry.size:
                entry.local_path = str(candidate.absolute())
                break
        else:
            return False
    return True


def write_rest(
    path: Path, source: Path, after: int, metrics: Mapping[str, float] = {}, unpacked: Path | None = None
) -> None:
    """Write what of a log is still to be uploaded: all of it, or no row up to the step ``after``.

    Where the service has rows of it, the measurements of the machine are left out too: they have no step by which to
    tell which of them arrived; and alerts, which would be sent twice. Artifacts are left in, since the service takes
    none twice, but for those whose files are gone.

    Args:
        metrics: numbers that the run's summary is to show instead of those in the log, because they were computed anew.
        unpacked: where the files of the log were unpacked to, if they were packed.
    """
    begun = any(step <= after for step in steps(source))

    def left() -> Iterator[bytes]:
        for record, content in records(source):
            kind = record.WhichOneof("record_type")
            if begun and (kind in ("stats", "alert") or (kind == "history" and record.history.step.num <= after)):
                continue
            if kind == "artifact" and not _in_place(record.artifact, source, unpacked):
                continue
            if kind == "exit" and metrics:
                yield _summary(metrics)
            yield record.SerializeToString() if kind == "artifact" else content

    write(path, left())


def _summary(metrics: Mapping[str, float]) -> bytes:
    from wandb.proto import wandb_internal_pb2 as messages_of

    record = messages_of.Record()  # type: ignore[attr-defined]
    for name, value in metrics.items():
        record.summary.update.add(key=name, value_json=json.dumps(value))
    return bytes(record.SerializeToString())
