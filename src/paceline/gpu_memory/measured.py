"""What finished attempts really took, against what was planned for them.

An attempt's ``end.json`` holds the most that the allocator handed out (``peaks.cuda_gib``). Its cell and its placement
are recorded, so that the same plan can be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from paceline.config.declared import Kind
from paceline.config.identity import with_placement
from paceline.config.schema import Config, TaskSpec
from paceline.errors import UserError
from paceline.gpu_memory import choose
from paceline.gpu_memory.choose import earlier_tokens, sample_of
from paceline.gpu_memory.image_tokens import Size
from paceline.gpu_memory.shapes import Shape
from paceline.store.cell_folder import Attempt, CellFolder
from paceline.store.root import Store


@dataclass(frozen=True)
class Measured:
    """One attempt: GiB that it took and that are planned for it, context and fragments left out of both."""

    cell: str
    attempt: int
    model: str
    method: str
    kind: Kind
    took: float
    planned: float

    @property
    def ratio(self) -> float:
        """Measured by planned."""
        return self.took / self.planned


def measured(
    store: Store,
    models: set[str],
    shape_of: Callable[[Config], Shape | None],
    picture: Callable[[TaskSpec], Size | None] = lambda task: None,
    images: Callable[[TaskSpec], int | None] = lambda task: None,
) -> Iterator[Measured]:
    """Attempts of some models that ended and recorded their peak on a GPU.

    An attempt that ran out of memory has no peak to compare, and one that was cut before its largest batch a low one: a
    ratio below 1 is no proof that the plan is too high.

    Args:
        store: where.
        models: names of models; cells of others are not read.
        shape_of: of a cell's model.
        picture: the largest picture of a task's data, as the plan assumes it.
        images: pictures of a sample of a task, as :func:`sample_of` takes them.
    """
    cells = store.root / "cells"
    for path in sorted(cells.iterdir()) if cells.is_dir() else ():
        if not any(f"-{name}-" in path.name for name in models):
            continue
        folder = CellFolder(path)
        for attempt in folder.attempts():
            if comparison := _read(folder, attempt, shape_of, picture, images):
                yield comparison


def _read(
    folder: CellFolder,
    attempt: Attempt,
    shape_of: Callable[[Config], Shape | None],
    picture: Callable[[TaskSpec], Size | None],
    images: Callable[[TaskSpec], int | None],
) -> Measured | None:
    start, end = attempt.start(), attempt.end()
    took = float((end or {}).get("peaks", {}).get("cuda_gib", 0.0))
    if start is None or end is None or not took or "out of memory" in str(end.get("cause", "")):
        return None
    try:
        cell = folder.read()
        config = with_placement(cell.config, attempt.placement())
        shape = shape_of(config)
        if shape is None:
            return None
        shots = config.prompt.shots.count
        earlier = earlier_tokens(config)
        sample = sample_of(config, picture(config.task), images(config.task), shots, earlier)
        planned = choose.needs(config, cell.kind, shape, sample).allocated
    except UserError:  # frozen by code of another day
        return None
    return Measured(folder.id, attempt.n, config.model.name, config.method.name, cell.kind, took, planned)


def factor(measurements: list[Measured], model: str, method: str) -> float:
    """By what a plan is multiplied: the highest ratio of the same model and method, where it is over 1."""
    return max([1.0, *(m.ratio for m in measurements if (m.model, m.method) == (model, method))])
