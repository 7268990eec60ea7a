"""LLaVA-1.5 (Liu et al. 2024, arXiv:2310.03744): Llava around a CLIP tower and Vicuna."""

from __future__ import annotations

from typing import Any

import torch

from paceline.config.schema import ModelSpec
from paceline.models.chat_text import space_before
from paceline.models.family import Family
from paceline.models.tensors import Features, grid
from paceline.models.twins import begins_itself, text_settings, twin_tokenizer

# Writes what the template published with the weights writes.
_CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'] | upper }}: {% endif %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }} {% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
_SPECIAL = ("<s>", "</s>", "<pad>", "<image>")


class Llava(Family):
    """``LlavaForConditionalGeneration``. ``pixel_values`` is (images, 3, size, size): the middle square of each.

    The tower's states are read before its last layer, without the class token.
    """

    model_types = ("llava",)
    vision_types = ("clip_vision_model",)
    image_arguments = {"common": "cropped", "pad_size": "sizes"}
    image_sizes = (("shortest_edge",), ("height", "width"))
    components = {
        "vision": ("model.vision_tower",),
        "connector": ("model.multi_modal_projector",),
        "language": ("model.language_model", "lm_head"),
    }

    @property
    def answer_opening(self) -> str:  # type: ignore[override]
        """A space behind ``ASSISTANT:``; the published tokenizer writes one before every text by itself."""
        return space_before(self.tokenizer)

    def message(self, role: str, text: str, images: int = 0) -> dict[str, Any]:
        """A turn of the assistant's ends as it did in training; the published template leaves its end token out."""
        end = self.tokenizer.eos_token if role == "assistant" else ""
        return super().message(role, f"{text}{end}", images)

    def is_idle(self, name: str) -> bool:
        """The layers behind those whose states are read, and the norm behind all layers."""
        config = self.bare_model().config
        picked = config.vision_feature_layer
        count = config.vision_config.num_hidden_layers
        read = max(n + count + 1 if n < 0 else n for n in ([picked] if isinstance(picked, int) else picked))
        behind = [f"encoder.layers.{layer}." for layer in range(read, count)]
        return name.startswith(tuple(f"model.vision_tower.{part}" for part in (*behind, "post_layernorm.")))

    def written(self, seen: Features) -> str:
        """A token for each state."""
        return str(self.processor.image_token) * len(seen.states)

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """Patches of the middle square, row by row; what lies beside it is not seen. Stretched, without the crop."""
        images = self.processor.image_processor
        line = round(len(seen.states) ** 0.5)
        if not images.do_center_crop or images.size.shortest_edge is None:
            return grid(line, line).flatten(0, 1)
        # The crop, in pixels of the scaled picture, whose shorter edge is `shortest_edge`.
        scale = images.size.shortest_edge / min(image.size)
        across, down = (images.crop_size.width / scale / image.width, images.crop_size.height / scale / image.height)
        left, top = (1 - across) / 2, (1 - down) / 2
        return grid(line, line, left=left, top=top, right=left + across, bottom=top + down).flatten(0, 1)

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """One square; its class token is no token of the text."""
        tower = config.vision_config
        patches = (tower.image_size // tower.patch_size) ** 2
        return {"kind": "whole", "size": tower.image_size, "patch": tower.patch_size, "states": 0, "tokens": patches}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A ``LlavaProcessor`` around CLIP's image processor; sizes come from ``config``."""
        from transformers import CLIPImageProcessor, LlavaProcessor

        vision = spec.config["vision_config"]
        edge = vision["image_size"]
        tokenizer = twin_tokenizer(_SPECIAL, pad="<pad>", eos="</s>", bos="<s>", chat_template=_CHAT_TEMPLATE)
        begins_itself(tokenizer)
        own: dict[str, Any] = {"size": {"shortest_edge": edge}, "crop_size": {"height": edge, "width": edge}}
        return LlavaProcessor(
            image_processor=CLIPImageProcessor(**{**own, **spec.processor}),
            tokenizer=tokenizer,
            patch_size=vision["patch_size"],
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=_CHAT_TEMPLATE,
        )

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``LlavaForConditionalGeneration`` of the same parts as LLaVA-1.5."""
        from transformers import LlavaConfig, LlavaForConditionalGeneration

        text = text_settings(config, processor.tokenizer, model_type="llama")
        vision = {**config["vision_config"], "model_type": "clip_vision_model"}
        settings = {**config, "text_config": text, "vision_config": vision}
        return LlavaForConditionalGeneration(LlavaConfig(**settings, image_token_index=processor.image_token_id))


FAMILY = Llava
