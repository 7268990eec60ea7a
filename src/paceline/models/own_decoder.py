"""Families whose answers are written by a decoder with a sequence of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch

from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.tensors import ahead


class OwnDecoder(Family):
    """An encoder reads the prompt, if there is one; a decoder begins with a start token and writes the answer.

    ``decoder_input_ids`` and ``decoder_attention_mask`` are (samples, tokens): the start token, and in a batch to train
    on the answer. ``input_ids`` and ``attention_mask``, where the family's :meth:`pixel_batch` makes them, are the
    encoder's, padded on the right.

    A family sets ``start_token``. Where its network's loss shifts labels itself, ``labels_ahead`` is False.
    """

    token_tensors: ClassVar[Mapping[str, Literal["own", "zero", "last"]]] = {
        "decoder_input_ids": "own",
        "decoder_attention_mask": "own",
    }
    sequence_tensors = ("decoder_input_ids", "decoder_attention_mask")
    decoder_apart = True
    labels_ahead = True
    mean_loss = True
    start_token: int

    @property
    def longest(self) -> int:
        """Most tokens that the decoder has positions for."""
        return int(self.bare_model().config.get_text_config(decoder=True).max_position_embeddings)

    @property
    def stops(self) -> tuple[str, ...]:
        """The decoder was trained to end an answer by a token."""
        return ()

    def tokens_read(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """Those of the encoder, if it reads tokens, and those of the decoder."""
        counts = super().tokens_read(batch)
        return counts + batch["attention_mask"].sum(dim=1) if "attention_mask" in batch else counts

    def batch(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """The encoder's tensors, and what the decoder begins with."""
        begun = torch.full((len(conversations), 1), self.start_token)
        return {
            **super().batch(conversations),
            "decoder_input_ids": begun,
            "decoder_attention_mask": torch.ones_like(begun),
        }

    def supervised(self, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """The labels, where the loss looks for them. Logits are made of the decoder's few tokens alone anyway."""
        return {"labels": ahead(labels) if self.labels_ahead else labels}

    def _text_options(self, texts: Sequence[str]) -> dict[str, Any]:
        return {**super()._text_options(texts), "padding_side": "right"}
