"""Attention maps: where a decoder looks on its image while it writes an answer.

Of a decoder that looks at the image by cross-attention, as those of BLIP and of ViT with GPT-2 do. The weights of its
heads and layers are averaged over the tokens that are explained. Where the decoder looks at a question that looks at
the image, the two averages are multiplied. That is where it looks, and not yet what the answer hangs on (Jain and
Wallace 2019, arXiv:1902.10186): the check by deletion tells how far the two agree.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import torch

from paceline.errors import UserError
from paceline.inference.explanation import Explained, States
from paceline.models import family_names
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.registry import says

METHOD = "cross-attention, the mean over heads and layers"


def explain(family: Family, asked: Conversation, answer: str, part: tuple[int, int] | None = None) -> Explained:
    """How much attention each of an image's states gets from the tokens of an answer that was given.

    Args:
        family: the loaded model, in evaluation mode.
        asked: the question, with one picture.
        answer: its text.
        part: the characters of the answer to explain; None: all.

    Raises:
        UserError: not one picture, an empty answer, or a decoder that does not look at images by cross-attention.
    """
    if not family.cross_attention:
        able = [name for name in family_names() if says(name, "cross_attention", ())]
        raise UserError(
            f"family '{family.spec.family}' has no attention map: its decoder does not look at an image by "
            f"cross-attention whose weights are told. Families that do: {', '.join(able)}; --method shapley serves all"
        )
    hung = States(family, asked, answer, part)
    with torch.no_grad(), _weights(family) as caught:
        hung.read(hung.states)
    # Each (tokens, what they look at).
    first, *further = (torch.stack([w[0].float().mean(dim=0) for w in of]).mean(dim=0).cpu() for of in caught)
    # An answer's token is written where the one before it stands.
    rows = len(first) - hung.before.tokens + torch.tensor(hung.chosen)
    relevance = first[rows].mean(dim=0)
    for look in further:
        relevance = relevance @ look
    relevance[hung.boxes.isnan().any(dim=1)] = 0
    return hung.explained(relevance, METHOD, sums=False)


@contextlib.contextmanager
def _weights(family: Family) -> Iterator[list[list[torch.Tensor]]]:
    """For each pattern of ``cross_attention`` the weights of its layers in a pass, (1, heads, tokens, what they look
    at), by the plain implementation, which alone tells them.
    """
    network: Any = family.bare_model()
    before = network.config._attn_implementation
    caught: list[list[torch.Tensor]] = [[] for _ in family.cross_attention]
    if before != "eager":
        network.set_attn_implementation("eager")
    hooks = [
        module.register_forward_hook(lambda _module, _given, made, into=into: into.append(made[1]))
        for layers, into in zip(family.cross_attention, caught, strict=True)
        for name, module in network.named_modules()
        if re.fullmatch(layers, name)
    ]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()
        if before != "eager":
            network.set_attn_implementation(before)
