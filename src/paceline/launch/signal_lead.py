"""How long before the walltime a tuning gets the signal to save: the measured time of a save, and a margin."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from paceline.attempts import checkpoints
from paceline.config.build import build
from paceline.config.cell_kinds import kind_of
from paceline.config.identity import identity_of
from paceline.config.schema import ClusterSpec, Config
from paceline.counted import agree, counted
from paceline.launch.elements import Element, arrays
from paceline.store.cell_folder import CellFolder
from paceline.store.files import digest, read_jsonl
from paceline.store.root import Store
from paceline.sweep.cells import PlannedCell

# A shared file system is at times several times as slow as when it was measured: when many jobs end together, for one.
MARGIN = 3


def needed(folder: CellFolder, batch: int) -> float:
    """Seconds from the signal to a saved state, as a cell's attempts measured them; 0 where none has saved.

    The signal is heeded at the end of an optimiser step, so the longest step comes first.

    Args:
        folder: the cell.
        batch: its samples per optimiser step.
    """
    save = checkpoints.longest_save(folder)
    if not save:
        return 0.0
    histories = (read_jsonl(a.path / "history.jsonl") for a in folder.attempts())
    speeds = (float(point.get("samples_per_second", 0.0)) for history in histories for point in history)
    step = max((batch / speed for speed in speeds if speed > 0), default=0.0)
    return MARGIN * save + step


def applied(elements: Sequence[Element], cells: Sequence[PlannedCell], store: Store) -> tuple[list[Element], list[str]]:
    """Elements with ``cluster.signal_seconds`` raised where measured saves need more, and notes for the user.

    What a cell has not measured itself, siblings of the same model and method have. An array has one signal, so the
    longest lead of its elements is that of all; none takes more than half of the walltime.

    Args:
        elements: all that is to run.
        cells: all cells of the sweep, done ones too.
        store: where their checkpoints are.
    """
    if not any(kind_of(e.kind).trains for e in elements):
        return list(elements), []
    like = {c.id: _kin(c.config) for c in cells if kind_of(c.cell.kind).trains}
    longest: dict[str, float] = defaultdict(float)
    for planned in cells:
        if planned.id in like:
            seconds = needed(store.cell(planned.id), planned.config.train.batch)
            longest[like[planned.id]] = max(longest[like[planned.id]], seconds)
    raised, notes = list(elements), []
    for array in arrays(elements):
        places = array["elements"]
        lead_seconds = max((longest[like[c]] for i in places for c in elements[i].cells if c in like), default=0.0)
        cluster: ClusterSpec = build(ClusterSpec, elements[places[0]].placement["cluster"], "cluster")
        lead = min(math.ceil(lead_seconds), cluster.minutes * 30)
        if lead <= cluster.signal_seconds:
            continue
        notes.append(
            f"{counted(len(places), 'element')} {agree(len(places), 'is', 'are')} told to save {lead} s before "
            f"the walltime, not {cluster.signal_seconds} s "
            f"(cluster.signal_seconds): a step and {MARGIN} saves as they were measured take {lead_seconds:.0f} s"
        )
        placements: dict[int, dict[str, Any]] = {}  # shared between elements, and identified by that
        for i in places:
            before = elements[i].placement
            after = {**before, "cluster": {**before["cluster"], "signal_seconds": lead}}
            raised[i] = replace(elements[i], placement=placements.setdefault(id(before), after))
    return raised, notes


def _kin(config: Config) -> str:
    return digest([identity_of(part, "finetune") for part in (config.model, config.method)])
