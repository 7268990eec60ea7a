"""What a tracker shows of an evaluate cell: its numbers, a sample of its answers, and pictures of all of them."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from paceline import tasks
from paceline.config.schema import TaskSpec
from paceline.counted import counted
from paceline.stats import Interval
from paceline.store.cell_folder import CellFolder
from paceline.store.files import read_jsonl
from paceline.tasks import panels as panel_data
from paceline.tasks.answers import key_of
from paceline.tasks.kind import Kind, digests_of, images_of
from paceline.tasks.panels import CellMatrix, CellPoints, Matrix, Panel, Pictures, Points, Scatter, Texts
from paceline.tracking import drawings

# A table is looked at in a browser, and its images are uploaded one by one.
MOST_ROWS = 1000
MOST_BYTES = 8 * 2**20
ANSWERS = "predictions"  # name of the table of answers
MOST_PICTURES = 32  # images with boxes
PICTURE = 256  # pixels, the longer side

MAP_SIZE = (1024, 512)
MOST_LINES = 300  # answers on the map
TRUTH, ANSWER, LINE = "#009E73", "#D55E00", "#E69F00"  # Okabe and Ito's, distinguishable by all

CELL, MARGIN = 34, 130  # pixels


def evenly(count: int, most: int) -> list[int]:
    """Positions of at most ``most`` of ``count`` things, the first and the last among them, evenly between."""
    if most >= count:
        return list(range(count))
    if most <= 1:
        return list(range(most))
    return [i * (count - 1) // (most - 1) for i in range(most)]


@dataclass(frozen=True)
class Table:
    """A table of a run; bytes in it are an image as JPEG."""

    columns: tuple[str, ...]
    rows: list[list[Any]]


@dataclass(frozen=True)
class Results:
    """What is shown of an evaluate cell.

    Attributes:
        metrics: ``name -> number``, intervals as ``name_low`` and ``name_high``.
        columns: of the table of answers; the second is ``image``.
        rows: one a sample, spread evenly over the data; an image is JPEG, or None where it is missing or too much.
        pictures: name -> picture of all answers.
        tables: name -> what the kind shows as a table, beside the table of answers.
        galleries: name -> images of samples with what was answered about them, each with a text.
    """

    metrics: dict[str, float]
    columns: tuple[str, ...] = ()
    rows: list[list[Any]] = field(default_factory=list)
    pictures: dict[str, Image.Image] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    galleries: dict[str, list[tuple[Image.Image, str]]] = field(default_factory=dict)

    @property
    def all_tables(self) -> dict[str, Table]:
        """Every table, that of the answers first."""
        answers = {ANSWERS: Table(self.columns, self.rows)} if self.rows else {}
        return {**answers, **self.tables}

    @classmethod
    def read(
        cls,
        folder: CellFolder,
        task: TaskSpec,
        metrics: dict[str, float],
        samples: Sequence[Mapping[str, Any]],
        most: int,
    ) -> Results:
        """Read a cell's published answers and their scores.

        Args:
            task: the cell's task.
            metrics: what :func:`paceline.scoring.judge.numbers` makes of its metrics.
            samples: records with ``id``, ``image`` or ``images`` (paths, where there are some) and ``split``.
            most: rows of the table.
        """
        kind = tasks.known(task.kind)
        scores = list(read_jsonl(folder.scores))
        by_id = {sample["id"]: sample for sample in samples}
        thumbnails = Thumbnails(by_id)
        table = answers_of(kind, folder, scores, by_id, thumbnails, min(most, MOST_ROWS))
        panels = named(kind.panels(results_of(kind, task, folder.id, scores, samples)))
        galleries = {name: gallery(panel, by_id) for name, panel in panels.items() if isinstance(panel, Pictures)}
        return cls(
            metrics,
            table.columns,
            table.rows,
            pictures_of(panels),
            tables_of(panels, thumbnails),
            {name: images for name, images in galleries.items() if images},
        )


class Thumbnails:
    """Small images of samples, until they are ``MOST_BYTES`` together."""

    def __init__(self, samples: Mapping[str, Mapping[str, Any]]) -> None:
        self._samples = samples
        self._left = MOST_BYTES

    def get(self, sample: str) -> bytes | None:
        """JPEG of a sample's images; None where it has none that can be read, or they are too much."""
        record = record_of(self._samples, sample)
        jpeg = thumbnail(*images_of(record), digests=digests_of(record))
        if jpeg is not None and len(jpeg) > self._left:
            jpeg = None
        self._left -= len(jpeg or b"")
        return jpeg


def record_of(samples: Mapping[str, Mapping[str, Any]], sample: str) -> Mapping[str, Any]:
    """The record of a sample, or of the sample that a question is about; empty where it is not known."""
    return samples.get(sample) or samples.get(sample.rpartition("/")[0]) or {}


