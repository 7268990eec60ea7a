"""Readers: from somebody's data to prepared samples.

A reader is one module in this folder, named by ``reader:`` in ``conf/task/NAME.yaml``. It gives

``Options``
    a frozen dataclass; every field has a default. ``options:`` in the YAML is checked against it.
``made(options) -> dict[str, str]``
    where the data comes from: ``source`` (package or dataset, with its version or revision) and
    ``licence``, with the credit that it requires.
``read(options, images, progress) -> Iterator[Sample | Skipped]``
    the samples in prepared order, the same every time. ``images`` is an empty folder for the images that
    the reader makes; images that lie in a folder of the user's are referred to where they are.
    ``progress(stage, done, total)`` may be called at any rate; a total of 0 means unknown.

``PATHS`` (optional)
    names of the options that hold paths of the user's: a text, a list of them, or a mapping to them. A relative
    one is taken from the folder in which the command is given, and made absolute before anything is recorded;
    ``~`` and ``$VARIABLES`` are expanded with it.

``PACKAGED`` (optional)
    true where a package can hold the data: then a path that is one ``$VARIABLE`` which is not set is empty, and the
    reader looks for the package.

``READS`` (optional)
    option -> suffixes, in lower case, of the files that it reads below that folder beside pictures, such as tables.
    Where one is edited later, that is told.

``ANY_KIND`` (optional)
    true where the reader knows no kind of task: then ``read`` gets a fourth argument, ``complete(fields)``. With it the
    task's kind checks a record's fields and adds what follows from them; its ValueError is the reason to skip.

    It is a :class:`Complete`, which also names the field by which that kind ties samples together, and the task's
    training split.

``EMBEDS`` (optional)
    true where it embeds texts by all-MiniLM-L6-v2, by ``complete.embedder()``; it is then ``ANY_KIND`` too. ``paceline
    prepare`` fetches the model where no package holds it.

A sample shows no image, one, or several, in the order in which they are asked about. A bad record is yielded as
:class:`Skipped` and never raises; a wrong option, a missing folder or an unreachable source raises. Reasons are few
fixed phrases, because they are counted. A reader that searches a folder does it by ``data.folders.files_below``, which
also gives what is passed over. ``data.prepare.prepare`` decodes every image once and skips the broken ones, so
that a reader need not.

Adding a reader is adding one file, or one folder; nothing registers it. ``sidecar.py`` is a good one to copy from.
A lab's own lie in ``readers/`` of its folder (:mod:`paceline.plugins`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from paceline import plugins
from paceline.errors import DataError, UserError, nearest

if TYPE_CHECKING:
    import numpy as np

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TextVectors:
    """Vectors of some texts, in their order."""

    rows: np.ndarray
    """int16 [texts, width], in whole numbers: products of two are the same on every machine."""
    cut: int
    """How many texts were longer than the embedder reads, 256 tokens."""
    scale: int
    """Their length: a product of two rows, by its square, is their cosine."""


class Embedder(Protocol):
    """What embeds texts for a reader."""

    @property
    def source(self) -> str:
        """Which files embed: part of what the data is known by."""

    def vectors(self, lists: Sequence[Sequence[str]]) -> list[TextVectors]:
        """The vectors of several lists of texts, each kept as a whole."""


@dataclass(frozen=True)
class Complete:
    """What a task's kind does for a reader that knows no kind."""

    check: Callable[[dict[str, Any]], dict[str, Any]]
    """A record's fields, checked and completed; a ValueError whose text is a countable reason."""
    group: str = ""
    """The field that ties samples together; empty where none does."""
    train: str = "train"
    """The split that the task trains on."""
    embedder: Callable[[], Embedder] | None = None
    """Of a reader with ``EMBEDS``: what embeds its texts; a UserError where all-MiniLM-L6-v2 is not here."""

    def __call__(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields, checked and completed."""
        return self.check(fields)


@dataclass(frozen=True)
class Sample:
    """One item of a dataset: with no image, with one (``image``), or with several (``images``)."""

    id: str
    split: str
    image: Path | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    images: tuple[Path, ...] = ()
    """Two or more, in the order in which they are asked about; ``image`` is then not read."""

    @property
    def pictures(self) -> tuple[Path, ...]:
        """All images, in order; empty where there is none."""
        return self.images or (() if self.image is None else (self.image,))


@dataclass(frozen=True)
class Skipped:
    """A record that can't be used: what it is called, a countable reason, and what else is known."""

    record: str
    reason: str
    detail: str = ""


def names() -> list[str]:
    """The readers there are: the modules and packages of this folder, and a lab's own."""
    here = Path(__file__).parent
    modules = {p.stem for p in here.glob("*.py") if p.stem != "__init__"}
    packages = {p.parent.name for p in here.glob("*/__init__.py")}
    return sorted({*modules, *packages, *plugins.names("readers")})


def load(reader: str) -> ModuleType:
    """The module of a reader.

    Raises:
        UserError: there is none of that name, or it is a lab's and can't be imported.
    """
    if reader not in names():
        raise UserError(f"task.reader: no reader '{reader}': {nearest(reader, names())}; {plugins.FOUND_BY}")
    return plugins.load("readers", reader)


def fraction(seed: int, text: str) -> float:
    """A number in [0, 1) that looks random and is the same for the same seed and text on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{text}".encode()).digest()[:8], "big") / 2**64


def sampled(names: Iterable[str], most: int, seed: int) -> frozenset[str] | None:
    """Names taken at random, such as pictures with all their questions; None where all are.

    A name's place in the order depends on it and the seed alone: of a smaller number all are among a larger one.

    Args:
        names: each once or more.
        most: how many are taken; 0 takes all.
        seed: of the choice.

    Raises:
        UserError: it is no number of pictures.
    """
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise UserError(f"task.options.pictures: expected a number for each split (0 takes all), got {most!r}")
    if not most:
        return None
    return frozenset(sorted(set(names), key=lambda name: (fraction(seed, name), name))[:most])


def below(folder: Path, name: str) -> Path:
    """A file that data names, below the folder of its pictures.

    Raises:
        ValueError: the name leads elsewhere; its text is a countable reason.
    """
    if not name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError("picture's name leads out of its folder")
    return folder / name


def split_of(seed: int, place: str, shares: dict[str, float]) -> str:
    """The split of a place. It depends on the place alone: growing a dataset moves no sample between splits."""
    at, upto = fraction(seed, place), 0.0
    for name, share in shares.items():
        upto += share
        if at < upto:
            return name
    return next(reversed(shares))


def check_shares(shares: dict[str, Any]) -> dict[str, float]:
    """Shares of the splits as numbers.

    Raises:
        UserError: not numbers, negative, or not 1 together.
    """
    try:
        numbers = {name: float(share) for name, share in shares.items() if float(share) > 0}
    except (TypeError, ValueError):
        raise UserError(f"task.options.shares: expected numbers, got {shares}") from None
    if abs(sum(numbers.values()) - 1) > 1e-6 or any(float(share) < 0 for share in shares.values()):
        raise UserError(f"task.options.shares: must not be negative and must add up to 1, got {shares}")
    return numbers


def require_columns(named: Mapping[str, str], columns: Iterable[str]) -> None:
    """Refuse an option that names a column which the data lacks.

    Args:
        named: option below ``task.options``, such as ``columns.image`` -> column.
        columns: those there are.

    Raises:
        DataError: with the nearest columns, and all of them.
    """
    available = list(columns)
    for option, column in named.items():
        if column not in available:
            raise DataError(
                f"task.options.{option}: no column '{column}': {nearest(column, available)} "
                f"(columns: {', '.join(available)})"
            )


def absolute(path: str) -> Path:
    """A path of the user's, with ``~`` and ``$VARIABLES`` expanded, made absolute.

    Raises:
        UserError: the home folder of somebody who is not known.
    """
    try:
        return Path(os.path.expandvars(path)).expanduser().absolute()
    except RuntimeError:
        raise UserError(f"task.options: '{path}' names a home folder that there is not; give a path") from None


def require_variables(paths: Mapping[str, Any]) -> None:
    """Refuse paths of variables that are not set; they are composed all the same, so that a sweep can be planned.

    Args:
        paths: option below ``task.options`` -> its path; what is no text is passed over.

    Raises:
        UserError: with the variable.
    """
    for option, path in paths.items():
        if isinstance(path, str) and (left := re.search(r"\$\{?(\w+)", path)) and not absolute(path).exists():
            raise UserError(
                f"task.options.{option} is the variable {left[1]}, which is not set: export {left[1]}=PATH, or give "
                f"task.options.{option}=PATH"
            )


def with_absolute_paths(reader: str, options: dict[str, Any]) -> dict[str, Any]:
    """The reader's options with its ``PATHS`` made absolute; what is empty or no text stays as it is."""
    module = load(reader)

    def mend(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [mend(v) for v in value]
        if isinstance(value, dict):
            return {k: mend(v) for k, v in value.items()}
        if not isinstance(value, str) or not value:
            return value
        if getattr(module, "PACKAGED", False) and re.fullmatch(r"\$\w+", os.path.expandvars(value)):
            return ""
        return str(absolute(value))

    paths = getattr(module, "PATHS", ())
    return {name: mend(value) if name in paths else value for name, value in options.items()}


def source_folder(path: str, what: str) -> Path:
    """The user's folder that an option names, with ``~`` and ``$VARIABLES`` expanded, made absolute.

    Raises:
        UserError: no folder was named, or one by a variable that is not set.
        DataError: there is no such folder.
    """
    require_variables({"path": path})
    if not path:
        raise UserError(f"task.options.path is not set; give the folder of {what}: task.options.path=FOLDER")
    folder = absolute(path)
    if not folder.is_dir():
        shown = f"'{path}'" if str(folder) == path else f"'{path}' ({folder})"
        raise DataError(f"task.options.path: no folder {shown}; give the folder of {what}: task.options.path=FOLDER")
    return folder


def images_folder(folder: Path, what: str) -> Path:
    """The folder of the pictures that a table of questions names by themselves, once it is there.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"task.options.images: no folder {folder}; give that of {what}")
    return folder
