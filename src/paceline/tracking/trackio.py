"""Trackio as a backend of :mod:`paceline.tracking.tracker`: a dashboard on one's own machine, without an account.

A cell is one Trackio run of its name, in the database of its project under ``<root>/trackio``; ``trackio show`` looks
at it. Trackio keeps a SQLite file per project, so cells that run on several nodes at once want a disk whose locks work.
It has no summary and no lineage: numbers stand in the row of the last step, and files stay where they are.
"""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paceline.attempts.run import Run
from paceline.config.build import plain
from paceline.errors import UserError
from paceline.store.causes import WAITS_FOR_PEOPLE
from paceline.tracking.answers_table import Results
from paceline.tracking.sdk_environment import clear_trackio

FOLDER = "trackio"


class Attempt:
    """One attempt's part of the cell's Trackio run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._trackio: Any = None
        self._step = run.attempt.n - 1

    def turn(self) -> float:
        return 0.0

    def begin(self) -> int:
        if importlib.util.find_spec("trackio") is None:
            raise UserError("the package trackio is not installed; docs/tracking.md says how, beside our pins")
        clear_trackio(os.environ)
        os.environ["TRACKIO_DIR"] = str(self._run.folder.path.parents[1] / FOLDER)  # read at import
        import trackio

        config = self._run.config
        # Its output goes to the attempt's log.
        self._trackio = trackio.init(
            project=config.tracking.project,
            name=self._run.cell.id,
            group=self._run.sweep or None,
            config={"kind": self._run.cell.kind, **self._run.cell.identity, "placement": plain(config.placement)},
            resume="allow",
            embed=False,
        )
        return int(self._trackio._next_step) - 1

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._step = step
        self._trackio.log(dict(values), step=step)

    def supervised(self, rows: Sequence[Mapping[str, str]]) -> None:
        import trackio

        # With the next row of the curve: alone it would take a step of its own.
        table = trackio.Table(columns=["prompt", "supervised"], data=[[r["prompt"], r["supervised"]] for r in rows])
        self._trackio.log({"supervised": table}, step=self._step)

    def weights(self, folder: Path) -> None:
        """They lie on the same disk."""

    def results(self, results: Results) -> None:
        import trackio
        from PIL import Image

        def image(content: bytes) -> Any:
            return trackio.Image(Image.open(io.BytesIO(content)))

        shown: dict[str, Any] = {**results.metrics, **{n: trackio.Image(p) for n, p in results.pictures.items()}}
        for name, images in results.galleries.items():  # its tables hold images, its rows no lists of them
            data = [[text, trackio.Image(picture)] for picture, text in images]
            shown[name] = trackio.Table(columns=["text", "image"], data=data)
        for name, content in results.all_tables.items():
            rows = [[image(cell) if isinstance(cell, bytes) else cell for cell in row] for row in content.rows]
            shown[name] = trackio.Table(columns=list(content.columns), data=rows)
        self._trackio.log(shown, step=self._step)

    def end(self, cause: str, message: str, summary: Mapping[str, Any]) -> None:
        import trackio

        self._trackio.log(dict(summary), step=self._step)
        if cause in WAITS_FOR_PEOPLE:
            self._trackio.alert(f"{cause}: {self._run.cell.id}", message[:500], level=trackio.AlertLevel.ERROR)
        self._trackio.finish()
