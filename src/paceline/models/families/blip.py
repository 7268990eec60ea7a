"""BLIP (Li et al. 2022, arXiv:2201.12086), the captioner: a text decoder that looks at the image's patches."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import transformers

from paceline.config.schema import ModelSpec
from paceline.models.one_square import OneSquare, positions, seen
from paceline.models.twins import bert_twin_tokenizer


class BlipForConditionalGeneration(transformers.BlipForConditionalGeneration):
    """The library's network, which also takes states in place of pixels, and a prompt without an end token.

    Positions are counted by the mask, so that padding on either side moves none.
    """

    def get_output_embeddings(self) -> Any:
        """The decoder's output layer, which the library does not tell of the whole network."""
        return self.text_decoder.get_output_embeddings()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        pixel_values: torch.Tensor | None = None,
        image_states: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Logits of the caption, and its loss where there are labels; other arguments are the text decoder's."""
        return self.text_decoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=positions(attention_mask),
            encoder_hidden_states=seen(self.vision_model, pixel_values, image_states),
            **kwargs,
        )

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        pixel_values: torch.Tensor | None = None,
        image_states: torch.Tensor | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """The prompts with what follows them, (samples, tokens)."""
        decoder: Any = self.text_decoder
        decoder.generation_config = self.generation_config
        return decoder.generate(  # type: ignore[no-any-return]
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=seen(self.vision_model, pixel_values, image_states),
            **options,
        )


class Blip(OneSquare):
    """``BlipForConditionalGeneration``. The caption is written behind a start token and its given beginning.

    The start token is none of the tokenizer's: its embedding stands behind the vocabulary of BERT.
    """

    network_class: ClassVar[Any] = BlipForConditionalGeneration
    model_types = ("blip",)
    architectures = ("BlipForConditionalGeneration",)  # the question answerer's files would be read too
    image_arguments = {"common": "cropped", "pad_size": "sizes"}
    components = {"vision": ("vision_model",), "language": ("text_decoder",)}
    attentions = ("eager",)
    cross_attention: ClassVar[tuple[str, ...]] = (r"text_decoder\.bert\.encoder\.layer\.\d+\.crossattention\.self",)
    unquantised = ("text_decoder.cls.predictions.decoder",)
    needs_image = True
    bare_prompt = True
    mean_loss = True

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        self.end_tokens = [self.tokenizer.sep_token_id]

    def text_batch(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """The start token and the caption's beginning, padded on the left."""
        start = self.bare_model().config.text_config.bos_token_id
        rows = [[start, *self.tokenizer(text, add_special_tokens=False)["input_ids"]] for text in texts]
        told = self.tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
        return {"input_ids": told["input_ids"], "attention_mask": told["attention_mask"]}

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """One square, which the decoder looks at; it has no token of its own."""
        tower = config.vision_config
        patches = (tower.image_size // tower.patch_size) ** 2 + 1
        return {"kind": "whole", "size": tower.image_size, "patch": tower.patch_size, "states": patches, "tokens": 1}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A ``BlipProcessor`` around a tokenizer with BERT's special tokens."""
        edge = spec.config["vision_config"]["image_size"]
        own = {"size": {"height": edge, "width": edge}}
        images = transformers.BlipImageProcessor(**{**own, **spec.processor})
        return transformers.BlipProcessor(images, bert_twin_tokenizer())

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small network, whose start token stands behind the tokenizer's vocabulary."""
        tokenizer = processor.tokenizer
        words = len(tokenizer)
        text = {
            **config["text_config"],
            "vocab_size": words + 2,
            "bos_token_id": words,
            "sep_token_id": tokenizer.sep_token_id,
            "eos_token_id": tokenizer.sep_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        return cls.network_class(transformers.BlipConfig(**{**config, "text_config": text}))


FAMILY = Blip
