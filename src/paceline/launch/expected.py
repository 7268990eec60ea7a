"""How long a submit will run and how many GPU-hours it will take, said before it is made.

As cells like these took under this root, where some have ended there. Else a computed estimate, from the model's
shape, the samples and the card. Else what the walltime allows, which is only an upper bound. The result says which.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from paceline.config.cell_kinds import kind_of
from paceline.config.identity import as_loaded
from paceline.config.schema import Config
from paceline.counted import counted
from paceline.data import samples
from paceline.gpu_memory import choose
from paceline.gpu_memory.parts import WIDTHS
from paceline.gpu_memory.shapes import shape_of
from paceline.launch.elements import Element
from paceline.launch.gpu_fit import Fit
from paceline.launch.local import devices, slots
from paceline.launch.outlook import Outlook
from paceline.store.root import Store
from paceline.sweep.cells import PlannedCell, Sweep
from paceline.sweep.forecast import duration, measured

# Dense 16-bit tensor throughput and memory bandwidth as the vendor states them: 10¹² operations and bytes a second.
SPEEDS = {
    "v100_16": (112, 0.90),
    "v100_32": (112, 0.90),
    "rtx6000_24": (130, 0.67),
    "a100_40": (312, 1.55),
    "a100_80": (312, 1.94),
    "l40s_48": (362, 0.86),
    "h100_80": (989, 3.35),
    "h200_141": (989, 4.80),
}
# Ours, not measured: the share of each that these models reach, the seconds that Python takes for a token and to
# start, and the bytes a second at which weights are loaded.
COMPUTE_SHARE, BANDWIDTH_SHARE, TOKEN_SECONDS, START_SECONDS, LOADING = 0.3, 0.5, 0.03, 30.0, 1e9
# Weights of few bits are unpacked for every product.
QUANTISED = 1.5
CHOICES = 4
"""Choices of a question whose choices are scored, each read with the whole prompt."""


@dataclass(frozen=True)
class Taken:
    """What one cell takes, and how that is known.

    Attributes:
        by: ``measured``, ``estimated`` or ``walltime``: the most that it is let run; ``unknown``.
    """

    seconds: float
    gpu_seconds: float
    by: str


@dataclass(frozen=True)
class Expected:
    """What a submit is expected to take.

    Attributes:
        seconds: from the start of the first element to the end of the last, if as many run at a time as may. Waiting
            in a queue is not in it. None where nothing is known of some cell.
        gpu_hours: GPUs held × hours; None likewise.
        usd: these at ``cluster.gpu_hour_usd``; None where that is not set.
        cells: how it is known -> cells.
        at_a_time: ranks that run at the same time on this machine; 0 leaves it to Slurm.
        element_seconds: of each element, in their order; None where it is not known.
    """

    seconds: float | None
    gpu_hours: float | None
    usd: float | None
    cells: Mapping[str, int]
    at_a_time: int
    element_seconds: Sequence[float | None]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {k: v for k, v in asdict(self).items() if k != "element_seconds"}

    @property
    def words(self) -> str:
        """For people, in one line; empty where nothing runs."""
        if not self.element_seconds:
            return ""
        if self.seconds is None:
            unknown, number = self.cells["unknown"], sum(self.cells.values())
            return f"how long is not known: of {unknown} of {counted(number, 'cell')} no like has ended under this root"
        bound = self.cells.get("walltime", 0)
        about = "at most" if bound else "about"
        together = f"{self.at_a_time} at a time" if self.at_a_time else "if all run at once"
        parts = [f"{about} {duration(self.seconds)} of running, {together}"]
        if self.gpu_hours:
            cost = "" if self.usd is None else f", ${self.usd:,.2f}"
            hours = f"{self.gpu_hours:,.1f}" if self.gpu_hours >= 1 else f"{self.gpu_hours:.2g}"
            parts.append(f"{about} {hours} GPU-hours{cost}")
        return f"{'; '.join(parts)} ({_basis(self.cells)})"

    def of(self, places: Sequence[int]) -> str:
        """The longest of some elements, for people; empty where it is not known."""
        seconds = [s for i in places if (s := self.element_seconds[i]) is not None]
        return duration(max(seconds)) if seconds and len(seconds) == len(places) else ""


def _basis(cells: Mapping[str, int]) -> str:
    """How it is known."""
    phrases = {
        "measured": "as cells like them took under this root",
        "estimated": "an estimate from the model's size and the card, which may be wrong by a factor of three",
        "walltime": "the walltime, as none like them has ended here",
    }
    known = [(cells[by], phrase) for by, phrase in phrases.items() if cells.get(by)]
    if len(known) == 1:
        return known[0][1]
    return "; ".join(f"{counted(count, 'cell')}: {phrase}" for count, phrase in known)


def expected(ahead: Outlook, sweep: Sweep, fits: Sequence[Fit], store: Store) -> Expected:
    """What a submit is expected to take.

    Args:
        ahead: what it would do.
        sweep: the cells.
        fits: what is known of the memory of those that ask for a GPU, by :func:`gpu_fit.look`.
        store: where cells like them may have ended.
    """
    elements, by_id = ahead.plan.elements, {c.id: c for c in sweep.cells}
    known = measured(store, [by_id[c] for e in elements for c in e.cells])
    fit_of = {cell: fit for fit in fits for cell in fit.cells}
    estimates: dict[tuple[Any, ...], float | None] = {}
    local_gpus = len(devices())

    def estimated(planned: PlannedCell, share: int) -> float | None:
        if (fit := fit_of.get(planned.id)) is None:
            return None
        # Cells of one finding load the same model on the same card; these may differ.
        key = (id(fit), share, repr(planned.config.train), planned.config.generation, planned.config.limit)
        if key not in estimates:
            estimates[key] = estimate(planned, fit, store, share)
        return estimates[key]

    def taken(element: Element, cell: str) -> Taken:
        cluster, left = element.placement["cluster"], _left(ahead.seen.states[cell].progress)
        on_slurm = cluster["executor"] == "slurm"
        gpus = cluster["gpus"] * element.ranks if on_slurm else min(element.ranks, local_gpus)
        if (seconds := known.get(cell)) is not None:
            return Taken(seconds * left, seconds * left * gpus, "measured")
        if (seconds := estimated(by_id[cell], len(element.cells))) is not None:
            return Taken(seconds * left, seconds * left * gpus, "estimated")
        if on_slurm:
            seconds = cluster["minutes"] * 60 / len(element.cells)
            return Taken(seconds, seconds * gpus, "walltime")
        return Taken(0.0, 0.0, "unknown")

    took = [[taken(element, cell) for cell in element.cells] for element in elements]
    every = [t for cells in took for t in cells]
    lengths = [None if any(t.by == "unknown" for t in cells) else sum(t.seconds for t in cells) for cells in took]
    on_slurm = all(e.placement["cluster"]["executor"] == "slurm" for e in elements)
    places = 0 if on_slurm else slots(max(int(e.placement["cluster"]["slots"]) for e in elements))
    certain = None not in lengths
    return Expected(
        _together(elements, [n or 0.0 for n in lengths], places) if certain else None,
        sum(t.gpu_seconds for t in every) / 3600 if certain else None,
        _usd(elements, [sum(t.gpu_seconds for t in cells) / 3600 for cells in took]) if certain else None,
        dict(Counter(t.by for t in every)),
        places,
        lengths,
    )


def _left(progress: Mapping[str, Any] | None) -> float:
    """The share of a cell that is left, of one that was begun."""
    done, total = (progress or {}).get("done"), (progress or {}).get("total")
    return max(0.0, 1 - done / total) if done and total else 1.0


def _usd(elements: Sequence[Element], gpu_hours: Sequence[float]) -> float | None:
    """Dollars; None where an element that holds a GPU has no rate."""
    rates = [float(e.placement["cluster"]["gpu_hour_usd"]) for e in elements]
    if not any(gpu_hours) or any(hours and not rate for hours, rate in zip(gpu_hours, rates, strict=True)):
        return None
    return sum(hours * rate for hours, rate in zip(gpu_hours, rates, strict=True))


def _together(elements: Sequence[Element], lengths: Sequence[float], places: int) -> float:
    """Seconds until all have ended, each begun when what it needs has and there is a place; 0 places: no limit."""
    ended: dict[str, float] = {}
    free = [0.0] * places
    last = 0.0
    # One that waits for another takes no place meanwhile.
    depths: dict[str, int] = {}
    for element in elements:
        depth = 1 + max((depths.get(c, 0) for c in element.needs), default=-1)
        depths |= dict.fromkeys(element.cells, depth)
    order = sorted(zip(elements, lengths, strict=True), key=lambda pair: depths[pair[0].cells[0]])
    for element, length in order:
        begin = max((ended.get(c, 0.0) for c in element.needs), default=0.0)
        if places:
            taken = [heapq.heappop(free) for _ in range(min(max(1, element.ranks), places))]
            begin = max(begin, *taken)
        end = begin + length
        if places:
            for _ in taken:
                heapq.heappush(free, end)
        ended |= dict.fromkeys(element.cells, end)
        last = max(last, end)
    return last


def estimate(planned: PlannedCell, fit: Fit, store: Store, share: int = 1) -> float | None:
    """Seconds that a cell takes on its card, computed from what it multiplies and reads; None where that is not known.

    Answers count at their longest.

    Args:
        planned: the cell.
        fit: what is known of its memory: its tokens, and the card.
        store: with the prepared data.
        share: cells that share one loading of the weights.
    """
    config, verdict = planned.config, fit.verdict
    shape, counts = shape_of(config.model, store.root), samples.splits(store.root, config.task)
    if verdict is None or shape is None or counts is None or verdict.card.name not in SPEEDS:
        return None
    tflops, terabytes = SPEEDS[verdict.card.name]
    width = {"nf4": 0.5, "int8": 1.0}.get(config.method.quantise) or WIDTHS[as_loaded(config).dtype]
    weights, assumed = shape.total * width, verdict.memory.assumed
    language = 2.0 * shape.parameters.get("language", 0) * assumed["tokens"]
    picture = 2.0 * (shape.total - shape.parameters.get("language", 0)) * assumed["patches"]
    rate = tflops * 1e12 * COMPUTE_SHARE / (QUANTISED if config.method.quantise != "none" else 1.0)
    loading = (START_SECONDS + weights / LOADING) / share
    if kind_of(planned.cell.kind).trains:
        return loading + _tuning_seconds(config, counts, language, picture, rate)
    number = sum(_taken(counts, split, config.limit) for split in config.task.evaluate)
    token_seconds = max(TOKEN_SECONDS, weights / (terabytes * 1e12 * BANDWIDTH_SHARE))
    if config.generation.answer == "likelihood":
        return loading + CHOICES * number * (language + picture) / rate
    batches = math.ceil(number / config.generation.batch)
    return loading + number * (language + picture) / rate + batches * config.generation.new_tokens * token_seconds


def _tuning_seconds(config: Config, counts: Mapping[str, int], language: float, picture: float, rate: float) -> float:
    """Seconds of training and validating, from the operations that a sample's forward pass takes."""
    train, world = config.train, config.placement.nodes * config.placement.ranks
    steps = train.max_steps or math.ceil(train.epochs * _taken(counts, config.task.train, config.limit) / train.batch)
    # A backward pass goes to the inputs, and to the weights where they change: each costs as much as the forward pass.
    whole = config.method.trains == "all"
    step = language * (3 if whole else 2) + picture * (3 if whole and "vision" not in config.method.frozen else 1)
    validating = train.validations * _taken(counts, config.task.validation, config.limit) * (language + picture)
    # Of the pre-training each picture passes the encoder, forward and backward, and nothing else.
    pictured = math.ceil(train.masked_image.epochs * _taken(counts, config.task.train, config.limit))
    return ((steps * train.batch * step + 3 * pictured * picture) * choose.slowdown(config) + validating) / (
        rate * world
    )


def _taken(counts: Mapping[str, int], split: str, limit: int) -> int:
    """Samples of a split that a cell takes."""
    return min(counts.get(split, 0), limit or counts.get(split, 0))
