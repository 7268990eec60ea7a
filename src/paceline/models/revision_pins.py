"""Commits of hub models that `prepare` pinned: ``pins.yaml`` in a lab's own config folder, or in the root.

    owner/name: "<commit>"
    owner/name: {revision: "<commit>", code: read}   # its code may run: somebody read it at that commit

A pin stands for the ``revision:`` that a model's file leaves empty, and becomes part of a cell's identity like that.
People may edit the file. Imports no torch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from paceline.config.checks import unpinned
from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.store.files import write_bytes
from paceline.store.lock import mutex

NAME = "pins.yaml"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HEAD = """\
# Commits of hub models, for model files that leave `revision:` empty. `paceline prepare model=NAME` adds a line, and
# `paceline prepare --refresh model=NAME` changes it. For a model whose code runs here you write the line yourself:
#   owner/name: {revision: "<commit of 40 hex digits>", code: read}
"""


@dataclass(frozen=True)
class Pin:
    """The commit of a hub repository that its users settled on.

    Attributes:
        source: hub id.
        revision: commit, 40 hex digits.
        path: the file that says so.
        line: where in it, counted from 1.
        last: its last line there.
        code_read: whether the repository's code was read at that commit, so that it may run.
    """

    source: str
    revision: str
    path: Path
    line: int
    last: int
    code_read: bool = False


class Pins:
    """The pins that hold for a command: of each hub id the one in the first of some files that has it.

    Args:
        folders: where a ``pins.yaml`` may lie, those of the lab before the root.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.paths = [folder / NAME for folder in folders]
        self._read: dict[Path, dict[str, Pin]] = {}

    def all(self) -> list[Pin]:
        """Those of every file, in their order.

        Raises:
            UserError: a file that can't be read as pins.
        """
        return [pin for path in self.paths for pin in self._of(path).values()]

    def find(self, source: str) -> Pin | None:
        """The pin of a hub id.

        Raises:
            UserError: as :meth:`all`.
        """
        return next((pins[source] for path in self.paths if source in (pins := self._of(path))), None)

    def applied(self, model: ModelSpec) -> ModelSpec:
        """The model, with the pinned revision where it has none. Code runs only at a commit at which it was read.

        Raises:
            UserError: as :meth:`all`; models with a revision, twins and folders ask no file.
        """
        if not unpinned(model):
            return model
        pin = self.find(model.weights)
        if pin is None or (model.remote_code and not pin.code_read):
            return model
        return dataclasses.replace(model, revision=pin.revision)

    def add(self, source: str, revision: str, note: str) -> Pin:
        """Pin a hub id in the first folder that can be written to, and give back its pin.

        That is another process' where it was first.

        Raises:
            Unavailable: no file can be written.
        """
        fitting = (path for path in self.paths if os.access(_existing(path.parent), os.W_OK))
        return self._write(next(fitting, self.paths[-1]), source, revision, note, None)

    def change(self, pin: Pin, revision: str, note: str) -> Pin:
        """Pin another commit in place of a pin, and give back what is pinned now: another process may have been first.

        That code was read holds for the old commit alone, and goes with it.

        Raises:
            Unavailable: the file can't be written.
        """
        return self._write(pin.path, pin.source, revision, note, pin)

    def _write(self, path: Path, source: str, revision: str, note: str, old: Pin | None) -> Pin:
        with mutex(path.parent, ".pinning", "another prepare writes"):
            now = read(path).get(source)
            if now is not None and (old is None or now.revision != old.revision):
                self._read.pop(path, None)
                return now
            lines = _lines(path) or _HEAD.splitlines()
            if now is not None:
                del lines[now.line - 1 : now.last]
            lines.append(f'{source}: "{revision}"  # {note}')
            text = "\n".join(lines) + "\n"
            written = parsed(text, path)[source]  # before anything is written: people's files have many forms
            write_bytes(path, text.encode())
            self._read.pop(path, None)
            return written

    def _of(self, path: Path) -> dict[str, Pin]:
        if path not in self._read:
            self._read[path] = read(path)
        return self._read[path]


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(f for f in (folder, *folder.parents) if f.exists())


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8").splitlines()
    return []


def read(path: Path) -> dict[str, Pin]:
    """The pins of a file, by hub id; none where there is no such file.

    Raises:
        UserError: with the line that is no pin.
    """
    try:
        return parsed("\n".join(_lines(path)), path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}") from None


def parsed(text: str, path: Path) -> dict[str, Pin]:
    """The pins that a file's text says, by hub id.

    Raises:
        UserError: with the line that is no pin.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}; {_EXPECTED}") from None
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise UserError(f"{path}: {_EXPECTED}, each on a line of its own")
    pins: dict[str, Pin] = {}
    for pin in _pins(node, path):
        if pin.source in pins:
            raise UserError(
                f"{path}, line {pin.line}: {pin.source} stands in line {pins[pin.source].line} too; keep one"
            )
        pins[pin.source] = pin
    return pins


_EXPECTED = 'expected owner/name: "<commit of 40 hex digits>"'


def _pins(mapping: yaml.MappingNode, path: Path) -> Iterator[Pin]:
    """What a mapping says; scalars are taken as they are written, so that digits alone need no quotes."""
    for key, value in mapping.value:
        line = key.start_mark.line + 1
        where = f"{path}, line {line}"
        source = str(key.value)
        if not isinstance(key, yaml.ScalarNode) or source.count("/") != 1:
            raise UserError(f"{where}: {_EXPECTED}")
        code_read = False
        commit = value
        if isinstance(value, yaml.MappingNode):
            parts = {str(k.value): v for k, v in value.value}
            code = parts.pop("code", None)
            commit = parts.pop("revision", None)
            if parts:
                raise UserError(f"{where}: {source}: unknown key '{next(iter(parts))}'; there are revision and code")
            if code is not None and code.value != "read":
                raise UserError(f"{where}: {source}: code: {code.value} is not 'read', which says that you read it")
            code_read = code is not None
        text = commit.value if isinstance(commit, yaml.ScalarNode) else "nothing"
        if not _COMMIT.fullmatch(text):
            raise UserError(
                f"{where}: {source}: {text or 'nothing'} is no commit of 40 hex digits; correct it, or remove the line "
                "and run `paceline prepare` for the model again"
            )
        yield Pin(source, text, path, line, max(line, _last_line(value)), code_read)


def _last_line(node: yaml.Node) -> int:
    # Of a block the mark stands where the next key begins.
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        return max((_last_line(value) for _, value in node.value), default=0)
    return int(node.end_mark.line) + 1