def answers_of(
    kind: Kind,
    folder: CellFolder,
    scores: Sequence[Mapping[str, Any]],
    samples: Mapping[str, Mapping[str, Any]],
    thumbnails: Thumbnails,
    most: int,
) -> Table:
    """Some answers with their images and scores, spread evenly over the data."""
    kept = [scores[i] for i in evenly(len(scores), most)]
    names = list(dict.fromkeys(name for score in kept for name in score.get("scores", {})))
    kept_keys = {key_of(score) for score in kept}
    texts = {key: p["text"] for p in read_jsonl(folder.predictions) if (key := key_of(p)) in kept_keys}
    rows = [
        [
            key_of(score),
            thumbnails.get(score["sample"]),
            str(samples.get(score["sample"], {}).get("split", "")),
            kind.show(score.get("truth")),
            str(texts.get(key_of(score), "")),
            kind.show(score.get("value")),
            score["outcome"],
            *(_number(score.get("scores", {}).get(name)) for name in names),
        ]
        for score in kept
    ]
    return Table(("sample", "image", "split", "truth", "answer", "read as", "outcome", *names), rows)


def named(panels: Sequence[Panel]) -> dict[str, Panel]:
    """The panels that a tracker shows, by their key; a later one of the same key is numbered."""
    by_key: dict[str, Panel] = {}
    for panel in panels:
        if isinstance(panel, Points | Matrix | Scatter | Pictures | Texts | panel_data.Table):
            names = (panel.key, *(f"{panel.key}_{i}" for i in range(2, len(panels) + 2)))
            by_key[next(name for name in names if name not in by_key and name != ANSWERS)] = panel
    return by_key


def tables_of(panels: Mapping[str, Panel], thumbnails: Thumbnails) -> dict[str, Table]:
    """The tables and texts among panels."""
    tables: dict[str, Table] = {}
    for name, panel in panels.items():
        if isinstance(panel, panel_data.Table) and panel.rows:
            columns = tuple(c.heading.replace("\n", " ") for c in panel.columns)
            rows = [
                [_value(value, column.unit is not None) for value, column in zip(row, panel.columns, strict=True)]
                for row in panel.rows[:MOST_ROWS]
            ]
            tables[name] = Table(columns, rows)
        elif isinstance(panel, Texts) and panel.cases:
            tables[name] = _texts(panel, thumbnails)
    return tables


def _texts(panel: Texts, thumbnails: Thumbnails) -> Table:
    columns = ("sample", "image", "case", "question", "references", "answer", "outcome", *panel.headings)
    rows = []
    for case in panel.cases[:MOST_ROWS]:
        image = thumbnails.get(case.sample)
        case_cells = [case.sample, image, case.label, case.question, "\n".join(case.references)]
        rows += [[*case_cells, answer.text, answer.outcome, *answer.scores] for answer in case.answers]
    return Table(columns, rows)


def _value(value: panel_data.Value, numeric: bool) -> float | str | None:
    """A tracker's column holds values of one type."""
    value = value.value if isinstance(value, Interval) else value
    if not numeric:
        return "" if value is None else str(value)
    return None if value is None or isinstance(value, str) else float(value)


def gallery(panel: Pictures, samples: Mapping[str, Mapping[str, Any]]) -> list[tuple[Image.Image, str]]:
    """The images of the first cell's cases with their boxes, each with a text."""
    cell = next((cell for cell in panel.cells if cell.cases), None)
    captioned = []
    for case in cell.cases[:MOST_PICTURES] if cell else ():
        record = record_of(samples, case.sample)
        image = drawings.marked(images_of(record), case.images, digests_of(record))
        if image is not None:
            parts = (case.sample, case.label, case.truth and f"truth: {case.truth}", case.answer)
            captioned.append((image, " · ".join(filter(None, parts))))
    width = max((image.width for image, _ in captioned), default=0)
    height = max((image.height for image, _ in captioned), default=0)
    return [(drawings.padded(image, width, height), text) for image, text in captioned]  # W&B shows one size alone


def results_of(
    kind: Kind, task: TaskSpec, cell: str, scores: Sequence[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]]
) -> panel_data.Results:
    """One cell's answers to all its splits, as the kind's panels want them."""
    one = panel_data.CellResult(cell, "", lambda: kind.answers(scores))
    tested = next((m for name in kind.headline if (m := kind.metric(name)).leads and m.tested), None)
    by_id = {sample["id"]: sample for sample in samples}
    return panel_data.Results(task, "", [one], [one], tested, by_id, lambda metric: [cell])


def thumbnail(*paths: str | Path, digests: Sequence[str] = ()) -> bytes | None:
    """A small JPEG of an image file, of several side by side; None where there is none that can be read.

    A file that is not the one of its digest is left out.
    """
    pairs = itertools.zip_longest(paths, digests[: len(paths)], fillvalue="")
    images = [image for path, digest in pairs if (image := drawings.read(path, PICTURE, str(digest)))]
    row = drawings.side_by_side(images)
    if row is None:
        return None
    stream = io.BytesIO()
    row.save(stream, "JPEG", quality=80, optimize=True)
    return stream.getvalue()


