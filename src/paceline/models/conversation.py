"""What a model is asked, and what it should answer. Torch-free."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Verbatim(str):
    """An answer in the words in which a model gave it, the white space before it included; a target has its content
    alone.
    """

    __slots__ = ()


@dataclass(frozen=True)
class Conversation:
    """What a model is asked once, and, to train on it, what it should answer.

    Attributes:
        prompt: the user's turn, without image placeholders.
        images: the images of the turn, or their :class:`paceline.models.tensors.Features`; they stand before the text.
        system: the system's turn; left out where empty.
        answer: the target; None where the model is to answer.
        shots: earlier turns, each with its answer, shown before the question.
        accepted: what else is right, to train on, and how far: answer -> a score from 0 to 1, as people gave it.
        choices: what may be answered, in the order shown; empty where anything may.
        prefix: text that the answer of a captioner begins with, and that is no part of what it returns.
        sample: id of the sample that it asks about, for messages.
    """

    prompt: str
    images: list[Any] = dataclasses.field(default_factory=list)
    system: str = ""
    answer: str | None = None
    shots: list[Conversation] = dataclasses.field(default_factory=list)
    accepted: Mapping[str, float] = dataclasses.field(default_factory=dict)
    choices: tuple[str, ...] = ()
    prefix: str = ""
    sample: str = dataclasses.field(default="", compare=False)

    @property
    def called(self) -> str:
        """What it is about, for messages: ``sample 'x'``."""
        return f"sample '{self.sample}'" if self.sample else "a conversation"

    @property
    def shorter(self) -> str:
        """What makes it shorter, for messages."""
        if self.all_images:
            return "show fewer or smaller images"
        return "show less text: of documents fewer or shorter chunks (task.options.top, .chunks, .together)"

    @property
    def all_images(self) -> list[Any]:
        """Images in the order in which their placeholders stand."""
        return [image for turn in (*self.shots, self) for image in turn.images]
