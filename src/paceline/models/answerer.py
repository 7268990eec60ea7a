"""What an answerer is: what answers conversations, be it a model on torch, an endpoint or a captioner. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from paceline.config.schema import GenerationSpec
from paceline.models.conversation import Conversation

Finish = Literal["stop", "length", "content_filter", "error"]
How = Literal["generates", "chooses", "classifies", "embeds"]


@dataclass(frozen=True)
class Answer:
    """What was answered to one conversation.

    Attributes:
        text: the answer, without special tokens, and without what ended it.
        prompt_tokens: tokens read, image tokens counted, padding not.
        new_tokens: tokens generated, those that ended the answer counted.
        finish: ``stop`` where the model ended its answer, by an end token or by a text of ``Family.stops``; ``length``
            where the limit did; ``content_filter`` where a service held it back, ``error`` where it failed for good.
        data: what is known beside the text, as JSON: scores of the choices, sizes of the processed images.
    """

    text: str
    prompt_tokens: int
    new_tokens: int
    finish: Finish
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reads:
    """What an answerer can be shown."""

    images: Literal["none", "one", "several"] = "one"
    """Most images of a conversation."""
    text: bool = True
    """Whether it takes a question; a captioner takes none."""

    @classmethod
    def of(cls, inputs: Sequence[str]) -> Reads:
        """From ``inputs`` of a model's YAML."""
        return cls("several" if "images" in inputs else "one" if "image" in inputs else "none", "text" in inputs)


@runtime_checkable
class Answerer(Protocol):
    """Answers conversations. A :class:`paceline.models.family.Family` is one."""

    @property
    def reads(self) -> Reads:
        """What it can be shown."""

    @property
    def how(self) -> How:
        """How it answers: generates text, chooses among given choices by likelihood, classifies over a list of its own,
        or embeds.
        """

    def answer(
        self, conversations: Sequence[Conversation], settings: GenerationSpec, seeds: Sequence[int]
    ) -> list[Answer]:
        """Answer conversations, in their order.

        Args:
            conversations: one batch; splitting into batches is the caller's.
            settings: the settings.
            seeds: one per conversation: an answer must not depend on what else is answered beside it.

        Raises:
            UserError: settings or a conversation that it can't take.
        """


@dataclass(frozen=True)
class Request:
    """One conversation for a service: made when its turn comes, because making one decodes pictures."""

    number: int
    conversation: Callable[[], Conversation]
    settings: GenerationSpec
    seed: int


@runtime_checkable
class Service(Answerer, Protocol):
    """An answerer that answers each conversation by itself, several at a time: each answer is kept as it comes."""

    def answers(
        self, requests: Iterable[Request], stop: Callable[[], bool], note: Callable[[str], None], proved: bool = False
    ) -> Iterator[tuple[int, Answer]]:
        """Answer requests, in the order in which the answers come.

        Args:
            requests: what is asked, taken as places get free.
            stop: asked a few times a second; once true, no request begins, and those under way have some seconds left.
            note: takes a line for the log.
            proved: whether the service has answered the same cell before.

        Yields:
            Number of the request, and its answer.

        Raises:
            ServiceUnavailable: nothing was answered for too long.
            UserError: what is asked can't be, by whatever request: a wrong key, no such model.
        """
