"""Where cells that were begun before go on: on the rung of the ladder that they reached, or on the next below it.

What was asked for is recorded with every attempt on another rung. A later submit that asks for the same goes on from
the rung; what it asks for otherwise is done as asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paceline.attempts import checkpoints
from paceline.config.build import build
from paceline.config.cell_kinds import kind_of
from paceline.config.gpus import Card, cards_of
from paceline.config.identity import placement_of, rung_of
from paceline.config.schema import ClusterSpec, Config, DeepSpeedSpec, PlacementSpec
from paceline.data import samples
from paceline.data.text_lengths import own_letters
from paceline.errors import UserError
from paceline.gpu_memory import choose, ladder
from paceline.gpu_memory.choose import Verdict
from paceline.gpu_memory.measured import Measured, factor, measured
from paceline.gpu_memory.parts import Sample
from paceline.gpu_memory.shapes import Shape, shape_of
from paceline.store.causes import OUT_OF_MEMORY
from paceline.store.cell_folder import Attempt, CellFolder
from paceline.store.files import SCHEMA, write_json
from paceline.store.root import Store
from paceline.sweep import status
from paceline.sweep.cells import PlannedCell
from paceline.sweep.status import CellState
from paceline.sweep.status import Verdict as Told

# Readings of one card differ by less than this, cards by more.
SAME_GIB = 1.0
CUDA, HOST = OUT_OF_MEMORY


@dataclass(frozen=True)
class Taken:
    """How a cell is taken up.

    Attributes:
        config: with the placement to run it with.
        why: what of it is other than asked for, and why; empty where nothing is.
        ended: why there is nothing left to run it with; empty where there is.
    """

    config: Config
    asked: dict[str, Any]
    why: str = ""
    ended: str = ""

    @property
    def recorded(self) -> dict[str, Any]:
        """What stands beside the placement of the attempt."""
        return {"asked": self.asked, "why": self.why}


@dataclass
class Ladders:
    """Takes cells up; keeps what was read of the store for the next of them.

    Attributes:
        presets: ways to split memory that a rung may name.
        verdict: what Slurm says of a job that is over.
    """

    store: Store
    presets: Mapping[str, DeepSpeedSpec]
    verdict: Told = status.unheard
    _measured: dict[str, list[Measured]] = field(default_factory=dict, init=False)

    def take_up(self, planned: PlannedCell, state: CellState, again: bool) -> Taken | None:
        """How a finetune cell goes on; None where it runs as asked.

        Args:
            planned: the cell as it is asked for now.
            state: of the cell.
            again: run what ended at the last rung once more.
        """
        folder = self.store.cell(planned.id)
        last = next((a for a in reversed(folder.attempts()) if a.placement()), None)
        if last is None or state.state == "done":
            return None
        asked = rung_of(placement_of(planned.config))
        try:
            reached, changed = _reached(planned.config, asked, last)
        except UserError:  # the attempt is of another day, or the ranks asked for now share out other micro-batches
            return None
        carried = ladder.changed(planned.config, reached)
        carried = f"as attempt {last.n}: {carried}" if carried else ""
        again = again and state.state == "failed"
        down = (state.needed or again) and state.cause in OUT_OF_MEMORY
        # Of what fills host memory beside a GPU, no rung takes any away.
        if not down or changed or (state.cause == HOST and reached.cluster.gpus):
            return Taken(reached, asked, carried) if carried else None
        return self._down(folder, last, reached, asked, state.cause, carried if again else None)

    def _down(
        self, folder: CellFolder, last: Attempt, reached: Config, asked: dict[str, Any], cause: str, stay: str | None
    ) -> Taken | None:
        found = checkpoints.newest(folder)
        card, larger = _cards(reached, last)
        plan = self._plan(reached, card, cause)
        bound = found is not None or cause == HOST
        way = ladder.climb(ladder.rungs(reached, {} if bound else self.presets, () if bound else larger), plan)
        after = f"{cause}{_peak(last)}"
        passed = f"; passed over: {'; '.join(way.passed)}" if way.passed else ""
        if way.config is not None:
            return Taken(way.config, asked, f"{ladder.changed(reached, way.config)} after {after}{passed}")
        if stay is not None:
            return Taken(reached, asked, stay) if stay else None
        said = "; ".join(self._tried(folder, reached))
        per_cpu = "memory_per_cpu_gib" if reached.cluster.memory_per_cpu_gib else "memory_gib"
        remedy = self._remedy(reached, found, plan) if cause == CUDA else f"give more host memory: cluster.{per_cpu}"
        ended = f"no rung is left: {said}{passed}; {remedy}"
        return Taken(reached, asked, ended=ended)

    def _tried(self, folder: CellFolder, config: Config) -> Iterator[str]:
        """What a cell ran out of memory with, attempt by attempt."""
        for attempt in folder.attempts():
            cause = status.attempt_end(attempt, self.verdict)[0]
            if cause not in OUT_OF_MEMORY or not (placed := attempt.placement()):
                continue
            try:
                yield f"attempt {attempt.n}: {cause} with {ladder.words(_on(config, placed))}{_peak(attempt)}"
            except UserError:  # of another day
                continue

    def _plan(self, reached: Config, card: Card | None, cause: str) -> _Plan:
        """The plan of a cell, corrected by peaks of its like and by the card that it has filled."""
        shape = shape_of(reached.model, self.store.root)
        picture = samples.largest_picture(self.store.root, reached.task) if shape else None
        images = samples.images_per_sample(self.store.root, reached.task)
        letters = own_letters(reached, "finetune", self.store.root)
        sample = choose.sample_of(reached, picture, images, letters=letters)
        plan = _Plan(self.presets, shape, sample, card, reached.cluster.gpu)
        if shape is None:
            return plan
        name = reached.model.name
        if name not in self._measured:
            root = self.store.root
            self._measured[name] = list(
                measured(
                    self.store,
                    {name},
                    lambda c: shape_of(c.model, root),
                    images=lambda task: samples.images_per_sample(root, task),
                )
            )
        by = factor(self._measured[name], name, reached.method.name)
        if card is not None and cause == CUDA:
            failed = choose.judge(reached, "finetune", shape, plan.sample, card)
            by = max(by, ladder.at_least(failed))
        return dataclasses.replace(plan, factor=by)

    def _remedy(self, config: Config, found: checkpoints.Checkpoint | None, plan: _Plan) -> str:
        if found is not None:
            return (
                f"the checkpoint of step {found.step} keeps the rest as it is; give a larger cluster.gpu or more "
                f"placement.ranks, or delete {found.path.parent} to begin again further down"
            )
        best = plan.elsewhere(config)
        if best is None:
            return "give a larger cluster.gpu, or more placement.ranks"
        ranks = f" placement.nodes=1 placement.ranks={best.gpus}"
        return f"cheapest that the plan finds: cluster.gpu={best.card.name}{ranks} {best.words}"


@dataclass(frozen=True)
class _Plan:
    """Judges rungs of one cell."""

    presets: Mapping[str, DeepSpeedSpec]
    shape: Shape | None
    sample: Sample
    card: Card | None
    gpu: str
    factor: float = 1.0

    def __call__(self, config: Config) -> Verdict | None:
        card = self.card if config.cluster.gpu == self.gpu else next(iter(cards_of(config.cluster)), None)
        if self.shape is None or card is None or config.placement.fit == "ignore":
            return None
        return choose.judge(config, "finetune", self.shape, self.sample, card, self.factor)

    def elsewhere(self, config: Config) -> Verdict | None:
        if self.shape is None:
            return None
        return choose.elsewhere(
            choose.without_host_limit(config), "finetune", self.shape, self.sample, self.presets, factor=self.factor
        )


def _reached(config: Config, asked: Mapping[str, Any], last: Attempt) -> tuple[Config, bool]:
    """What an attempt ran with, where it is not asked for otherwise now; and whether anything is.

    Raises:
        UserError: the two don't go together.
    """
    start = (last.start() or {})["placement"]
    then = start.get("ladder", {}).get("asked") or rung_of(start)
    # A word that was added since is not one that was asked for otherwise.
    same = {name for name, value in asked.items() if name not in then or then[name] == value}
    reached = _on(config, last.placement(), same)
    ladder.words(reached)
    return reached, same != set(asked)


def _on(config: Config, recorded: Mapping[str, Any], names: Sequence[str] | set[str] | None = None) -> Config:
    """A config with what rungs change as it was recorded.

    Args:
        names: which of it; None: all.
    """
    placement = build(PlacementSpec, recorded["placement"], "placement")
    cluster = build(ClusterSpec, recorded["cluster"], "cluster")

    def own(spec: Any, *fields: str) -> dict[str, Any]:
        return {name: getattr(spec, name) for name in fields if names is None or name in names}

    made = dataclasses.replace(
        config,
        placement=dataclasses.replace(
            config.placement, **own(placement, "nodes", "ranks", "micro_batch", "activation_checkpointing")
        ),
        cluster=dataclasses.replace(config.cluster, **own(cluster, "gpu", "constraint")),
    )
    if names is None or "deepspeed" in names:
        made = dataclasses.replace(made, deepspeed=build(DeepSpeedSpec, recorded["deepspeed"], "deepspeed"))
    return made


def _cards(config: Config, last: Attempt) -> tuple[Card | None, list[Card]]:
    """The card that an attempt ran on, as it reported itself, and larger ones that its cluster may give."""
    cards = cards_of(config.cluster)
    if not cards:
        return None, []
    said = (last.start() or {}).get("provenance", {}).get("gpu_gib", [])
    if not said:
        return cards[0], cards[1:]
    nearest = min(cards, key=lambda c: abs(c.gib - said[0]))
    return dataclasses.replace(nearest, gib=said[0]), [c for c in cards if c.gib > said[0] + SAME_GIB]


def _peak(attempt: Attempt) -> str:
    took = float((attempt.end() or {}).get("peaks", {}).get("cuda_gib", 0.0))
    return f" (peak {took:.1f} GiB)" if took else ""


def taken_up(
    ladders: Ladders, cells: Sequence[PlannedCell], found: dict[str, CellState], again: bool
) -> dict[str, Taken]:
    """Cell -> how it is taken up, for those that do not run as asked.

    A cell at the end of its ladder is failed: that is written down, and told in ``found``.

    Args:
        ladders: of the store.
        cells: of a sweep.
        found: their states.
        again: run once more what has failed.
    """
    taken = {}
    for planned in cells:
        state = found[planned.id]
        if not kind_of(planned.cell.kind).trains or (way := ladders.take_up(planned, state, again)) is None:
            continue
        if way.ended:
            folder = ladders.store.cell(planned.id)
            attempt = folder.attempts()[-1].n
            write_json(folder.ladder_json, {"schema": SCHEMA, "attempt": attempt, "why": way.ended})
            found[planned.id] = dataclasses.replace(state, state="failed", detail=way.ended)
        taken[planned.id] = way
    return taken
