"""Shapley values of the patches of a picture, for an answer that was given, by any family.

A family is only asked for the answer's log-probability, of the picture with some patches in its mean colour: so this
serves those too whose states have no places on the image. It costs one pass for each set of patches that the drawn
orders come by, some hundreds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image

from paceline.errors import UserError
from paceline.inference.explanation import SEED, Explained, Read, chosen_tokens, deletion_of, only_image, read_answer
from paceline.inference.shapley import ORDERS, patches, shares, without
from paceline.models.classifier import Classifier
from paceline.models.conversation import Conversation, Verbatim
from paceline.models.family import Family

METHOD = f"Shapley values of patches, by {ORDERS} orders drawn and reversed"


@torch.no_grad()
def explain(family: Family, asked: Conversation, answer: str, part: tuple[int, int] | None = None) -> Explained:
    """The Shapley value of each patch for an answer's log-probability.

    Args:
        family: the loaded model, in evaluation mode.
        asked: the question, with one picture.
        answer: its text; of a model that classifies, a label.
        part: the characters of the answer to explain; None: all. A label is explained as a whole.

    Raises:
        UserError: not one picture, an empty answer, or a model that tells no probabilities of a given answer.
    """
    image = only_image(asked).convert("RGB")
    if family.own_call:
        raise UserError(
            f"model {family.spec.name} answers by a call of its own code, which tells no probability of a given answer"
        )
    read, said, tokens = _reader(family, asked, answer, part)
    boxes = patches(*image.size)

    def score(sets: Sequence[np.ndarray]) -> list[float]:
        return [float(read(without(image, boxes, present)).score) for present in sets]

    before = read(image)
    found = shares(score, len(boxes), SEED, ORDERS)
    relevance = torch.from_numpy(found.values).float()

    def left(places: torch.Tensor) -> float:
        present = np.ones(len(boxes), dtype=bool)
        present[places.numpy()] = False
        return score([present])[0]

    deleted, without_all, without_these, without_others = deletion_of(torch.arange(len(boxes)), relevance, left)
    return Explained(
        boxes=torch.from_numpy(boxes),
        relevance=relevance,
        part=said,
        tokens=tokens,
        first=before.first,
        prompt_tokens=before.prompt_tokens,
        log_probability=float(before.score),
        without_all=without_all,
        deleted=deleted,
        without_these=without_these,
        without_others=without_others,
        method=METHOD,
        sums=True,
    )


def _reader(
    family: Family, asked: Conversation, answer: str, part: tuple[int, int] | None
) -> tuple[Callable[[Image.Image], Read], str, int]:
    """What reads the answer beside a picture; the part that is explained, and how many tokens it has."""
    if isinstance(family, Classifier):

        def label(image: Image.Image) -> Read:
            batch = family.to_model(family.batch([dataclasses.replace(asked, images=[image])]))
            logits = family.model(**batch).logits[0].float()
            at = family.index_of(answer, logits)
            told = family.probabilities(logits.double()[None])[0].log()
            return Read(told[at], int(at == int(logits.argmax())), 1, int(family.tokens_read(batch)))

        return label, answer, 1
    chosen, said, _ = chosen_tokens(family, answer, part)

    def text(image: Image.Image) -> Read:
        return read_answer(family, dataclasses.replace(asked, images=[image], answer=Verbatim(answer)), chosen)

    return text, said, len(chosen)
