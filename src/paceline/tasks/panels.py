"""What a kind of task shows of its results, as data. The page, the terminal, the exports and W&B draw the same.

A panel belongs to one test set: a task and a split. It holds the cells that it shows, each with a name for people.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.stats import Interval

if TYPE_CHECKING:
    import numpy as np

    from paceline.config.schema import TaskSpec
    from paceline.tasks.answers import Answers
    from paceline.tasks.metrics import Metric


class CellResult:
    """One cell's answers to the test set, read on first use.

    Args:
        id: of the cell.
        name: for people.
        read: gives the scored answers.
        model, prompt, method: what the cell was made of, by their names in a report: cells that share two of them
            are compared in the third. Empty where a cell is shown alone.
    """

    def __init__(
        self, id: str, name: str, read: Callable[[], Answers], *, model: str = "", prompt: str = "", method: str = ""
    ) -> None:
        self.id = id
        self.name = name
        self.model, self.prompt, self.method = model, prompt, method
        self._read = read

    @cached_property
    def answers(self) -> Answers:
        """The scored answers."""
        return self._read()


@dataclass(frozen=True)
class Results:
    """What the panels of one test set are made of."""

    task: TaskSpec
    split: str
    cells: Sequence[CellResult]
    best: Sequence[CellResult]
    """The best cell of each model, untuned and tuned: for figures with no room for every cell."""
    tested: Metric | None
    """The metric whose differences are tested."""
    samples: Mapping[str, Mapping[str, Any]]
    """Sample id -> prepared record with its images (:func:`images_of`); empty where the data is gone."""
    rank: Callable[[str], Sequence[str]]
    """Metric -> ids of the cells that have it, the best first."""


@dataclass(frozen=True)
class Panel:
    """What every panel has."""

    key: str
    """The section of the page, equal for panels that belong together."""
    title: str
    """The section's heading."""
    nav: str
    """The heading in one word, for the page's menu."""


@dataclass(frozen=True)
class Measure:
    """What stands on an axis or over a column."""

    heading: str
    """Over a column of the terminal; a line break parts it."""
    axis: str
    unit: str
    log: bool = False


@dataclass(frozen=True)
class ClassFigures:
    """The figures of one class."""

    name: str
    part: bool
    """Whether it is a part of the class above it."""
    n: int
    figures: tuple[Interval, ...]
    """One a measure."""


@dataclass(frozen=True)
class CellClasses:
    """One cell's figures by class."""

    id: str
    name: str
    classes: tuple[ClassFigures, ...]


@dataclass(frozen=True)
class PerClass(Panel):
    """Figures by class of the truth, for some cells."""

    about: str
    """A short description: ``error by region of the true place``."""
    noun: str
    """What a class is: ``region``."""
    counted: str
    """What is counted: ``images``."""
    measures: tuple[Measure, ...]
    cells: tuple[CellClasses, ...]
    caption: str
    terminal_caption: str = ""
    exported: str = ""
    """Key in ``report --json``; the panel's own where it is empty."""
    records: tuple[Mapping[str, Any], ...] | None = None
    """What is exported; the cells where it is None."""


@dataclass(frozen=True)
class CellMatrix:
    """Counts of answers by truth, for one cell."""

    id: str
    name: str
    truths: tuple[str, ...]
    answers: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """A row per truth, a column per answer."""
    right: Interval
    """Share of all samples on the diagonal."""


@dataclass(frozen=True)
class Matrix(Panel):
    """What was answered to what."""

    cells: tuple[CellMatrix, ...]
    caption: str = ""
    """What to know of the classes."""
    exported: str = ""
    records: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True)
class CellPoints:
    """Truths and answers of one cell on the globe."""

    id: str
    name: str
    truth: np.ndarray
    """Degrees north and east, float64 (n, 2)."""
    answer: np.ndarray
    """The same; NaN where nothing was read."""
    error: np.ndarray
    """How far they are apart, float64 (n,)."""
    best: bool


@dataclass(frozen=True)
class Points(Panel):
    """Lines on a map of the Earth, from the truth to the answer."""

    cells: tuple[CellPoints, ...]
    unit: str
    classes: tuple[tuple[float, str, str], ...]
    """Up to which error, its colour, its name."""
    label: str
    """What the map shows, for screen readers."""
    unread: str
    """What becomes of an unread answer."""
    backdrop: Path | None
    """An equirectangular picture of the whole Earth; None draws the grid alone."""
    credit: str = ""
    """Whose picture it is."""


@dataclass(frozen=True)
class Bin:
    """The answers whose stated confidence lies between two tenths."""

    low: float
    high: float
    confidence: float
    """Their mean stated confidence."""
    right: Interval
    """Share that was right, with Wilson's interval."""


@dataclass(frozen=True)
class CellCalibration:
    """One level of one cell."""

    id: str
    name: str
    level: str
    """What the answer is sure of."""
    criterion: str
    """When it counts as right, such as ``within 10 m``."""
    short: str
    """The same for a narrow column."""
    n: int
    """Answers that state a confidence."""
    asked: int
    confidence: float
    right: Interval
    error: float
    """Expected calibration error, from 0 to 1."""
    bins: tuple[Bin, ...]
    """Only those that hold an answer."""


@dataclass(frozen=True)
class Calibration(Panel):
    """Stated confidence against the share that was right."""

    cells: tuple[CellCalibration, ...]
    caption: str
    exported: str = ""
    records: tuple[Mapping[str, Any], ...] | None = None


