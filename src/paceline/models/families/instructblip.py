"""InstructBLIP (Dai et al. 2023, arXiv:2305.06500) on Vicuna: a Q-Former reads the question too, and makes of the image
the tokens that stand before it."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from tokenizers import AddedToken

from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.models.one_square import OneSquare, seen
from paceline.models.twins import begins_itself, bert_twin_tokenizer, text_settings, twin_tokenizer

# isort: split
# After the families' base, which defines the operators that these imports may want.
from transformers.models.instructblip.modeling_instructblip import BaseModelOutputWithVisionQformerOutputs

_SPECIAL = ("<s>", "</s>", "[PAD]", "<image>")


class InstructBlipForConditionalGeneration(transformers.InstructBlipForConditionalGeneration):
    """The library's network, which also takes the tower's states in place of pixels."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        text = config.text_config
        # T5 1.1, and so Flan-T5, has an output layer of its own. The library ties that of a new network to the
        # embeddings, and unties it where files hold both: a saved model would be another than a new one, and under
        # ZeRO-3, whose parts of the two look alike, the output layer would be lost.
        if getattr(text, "scale_decoder_outputs", True) is False:
            language: Any = self.language_model
            language.lm_head = torch.nn.Linear(text.d_model, text.vocab_size, bias=False)
            tied = {k: v for k, v in language._tied_weights_keys.items() if k != "lm_head.weight"}
            language._tied_weights_keys = tied
            for part in (language, self):
                part.all_tied_weights_keys = part.get_expanded_tied_weights_keys(all_submodels=True)

    def forward(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        qformer_input_ids: torch.Tensor,
        qformer_attention_mask: torch.Tensor,
        pixel_values: torch.Tensor | None = None,
        image_states: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Logits of the language model, and its loss where there are labels; other arguments are its own."""
        tokens = self.tokens_of(qformer_input_ids, qformer_attention_mask, pixel_values, image_states)
        return super().forward(
            pixel_values=None,  # type: ignore[arg-type]
            qformer_input_ids=qformer_input_ids,
            input_ids=input_ids,
            attention_mask=attention_mask,
            mm_encoder_outputs={"image": BaseModelOutputWithVisionQformerOutputs(pooler_output=tokens)},
            **kwargs,
        )

    def tokens_of(
        self,
        question: torch.Tensor,
        mask: torch.Tensor,
        pixels: torch.Tensor | None = None,
        states: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What the Q-Former makes of an image for a question: (samples, queries, width of the language model)."""
        states = seen(self.vision_model, pixels, states)
        queries = self.query_tokens.expand(len(question), -1, -1)
        made = self.qformer(
            input_ids=question,
            attention_mask=torch.cat([mask.new_ones(queries.shape[:2]), mask], dim=1),
            query_embeds=queries,
            encoder_hidden_states=states,
        ).last_hidden_state
        return self.language_projection(made[:, : queries.shape[1]])  # type: ignore[no-any-return]

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        qformer_input_ids: torch.Tensor,
        qformer_attention_mask: torch.Tensor,
        pixel_values: torch.Tensor | None = None,
        image_states: torch.Tensor | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """The prompts with the answers behind them, or what a decoder wrote, its start included."""
        tokens = self.tokens_of(qformer_input_ids, qformer_attention_mask, pixel_values, image_states)
        words = self.get_input_embeddings()(input_ids)
        places = (input_ids == self.config.image_token_id).unsqueeze(-1)
        words = words.masked_scatter(places, tokens.to(words.dtype))
        given = {"inputs_embeds": words, "attention_mask": attention_mask}
        if self.config.use_decoder_only_language_model:
            given["input_ids"] = input_ids
        self.language_model.generation_config = self.generation_config
        return self.language_model.generate(**given, **options)  # type: ignore[no-any-return]


class InstructBlip(OneSquare):
    """``InstructBlipForConditionalGeneration`` around a causal language model.

    ``input_ids`` begins with as many image tokens as there are queries; ``qformer_input_ids`` (samples, tokens) holds
    the question in BERT's words, padded on the right.
    """

    network_class = InstructBlipForConditionalGeneration
    model_types = ("instructblip",)
    text_types = ("llama",)
    image_arguments = {"common": "cropped", "pad_size": "sizes"}
    components = {
        "vision": ("vision_model",),
        "connector": ("query_tokens", "qformer", "language_projection"),
        "language": ("language_model",),
    }
    unquantised = ("language_model.lm_head", "language_projection")
    needs_image = True
    bare_prompt = True

    def is_idle(self, name: str) -> bool:
        """What the Q-Former's last layer makes of the question itself: nothing reads it."""
        last = self.bare_model().config.qformer_config.num_hidden_layers - 1
        return name.startswith((f"qformer.encoder.layer.{last}.intermediate.", f"qformer.encoder.layer.{last}.output."))

    def text_batch(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """The question for the language model behind the image's tokens, and for the Q-Former.

        Raises:
            UserError: weights without an image token, from before their authors added one, or a question longer than
                the Q-Former has positions for.
        """
        config: Any = self.bare_model().config
        if config.image_token_id is None:
            raise UserError(
                f"model {self.spec.name}: config.json has no image_token_index: these files are from before the "
                "library needed one; take a later revision"
            )
        image = [config.image_token_id] * config.num_query_tokens
        options = self._text_options(texts)
        rows = self.tokenizer(texts, add_special_tokens=options.get("add_special_tokens", True))["input_ids"]
        told = self.tokenizer.pad(
            {"input_ids": [[*image, *row] for row in rows]}, padding_side=options["padding_side"], return_tensors="pt"
        )
        read = self.processor.qformer_tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
        most = config.qformer_config.max_position_embeddings
        if (width := read["input_ids"].shape[1]) > most:
            longest = texts[int(read["attention_mask"].sum(dim=1).argmax())]
            raise UserError(
                f"the Q-Former of model {self.spec.name} reads questions of at most {most} tokens; {longest[:60]!r} … "
                f"has {width}"
            )
        return {
            "input_ids": told["input_ids"],
            "attention_mask": told["attention_mask"],
            "qformer_input_ids": read["input_ids"],
            "qformer_attention_mask": read["attention_mask"],
        }

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """One square, of which the Q-Former makes a token per query."""
        tower = config.vision_config
        tokens = config.num_query_tokens
        return {"kind": "whole", "size": tower.image_size, "patch": tower.patch_size, "states": 0, "tokens": tokens}

    @classmethod
    def twin_tokenizer(cls) -> Any:
        """Of the language model."""
        tokenizer = twin_tokenizer(_SPECIAL, pad="[PAD]", eos="</s>", bos="<s>", chat_template="")
        begins_itself(tokenizer)
        return tokenizer

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """An ``InstructBlipProcessor`` around two small tokenizers."""
        tokenizer = cls.twin_tokenizer()
        tokenizer.chat_template = None
        tokenizer.image_token = AddedToken("<image>", special=True)
        edge = spec.config["vision_config"]["image_size"]
        own = {"size": {"height": edge, "width": edge}}
        return transformers.InstructBlipProcessor(
            transformers.BlipImageProcessor(**{**own, **spec.processor}),
            tokenizer,
            bert_twin_tokenizer(),
            num_query_tokens=spec.config["num_query_tokens"],
        )

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small network; its queries are drawn, because those of a new one are all zero."""
        tokenizer = processor.tokenizer
        text = text_settings(config, processor.tokenizer)
        asked = {**config["qformer_config"], "vocab_size": len(processor.qformer_tokenizer)}
        image = tokenizer.convert_tokens_to_ids("<image>")
        model = InstructBlipForConditionalGeneration(
            transformers.InstructBlipConfig(
                **{**config, "text_config": text, "qformer_config": asked}, image_token_index=image
            )
        )
        with torch.no_grad():
            model.query_tokens.normal_(std=0.5)
        return model


FAMILY = InstructBlip
