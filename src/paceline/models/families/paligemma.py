"""PaliGemma 2 (Steiner et al. 2024, arXiv:2412.03555) and PaliGemma (Beyer et al. 2024, arXiv:2407.07726): SigLIP and
Gemma as a prefix language model, whose prompt attends to itself in both directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from paceline.config.schema import ModelSpec
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.tensors import Features, grid
from paceline.models.twins import text_settings, twin_tokenizer

# isort: split
# After the families' base, which defines the operators that these imports may want.
from transformers.modeling_outputs import BaseModelOutputWithPooling

_SPECIAL = ("<pad>", "<eos>", "<bos>")


class PaliGemma(Family):
    """``PaliGemmaForConditionalGeneration``. ``pixel_values`` is (images, 3, height, width).

    A prompt is its images, the beginning token, the text, a line break: the form that both the base (``pt``) and the
    mixed (``mix``) weights were trained on. It is a prefix: ``token_type_ids`` are 0 there, and 1 from the answer on,
    which is read forwards alone. Without them the network would read the prompt forwards, too.

    Tokens of places (``<loc0123>``) and segments are part of an answer's text; in a prompt they are broken up, as all
    that could be structure.
    """

    model_types = ("paligemma",)
    image_arguments = {"common": "cropped", "pad_size": "sizes"}
    components = {
        "vision": ("model.vision_tower",),
        "connector": ("model.multi_modal_projector",),
        "language": ("model.language_model", "lm_head"),
    }
    # Gemma 2 caps the scores of its attention, which SDPA can't; FlashAttention-2 takes no mask, and so no prefix.
    attentions = ("eager",)
    needs_image: ClassVar[bool] = True

    def render(self, conversation: Conversation) -> str:
        """All images first, those of shots too, then the beginning token and the turns as plain text."""
        turns = "".join(
            f"{self._plain(shot)}{self._defused(shot.answer or '')}{self.turn_end}" for shot in conversation.shots
        )
        system = f"{self._defused(conversation.system)}\n" if conversation.system else ""
        images = self.placeholders(len(conversation.all_images))
        return f"{images}{self.tokenizer.bos_token}{system}{turns}{self._plain(conversation)}"

    def _plain(self, turn: Conversation) -> str:
        return f"{self._defused(turn.prompt)}\n"

    def pixel_batch(self, texts: list[str], images: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """As ``PaliGemmaProcessor`` makes it, which is not called because it writes a second line break and refuses a
        text without an image."""
        batch = self._text_batch(texts)
        if flat := [image for row in images for image in row]:
            batch |= dict(self.processor.image_processor(flat, return_tensors="pt"))
        return batch

    def _text_batch(self, texts: list[str]) -> dict[str, Any]:
        token, many = self.processor.image_token, self.processor.image_seq_length
        texts = [text.replace(token, token * many) for text in texts]
        inputs = self.tokenizer(texts, return_token_type_ids=False, **self._text_options(texts))
        return {**inputs, "token_type_ids": torch.zeros_like(inputs["input_ids"])}

    def append_answers(self, batch: dict[str, Any], ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
        """The answer's tokens are of type 1."""
        appended = super().append_answers(batch, ids, mask)
        appended["token_type_ids"][:, -ids.shape[1] :] = 1
        return appended

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (tokens, width)."""
        if not images:
            return []
        inputs = self.to_model(dict(self.processor.image_processor(list(images), return_tensors="pt")))
        network: Any = self.bare_model()
        seen = network.get_image_features(**inputs, return_dict=True).pooler_output
        return [Features(state) for state in seen]

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """The states of all images, in their order."""
        seen = torch.stack([f.states for row in features for f in row])
        return {
            **self._text_batch(texts),
            "mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=seen)},
        }

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """Patches of the whole image, row by row; it was stretched to a square."""
        side = math.isqrt(len(seen.states))
        return grid(side, side).flatten(0, 1)

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """One square, a token per patch."""
        tower = config.vision_config
        tokens = (tower.image_size // tower.patch_size) ** 2
        return {"kind": "square", "size": tower.image_size, "patch": tower.patch_size, "tokens": tokens, "crops": 0}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A ``PaliGemmaProcessor``, which adds 1,152 tokens of places and segments; sizes come from ``config``."""
        from transformers import PaliGemmaProcessor, SiglipImageProcessor

        tower = spec.config["vision_config"]
        edge = tower["image_size"]
        tokenizer = twin_tokenizer(_SPECIAL, pad="<pad>", eos="<eos>", bos="<bos>", chat_template="")
        tokenizer.chat_template = None
        half = [0.5, 0.5, 0.5]
        given = {"size": {"height": edge, "width": edge}, "image_mean": half, "image_std": half, **spec.processor}
        images: Any = SiglipImageProcessor(**given)
        images.image_seq_length = (edge // tower["patch_size"]) ** 2
        return PaliGemmaProcessor(image_processor=images, tokenizer=tokenizer)

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``PaliGemmaForConditionalGeneration`` around Gemma 2."""
        from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

        text = text_settings(config, processor.tokenizer, model_type="gemma2")
        width = text["hidden_size"]
        tower = {**config["vision_config"], "model_type": "siglip_vision_model", "vision_use_head": False}
        twin_config = PaliGemmaConfig(
            **{**config, "text_config": text, "vision_config": tower},
            image_token_index=processor.image_token_id,
            projection_dim=width,
            hidden_size=width,
        )
        return PaliGemmaForConditionalGeneration(twin_config)


FAMILY = PaliGemma