Value = str | int | float | Interval | None
"""What stands in a table: a text, a number with or without its interval, or nothing."""


@dataclass(frozen=True)
class CellText:
    """One cell's answer to a sample."""

    id: str
    name: str
    text: str
    """What was read of the answer; of an unread one the answer itself."""
    scores: tuple[str, ...]
    """For people, one a heading."""
    outcome: str = ""
    """The outcome of an answer that was not read, for display; empty where it was read."""


@dataclass(frozen=True)
class TextCase:
    """A sample's references, with what cells answered."""

    sample: str
    """As ``Answers.samples`` names it: with the part, where a sample has several questions."""
    label: str
    """Why the sample was chosen: ``best``, ``median``."""
    references: tuple[str, ...]
    answers: tuple[CellText, ...]
    question: str = ""
    """The question, where it differs from sample to sample."""


@dataclass(frozen=True)
class Texts(Panel):
    """Answers beside references, with the sample's images."""

    headings: tuple[str, ...]
    """Names of the scores beside each answer."""
    cases: tuple[TextCase, ...]
    caption: str


@dataclass(frozen=True)
class TableColumn:
    """What stands in one column of a table."""

    heading: str
    unit: str | None = None
    """Of numbers: ``share`` for parts of 1, ``count``, another unit, or empty; None for a column of texts."""
    largest_first: bool = True
    """How numbers are sorted at the first click on the heading."""


@dataclass(frozen=True)
class Table(Panel):
    """Rows of texts and numbers."""

    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[Value, ...], ...]
    """One value a column."""
    caption: str = ""


@dataclass(frozen=True)
class Mark:
    """A box on an image, in shares of its width and height from the top left corner, each from 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float
    label: str
    truth: bool
    """Whether it is of the truth or of the answer."""


@dataclass(frozen=True)
class MarkedImage:
    """One image of a sample, with boxes on it."""

    marks: tuple[Mark, ...] = ()
    name: str = ""
    """Stands below the image, such as ``before``."""
    at: int = 0
    """Which image of the sample, counted from 0."""


@dataclass(frozen=True)
class PictureCase:
    """A sample's images side by side, with what one cell answered about them."""

    sample: str
    """As ``Answers.samples`` names it."""
    label: str
    """Why the sample was chosen: ``best``, ``median``."""
    images: tuple[MarkedImage, ...]
    truth: str = ""
    """For display; empty where the boxes suffice."""
    answer: str = ""


@dataclass(frozen=True)
class CellPictures:
    """One cell's cases."""

    id: str
    name: str
    cases: tuple[PictureCase, ...]


@dataclass(frozen=True)
class Pictures(Panel):
    """Images with what was answered about them."""

    cells: tuple[CellPictures, ...]
    caption: str


@dataclass(frozen=True)
class CellScatter:
    """One cell's points."""

    id: str
    name: str
    samples: tuple[str, ...]
    """As ``Answers.samples`` names them, one a point."""
    x: np.ndarray
    """float64 (n,); NaN where there is no value."""
    y: np.ndarray
    """The same."""


@dataclass(frozen=True)
class Scatter(Panel):
    """Two numbers against each other, such as counted against true."""

    x: Measure
    y: Measure
    diagonal: bool
    """Whether equal numbers are the ideal: both axes have one scale, and a diagonal marks equality."""
    cells: tuple[CellScatter, ...]
    caption: str


@dataclass(frozen=True)
class TextFile:
    """One file of what a cell answered."""

    name: str
    """How its name ends, such as ``descriptions.jsonl``; different for each of a cell."""
    read: Callable[[], str]
    """Its text: of a thousand cells few are looked at."""


@dataclass(frozen=True)
class CellFiles:
    """The files of one cell."""

    id: str
    name: str
    entries: int
    """How many answers, or samples, each file holds."""
    files: tuple[TextFile, ...]


@dataclass(frozen=True)
class Files(Panel):
    """What cells answered, as files that a reader keeps: ``paceline report --files FOLDER`` writes them."""

    counted: str
    """What a file holds, in the plural: ``pictures``."""
    cells: tuple[CellFiles, ...]
    caption: str


def samples_of(panels: Iterable[Panel]) -> Iterator[str]:
    """The samples whose images panels show, as ``Answers.samples`` names them."""
    for panel in panels:
        if isinstance(panel, Texts):
            yield from (case.sample for case in panel.cases)
        elif isinstance(panel, Pictures):
            yield from (case.sample for cell in panel.cells for case in cell.cases)


def exports(panels: Iterable[tuple[str, str, Panel]]) -> Iterator[tuple[str, list[Any]]]:
    """What ``report --json`` holds of panels: key -> records, those of panels with one key together.

    Args:
        panels: each with its task and split.
    """
    by_key: dict[str, list[Any]] = {}
    for task, split, panel in panels:
        if isinstance(panel, Points | Files):
            continue  # scores.jsonl holds the places; files are written by `report --files`
        records = getattr(panel, "records", None)
        kept = by_key.setdefault(getattr(panel, "exported", "") or panel.key, [])
        whole = {"task": task, "split": split, "form": type(panel).__name__}
        kept += [{**whole, **plain(panel)}] if records is None else [plain(record) for record in records]
    yield from by_key.items()


def plain(value: Any) -> Any:
    """Data classes, mappings, sequences and NumPy's arrays and numbers as types of JSON; NaN and infinity as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):  # an array or a number of NumPy's
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
