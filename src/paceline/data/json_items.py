"""A JSON file of gigabytes, item by item: as much of it is in memory as one item and a chunk of text need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from paceline.errors import DataError

CHUNK = 1 << 20
"""Characters read at a time; more where one item is longer."""
_SPACE = " \t\r\n"
_BEHIND = f"{_SPACE},:]}}"
_DECODER = json.JSONDecoder()


def members(path: Path) -> Iterator[tuple[str, Any]]:
    """Name and value of each member of the object that a file holds, in its order.

    Raises:
        DataError: the file can't be read, holds no JSON object, or ends in the middle of one.
    """
    with _opened(path) as stream:
        text = _Text(path, stream)
        text.expect("{")
        for name in text.names():
            yield name, text.value()


def listed(path: Path, key: str) -> Iterator[Any]:
    """The items of the list under one key of the object that a file holds, in their order.

    Raises:
        DataError: as :func:`members`, or there is no such list.
    """
    with _opened(path) as stream:
        text = _Text(path, stream)
        text.expect("{")
        for name in text.names():
            if name == key:
                text.expect("[")
                yield from text.items()
                return
            text.value()
        raise DataError(f"{path}: has no '{key}'")


def _opened(path: Path) -> IO[str]:
    try:
        return path.open(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror or error}") from None


class _Text:
    """What of a file is in memory, and where reading stands."""

    def __init__(self, path: Path, stream: IO[str]) -> None:
        self.path, self.stream = path, stream
        self.text, self.at, self.whole = "", 0, False

    def more(self) -> None:
        """Read on: at least as much as waits already, so that a long item is not scanned over and over."""
        waiting = self.text[self.at :]
        try:
            read = self.stream.read(max(CHUNK, len(waiting)))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"can't read {self.path}: {error}") from None
        self.text, self.at, self.whole = waiting + read, 0, not read

    def next(self) -> str:
        """The next character that is no space, which stays; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.text) or self.whole:
                return self.text[self.at : self.at + 1]
            self.more()

    def expect(self, sign: str) -> None:
        """Pass over one character."""
        if (found := self.next()) != sign:
            raise self.wrong(f"'{sign}' expected, and there is {found!r}" if found else f"it ends before '{sign}'")
        self.at += 1

    def value(self) -> Any:
        """The next value."""
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except (ValueError, RecursionError) as error:
                if self.whole:
                    raise self.wrong(f"{error}") from None
            else:
                # A number may go on in what is not read yet: 1 of 1.5.
                if self.whole or (end < len(self.text) and self.text[end] in _BEHIND):
                    self.at = end
                    return value
            self.more()

    def items(self) -> Iterator[Any]:
        """The items of a list whose bracket was passed."""
        while self.next() != "]":
            yield self.value()
            if self.next() != "]":
                self.expect(",")
        self.at += 1

    def names(self) -> Iterator[str]:
        """The names of an object whose bracket was passed; the value of each is read before the next is asked for."""
        while self.next() != "}":
            name = self.value()
            if not isinstance(name, str):
                raise self.wrong(f"{str(name)[:40]!r} is no name of a member")
            self.expect(":")
            yield name
            if self.next() != "}":
                self.expect(",")
        self.at += 1

    def wrong(self, what: str) -> DataError:
        """The error for what stands here."""
        if self.whole and self.at >= len(self.text):
            what = "it ends in the middle"
        return DataError(f"{self.path}: is no whole JSON file of the form expected: {what}; fetch it again")
