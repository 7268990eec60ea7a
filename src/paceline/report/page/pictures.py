"""Pictures inside the page: data URLs, each made once, as many as a budget takes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.errors import DataError
from paceline.report.read.sweep_results import Report
from paceline.tasks.kind import digests_of, images_of

if TYPE_CHECKING:
    from PIL import Image

SIDE = 288  # longest side in pixels
BUDGET = 6_000_000  # bytes of the page


@dataclass(frozen=True)
class Picture:
    """An image as the page holds it."""

    key: str
    """``<task or cell>/<sample>``; of a sample's second image and on with ``#1`` and so on behind it."""
    url: str
    """Empty where the image is gone, or the page had no room for it."""
    size: tuple[int, int] = (0, 0)
    """Width and height as embedded, in pixels."""
    left_out: bool = False
    """Whether the page had no room for it."""


class Pictures:
    """The images of a report, embedded in order of request; those beyond the budget are left out."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._pictures: dict[str, Picture] = {}
        self._bytes = 0
        self.left_out = 0
        """Requested pictures that the budget had no room for."""

    @property
    def full(self) -> bool:
        """Whether the budget is spent."""
        return self._bytes >= BUDGET

    @property
    def budget_mb(self) -> float:
        """The budget in MB."""
        return BUDGET / 1e6

    @property
    def held(self) -> frozenset[str]:
        """The keys of the pictures that the page holds."""
        return frozenset(key for key, picture in self._pictures.items() if picture.url)

    def get(self, task: str, sample: str) -> str:
        """The URL of a sample's first image; empty where the image is gone or the page is full."""
        return self.picture(task, sample).url

    def all(self, task: str, sample: str, side: int = SIDE) -> list[Picture]:
        """Every image of a sample."""
        return [self.picture(task, sample, at, side) for at in range(len(self.keys(task, sample)))]

    def keys(self, task: str, sample: str) -> list[str]:
        """The keys of a sample's images, whether the page holds them or not."""
        name, record = self._record(task, sample)
        return [_key(task, name, at) for at in range(len(images_of(record)))]

    def known(self, task: str, sample: str) -> bool:
        """Whether the prepared data holds the sample."""
        return bool(self._record(task, sample)[1])

    def picture(self, task: str, sample: str, at: int = 0, side: int = SIDE) -> Picture:
        """One image of a sample.

        Args:
            task: name of the task.
            sample: id of the sample, or of a question about it with the part.
            at: which of the sample's images, from 0.
            side: pixels of its longest side; of an image that is in the page already, what it was made with.
        """
        name, record = self._record(task, sample)
        paths, digests = images_of(record), digests_of(record)
        path, digest = (some[at] if at < len(some) else "" for some in (paths, digests))
        return self._of(_key(task, name, at), path, side, digest)

    def explanation(self, cell: str, sample: str) -> str:
        """The URL of the picture that explains a cell's answer, as :meth:`get`."""
        return self._of(f"{cell}/{sample}", str(self._report.store.cell(cell).explanation(sample)), SIDE).url

    def _record(self, task: str, sample: str) -> tuple[str, Mapping[str, Any]]:
        """The sample's own id and its record; a question is named by the sample and its part."""
        samples = self._report.samples[task]
        whole = sample.rpartition("/")[0]
        name = sample if sample in samples or whole not in samples else whole
        return name, samples.get(name, {})

    def _of(self, key: str, path: str, side: int, sha256: str = "") -> Picture:
        if key not in self._pictures:
            if self.full:
                self.left_out += 1
                self._pictures[key] = Picture(key, "", left_out=True)
            else:
                url, size = _read(path, side, sha256) if path else ("", (0, 0))
                self._pictures[key] = Picture(key, url, size)
                self._bytes += len(url)
        return self._pictures[key]


def _key(task: str, sample: str, at: int) -> str:
    return f"{task}/{sample}" + (f"#{at}" if at else "")


def _read(path: str, side: int, sha256: str) -> tuple[str, tuple[int, int]]:
    from paceline.data.images import load_image

    try:
        image = load_image(Path(path), side, sha256)
    except DataError:
        return "", (0, 0)
    image.thumbnail((side, side))
    return jpeg(image, 82), image.size


def jpeg(image: Image.Image, quality: int) -> str:
    """An image as the data URL of a JPEG file."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True, progressive=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
