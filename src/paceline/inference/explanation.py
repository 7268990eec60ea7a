"""What an explanation of one answer holds, whichever method made it, and how its places are tried by deletion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from paceline.counted import counted
from paceline.errors import UserError
from paceline.models.conversation import Conversation, Verbatim
from paceline.models.family import Family

# Of the places, the share that is taken away, and how often as many others are.
DELETED = 0.1
DRAWS = 8
SEED = 0


@dataclass(frozen=True)
class Explained:
    """What an answer, or a part of it, hangs on. Log-probabilities are in nats.

    Attributes:
        boxes: places on the image, (states, 4): left, top, right, bottom in fractions, as ``Family.layout`` tells them.
        relevance: (states,): how much each speaks for the answer; negative where it speaks against it, 0 where a state
            has no place on the image.
        part: what was explained, as text.
        tokens, first: how many tokens the part has, and how many of them the model finds likeliest.
        prompt_tokens: tokens read before the answer.
        log_probability: of the part, after the prompt and what stands before it.
        without_all: the same, where every place holds the image's mean.
        deleted: places that do for the two below.
        without_these, without_others: the most relevant places, and the mean over as many drawn at random.
        method: how relevance was found, in words.
        sums: whether relevance is meant to sum to what all places add.
    """

    boxes: torch.Tensor
    relevance: torch.Tensor
    part: str
    tokens: int
    first: int
    prompt_tokens: int
    log_probability: float
    without_all: float
    deleted: int
    without_these: float
    without_others: float
    method: str
    sums: bool


def deletion_of(
    placed: torch.Tensor, relevance: torch.Tensor, score: Callable[[torch.Tensor], float]
) -> tuple[int, float, float, float]:
    """What an answer loses without the places that matter most, beside what it loses without as many others.

    Args:
        placed: indices of the states that lie on the image, (places,).
        relevance: (states,).
        score: the log-probability without some places.

    Returns:
        How many places are taken away, and the score without all places, without the most relevant and without others
        (mean of ``DRAWS``).
    """
    deleted = max(1, round(DELETED * len(placed)))
    most = placed[torch.argsort(relevance[placed], descending=True, stable=True)[:deleted]]
    stream = torch.Generator().manual_seed(SEED)
    drawn = [placed[torch.randperm(len(placed), generator=stream)[:deleted]] for _ in range(DRAWS)]
    with torch.no_grad():
        left = [score(places) for places in (placed, most, *drawn)]
    return deleted, left[0], left[1], sum(left[2:]) / DRAWS


@dataclass(frozen=True)
class Read:
    """A prompt and its answer, read: the log-probability of the part to explain, a scalar, and what was counted."""

    score: torch.Tensor
    first: int
    tokens: int
    prompt_tokens: int


def chosen_tokens(family: Family, answer: str, part: tuple[int, int] | None) -> tuple[list[int], str, int]:
    """Indices of the answer's tokens that say a part of it, their text, and how many tokens the answer has."""
    begin, end = part or (0, len(answer))
    told = family.tokenizer(answer, add_special_tokens=False, return_offsets_mapping=family.tokenizer.is_fast)
    ids = told["input_ids"]
    spans = told.get("offset_mapping") or [(begin, end)] * len(ids)  # a slow one doesn't tell where its tokens stand
    chosen = [i for i, (first, last) in enumerate(spans) if first < end and last > begin]
    if not chosen:
        raise UserError("the answer is empty: there is nothing to explain")
    return chosen, family.decode([ids[i] for i in chosen]).strip(), len(ids)


