"""Files out of Qt's binary resources (``.rcc``), without Qt.

The container's layout is that of Qt's ``rcc`` (``qresource.cpp``, formats 1 to 3): a tree of nodes, names in UTF-16,
and data, each with its length, plain or compressed by zlib or zstd.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from paceline.errors import DataError

_HEADER = struct.Struct(">4sIIII")
_DIRECTORY, _FILE = struct.Struct(">IHII"), struct.Struct(">IHHHI")
ZLIB, FOLDER, ZSTD = 1, 2, 4
LARGEST = 256 << 20
"""Bytes of one file; a larger one is no picture or text."""


class Resources:
    """What a container holds, by path, such as ``/app/resource/tower.webp``.

    Args:
        path: of the container; it is read whole.

    Raises:
        DataError: it can't be read, or is no such container.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._bytes = path.read_bytes()
            magic, version, tree, self._data, self._names = _HEADER.unpack_from(self._bytes)
        except OSError as error:
            raise DataError(f"can't read {path}: {error.strerror or error}") from None
        except struct.error:
            raise DataError(f"{path}: is no Qt resource file") from None
        if magic != b"qres" or not 1 <= version <= 3:
            raise DataError(f"{path}: is no Qt resource file of format 1 to 3")
        self._tree, self._size = tree, 14 if version == 1 else 22
        self._files: dict[str, tuple[int, int]] = {}
        try:
            self._walk()
        except (struct.error, UnicodeDecodeError, IndexError):
            raise DataError(f"{path}: is broken or cut off") from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._files))

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            DataError: there is none of that name, or its content can't be had.
        """
        if name not in self._files:
            raise DataError(f"{self.path}: holds no {name}")
        flags, at = self._files[name]
        try:
            (length,) = struct.unpack_from(">I", self._bytes, at)
        except struct.error:
            raise DataError(f"{self.path}: is broken or cut off") from None
        content = self._bytes[at + 4 : at + 4 + length]
        if len(content) < length:
            raise DataError(f"{self.path}: is broken or cut off")
        try:
            if flags & ZLIB:  # four bytes tell how long it is
                return _unpacked(content[4:])
            return _unpacked_zstd(content) if flags & ZSTD else content
        except (zlib.error, ValueError) as error:
            raise DataError(f"{self.path}: {name} can't be unpacked: {error}") from None

    def _walk(self) -> None:
        """Note every file; a node is met once, so that a broken tree leads nowhere around."""
        open_nodes, met = [(0, "")], {0}
        while open_nodes:
            number, folder = open_nodes.pop()
            at = self._tree + number * self._size
            name, flags, count, first = _DIRECTORY.unpack_from(self._bytes, at)
            path = f"{folder}/{self._name(name)}" if number else ""
            if not flags & FOLDER:
                *_, offset = _FILE.unpack_from(self._bytes, at)
                self._files[path] = flags, self._data + offset
                continue
            if at + count * self._size > len(self._bytes):
                raise IndexError(count)
            children = [child for child in range(first, first + count) if child not in met]
            met.update(children)
            open_nodes += [(child, path) for child in children]

    def _name(self, offset: int) -> str:
        (length,) = struct.unpack_from(">H", self._bytes, self._names + offset)
        start = self._names + offset + 6  # behind the length and a hash
        if start + 2 * length > len(self._bytes):
            raise IndexError(offset)
        return self._bytes[start : start + 2 * length].decode("utf-16-be")


def _unpacked(content: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    told = unpacker.decompress(content, LARGEST)
    if unpacker.unconsumed_tail:
        raise ValueError(f"it has more than {LARGEST:,} bytes")
    if not unpacker.eof:
        raise ValueError("it is cut off")
    return told


def _unpacked_zstd(content: bytes) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise ValueError("it is compressed by zstd, which needs the package zstandard: pip install zstandard") from None
    try:
        # A frame that tells its size is unpacked to it, whatever limit is given.
        if zstandard.frame_content_size(content) > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        return bytes(zstandard.ZstdDecompressor().decompress(content, max_output_size=LARGEST))
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None
