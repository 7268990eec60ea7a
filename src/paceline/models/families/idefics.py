"""IDEFICS (Laurençon et al. 2023, arXiv:2306.16527), an open Flamingo: a perceiver makes 64 states of an image, gated
layers of cross-attention read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import transformers

from paceline.config.schema import ModelSpec
from paceline.models.conversation import Conversation
from paceline.models.family import BACKEND, Family
from paceline.models.tensors import Features
from paceline.models.twins import begins_itself, twin_tokenizer

# isort: split
# After the families' base, which defines the operators that these imports may want.
from transformers.loss.loss_utils import ForCausalLMLoss

IMAGE = "<image>"
AROUND = "<fake_token_around_image>"
UTTERANCE = "<end_of_utterance>"
_SPECIAL = ("<s>", "</s>", "<pad>")
OPEN = 0.5


class Idefics(Family):
    """``IdeficsForVisionText2Text``. ``pixel_values`` is (samples, images, 3, height, width).

    There is no chat template. The base model completes plain text; where the tokenizer knows ``<end_of_utterance>``
    (the instructed release), turns are those of a dialogue, which that token ends.

    A token sees the last image before it and no other (``image_attention_mask``, samples × tokens × images): of two
    images side by side, the question behind them sees the second alone, and the first through what the second's own
    tokens made of it.
    """

    model_types = ("idefics",)
    image_arguments = {"common": "cropped", "pad_size": "sizes", "image_size": "count"}
    components = {
        "vision": ("model.vision_model",),
        "connector": ("model.perceiver_resampler",),
        "language": (
            "model.embed_tokens",
            "model.layers",
            "model.gated_cross_attn_layers",
            "model.norm",
            "lm_head",
        ),
    }
    beside_layers = ("model.gated_cross_attn_layers",)
    attentions = ("sdpa", "eager")
    unquantised = ("lm_head", "model.embed_tokens")
    skips_without_images = False  # it then looks at an empty image, and forgets what it saw
    turn_end = "\n"
    token_tensors: ClassVar[Mapping[str, Literal["own", "zero", "last"]]] = {
        **Family.token_tensors,
        "image_attention_mask": "last",
    }

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        if self.instructed:
            turn = self.tokenizer.convert_tokens_to_ids(UTTERANCE)
            self.end_tokens = list(dict.fromkeys([turn, *self.end_tokens]))
        network = self.bare_model()
        network.loss_function = _over_whole_vocabulary(network.config.additional_vocab_size)

    @classmethod
    def make_processor(cls, spec: ModelSpec, source: str, revision: str | None) -> Any:
        """The processor, whose tokenizer is Llama's; a pad of its own is part of it."""
        options = {"revision": revision, "trust_remote_code": spec.remote_code}
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
        images = transformers.AutoImageProcessor.from_pretrained(source, backend=BACKEND, **options, **spec.processor)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.unk_token
        return transformers.IdeficsProcessor(images, tokenizer)

    @property
    def instructed(self) -> bool:
        """Whether the tokenizer knows the end of an utterance, which only the instructed release was trained with."""
        return UTTERANCE in self.tokenizer.get_vocab()

    @property
    def stops(self) -> tuple[str, ...]:
        """An instructed model ends its utterance by a token."""
        return () if self.instructed else super().stops

    def is_idle(self, name: str) -> bool:
        """The norm of the class token, which is never used."""
        return name.startswith("model.vision_model.post_layernorm.")

    def render(self, conversation: Conversation) -> str:
        """The beginning token, then the turns as plain text or as a dialogue."""
        if not self.instructed:
            return self.tokenizer.bos_token + super().render(conversation)
        text = "".join(
            f"{self._asked(shot)} {self._defused(shot.answer or '')}{UTTERANCE}\n" for shot in conversation.shots
        )
        opening = f"{self._defused(conversation.system)}\n" if conversation.system else ""
        return f"{self.tokenizer.bos_token}{opening}{text}{self._asked(conversation)}"

    def _asked(self, turn: Conversation) -> str:
        return f"User:{self.placeholders(len(turn.images))}{self._defused(turn.prompt)}{UTTERANCE}\nAssistant:"

    def placeholders(self, images: int) -> str:
        """Images side by side share the mark between them."""
        return f"{AROUND}{IMAGE}" * images + (AROUND if images else "")

    def pixel_batch(self, texts: list[str], images: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """As ``IdeficsProcessor`` makes it, which is not called because it fetches a prompt that is a web address."""
        size = self.processor.image_processor.size
        pixels = torch.zeros(len(texts), self._most(images), 3, size["height"], size["width"])
        if flat := [image for row in images for image in row]:
            processed = iter(self.processor.image_processor(flat, return_tensors="pt"))
            for sample, row in enumerate(images):
                for place in range(len(row)):
                    pixels[sample, place] = next(processed)
        return {**self._text_batch(texts, self._most(images)), "pixel_values": pixels}

    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (latents, width) of the perceiver; without one, of the vision tower."""
        if not images:
            return []
        with torch.no_grad():
            pixels = self.processor.image_processor(list(images), return_tensors="pt")
            network = self.bare_model().model
            states = network.vision_model(**self.to_model({"pixel_values": pixels})).last_hidden_state
            if network.config.use_resampler:
                states = network.perceiver_resampler(states)
        return [Features(state) for state in states]

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """``perceiver_embeddings`` (or ``image_encoder_embeddings``) is (samples, images, latents, width)."""
        some = next(f.states for row in features for f in row)
        states = some.new_zeros(len(texts), self._most(features), *some.shape)
        for sample, row in enumerate(features):
            for place, seen in enumerate(row):
                states[sample, place] = seen.states
        name = "perceiver_embeddings" if self.bare_model().config.use_resampler else "image_encoder_embeddings"
        return {**self._text_batch(texts, self._most(features)), name: states}

    @staticmethod
    def _most(images: Sequence[Sequence[Any]]) -> int:
        """Images of the sample that has most; one at least, which is masked."""
        return max(1, *(len(row) for row in images))

    def _text_batch(self, texts: list[str], images: int) -> dict[str, Any]:
        inputs = dict(self.tokenizer(texts, **self._text_options(texts)))
        ids = inputs["input_ids"]
        # The place of the last image before each token, -1 where there is none.
        last = (ids == self.processor.image_token_id).cumsum(dim=1) - 1
        seen = last.unsqueeze(-1) == torch.arange(images)
        return {"input_ids": ids, "attention_mask": inputs["attention_mask"], "image_attention_mask": seen.long()}

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """One square, whose states the perceiver makes; three tokens mark it in the text."""
        tower = config.vision_config
        latents = config.perceiver_config.resampler_n_latents if config.use_resampler else 0
        square = {"size": tower.image_size, "patch": tower.patch_size}
        return {"kind": "whole", **square, "states": latents, "tokens": 3}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """An ``IdeficsProcessor``; with three additional tokens it is the instructed release's."""
        config = spec.config
        tokenizer = twin_tokenizer(_SPECIAL, pad="<pad>", eos="</s>", bos="<s>", chat_template="")
        tokenizer.chat_template = None
        begins_itself(tokenizer)
        # Behind the vocabulary: the network keeps their embeddings in a table of their own.
        added = [AROUND, IMAGE, UTTERANCE][: config["additional_vocab_size"]]
        tokenizer.add_tokens(added, special_tokens=True)
        own = {} if "size" in spec.processor else {"image_size": config["vision_config"]["image_size"]}
        images = transformers.IdeficsImageProcessor(**{**own, **spec.processor})
        return transformers.IdeficsProcessor(images, tokenizer)

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``IdeficsForVisionText2Text`` with open gates."""
        tokenizer = processor.tokenizer
        twin_config = transformers.IdeficsConfig(
            **config,
            vocab_size=len(tokenizer) - config["additional_vocab_size"],
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        model = transformers.IdeficsForVisionText2Text(twin_config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.rsplit(".", 1)[-1] in ("alpha_cross_attn", "alpha_dense"):
                    parameter.fill_(OPEN)
        return model


def _over_whole_vocabulary(additional: int) -> Any:
    """The library's loss, over the additional tokens too.

    The network gives logits of all tokens and tells the loss of the others alone, which then folds them into rows of
    the wrong length and fails.
    """

    def loss(logits: torch.Tensor, labels: torch.Tensor, vocab_size: int, **kwargs: Any) -> torch.Tensor:
        return ForCausalLMLoss(logits, labels, vocab_size + additional, **kwargs)

    return loss


FAMILY = Idefics
