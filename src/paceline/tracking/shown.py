"""What a tracker shows of an evaluate cell: its numbers, a sample of its answers, and pictures of all of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from paceline import tasks
from paceline.errors import DataError
from paceline.prepared import image_paths, load_images
from paceline.spec import TaskSpec
from paceline.store import CellFolder, read_jsonl
from paceline.tasks import panels as panel_data
from paceline.tasks.answers import key_of
from paceline.tasks.kind import Kind
from paceline.tasks.panels import CellMatrix, CellPoints, Matrix, Panel, Points

# A table is looked at in a browser, and its images are uploaded one by one.
MOST_ROWS = 1000
MOST_BYTES = 8 * 2**20
PICTURE = 256  # pixels, the longer side

MAP_SIZE = (1024, 512)
MOST_LINES = 300  # answers on the map
TRUTH, ANSWER, LINE = "#009E73", "#D55E00", "#E69F00"  # Okabe and Ito's, told apart by all

CELL, MARGIN = 34, 130  # pixels


def evenly(count: int, most: int) -> list[int]:
    """Positions of at most ``most`` of ``count`` things, the first and the last among them, evenly between."""
    if most >= count:
        return list(range(count))
    if most <= 1:
        return list(range(most))
    return [i * (count - 1) // (most - 1) for i in range(most)]


@dataclass(frozen=True)
class Results:
    """What is shown of an evaluate cell.

    Attributes:
        metrics: ``name -> number``, intervals as ``name_low`` and ``name_high``.
        columns: of the table of answers; the second is ``image``.
        rows: one a sample, spread evenly over the data; an image is JPEG, or None where it is missing or too much.
        pictures: name -> picture of all answers.
    """

    metrics: dict[str, float]
    columns: tuple[str, ...] = ()
    rows: list[list[Any]] = field(default_factory=list)
    pictures: dict[str, Image.Image] = field(default_factory=dict)

    @classmethod
    def read(
        cls, folder: CellFolder, metrics: dict[str, float], samples: Sequence[Mapping[str, Any]], most: int
    ) -> Results:
        """Read a cell's published answers and their scores.

        Args:
            metrics: what :func:`paceline.scoring.numbers` makes of its metrics.
            samples: prepared records.
            most: rows of the table.
        """
        config = folder.read().config
        kind = tasks.load(config.task.kind)
        scores = list(read_jsonl(folder.scores))
        pictures = pictures_of(kind.panels(results_of(kind, config.task, folder.id, scores, samples)))
        kept = [scores[i] for i in evenly(len(scores), min(most, MOST_ROWS))]
        names = list(dict.fromkeys(name for score in kept for name in score.get("scores", {})))
        wanted = {key_of(score) for score in kept}
        texts = {key: p["text"] for p in read_jsonl(folder.predictions) if (key := key_of(p)) in wanted}
        asked = {sample["id"]: sample for sample in samples}
        rows, left = [], MOST_BYTES
        for score in kept:
            sample = asked.get(score["sample"], {})
            image = thumbnail(image_paths(sample))
            if image is not None and len(image) > left:
                image = None
            left -= len(image or b"")
            rows.append(
                [
                    key_of(score),
                    image,
                    str(sample.get("split", "")),
                    kind.show(score.get("truth")),
                    str(texts.get(key_of(score), "")),
                    kind.show(score.get("value")),
                    score["outcome"],
                    *(_number(score.get("scores", {}).get(name)) for name in names),
                ]
            )
        columns = ("sample", "image", "split", "truth", "answer", "read as", "outcome", *names)
        return cls(metrics, columns, rows, pictures)


def results_of(
    kind: Kind, task: TaskSpec, cell: str, scores: Sequence[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]]
) -> panel_data.Results:
    """One cell's answers to all its splits, as the kind's panels want them."""
    one = panel_data.CellResult(cell, "", lambda: kind.answers(scores))
    tested = next((m for name in kind.headline if (m := kind.metric(name)).leads and m.tested), None)
    by_id = {sample["id"]: sample for sample in samples}
    return panel_data.Results(task, "", [one], [one], tested, by_id, lambda metric: [cell])


def thumbnail(paths: Sequence[str | Path]) -> bytes | None:
    """A small JPEG of an image file, of several beside each other; None where there is none that can be read."""
    if not paths:
        return None
    stream = io.BytesIO()
    try:
        if len(paths) > 1:
            load_images(paths, PICTURE).save(stream, "JPEG", quality=80, optimize=True)
            return stream.getvalue()
        with Image.open(paths[0]) as opened:
            opened.draft("RGB", (PICTURE, PICTURE))
            small = opened.convert("RGB")
            small.thumbnail((PICTURE, PICTURE))
            small.save(stream, "JPEG", quality=80, optimize=True)
    except (OSError, DataError):
        return None
    return stream.getvalue()


def pictures_of(panels: Sequence[Panel]) -> dict[str, Image.Image]:
    """Pictures of the panels that W&B shows as one: maps and matrices of the cell, by their key."""
    drawn: dict[str, Image.Image] = {}
    for panel in panels:
        if isinstance(panel, Points) and panel.cells:
            drawn[panel.key] = world(panel, panel.cells[0])
        elif isinstance(panel, Matrix) and panel.cells:
            drawn[panel.key] = matrix(panel.cells[0])
    return drawn


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
    caption = f"{len(pairs)} of {len(cell.truth)} answers read"
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
