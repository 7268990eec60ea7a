"""The names of cells in a table for a terminal: what all of them share is told once, what differs comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paceline.report.read.sweep_results import Row

INDENT = (0, 0, 0, 2)


@dataclass(frozen=True)
class CellName:
    """What a cell is called."""

    model: str
    prompt: str
    """With its mark where the weights were trained on another one."""
    method: str
    variant: str = ""

    @property
    def label(self) -> str:
        """Method with its variant."""
        return f"{self.method} ({self.variant})" if self.variant else self.method


def name_of(row: Row) -> CellName:
    """The name of a row of the report."""
    return CellName(row.model, row.asked, row.method, row.variant)


class CellNames:
    """The first columns of a table of cells, and what they leave to the line above it."""

    def __init__(self, names: Sequence[CellName], joined: bool = False) -> None:
        """``joined``: prompt and method share a column, for a window that has no room for both."""
        several = len(names) > 1
        self._model = not several or len({n.model for n in names}) > 1
        self._prompt = not several or len({n.prompt for n in names}) > 1
        self._method = not several or len({n.method for n in names}) > 1
        self._variant = self._method or any(n.variant for n in names)
        first = names[0] if names else CellName("", "", "")
        told = [(self._model, first.model), (self._prompt, first.prompt), (self._method, first.method)]
        self.shared = " · ".join(text for apart, text in told if not apart)
        """What is the same for all of them; empty where nothing is."""
        self._names, self._joined = names, joined

    @property
    def headings(self) -> list[str]:
        """Headings of the columns."""
        method = ["method" if self._method else "settings"] if self._variant else []
        below = self._columns([*(["prompt"] if self._prompt else []), *method])
        return [" · ".join(["model", *below[:1]]), *below[1:]] if self._model else below or ["cell"]

    def add(self, table: Table, figures: Sequence[Sequence[RenderableType]]) -> None:
        """Add a row for each cell, with its figures behind its names; models have a line of their own."""
        below = self._prompt or self._variant
        for model, places in groupby(range(len(self._names)), key=lambda i: self._names[i].model):
            if self._model and below:
                table.add_row(Text(model, style="bold"))
            for i in places:
                cells: list[RenderableType] = [Text(text) for text in self._texts(self._names[i])]
                if self._model and below:
                    cells[0] = Padding(cells[0], INDENT)
                table.add_row(*cells, *figures[i])

    def _texts(self, name: CellName) -> list[str]:
        method = [name.label if self._method else name.variant] if self._variant else []
        return self._columns([*([name.prompt] if self._prompt else []), *method]) or [name.model]

    def _columns(self, texts: list[str]) -> list[str]:
        return [" · ".join(texts)] if self._joined and texts else texts
