"""Qwen2-VL (Wang et al. 2024, arXiv:2409.12191): patches of any image size, merged two by two, 3D rotary
positions."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from paceline.config.schema import ModelSpec
from paceline.models.family import Family
from paceline.models.tensors import Features, grid
from paceline.models.twins import text_settings, twin_tokenizer

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


class Qwen2VL(Family):
    """``Qwen2VLForConditionalGeneration``. ``pixel_values`` is (patches of all images, values), with no batch
    axis."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_vl", "qwen2_5_vl")
    image_arguments = {"common": "resized", "min_pixels": "count", "max_pixels": "count"}
    image_sizes = (("shortest_edge", "longest_edge"),)
    components = {
        "vision": ("model.visual.patch_embed", "model.visual.blocks"),
        "connector": ("model.visual.merger",),
        "language": ("model.language_model", "lm_head"),
    }

    def placeholders(self, images: int) -> str:
        """Every image stands between two marks."""
        return f"<|vision_start|>{self.processor.image_token}<|vision_end|>" * images

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """Merged patches of the whole image, row by row; it was stretched a little to whole patches."""
        _, down, across = (int(n) for n in seen.shape["image_grid_thw"])
        merged = self.processor.image_processor.merge_size
        return grid(down // merged, across // merged).flatten(0, 1)

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """Merged patches of the whole image."""
        tower = config.vision_config
        patch = {"patch": tower.patch_size, "merge": tower.spatial_merge_size}
        return {"kind": "grid", **patch, "min_pixels": 56 * 56, "max_pixels": 28 * 28 * 1280}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A ``Qwen2VLProcessor``; patch sizes come from ``config``, pixel limits from ``processor``."""
        from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

        vision = spec.config["vision_config"]
        shape = {
            "patch_size": vision["patch_size"],
            "merge_size": vision["spatial_merge_size"],
            "temporal_patch_size": vision["temporal_patch_size"],
        }
        tokenizer = twin_tokenizer(
            SPECIAL, pad="<|endoftext|>", eos="<|im_end|>", bos=None, chat_template=CHAT_TEMPLATE
        )
        return Qwen2VLProcessor(
            image_processor=Qwen2VLImageProcessor(**shape, **spec.processor),
            tokenizer=tokenizer,
            video_processor=Qwen2VLVideoProcessor(**shape),
            chat_template=CHAT_TEMPLATE,
        )

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``Qwen2VLForConditionalGeneration`` whose vocabulary is the twin tokenizer's."""
        from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

        tokenizer = processor.tokenizer
        ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("vision_start", "vision_end")}
        text = text_settings(config, processor.tokenizer)
        twin_config = Qwen2VLConfig(
            **{**config, "text_config": text},
            image_token_id=processor.image_token_id,
            video_token_id=processor.video_token_id,
            **{f"{name}_token_id": i for name, i in ids.items()},
        )
        return Qwen2VLForConditionalGeneration(twin_config)


FAMILY = Qwen2VL