def read_answer(family: Family, answered: Conversation, chosen: list[int]) -> Read:
    """Let the model read a conversation with its answer; ``chosen`` are the answer's tokens that count."""
    batch = family.training_batch([answered])
    # The loss is not asked for: the labels alone tell where the answer's tokens are predicted.
    given = {name: tensor for name, tensor in batch.items() if name not in ("labels", "shift_labels")}
    output = family.model(**family.to_model(given), use_cache=False)
    logits, said = family.answer_logits(output.logits, batch)
    logits, said = logits.float(), said.to(logits.device)
    scores = logits.log_softmax(dim=-1).gather(1, said[:, None]).squeeze(1)
    first = int((logits.argmax(dim=-1) == said)[chosen].sum())
    count = len(said)
    return Read(scores[chosen].sum(), first, count, int(family.tokens_read(batch).sum()) - count)


def only_image(asked: Conversation) -> Any:
    """The one picture of a question.

    Raises:
        UserError: it has none, or several.
    """
    if len(asked.all_images) != 1:
        shown = counted(len(asked.all_images), "image")
        raise UserError(f"a question with {shown}; one with one image can be explained")
    (image,) = asked.all_images
    return image


class States:
    """An answer as it hangs on the states that stand for its image, each with a place on it.

    Attributes:
        boxes: as of :class:`Explained`.
        states: (states, width), leading axes flattened.
        placed: indices of the states that lie on the image, at least in part.
        chosen: indices of the answer's tokens that are explained; ``part`` their text.
        before: what was read of the whole image.

    Raises:
        UserError: not one picture, an empty answer, or a family without a layout.
    """

    def __init__(self, family: Family, asked: Conversation, answer: str, part: tuple[int, int] | None) -> None:
        self._family, self._asked, self._answer = family, asked, answer
        image = only_image(asked)
        (self._seen,) = family.features([image])
        self.boxes = family.layout(image, self._seen)
        self.states = self._seen.states.detach().flatten(0, -2)
        if len(self.boxes) != len(self.states):
            raise UserError(
                f"model {family.spec.name}: the layout of family '{family.spec.family}' has {len(self.boxes)} places, "
                f"and the model sees {len(self.states)}: another kind of network than the family's"
            )
        self.chosen, self.part, tokens = chosen_tokens(family, answer, part)
        with torch.no_grad():
            self.before = self.read(self.states)
        if self.before.tokens != tokens + 1:  # the last is the end token's
            raise UserError(f"the answer holds words that stand for structure in model {family.spec.name}'s prompts")
        self.placed = torch.nonzero(_on_image(self.boxes)).flatten()
        self._mean = self.states[self.placed].float().mean(dim=0).to(self.states)

    def read(self, states: torch.Tensor) -> Read:
        """The answer beside other states of the same number."""
        kept = dataclasses.replace(self._seen, states=states.view_as(self._seen.states))
        answered = dataclasses.replace(self._asked, images=[kept], answer=Verbatim(self._answer))
        return read_answer(self._family, answered, self.chosen)

    def without(self, places: torch.Tensor) -> torch.Tensor:
        """The states with their mean in some places."""
        levelled = self.states.clone()
        levelled[places.to(self.states.device)] = self._mean
        return levelled

    def explained(self, relevance: torch.Tensor, method: str, *, sums: bool) -> Explained:
        """An explanation by the relevance of each state, (states,) on the CPU, with its check by deletion."""
        deleted, without_all, without_these, without_others = deletion_of(
            self.placed, relevance, lambda places: float(self.read(self.without(places)).score)
        )
        return Explained(
            boxes=self.boxes,
            relevance=relevance,
            part=self.part,
            tokens=len(self.chosen),
            first=self.before.first,
            prompt_tokens=self.before.prompt_tokens,
            log_probability=float(self.before.score),
            without_all=without_all,
            deleted=deleted,
            without_these=without_these,
            without_others=without_others,
            method=method,
            sums=sums,
        )


def _on_image(boxes: torch.Tensor) -> torch.Tensor:
    """Which boxes lie on the image, at least in part; NaN does not."""
    return (boxes[:, :2] < 1).all(dim=1) & (boxes[:, 2:] > 0).all(dim=1)
