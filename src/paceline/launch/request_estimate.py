"""How many requests to services a submit makes, and about what they cost, said before it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paceline.config.schema import Config, ModelSpec
from paceline.counted import counted
from paceline.data import samples
from paceline.data.conversations import conversations_of, question
from paceline.data.images import picture_size
from paceline.data.shots.shot_turns import shot_turns
from paceline.errors import DataError, UserError
from paceline.gpu_memory import choose
from paceline.store.root import Store
from paceline.sweep.cells import PlannedCell
from paceline.sweep.status import CellState
from paceline.tasks.kind import images_of

LOOKED_AT = 100
"""Samples of a cell whose texts and pictures are measured, spread evenly; the others are taken to be alike."""
LETTERS_PER_TOKEN = 4
# As OpenAI counts the pictures of GPT-4V and GPT-4o: within 2048 pixels, the shorter side at most 768, tiles of 512.
PICTURE, TILE = 85, 170
BASIS = "4 letters a token, 85 + 170 for each 512-pixel tile of a picture"


@dataclass(frozen=True)
class Asked:
    """What a model's cells ask of its service.

    Attributes:
        requests: those that are left; None where the data is not prepared.
        read: tokens of the questions, estimated.
        written: tokens of the answers, each at its longest.
        usd: dollars without the answers, and with them; None where no prices are given.
    """

    model: str
    endpoint: str
    requests: int | None
    read: int
    written: int
    usd: tuple[float, float] | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "basis": BASIS}

    @property
    def words(self) -> str:
        """For people, in one line."""
        if self.requests is None:
            return f"{self.model}: how many requests to {self.endpoint} is not known before the data is prepared"
        price = "no prices are given (model.service.read_usd, written_usd)"
        if self.usd is not None:
            price = f"${self.usd[0]:,.2f} for what is read, ${self.usd[1]:,.2f} with every answer at its longest"
        return (
            f"{self.model}: {counted(self.requests, 'request')} to {self.endpoint}; an estimate: about {self.read:,} "
            f"tokens read ({BASIS}), at most {self.written:,} written; {price}"
        )


def asked(chosen: Sequence[PlannedCell], states: Mapping[str, CellState], store: Store) -> list[Asked]:
    """What the cells that services answer ask, model by model.

    Args:
        chosen: the cells that are to run.
        states: of each; what it has answered is not asked again.
        store: with the prepared data.
    """
    by_model: dict[str, tuple[ModelSpec, list[tuple[int, int, int] | None]]] = {}
    for planned in chosen:
        if planned.config.model.served:
            _, counts = by_model.setdefault(repr(planned.config.model), (planned.config.model, []))
            counts.append(_counts(planned.config, states[planned.id].progress or {}, store.root))
    return [_together(model, counts) for model, counts in by_model.values()]


def _together(model: ModelSpec, counts: Sequence[tuple[int, int, int] | None]) -> Asked:
    known = [c for c in counts if c is not None]
    if len(known) < len(counts):
        return Asked(model.name, model.endpoint, None, 0, 0, None)
    requests, read, written = (sum(c[i] for c in known) for i in range(3))
    service, usd = model.service, None
    if service.read_usd or service.written_usd:
        reading = read * service.read_usd / 1e6
        usd = (reading, reading + written * service.written_usd / 1e6)
    return Asked(model.name, model.endpoint, requests, read, written, usd)


def _counts(config: Config, progress: Mapping[str, Any], root: Path) -> tuple[int, int, int] | None:
    """Requests, tokens read and most tokens written of what is left of a cell; None where its data is not prepared."""
    task, prompt = config.task, config.prompt
    try:
        every = samples.read_samples(root, task, task.evaluate, config.limit)
    except DataError:
        return None
    if not every:
        return 0, 0, 0
    try:
        shots = shot_turns(root, task, prompt, images=False)
    except UserError:  # told before it is submitted
        shots = None
    asks = [conversations_of(samples.without_images(s), prompt, task) for s in every]
    total = sum(map(len, asks))
    step = max(1, len(every) // LOOKED_AT)
    read = looked_at = 0
    for sample, conversations in list(zip(every, asks, strict=True))[::step]:
        pictures = sum(picture_tokens(picture_size(path) or (512, 512)) for path in images_of(sample))
        for parts in conversations:
            asked = question(samples.without_images(sample), prompt, task, parts=parts)
            turns = shots.turns(sample, parts) if shots else []
            shown = sum(len(turn.prompt) + len(turn.answer or "") for turn in turns)
            read += (
                choose.earlier_tokens(config)
                + pictures
                + math.ceil((len(asked.system) + len(asked.prompt) + shown) / LETTERS_PER_TOKEN)
            )
            paths = shots.images(sample, parts) if shots else []
            read += sum(picture_tokens(picture_size(path) or (512, 512)) for path in paths)
            looked_at += 1
    done, of = progress.get("done") or 0, progress.get("total") or 1
    left = max(0, total - round(total * done / of))
    return left, round(read / looked_at * left), left * config.generation.new_tokens


def picture_tokens(size: tuple[int, int]) -> int:
    """Tokens of a picture of a width and a height, as OpenAI counts them for GPT-4o at high detail."""
    width, height = size
    shrink = min(1.0, 2048 / max(width, height))
    shrink = min(shrink, 768 / min(width, height))
    return PICTURE + TILE * math.ceil(width * shrink / 512) * math.ceil(height * shrink / 512)
