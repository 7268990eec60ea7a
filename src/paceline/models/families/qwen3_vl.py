"""Qwen3-VL (Bai et al. 2025, arXiv:2511.21631): Qwen2-VL's way with images; what the tower's middle layers see is
added to the first layers of the language model (DeepStack, Meng et al. 2024, arXiv:2406.04334)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from paceline.config.schema import ModelSpec
from paceline.models.families.qwen2_vl import CHAT_TEMPLATE, SPECIAL, Qwen2VL
from paceline.models.tensors import Features
from paceline.models.twins import text_settings, twin_tokenizer


class Qwen3VL(Qwen2VL):
    """``Qwen3VLForConditionalGeneration``. ``pixel_values`` is (patches of all images, values), with no batch axis.

    What a picture is seen as is (tokens, (1 + levels) × width): what takes its place in the sequence, and beside it
    what is added to the states of that place behind the first layers, one level a layer. So a place is one state, and
    the mean of all is that of each level by itself.
    """

    model_types = ("qwen3_vl",)
    components = {
        "vision": ("model.visual.patch_embed", "model.visual.pos_embed", "model.visual.blocks"),
        "connector": ("model.visual.merger", "model.visual.deepstack_merger_list"),
        "language": ("model.language_model", "lm_head"),
    }

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (tokens, (1 + levels) × width)."""
        if not images:
            return []
        inputs = self.to_model(dict(self.processor(images=list(images), return_tensors="pt")))
        network: Any = self.bare_model()
        seen = network.get_image_features(**inputs, return_dict=True)
        grids = inputs["image_grid_thw"].cpu()
        levels = zip(seen.pooler_output, *seen.deepstack_features, strict=True)
        return [Features(torch.cat(s, dim=-1), {"image_grid_thw": g}) for s, g in zip(levels, grids, strict=True)]

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """As of Qwen2-VL, with the levels beside."""
        from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

        batch = super().feature_batch(texts, features)
        config: Any = self.bare_model().config
        width = config.vision_config.out_hidden_size
        levels: list[Any] = list(zip(*(f.states.split(width, dim=-1) for row in features for f in row), strict=True))
        seen = BaseModelOutputWithDeepstackFeatures(pooler_output=levels[0], deepstack_features=levels[1:])
        return {**batch, "mm_encoder_outputs": {"image": seen}}

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """Merged patches of the whole image, in the range of the published processor."""
        return {**super().image_shape(config), "min_pixels": 256 * 256, "max_pixels": 4096 * 4096}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A ``Qwen3VLProcessor``; patch sizes come from ``config``, pixel limits from ``processor``."""
        from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

        vision = spec.config["vision_config"]
        shape = {
            "patch_size": vision["patch_size"],
            "merge_size": vision["spatial_merge_size"],
            "temporal_patch_size": vision["temporal_patch_size"],
        }
        half = [0.5, 0.5, 0.5]
        tokenizer = twin_tokenizer(
            SPECIAL, pad="<|endoftext|>", eos="<|im_end|>", bos=None, chat_template=CHAT_TEMPLATE
        )
        return Qwen3VLProcessor(
            image_processor=Qwen2VLImageProcessor(**{"image_mean": half, "image_std": half, **shape, **spec.processor}),
            tokenizer=tokenizer,
            video_processor=Qwen3VLVideoProcessor(**shape),
            chat_template=CHAT_TEMPLATE,
        )

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``Qwen3VLForConditionalGeneration`` whose vocabulary is the twin tokenizer's."""
        from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

        text = text_settings(config, processor.tokenizer)
        twin_config = Qwen3VLConfig(
            **{**config, "text_config": text},
            image_token_id=processor.image_token_id,
            video_token_id=processor.video_token_id,
            vision_start_token_id=processor.vision_start_token_id,
            vision_end_token_id=processor.vision_end_token_id,
        )
        return Qwen3VLForConditionalGeneration(twin_config)


FAMILY = Qwen3VL
