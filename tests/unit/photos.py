"""Photos and datasets of them, for the tests that prepare data."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from paceline.config.schema import TaskSpec
from paceline.data import readers
from paceline.data.readers import Sample, Skipped

PLACES = [(47.37, 8.54), (-33.87, 151.21), (40.71, -74.01), (35.68, 139.69), (-1.29, 36.82), (64.15, -21.94)]


def silent(stage: str, done: int, total: int) -> None:
    """A progress that tells nobody."""


def photo(path: Path, colour: int = 0, size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour, 100, 200)).save(path)
    return path


def sidecars(folder: Path, places: list[tuple[float, float]] = PLACES) -> Path:
    for n, (lat, lon) in enumerate(places):
        photo(folder / f"location_{n:06d}.png", n)
        record = {"coordinates": [lat, lon], "regions": [["Here_There_HT", f"POINT({lon} {lat})"]]}
        (folder / f"location_{n:06d}.json").write_text(json.dumps(record))
    return folder


def street(folder: Path, **options: object) -> TaskSpec:
    return TaskSpec(
        name="geolocation_street", kind="geolocation", reader="sidecar", options={"path": str(folder), **options}
    )


def bomb(path: Path, side: int = 60_000) -> Path:
    """A PNG of a few bytes that says it is huge."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )
    return path


@dataclass(frozen=True)
class Options:
    seed: int = 0


def fake_reader(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[Options, Path, readers.Progress], Iterator[Sample | Skipped]]
) -> TaskSpec:
    module = types.SimpleNamespace(Options=Options, made=lambda options: {"source": "test"}, read=read)
    monkeypatch.setattr(readers, "load", lambda name: module)
    return TaskSpec(name="fake", kind="geolocation", reader="fake")
