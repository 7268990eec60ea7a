"""BLIP (Li et al. 2022, arXiv:2201.12086), the question answerer: one text network reads the question and looks at the
image, another writes the answer and looks at what the first made of the question."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import transformers

from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.models.families.blip import Blip
from paceline.models.one_square import positions, seen
from paceline.models.own_decoder import OwnDecoder
from paceline.models.tensors import answers_alone


class BlipForQuestionAnswering(transformers.BlipForQuestionAnswering):
    """The library's network, which also gives its logits, and takes states in place of pixels.

    The library's own decoder looks at the padding of shorter questions too: its layers drop the mask over what they
    look at (``BlipTextSelfAttention.forward``, 5.23), so that an answer would depend on what else is in the batch.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for layer in self.text_decoder.bert.encoder.layer:
            layer.crossattention.self.register_forward_pre_hook(_masked, with_kwargs=True)

    def get_output_embeddings(self) -> Any:
        """The decoder's output layer, which the library does not tell of the whole network."""
        return self.text_decoder.get_output_embeddings()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        decoder_input_ids: torch.Tensor,
        decoder_attention_mask: torch.Tensor,
        pixel_values: torch.Tensor | None = None,
        image_states: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Logits of the answer, and its loss where there are labels; other arguments are the decoder's."""
        return self.text_decoder(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            position_ids=positions(decoder_attention_mask),
            encoder_hidden_states=self.read(input_ids, attention_mask, pixel_values, image_states),
            encoder_attention_mask=attention_mask,
            **kwargs,
        )

    def read(
        self,
        question: torch.Tensor,
        mask: torch.Tensor,
        pixels: torch.Tensor | None = None,
        states: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What is made of a question about an image: (samples, tokens of the question, width)."""
        states = seen(self.vision_model, pixels, states)
        return self.text_encoder(  # type: ignore[no-any-return]
            input_ids=question, attention_mask=mask, encoder_hidden_states=states
        ).last_hidden_state

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        decoder_input_ids: torch.Tensor,
        decoder_attention_mask: torch.Tensor,
        pixel_values: torch.Tensor | None = None,
        image_states: torch.Tensor | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """The start token and the answer, (samples, tokens)."""
        decoder: Any = self.text_decoder
        decoder.generation_config = self.generation_config
        return decoder.generate(  # type: ignore[no-any-return]
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=self.read(input_ids, attention_mask, pixel_values, image_states),
            encoder_attention_mask=attention_mask,
            **options,
        )


def _masked(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Hand on the mask over what is looked at, under the name that the layer reads."""
    return args, {**kwargs, "encoder_attention_mask": kwargs.get("attention_mask")}


class BlipVQA(OwnDecoder, Blip):
    """``BlipForQuestionAnswering``. Questions stand between BERT's ``[CLS]`` and ``[SEP]``, as the library's processor
    writes them.
    """

    network_class: ClassVar[Any] = BlipForQuestionAnswering
    auto_class = "AutoModelForVisualQuestionAnswering"
    architectures = ("BlipForQuestionAnswering",)
    components = {"vision": ("vision_model",), "language": ("text_encoder", "text_decoder")}
    unquantised = ("text_decoder.cls.predictions.decoder",)
    # The answer looks at the question, and the question at the image.
    cross_attention = (
        r"text_decoder\.bert\.encoder\.layer\.\d+\.crossattention\.self",
        r"text_encoder\.encoder\.layer\.\d+\.crossattention\.self",
    )
    decoder_apart = True
    labels_ahead = False

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        self.start_token = self.bare_model().config.text_config.bos_token_id

    def text_batch(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """The questions, padded on the right.

        Raises:
            UserError: a question longer than the positions that there are.
        """
        told = self.tokenizer(texts, **self._text_options(texts), return_token_type_ids=False)
        most = self.bare_model().config.text_config.max_position_embeddings
        if (width := told["input_ids"].shape[1]) > most:
            longest = texts[int(told["attention_mask"].sum(dim=1).argmax())]
            raise UserError(
                f"model {self.spec.name} reads questions of at most {most} tokens; {longest[:60]!r} … has {width}"
            )
        return {"input_ids": told["input_ids"], "attention_mask": told["attention_mask"]}

    def supervised(self, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Where to make logits: this decoder takes it."""
        return answers_alone(labels)


FAMILY = BlipVQA