def pictures_of(panels: Mapping[str, Panel]) -> dict[str, Image.Image]:
    """Pictures of the panels that a tracker shows as one: maps, matrices and points of the cell."""
    drawn: dict[str, Image.Image | None] = {}
    for name, panel in panels.items():
        if isinstance(panel, Points) and panel.cells:
            drawn[name] = world(panel, panel.cells[0])
        elif isinstance(panel, Matrix) and panel.cells:
            drawn[name] = matrix(panel.cells[0])
        elif isinstance(panel, Scatter) and panel.cells:
            drawn[name] = drawings.scatter(panel, panel.cells[0])
    return {name: picture for name, picture in drawn.items() if picture is not None}


def world(panel: Points, cell: CellPoints) -> Image.Image:
    """A map with a line from each truth to what was answered. Of many answers some, spread evenly over the data."""
    known = np.flatnonzero(np.isfinite(cell.truth).all(axis=1) & np.isfinite(cell.answer).all(axis=1))
    pairs = [(_place(cell.truth[i]), _place(cell.answer[i])) for i in known]
    drawn = [pairs[i] for i in evenly(len(pairs), MOST_LINES)]
    picture = _backdrop(panel)
    draw = ImageDraw.Draw(picture)
    for truth, answer in drawn:
        for line in _short_way(truth, answer):
            draw.line([_pixel(p) for p in line], fill=LINE, width=1)
    for truth, answer in drawn:
        for place, colour in ((answer, ANSWER), (truth, TRUTH)):
            x, y = _pixel(place)
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
    caption = f"{len(pairs):,} of {counted(len(cell.truth), 'answer')} read"
    caption += f", {MOST_LINES} drawn" if len(pairs) > MOST_LINES else ""
    draw.rectangle((0, MAP_SIZE[1] - 24, *MAP_SIZE), fill="#101820")
    _text(draw, (8, MAP_SIZE[1] - 22), "truth", TRUTH)
    _text(draw, (54, MAP_SIZE[1] - 22), "answer", ANSWER)
    _text(draw, (112, MAP_SIZE[1] - 22), caption, "white")
    return picture


def matrix(cell: CellMatrix) -> Image.Image:
    """Counts of what was answered for each truth."""
    counts = {
        (truth, answer): count
        for truth, row in zip(cell.truths, cell.counts, strict=True)
        for answer, count in zip(cell.answers, row, strict=True)
    }
    return _matrix(cell.truths, cell.answers, counts)


def _matrix(rows: Sequence[str], columns: Sequence[str], counts: Mapping[tuple[str, str], int]) -> Image.Image:
    size = (MARGIN + CELL * len(columns) + 10, MARGIN + CELL * len(rows) + 10)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    _text(draw, (10, 10), "truth down, answer across", "black")
    for x, name in enumerate(columns):
        label = Image.new("L", (MARGIN - 36, 16))
        _text(ImageDraw.Draw(label), (0, 0), _short(name), 255)
        turned = label.rotate(90, expand=True)
        picture.paste("black", (MARGIN + CELL * x + 9, 34), turned)
    for y, truth in enumerate(rows):
        total = sum(counts.get((truth, answer), 0) for answer in columns)
        _text(draw, (10, MARGIN + CELL * y + 9), _short(truth), "black")
        for x, answer in enumerate(columns):
            count = counts.get((truth, answer), 0)
            share = count / total if total else 0.0
            left, top = MARGIN + CELL * x, MARGIN + CELL * y
            shade = tuple(round(255 - share * (255 - c)) for c in (0, 114, 178))
            draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=shade, outline="#dddddd")
            if count:
                _text(draw, (left + 4, top + 9), str(count), "white" if share > 0.5 else "black")
    return picture


def _short(name: str) -> str:
    return name if len(name) <= 13 else name[:12] + "…"


def _text(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, fill: Any) -> None:
    draw.text(at, text, fill=fill, font=ImageFont.load_default(13))


def _backdrop(panel: Points) -> Image.Image:
    try:
        if panel.backdrop is None:
            return Image.new("RGB", MAP_SIZE, "#20303c")
        with Image.open(panel.backdrop) as opened:
            opened.draft("RGB", MAP_SIZE)  # the decoder leaves out what the small size has no room for
            return ImageEnhance.Brightness(opened.convert("RGB").resize(MAP_SIZE)).enhance(0.6)
    except OSError:
        return Image.new("RGB", MAP_SIZE, "#20303c")


def _pixel(place: tuple[float, float]) -> tuple[float, float]:
    return (place[1] + 180) / 360 * MAP_SIZE[0], (90 - place[0]) / 180 * MAP_SIZE[1]


def _short_way(a: tuple[float, float], b: tuple[float, float]) -> list[list[tuple[float, float]]]:
    """The line between two places, in two parts where it is shorter over the date line."""
    turn = 360.0 if a[1] - b[1] > 180 else -360.0 if b[1] - a[1] > 180 else 0.0
    beyond = [[a, (b[0], b[1] + turn)]]
    return beyond if not turn else [*beyond, [(a[0], a[1] - turn), b]]


def _place(degrees: np.ndarray) -> tuple[float, float]:
    return float(degrees[0]), float(degrees[1])


def _number(value: Any) -> float | bool | None:
    return value if isinstance(value, int | float) else None
