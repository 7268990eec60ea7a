"""Tables that fit a terminal: texts wrap at words, figures stay whole."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

UNLIMITED = 10_000  # columns
LONGEST_WORD = 28  # columns; a longer word may be broken
FEWEST = 10  # columns of a text that wraps, where it has as many


class FittedTable(Table):
    """A table whose columns of texts share what its columns of figures leave.

    A column with ``no_wrap`` is never cut. Where a window has no room even for those, lines are longer than the window:
    print such a table with ``crop=False``.
    """

    _sizes: tuple[int, list[tuple[int, int]]] = (-1, [])

    def least_width(self, console: Console, most_lines: int | None = None) -> int:
        """Columns that the table takes when no text of it has more lines; None: as many as its words allow."""
        return sum(self._widths(console, most_lines)) + self._frame(console)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least, widths, frame = self._widths(console, None), self._widths(console, 1), self._frame(console)
        room = max(options.max_width, sum(least) + frame)
        for _ in range(sum(widths) + frame - room):
            # From the widest: it loses the fewest words.
            place = max((i for i, w in enumerate(widths) if w > least[i]), key=lambda i: widths[i])
            widths[place] -= 1
        for column, width in zip(self.columns, widths, strict=True):
            column.width = width
        yield from super().__rich_console__(console, options.update(width=room))

    def _frame(self, console: Console) -> int:
        """Columns of padding and edges."""
        hollow = ruled("", *("x" for _ in self.columns))
        wide = console.options.update(width=UNLIMITED)
        return Measurement.get(console, wide, hollow).maximum - len(self.columns)

    def _widths(self, console: Console, most_lines: int | None) -> list[int]:
        """The width of each column when no text of it has more lines."""
        widths = []
        for column, (widest, word) in zip(self.columns, self._measured(console), strict=True):
            if column.no_wrap or most_lines == 1:
                widths.append(widest)
                continue
            least = min(widest, max(FEWEST, min(word, LONGEST_WORD)))
            # Words seldom fill a line: some more than an equal share.
            widths.append(least if most_lines is None else min(widest, max(least, widest // most_lines + 4)))
        return widths

    def _measured(self, console: Console) -> list[tuple[int, int]]:
        """Of each column its longest line and its longest word; measured once, as tables have thousands of rows."""
        if self._sizes[0] != self.row_count:
            wide = console.options.update(width=UNLIMITED)
            sizes = []
            for column in self.columns:
                measured = [Measurement.get(console, wide, content) for content in (column.header, *column.cells)]
                sizes.append((max(m.maximum for m in measured), max(m.minimum for m in measured)))
            self._sizes = self.row_count, sizes
        return self._sizes[1]


def ruled(title: str, *names: str) -> FittedTable:
    """A table with a rule under its headings, and its first columns, which are of texts."""
    # Names and messages come from files: as Text, a bracket in one is a bracket.
    heading = Text(title, style="bold")
    table = FittedTable(box=SIMPLE_HEAD, title=heading, title_justify="left", padding=(0, 1, 0, 0), pad_edge=True)
    for name in names:
        table.add_column(name, overflow="fold")
    return table
