"""How much the texts of a task's own samples, such as passages, add to a prompt."""

from __future__ import annotations

import contextlib
from pathlib import Path

from paceline import tasks
from paceline.config.cell_kinds import kind_of
from paceline.config.declared import Kind
from paceline.config.schema import Config
from paceline.data import samples
from paceline.data.conversations import conversations_of, question
from paceline.errors import UserError

LOOKED_AT = 16
"""Samples of each split whose texts are looked at."""


def own_letters(config: Config, kind: Kind, root: Path) -> int:
    """Characters that the first samples' own texts add to a prompt at most, of a task without pictures.

    0 of a task with pictures, and where its data is not prepared or can't be asked, which other checks tell.
    """
    task, prompt = config.task, config.prompt
    if tasks.shows_images(task):
        return 0
    with contextlib.suppress(UserError, LookupError, TypeError, ValueError, AttributeError):
        known = samples.splits(root, task) or {}
        used = [split for split in ([task.train] if kind_of(kind).trains else task.evaluate) if split in known]
        asked = (
            question(record, prompt, task, parts=parts)
            for record in samples.read_samples(root, task, used, LOOKED_AT)
            for parts in conversations_of(record, prompt, task, config.model.inputs)
        )
        written = len(prompt.text) + len(prompt.system)
        return max(0, max((len(one.prompt) + len(one.system) - written for one in asked), default=0))
    return 0
