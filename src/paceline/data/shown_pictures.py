"""The pictures of a task's data while it is prepared: which file of each is shown, and what is to be said of it."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.config.build import plain
from paceline.config.schema import PictureSpec
from paceline.data import rasters
from paceline.data.images import decode
from paceline.store import files

if TYPE_CHECKING:
    from PIL import Image

FOLDER = "scaled"


class Pictures:
    """The pictures of one folder of prepared data.

    Args:
        folder: the prepared folder.
        rule: how more than 8 bits and several bands are shown.
    """

    def __init__(self, folder: Path, rule: PictureSpec) -> None:
        self.folder, self.rule = folder, rule
        self.files: dict[Path, Path] = {}
        self.sizes: dict[Path, tuple[int, int]] = {}
        self.lines: list[dict[str, Any]] = []

    def take(self, path: Path) -> tuple[Path, Image.Image]:
        """The file that is shown of a picture, and its pixels in RGB.

        The file is the picture itself, or one that is made of it: a plain PPM or PGM, whose bytes, unlike those of a
        compressing format, are the same whatever the library's version.

        Raises:
            BadImage: it can't be used.
        """
        if path in self.files:
            return self.files[path], decode(self.files[path])
        shown = rasters.shown(path, self.rule)
        file = path
        if shown.made:
            file = self._write(shown.image)
        self.files[path] = file
        self.sizes[path] = shown.image.size
        said = {
            "ends": shown.ends,
            "rule": shown.rule,
            "bands": shown.bands,
            "of_bands": shown.of_bands,
            "first_of": shown.format,
            "one_colour": shown.one_colour(),
        }
        line = {name: value for name, value in said.items() if value}
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
        red, green, blue = image.split()
        grey = red.tobytes() == green.tobytes() == blue.tobytes()
        stream = io.BytesIO()
        (red if grey else image).save(stream, "PPM")
        content = stream.getvalue()
        file = self.folder / FOLDER / f"{hashlib.sha256(content).hexdigest()[:32]}.{'pgm' if grey else 'ppm'}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        return file

    def told(self) -> dict[str, Any]:
        """What the manifest says of the pictures, and names them in ``pictures.jsonl``; empty where there is nothing.

        Returns:
            ``rule``; ``scaled``, rule -> pictures; ``bands``, ``1, 2, 3 of 13`` -> pictures; ``first_of``, format ->
            pictures that have more frames or pages; ``one_colour``, how many are of nearly one colour.
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
        counts["one_colour"] = sum("one_colour" in line for line in self.lines)  # type: ignore[assignment]
        rule = {"rule": plain(self.rule)} if scaled or bands else {}
        return {**rule, **{name: count for name, count in counts.items() if count}}
