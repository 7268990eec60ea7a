"""What a person sees while cells run in the foreground: bars on a terminal, lines in a file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from paceline.cli.cell_table import Literal, one_line, short_hash, short_id
from paceline.counted import counted
from paceline.launch.elements import Element
from paceline.store.cell_folder import Cell
from paceline.sweep.cell_labels import titles
from paceline.sweep.forecast import duration
from paceline.sweep.status import STATE_NAMES, CellState

MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "interrupted": ("‖", "yellow")}
# Off a terminal, a line after so many seconds, and later ones so much further apart that a log stays short.
FIRST_LINE = 60.0
LATER = 1.5
# With less than this much of a cell done, the time left is a guess.
LEAST_DONE = 0.05


class Due:
    """Says when the next line is due in a log: soon at first, then ever more seldom."""

    def __init__(self, first: float = FIRST_LINE) -> None:
        self._began = time.monotonic()
        self._next = first

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def __call__(self) -> bool:
        if self.elapsed < self._next:
            return False
        self._next = self.elapsed * LATER
        return True

    def left(self, done: float, total: float) -> str:
        """``, about 4 min left`` at the rate so far; empty where it is not known yet or nothing is left."""
        if done < LEAST_DONE or done >= total:
            return ""
        return f", about {duration(self.elapsed * (total - done) / done)} left"


class Watch:
    """Shows a sweep's running cells. Use it in a ``with``."""

    def __init__(self, total: int, done: int, console: Console | None = None) -> None:
        self.console = console or Literal(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}
        self.sweep = self.bars.add_task("cells", total=total, completed=done, note="done")
        self.total, self.before, self.done, self.over = total, done, done, 0
        self.beats: dict[str, float] = {}
        self.titles: dict[str, str] = {}
        self.due = Due()

    @contextlib.contextmanager
    def showing(self) -> Iterator[Watch]:
        """Draw while the block runs."""
        with self.bars:
            yield self

    def named(self, cells: Sequence[Cell]) -> None:
        """The cells of the sweep: lines tell each by the settings in which it differs."""
        shared, self.titles = titles(cells)
        if shared:
            self._line("", "", f"all: {shared}")

    def started(self, element: Element) -> None:
        """An element was started."""
        ranks = f" on {counted(element.ranks, 'rank')}" if element.ranks > 1 else ""
        split = element.placement["deepspeed"]["name"]
        sharding = f" with {split}" if element.placement["deepspeed"]["config"] else ""
        more = f" and {len(element.cells) - 1:,} more" if len(element.cells) > 1 else ""
        self._line("▸", "", f" {self._title(element.cells[0])}{more}{ranks}{sharding}")

    def progress(self, running: Sequence[tuple[Element, str, dict[str, Any]]]) -> None:
        """Renew the bars; off a terminal, a line now and then."""
        self.beats = {cell: beat["done"] / beat["total"] for _, cell, beat in running if beat.get("total")}
        for _, cell, beat in running:
            if cell not in self.tasks:
                self.tasks[cell] = self.bars.add_task(self._title(cell), total=None, note="starting")
            if beat.get("total"):
                note = f"{beat.get('unit', '')} {beat.get('note', '')}".strip()
                self.bars.update(self.tasks[cell], total=beat["total"], completed=beat["done"], note=note)
        if running and not self.console.is_terminal and self.due():
            _, cell, beat = running[0]
            far = f" {beat['done']:,}/{beat['total']:,} {beat.get('unit', '')}".rstrip() if beat.get("total") else ""
            more = f" and {len(running) - 1:,} more" if len(running) > 1 else ""
            self._line("·", "", f" {self._title(cell)}{far}{more}; {self._far()}")

    def ended(self, cell: str, state: CellState) -> None:
        """A cell came to its end."""
        if cell in self.tasks:
            self.bars.remove_task(self.tasks.pop(cell))
        self.beats.pop(cell, None)
        self.over += 1
        if state.state == "done":
            self.done += 1
            self.bars.advance(self.sweep)
        reason = ", ".join(w for w in (state.cause, state.detail) if w)
        why = f": {one_line(reason)}" if reason and state.state != "done" else ""
        told = STATE_NAMES.get(state.state, state.state)
        self._line(*MARKS.get(state.state, ("·", "")), f" {self._title(cell)} {told}{why}; {self._far()}")

    def note(self, text: str) -> None:
        """Something to know."""
        self._line("", "", text)

    def _title(self, cell: str) -> str:
        return f"{self.titles[cell]} {short_hash(cell)}" if cell in self.titles else short_id(cell)

    def _far(self) -> str:
        """How many cells are done, and how long the others take."""
        left = self.due.left(self.over + sum(self.beats.values()), self.total - self.before)
        return f"{self.done:,} of {counted(self.total, 'cell')} done{left}"

    def _line(self, mark: str, style: str, text: str) -> None:
        # Text, because a cell's message may hold brackets, which rich would take for markup.
        seconds = int(self.due.elapsed)
        clock = f"{seconds // 60:3d}:{seconds % 60:02d}"
        self.console.print(Text.assemble((clock, "dim"), "  ", (mark, style), text), soft_wrap=True)


@contextlib.contextmanager
def counting(name: str) -> Iterator[Any]:
    """A bar for one loop, as a function ``(what, done, total)``; off a terminal a line now and then."""
    console = Literal(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn())
    due = Due()

    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(name, total=None)

        def count(what: str, done: int, total: int) -> None:
            bars.update(task, description=f"{name} {what}", completed=done, total=total or None)
            if not console.is_terminal and due():
                far = f"{done:,} of {total:,}{due.left(done / total, 1.0)}" if total else f"{done:,}"
                console.print(Text(f"{name} {what}: {far}"), soft_wrap=True)

        yield count
