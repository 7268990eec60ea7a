"""Pixtral (Agrawal et al. 2024, arXiv:2410.07073) in Transformers' form: Llava around a Pixtral tower and
Mistral."""

from __future__ import annotations

from typing import Any

import torch

from paceline.config.schema import ModelSpec
from paceline.models.family import Family
from paceline.models.tensors import Features, grid
from paceline.models.twins import text_settings, twin_tokenizer

_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] }}{{ eos_token }}"
    "{% elif message['role'] == 'system' %}[INST]{{ message['content'] }}[/INST]"
    "{% else %}[INST]{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}[IMG]{% else %}{{ part['content'] }}{% endif %}"
    "{% endfor %}[/INST]{% endif %}{% endfor %}"
)
_SPECIAL = ("<s>", "</s>", "<pad>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")


class Pixtral(Family):
    """``LlavaForConditionalGeneration``. ``pixel_values`` is (images, 3, height, width), padded to the
    largest.

    Every row of patches ends with ``[IMG_BREAK]``, the last one with ``[IMG_END]``.
    """

    model_types = ("llava",)
    vision_types = ("pixtral",)
    image_arguments = {"common": "cropped"}
    image_sizes = (("longest_edge",), ("height", "width"))
    components = {
        "vision": ("model.vision_tower",),
        "connector": ("model.multi_modal_projector",),
        "language": ("model.language_model", "lm_head"),
    }

    def message(self, role: str, text: str, images: int = 0) -> dict[str, Any]:
        """Only the user's turn has parts; the others are strings (Blaizzy/mlx-vlm#174, vllm-project/vllm#11891).

        A part's text has two names: the model's first example wrote ``content``, newer templates read ``text``.
        """
        if role != "user":
            return {"role": role, "content": text}
        parts = [*[{"type": "image"}] * images, {"type": "text", "text": text, "content": text}]
        return {"role": role, "content": parts}

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """Patches of the whole image, row by row; it was stretched a little to whole patches."""
        down, across = (int(n) // self.processor.patch_size for n in seen.shape["image_sizes"])
        return grid(down, across).flatten(0, 1)

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """Rows of patches of the whole image."""
        tower = config.vision_config
        return {"kind": "rows", "patch": tower.patch_size, "longest": tower.image_size}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A ``PixtralProcessor``; the patch size comes from ``config``, the longest edge from
        ``processor``."""
        from transformers import PixtralImageProcessor, PixtralProcessor

        patch = spec.config["vision_config"]["patch_size"]
        tokenizer = twin_tokenizer(_SPECIAL, pad="<pad>", eos="</s>", bos="<s>", chat_template=_CHAT_TEMPLATE)
        return PixtralProcessor(
            image_processor=PixtralImageProcessor(patch_size={"height": patch, "width": patch}, **spec.processor),
            tokenizer=tokenizer,
            patch_size=patch,
            chat_template=_CHAT_TEMPLATE,
        )

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``LlavaForConditionalGeneration`` of the same parts as Pixtral-12B."""
        from transformers import LlavaConfig, LlavaForConditionalGeneration

        text = text_settings(config, processor.tokenizer, model_type="mistral")
        twin_config = LlavaConfig(
            **{
                **config,
                "text_config": text,
                "vision_config": {**config["vision_config"], "model_type": "pixtral"},
            },
            image_token_index=processor.image_token_id,
            # All patches of the last layer: the tower has no class token to drop.
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
        )
        return LlavaForConditionalGeneration(twin_config)


FAMILY = Pixtral
