"""InstructBLIP (Dai et al. 2023, arXiv:2305.06500) on Flan-T5: the encoder reads image and question, the decoder writes
the answer."""

from __future__ import annotations

import sys
from typing import Any

import torch

from paceline.config.schema import ModelSpec
from paceline.models.families.instructblip import InstructBlip
from paceline.models.own_decoder import OwnDecoder
from paceline.models.twins import framed, twin_tokenizer

_SPECIAL = ("<pad>", "</s>", "<image>")


class InstructBlipT5(OwnDecoder, InstructBlip):
    """``InstructBlipForConditionalGeneration`` around T5."""

    text_types = ("t5",)
    attentions = ("sdpa", "eager")
    kept_in_float32 = ("wo",)  # the last layer of T5's MLP, which fails in 4 bits
    decoder_apart = True

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        self.start_token = self.bare_model().config.text_config.decoder_start_token_id

    @property
    def longest(self) -> int:
        """T5's positions are relative: there is no most."""
        return sys.maxsize

    @classmethod
    def twin_tokenizer(cls) -> Any:
        """Of T5, which ends every text by its end token."""
        tokenizer = twin_tokenizer(_SPECIAL, pad="<pad>", eos="</s>", bos=None, chat_template="")
        framed(tokenizer, "$A </s>")
        return tokenizer

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small network, whose decoder begins with the padding token, as T5's does."""
        text = {**config["text_config"], "decoder_start_token_id": processor.tokenizer.pad_token_id}
        model = super().twin_model({**config, "text_config": text}, processor)
        with torch.no_grad():
            model.language_model.lm_head.weight.normal_(std=config["text_config"]["d_model"] ** -0.5)
        return model


FAMILY = InstructBlipT5
