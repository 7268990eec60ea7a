"""What a person sees while cells run in the foreground: bars on a terminal, lines in a file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from paceline.cli.cell_table import Literal, one_line, short_id
from paceline.launch.elements import Element
from paceline.sweep.status import CellState

MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "interrupted": ("‖", "yellow")}


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
        self.began = time.monotonic()

    @contextlib.contextmanager
    def showing(self) -> Iterator[Watch]:
        """Draw while the block runs."""
        with self.bars:
            yield self

    def started(self, element: Element) -> None:
        """An element was started."""
        ranks = f" on {element.ranks} ranks" if element.ranks > 1 else ""
        split = element.placement["deepspeed"]["name"]
        sharding = f" with {split}" if element.placement["deepspeed"]["config"] else ""
        more = f" and {len(element.cells) - 1} more" if len(element.cells) > 1 else ""
        self._line("▸", "", f" {short_id(element.cells[0])}{more}{ranks}{sharding}")

    def progress(self, running: Sequence[tuple[Element, str, dict[str, Any]]]) -> None:
        """Renew the bars."""
        for _, cell, beat in running:
            if cell not in self.tasks:
                self.tasks[cell] = self.bars.add_task(short_id(cell), total=None, note="starting")
            if beat.get("total"):
                note = f"{beat.get('unit', '')} {beat.get('note', '')}".strip()
                self.bars.update(self.tasks[cell], total=beat["total"], completed=beat["done"], note=note)

    def ended(self, cell: str, state: CellState) -> None:
        """A cell came to its end."""
        if cell in self.tasks:
            self.bars.remove_task(self.tasks.pop(cell))
        if state.state == "done":
            self.bars.advance(self.sweep)
        reason = ", ".join(w for w in (state.cause, state.detail) if w)
        why = f": {one_line(reason)}" if reason and state.state != "done" else ""
        self._line(*MARKS.get(state.state, ("·", "")), f" {short_id(cell)} {state.state}{why}")

    def note(self, text: str) -> None:
        """Something to know."""
        self._line("", "", text)

    def _line(self, mark: str, style: str, text: str) -> None:
        # Text, because a cell's message may hold brackets, which rich would take for markup.
        seconds = int(time.monotonic() - self.began)
        clock = f"{seconds // 60:3d}:{seconds % 60:02d}"
        self.console.print(Text.assemble((clock, "dim"), "  ", (mark, style), text), soft_wrap=True)


@contextlib.contextmanager
def counting(name: str) -> Iterator[Any]:
    """A bar for one loop, as a function ``(what, done, total)``; nothing where there is no terminal."""
    console = Literal(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(name, total=None)
        yield lambda what, done, total: bars.update(
            task, description=f"{name} {what}", completed=done, total=total or None
        )
