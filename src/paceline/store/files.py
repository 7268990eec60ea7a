"""The only functions that write files of a root: whole or not at all, and flushed to the disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from paceline.errors import Unavailable, UserError

SCHEMA = 1


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


READ_BYTES = 64 << 20
"""Files of another time, up to this size together, are read when planning: a copy changes times and no content."""


def size_and_time(path: Path) -> dict[str, int]:
    """What tells in a moment that a file may hold something else: ``{bytes, mtime_ns}``; raises OSError."""
    stat = path.stat()
    return {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def day(seconds: float) -> str:
    """A time since the epoch for people, in this machine's time zone."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def unwritable(error: OSError, path: Path) -> Unavailable:
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
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise unwritable(error, path) from error


def sync_folder(folder: Path) -> None:
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
        raise unwritable(error, path) from error


def read_json(path: Path) -> Any:
    """Read a JSON file that some version of paceline wrote.

    Raises:
        UserError: the file is missing, damaged, or of a schema that this version does not support.
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
        raise unwritable(error, parent) from error


def numbered(parent: Path) -> list[Path]:
    """The numbered folders under ``parent``, in order."""
    try:
        return sorted((p for p in parent.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    except FileNotFoundError:
        return []
