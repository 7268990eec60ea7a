"""Captions as captioning shows them, and which land-cover words are found and claimed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from paceline.tasks.captioning import results as captions
from paceline.tasks.captioning.results import MARKS, label, name, show
from paceline.tasks.multi_label.results import MOST_CELLS, per_class
from paceline.tasks.panels import CellResult, Panel, Results, Table, TableColumn

__all__ = ["MARKS", "label", "name", "panels", "show"]


def panels(results: Results) -> Iterator[Panel]:
    """Captions beside references, how they are written, and the words of the best cells."""
    yield from captions.panels(results)
    yield from map(words, results.best[:MOST_CELLS])


def words(cell: CellResult) -> Table:
    """Every land-cover word: in how many samples' references it stands, and how often it is claimed."""
    table = per_class(cell)
    headings = {"class": "word", "samples": "in references"}
    columns = (TableColumn(headings.get(c.heading, c.heading), c.unit, c.largest_first) for c in table.columns)
    return dataclasses.replace(
        table,
        key="cover",
        title="Land-cover words",
        nav="Words",
        columns=tuple(columns),
        caption=f"{cell.name}: the weakest word first. In references: samples of which a reference says that it is "
        "there. Precision: of the answers that claim it, the share where a reference has it. Claimed instead: the word "
        "that is most often claimed and in no reference where this one is missed.",
    )
