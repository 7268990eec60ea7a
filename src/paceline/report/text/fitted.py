"""Tables that fit a terminal: texts wrap at words, figures stay whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

UNLIMITED = 10_000  # columns
LONGEST_WORD = 28  # columns; a longer word may be broken
FEWEST = 10  # columns of a text that wraps, where it has as many


class FittedTable(Table):
    """A table whose columns of texts share what its columns of figures leave.

    A column with ``no_wrap`` is never cut. Where a window has no room even for those, lines are longer than the window:
    print such a table with ``crop=False``.
    """

    def least_width(self, console: Console, most_lines: int | None = None) -> int:
        """Columns that the table takes when no text of it has more lines; None: as many as its words allow."""
        return sum(self._widths(console, most_lines)) + self._frame(console)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least, widths = self._widths(console, None), self._widths(console, 1)
        room = max(options.max_width, sum(least) + self._frame(console))
        excess = sum(widths) + self._frame(console) - room
        while excess > 0:
            # From the widest: it loses the fewest words.
            place = max((i for i, w in enumerate(widths) if w > least[i]), key=lambda i: widths[i])
            widths[place] -= 1
            excess -= 1
        for column, width in zip(self.columns, widths, strict=True):
            column.width = width
        yield from super().__rich_console__(console, options.update(width=room))
        for column in self.columns:
            column.width = None

    def _frame(self, console: Console) -> int:
        """Columns of padding and edges."""
        wide = console.options.update(width=UNLIMITED)
        return Measurement.get(console, wide, self).maximum - sum(self._widths(console, 1))

    def _widths(self, console: Console, most_lines: int | None) -> list[int]:
        return [_width(console, column, most_lines) for column in self.columns]


def _width(console: Console, column: Column, most_lines: int | None) -> int:
    wide = console.options.update(width=UNLIMITED, no_wrap=False)
    measured = [Measurement.get(console, wide, content) for content in _contents(column)]
    widest = max((m.maximum for m in measured), default=1)
    if column.no_wrap or most_lines == 1:
        return widest
    words = max((m.minimum for m in measured), default=1)
    least = min(widest, max(FEWEST, min(words, LONGEST_WORD)))
    # Words seldom fill a line: some more than an equal share.
    return least if most_lines is None else min(widest, max(least, widest // most_lines + 4))


def _contents(column: Column) -> Iterator[RenderableType]:
    yield column.header
    yield from column.cells


def ruled(title: str, *names: str) -> FittedTable:
    """A table with a rule under its headings, and its first columns, which are of texts."""
    # Names and messages come from files: as Text, a bracket in one is a bracket.
    settings: dict[str, Any] = {"box": SIMPLE_HEAD, "title_justify": "left", "padding": (0, 1, 0, 0), "pad_edge": True}
    table = FittedTable(title=Text(title, style="bold"), **settings)
    for name in names:
        table.add_column(name, overflow="fold")
    return table
