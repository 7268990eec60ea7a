"""The pictures of a task's data while it is prepared: which file of each is shown, and what is to be said of it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.config.build import plain
from paceline.config.schema import PictureSpec
from paceline.counted import counted
from paceline.data import preprocessing, rasters
from paceline.data.images import decode
from paceline.data.preprocessing import ZENITH
from paceline.data.readers import Sample
from paceline.errors import DataError
from paceline.store import files

if TYPE_CHECKING:
    from PIL import Image

FOLDER = "scaled"
EXAMPLES = "shots/scaled"  # of examples by hand
MOST_NAMES = 5  # of samples, in a message


class Pictures:
    """The pictures of one folder of prepared data.

    Args:
        folder: the prepared folder.
        rule: how more than 8 bits and several bands are shown, and what is done to every picture.

    Attributes:
        refused: reason -> samples whose illumination can't be corrected.
    """

    def __init__(self, folder: Path, rule: PictureSpec) -> None:
        self.folder, self.rule = folder, rule
        self.files: dict[tuple[Path, float | None], Path] = {}
        self.sizes: dict[Path, tuple[int, int]] = {}
        self.lines: list[dict[str, Any]] = []
        self.refused: dict[str, list[str]] = {}

    def zeniths(self, sample: Sample) -> list[float | None]:
        """The angle that each picture of a sample is corrected by, in degrees; None where none is.

        A sample that can't be corrected is noted in ``refused``, and its pictures are taken as they are meanwhile.
        """
        count = len(sample.pictures)
        if self.rule.illumination == "none" or not count:
            return [None] * count
        try:
            return list(preprocessing.zeniths(sample.fields, count))
        except preprocessing.NoZenithError as error:
            self.refused.setdefault(str(error), []).append(sample.id)
            return [0.0] * count

    def require_zeniths(self, task: str) -> None:
        """Refuse data of which some samples can't be corrected.

        Raises:
            DataError: how many, for which reason, with the first names.
        """
        if not self.refused:
            return
        several = sum(map(len, self.refused.values()))
        told = "; ".join(
            f"{len(names)} × {reason} ({', '.join(names[:MOST_NAMES])}{', …' * (len(names) > MOST_NAMES)})"
            for reason, names in self.refused.items()
        )
        raise DataError(
            f"task '{task}': task.pictures.illumination=cosine needs the field {ZENITH} of every sample, "
            f"degrees from 0 to below 90; {counted(several, 'sample')} can't be corrected: {told}. Give the field (of "
            f"a table: task.options.columns.{ZENITH}=COLUMN), take those samples out, or set "
            "task.pictures.illumination=none"
        )

    def take(self, path: Path, zenith: float | None = None) -> tuple[Path, Image.Image]:
        """The file that is shown of a picture, and its pixels in RGB.

        The file is the picture itself, or one that is made of it: a plain PPM or PGM, whose bytes, unlike those of a
        compressing format, are the same whatever the library's version.

        Args:
            path: the picture.
            zenith: of the sun, degrees, where its illumination is corrected.

        Raises:
            BadImage: it can't be used.
        """
        key = (path, zenith)
        if key in self.files:
            return self.files[key], decode(self.files[key])
        shown = rasters.shown(path, self.rule)
        if preprocessing.changes(self.rule):
            image = preprocessing.processed(shown.image, self.rule, zenith)
            shown = dataclasses.replace(shown, image=image, made=True)
        file = path
        if shown.made:
            file = self._write(shown.image)
        self.files[key] = file
        self.sizes[path] = shown.image.size
        said = {
            "ends": shown.ends,
            "rule": shown.rule,
            "bands": shown.bands,
            "of_bands": shown.of_bands,
            "first_of": shown.format,
            "one_colour": shown.one_colour(),
            "equalised": self.rule.equalise != "none" and self.rule.equalise,
            ZENITH: zenith,
        }
        line = {name: value for name, value in said.items() if value or (name == ZENITH and value is not None)}
        if shown.made:
            line |= {"shown": file.relative_to(self.folder).as_posix(), "sha256": files.file_digest(path)}
        if line:
            is_own = path.is_relative_to(self.folder)
            name = str(path.relative_to(self.folder) if is_own else path.absolute())
            # A name of a file may hold bytes that are no text.
            self.lines.append({"picture": name.encode("utf-8", "replace").decode(), **line})
        return file, shown.image

    def _write(self, image: Image.Image) -> Path:
        """Keep a picture under the name of its content, so that data made anew names what is kept already."""
        content, suffix = _plain(image)
        file = self.folder / FOLDER / f"{hashlib.sha256(content).hexdigest()[:32]}{suffix}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        return file

    def told(self) -> dict[str, Any]:
        """What the manifest says of the pictures, and names them in ``pictures.jsonl``; empty where there is nothing.

        Returns:
            ``rule``; ``scaled``, rule -> pictures; ``bands``, ``1, 2, 3 of 13`` -> pictures; ``first_of``, format ->
            pictures that have more frames or pages; ``one_colour``, how many are of nearly one colour; ``equalised``,
            how -> pictures; ``illuminated``, how many were corrected by the sun's zenith.
        """
        if not self.lines:
            return {}
        files.write_jsonl(self.folder / "pictures.jsonl", self.lines)
        scaled = Counter(line["rule"] for line in self.lines if "rule" in line)
        bands = Counter(
            f"{', '.join(map(str, line['bands']))} of {line['of_bands']}" for line in self.lines if "bands" in line
        )
        first = Counter(line["first_of"] for line in self.lines if "first_of" in line)
        counts = {"scaled": dict(scaled), "bands": dict(bands), "first_of": dict(first)}
        counts["equalised"] = dict(Counter(line["equalised"] for line in self.lines if "equalised" in line))
        counts["illuminated"] = sum(ZENITH in line for line in self.lines)  # type: ignore[assignment]
        counts["one_colour"] = sum("one_colour" in line for line in self.lines)  # type: ignore[assignment]
        rule = {"rule": plain(self.rule)} if scaled or bands or preprocessing.changes(self.rule) else {}
        return {**rule, **{name: count for name, count in counts.items() if count}}


def example(path: Path, folder: Path, rule: PictureSpec, zenith: float | None) -> Path:
    """The file that is shown of a picture of an example by hand, made once beside the prepared data it goes with.

    Args:
        path: the kept picture, which its sha256 names.
        folder: the prepared folder.
        rule: what is done to every picture.
        zenith: of the sun, degrees, where its illumination is corrected.

    Raises:
        BadImage: it can't be used.
    """
    if not preprocessing.changes(rule):
        return path
    name = files.digest([path.stem, zenith, preprocessing.changed_by(rule)], 32)
    for suffix in (".pgm", ".ppm"):
        if (made := folder / EXAMPLES / f"{name}{suffix}").is_file():
            return made
    content, suffix = _plain(preprocessing.processed(decode(path), rule, zenith))
    made = folder / EXAMPLES / f"{name}{suffix}"
    made.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(made, content)
    return made


def _plain(image: Image.Image) -> tuple[bytes, str]:
    """A picture as a plain PPM, or PGM where it is grey, and the suffix of that."""
    red, green, blue = image.split()
    grey = red.tobytes() == green.tobytes() == blue.tobytes()
    stream = io.BytesIO()
    (red if grey else image).save(stream, "PPM")
    return stream.getvalue(), ".pgm" if grey else ".ppm"
