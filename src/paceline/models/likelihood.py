"""Answers by choice: how likely a model says each of a question's choices, and the likeliest as its answer.

A choice is scored as the answer that :meth:`~paceline.models.tensors.Tensors.training_batch` makes of it: tokenised by
itself and appended to the tokens of the prompt, so a tuned model is asked for what it was trained to say. Its score is
the sum of the log-probabilities of its tokens (in nats), or that sum divided by its characters. The token that ends an
answer is not counted. So of a choice whose tokens begin another's the sum is never the smaller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from paceline.config.schema import GenerationSpec
from paceline.errors import UserError
from paceline.models.answerer import Answer
from paceline.models.conversation import Conversation
from paceline.models.tensors import IGNORED, ahead

if TYPE_CHECKING:
    from paceline.models.family import Family


@dataclass(frozen=True)
class Scored:
    """One choice after a prompt."""

    sum: float
    """Log-probability of its tokens together, in nats; the token that ends an answer is not counted."""
    tokens: tuple[int, ...]
    prompt_tokens: int


def choose(family: Family, conversations: Sequence[Conversation], settings: GenerationSpec) -> list[Answer]:
    """Answer conversations by their likeliest choices, in their order.

    Equal choices are one. Where several are exactly as likely, which choices of the same tokens are, the answer is
    empty, so that no kind reads one, and ``data`` names them as ``tied``.

    Args:
        family: the loaded model.
        conversations: with their choices.
        settings: ``choose_by`` says which score decides; ``batch`` choices are scored together.

    Raises:
        UserError: a conversation has no choices, one has no token or is longer than the model has positions for, or
            scores are no numbers.
    """
    rows = [(n, replace(c, answer=choice)) for n, c in enumerate(conversations) for choice in _choices(c)]
    family.model.eval()
    found: list[Scored] = []
    for start in range(0, len(rows), settings.batch):
        found += _together(family, [lesson for _, lesson in rows[start : start + settings.batch]])
    # Rows differ in their last bits by what stands beside them; whether choices of the same tokens tie must not.
    first: dict[tuple[int, tuple[int, ...]], Scored] = {}
    scored: list[list[Scored]] = [[] for _ in conversations]
    for (n, _), one in zip(rows, found, strict=True):
        scored[n].append(first.setdefault((n, one.tokens), one))
    return [_chosen(_choices(c), of, settings.choose_by) for c, of in zip(conversations, scored, strict=True)]


def _choices(conversation: Conversation) -> tuple[str, ...]:
    if not conversation.choices:
        raise UserError(f"{conversation.called} has no choices to score; give generation.answer=generate")
    return tuple(dict.fromkeys(conversation.choices))


def _chosen(choices: Sequence[str], scored: Sequence[Scored], choose_by: str) -> Answer:
    scores = [{"sum": one.sum, "per_character": one.sum / len(c)} for c, one in zip(choices, scored, strict=True)]
    best = max(score[choose_by] for score in scores)
    likeliest = [c for c, score in zip(choices, scores, strict=True) if score[choose_by] == best]
    told = [{"choice": c, **score} for c, score in zip(choices, scores, strict=True)]
    data: dict[str, Any] = {"choices": told, **({"tied": likeliest} if len(likeliest) > 1 else {})}
    text = "" if len(likeliest) > 1 else likeliest[0]
    return Answer(text, scored[0].prompt_tokens, 0, "stop", data)


@torch.inference_mode()
def _together(family: Family, lessons: Sequence[Conversation]) -> Iterator[Scored]:
    batch = family.training_batch(lessons)
    read = family.tokens_read(batch).tolist()
    logits, said = _predicted(family, batch)
    counted = said.ne(IGNORED)
    log_probabilities = logits.float().log_softmax(dim=-1).gather(2, said.clamp(min=0)[..., None]).squeeze(-1).cpu()
    said, counted = said.cpu(), counted.cpu()
    for row, lesson in enumerate(lessons):
        own = log_probabilities[row][counted[row]][:-1]  # the last is the token that ends the answer
        if not len(own):
            raise UserError(
                f"{lesson.called}: the choice {lesson.answer!r} has no token in the vocabulary of model "
                f"{family.spec.name}, so nothing tells how likely it is; leave it out, or write it in words"
            )
        total = float(own.double().sum())
        if not torch.isfinite(own).all():
            raise UserError(
                f"{lesson.called}: of model {family.spec.name} ({family.model.dtype}) the score of the choice "
                f"{lesson.answer!r} is no number ({total}): a number format with too small a range; give "
                "model.dtype=bfloat16 or float32"
            )
        yield Scored(total, tuple(said[row][counted[row]][:-1].tolist()), read[row] - int(counted[row].sum()))


def _predicted(family: Family, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (rows, tokens, vocabulary), and the tokens of the answers that they predict, (rows, tokens)."""
    # No loss is asked for. Without `shift_labels` a network makes all logits, those of image tokens before the text's,
    # and labels stand at their tokens, or where they are predicted.
    given = {name: tensor for name, tensor in batch.items() if name not in ("labels", "shift_labels")}
    said = batch.get("shift_labels")
    if said is None:
        labels = batch["labels"]
        said = labels if family.labels_ahead else ahead(labels)
    logits = family.model(**family.to_model(given), use_cache=False).logits[:, -said.shape[1] :]
    return logits, said.to(logits.device)
