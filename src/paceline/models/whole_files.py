"""Whether a file of a model is as long as it says itself, for each format that says so; read without loading it.

A copy that broke off, a full disk, or a checkout without Git LFS leaves files that are not. Of weights only a header or
an end is read, so that a plan may ask.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

# JSON that transformers reads; other files of that suffix may be in any form.
_READ = re.compile(
    r"((generation|preprocessor|video_preprocessor|processor|tokenizer)_)?config\.json|tokenizer\.json|vocab\.json"
    r"|added_tokens\.json|special_tokens_map\.json|chat_template\.json|tekken\.json|.*\.index\.json"
)
_FEW_BITS = re.compile(r"[IUF][4-8](_|$)")
_LFS = b"version https://git-lfs."
_ZIP_END = struct.Struct("<4s4H2LH")
_ZIP64_PLACE = struct.Struct("<4sLQL")
_ZIP64_END = struct.Struct("<4sQ2H2L4Q")


def cut_short(path: Path) -> bool:
    """Whether a file is shorter or longer than its own format says, or not of its format at all.

    False for formats that do not tell: text, and PyTorch's format before 1.6.
    """
    check = _CHECKS.get(path.suffix) if path.suffix != ".json" or _READ.fullmatch(path.name) else None
    try:
        with path.open("rb") as stream:
            if stream.read(len(_LFS)) == _LFS:  # what a checkout without Git LFS has in the place of a file
                return True
            stream.seek(0)
            return check is not None and not check(stream, os.fstat(stream.fileno()).st_size)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error, RecursionError):
        return True


def packed(path: Path) -> str:
    """A tensor of a safetensors file whose numbers take eight bits or fewer, with its format; empty where none does."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    found = (f"{n}: {e['dtype']}" for n, e in header.items() if n != "__metadata__" and _FEW_BITS.match(e["dtype"]))
    return next(found, "")


def _safetensors(stream: BinaryIO, size: int) -> bool:
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > size:
        return False
    header = json.loads(stream.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return bool(size == 8 + length + max(ends, default=0))


def _pytorch(stream: BinaryIO, size: int) -> bool:
    """A zip archive, whose last bytes say where its directory lies; before PyTorch 1.6, a pickle."""
    begin = stream.read(4)
    if begin[:1] == b"\x80":
        return True
    if begin != b"PK\x03\x04":
        return False
    stream.seek(-_ZIP_END.size, os.SEEK_END)  # PyTorch writes no comment after it
    place = size - _ZIP_END.size
    mark, _, _, _, _, length, start, comment = _ZIP_END.unpack(stream.read(_ZIP_END.size))
    if mark != b"PK\x05\x06" or comment:
        return False
    large = 0xFFFFFFFF in (length, start)
    stream.seek(max(0, place - _ZIP64_PLACE.size))
    mark, _, where, _ = _ZIP64_PLACE.unpack(stream.read(_ZIP64_PLACE.size))
    if large or (mark == b"PK\x06\x07" and start + length != place):
        # Told before, in 64 bits: needed above four gigabytes, and PyTorch's own writer always does.
        stream.seek(where)
        found = _ZIP64_END.unpack(stream.read(_ZIP64_END.size))
        length, start, place = found[-2], found[-1], where
        if (mark, found[0]) != (b"PK\x06\x07", b"PK\x06\x06"):
            return False
    return bool(start + length == place)


def _json(stream: BinaryIO, size: int) -> bool:
    json.loads(stream.read())
    return size > 0


def _protobuf(stream: BinaryIO, size: int) -> bool:
    """SentencePiece's vocabulary: fields of a message, each with its length, up to the end of the file.

    Other vocabularies of this suffix are text, which does not begin with an empty line as a list of pieces seems to.
    """
    content, place = stream.read(), 0
    if content[:1] != b"\n":
        return size > 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = content[place]
            place += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    while place < size:
        kind = number() & 7
        if kind == 0:
            number()
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length = number()
            place += length
        else:
            return False
    return place == size


_CHECKS: dict[str, Callable[[BinaryIO, int], bool]] = {
    ".safetensors": _safetensors,
    ".bin": _pytorch,
    ".json": _json,
    ".model": _protobuf,
}
