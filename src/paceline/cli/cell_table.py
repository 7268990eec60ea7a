"""Tables of cells for a terminal. What comes from files is shown as it is: a bracket in it is no markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

INDENT = 4
MOST_TEXT = 400  # characters of a cause
NAMES = ("task", "model", "prompt", "method")
SETTINGS = "settings"


class Literal(Console):
    """A console that prints text as it is, and raises for its caller when the pipe it writes to is closed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def on_broken_pipe(self) -> None:
        """`paceline plan | head`: rich would exit with 1, and the command line knows better."""
        raise BrokenPipeError


def short_hash(cell: str) -> str:
    """The part of a cell's id by which people call it."""
    return cell.rpartition("-")[2][:6]


def short_id(cell: str) -> str:
    """A cell's id for people: the settings that differ from its neighbours', and the short hash."""
    return f"{cell.rpartition('-')[0]} {short_hash(cell)}"


def title(cell: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> str:
    """A cell for a line of its own: its kind, what tells it from the other cells of its sweep, and the short hash."""
    names = [str(cell[n]) for n in NAMES if n != "method" and len({c[n] for c in cells}) > 1]
    return f"{cell['kind']} {' · '.join([*names, method_label(cell)])} {short_hash(str(cell['id']))}"


def one_line(text: str) -> str:
    """A message of a file as one line, without what would move a terminal's cursor."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MOST_TEXT else f"{line[:MOST_TEXT]}…"


def method_label(cell: Mapping[str, Any]) -> str:
    """The method with the settings in which this cell differs from others of the same names."""
    return f"{cell['method']} ({cell['variant']})" if cell["variant"] else str(cell["method"])


def print_cells(
    console: Console, cells: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> None:
    """Print one row a cell, with its ``why`` beside the row where all of them fit, else on a line of its own below.

    Names that are the same for all cells are printed once, above the table.

    Args:
        console: where to.
        cells: all cells of the sweep: plain values, with ``variant`` and ``why``.
        shown: those of them to print.
        columns: keys of a cell in the order of the columns; of ``NAMES`` only those that differ are shown.
    """
    same = [name for name in NAMES if name in columns and len({c[name] for c in cells}) == 1]
    if same and len(cells) > 1:
        console.print(Text(f"all: {' · '.join(str(cells[0][name]) for name in same)}"), soft_wrap=True)
    elif same:
        console.print(Text(" · ".join(str(cells[0][name]) for name in same)), soft_wrap=True)
    if not shown:
        return
    console.print()
    # Of cells of one method what tells them apart is left of its column.
    named = [SETTINGS if name == "method" and name in same else name for name in columns]
    kept = [name for name in named if name not in same]
    texts = [[_shown(c, name) for name in kept] for c in shown]
    # A column that is empty in every row is left out.
    filled = [i for i in range(len(kept)) if any(row[i] for row in texts)]
    kept, texts = [kept[i] for i in filled], [[row[i] for i in filled] for row in texts]
    widths = [max(map(cell_len, (name, *(row[i] for row in texts)))) for i, name in enumerate(kept)]
    whys = [one_line(str(c["why"])) for c in shown]
    each = whys[0] if len(shown) > 1 and len(set(whys)) == 1 else ""
    if each:
        whys = [""] * len(shown)
    beside = sum(widths) + 2 * len(widths) + max(map(cell_len, whys)) <= console.width
    console.print(_row([*kept, "why"] if beside and any(whys) else kept, widths, "dim"), soft_wrap=True)
    if beside or not any(whys):  # in one go: a thousand rows would take a third of a second one by one
        rows = [_row([*row, why] if beside else row, widths) for row, why in zip(texts, whys, strict=True)]
        console.print(Text("\n").join(rows), soft_wrap=True)
    else:
        for row, why in zip(texts, whys, strict=True):
            console.print(_row(row, widths), soft_wrap=True)
            if why:
                _below(console, why, INDENT)
    if each:
        _below(console, f"each: {each}", 0)
    console.print()


def _shown(cell: Mapping[str, Any], column: str) -> str:
    return method_label(cell) if column == "method" else str(cell["variant"] if column == SETTINGS else cell[column])


def mark(ok: bool | None) -> str:
    """A check's sign: it holds, it does not, or it can't be known."""
    return {True: "✓", False: "✗", None: "?"}[ok]


def _below(console: Console, text: str, indent: int) -> None:
    if console.is_terminal:
        console.print(Padding(Text(text), (0, 0, 0, indent)))
    else:  # whole, for grep
        console.print(Text(" " * indent + text), soft_wrap=True)


def _row(values: Sequence[str], widths: Sequence[int], style: str = "") -> Text:
    padded = [v + " " * (w - cell_len(v)) for v, w in zip(values, widths, strict=False)]
    return Text("  ".join([*padded, *values[len(widths) :]]).rstrip(), style=style)
