"""Pictures inside the page: data URLs, each made once, as many as a budget takes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from paceline.errors import DataError
from paceline.prepared import image_paths, load_images
from paceline.report.results import Report

if TYPE_CHECKING:
    from PIL import Image

SIDE = 288  # longest side in pixels
BUDGET = 6_000_000  # bytes of the page


class Pictures:
    """The images of a report. What is asked for first is in the page; what comes after the budget is left out."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._made: dict[tuple[str, str], str] = {}
        self._bytes = 0
        self.left_out = 0
        """Pictures asked for that the budget had no room for."""

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
        """``<task or cell>/<sample>`` of every picture that the page holds."""
        return frozenset("/".join(key) for key, url in self._made.items() if url)

    def get(self, task: str, sample: str) -> str:
        """The URL of a sample's image, several beside each other; empty where one is gone or the page is full."""
        return self._of(task, sample, image_paths(self._report.samples[task].get(sample, {})))

    def explanation(self, cell: str, sample: str) -> str:
        """The URL of the picture that explains a cell's answer, as :meth:`get`."""
        path = self._report.store.cell(cell).explanation(sample)
        return self._of(cell, sample, [str(path)])

    def _of(self, owner: str, sample: str, paths: Sequence[str]) -> str:
        key = (owner, sample)
        if key not in self._made:
            if self.full:
                self.left_out += 1
                self._made[key] = ""
            else:
                self._made[key] = _picture(paths) if paths else ""
                self._bytes += len(self._made[key])
        return self._made[key]


def _picture(paths: Sequence[str]) -> str:
    try:
        image = load_images(paths, SIDE)
    except DataError:
        return ""
    return jpeg(image, 82)


def jpeg(image: Image.Image, quality: int) -> str:
    """An image as the data URL of a JPEG file."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True, progressive=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
