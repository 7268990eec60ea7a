"""Upload a sweep's offline W&B runs: all attempts of a cell into one run, each piece once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from paceline.cli.options import json_option, name_argument
from paceline.cli.resolve import find_sweep, say_json
from paceline.counted import agree, counted

# Where uploading ended before it came to them, which the error or the earlier piece beside it explains.
NOT_YET = "not yet uploaded"
EMPTY = "nothing is in it, as its process was killed within seconds of its start"


@click.command(short_help="upload offline W&B runs")
@name_argument("[SWEEP]")
@json_option
def command(words: Sequence[str], conf: str | None, as_json: bool) -> None:
    """Upload a sweep's offline W&B runs (the latest sweep's, where none is named), from where the network is.

    All attempts of a cell go into one run, oldest first. What was uploaded is recorded, so an interrupted sync goes on,
    and a cell that still runs is left for the next time. Exit code 1 where other pieces are left behind.
    """
    from paceline.cli.progress import counting
    from paceline.errors import CellsFailed, PacelineError
    from paceline.tracking import sync

    folder, store = find_sweep(words, conf)
    cells = [sync.pending(store.cell(cell)) for cell in folder.read()["cells"]]
    left = [outcome for cell in cells for outcome in cell.left]
    waiting = {piece.path: sync.Told(cell.cell, piece, why=NOT_YET) for cell in cells for piece in cell.pieces}
    total = len(waiting)
    done: list[sync.Told] = []
    empty: list[sync.Told] = []
    failure: PacelineError | None = None
    try:
        with counting("sync") as progress:
            for outcome in sync.upload(store, cells):
                waiting.pop(outcome.piece.path)
                (left if outcome.why else empty if outcome.empty else done).append(outcome)
                progress(f"{outcome.cell} attempt {outcome.piece.attempt}", total - len(waiting), total)
    except PacelineError as error:
        failure = error
    left += waiting.values()
    if as_json:
        lists = {"uploaded": done, "passed_over": empty, "left": left}
        say_json({"sweep": folder.name, **{name: list(map(describe, pieces)) for name, pieces in lists.items()}})
    else:
        for outcome in empty:
            click.echo(f"  passed over: {outcome.cell} attempt {outcome.piece.attempt}: {EMPTY}")
        if not failure:
            for outcome in left:
                click.echo(f"  left: {outcome.cell} attempt {outcome.piece.attempt}: {outcome.why}")
        click.echo(f"{folder.name}: {summary(done, left)}")
    if failure:
        raise failure
    if behind := sum(not outcome.waits for outcome in left):
        pieces = f"{counted(behind, 'piece')} of sweep '{folder.name}' {agree(behind, 'is', 'are')} left behind"
        raise CellsFailed(f"{pieces}; sync again when it is mended")


def describe(outcome: Any) -> dict[str, Any]:
    """One piece for programs."""
    path = str(outcome.piece.path)
    return {
        "cell": outcome.cell,
        "attempt": outcome.piece.attempt,
        "piece": path,
        "rows": outcome.rows,
        "why": outcome.why or (EMPTY if outcome.empty else ""),
    }


def summary(done: Sequence[Any], left: Sequence[Any]) -> str:
    """The line at the end: what was uploaded, what is left, and why."""
    text = f"{counted(len(done), 'piece')} of {counted(len({t.cell for t in done}), 'cell')} uploaded, {len(left)} left"
    reasons = Counter(outcome.why for outcome in left)
    return f"{text}: {', '.join(f'{why} ({n})' if n > 1 else why for why, n in reasons.items())}" if left else text
