"""LLaVA-OneVision (Li et al. 2024, arXiv:2408.03326): a SigLIP tower over a picture's tiles, and Qwen2."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch

from paceline.config.schema import ModelSpec
from paceline.models.family import Family
from paceline.models.tensors import Features, grid
from paceline.models.twins import settle, text_settings, twin_tokenizer

# isort: split
# After the families' base, which defines the operators that this import may want.
from transformers.image_processing_utils import select_best_resolution

# Writes what the template published with the weights writes: a space behind the role of a turn, but a line break behind
# the one that asks, and none between turns.
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + ' ' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ '\n' + part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")


class LlavaOnevision(Family):
    """``LlavaOnevisionForConditionalGeneration``. ``pixel_values`` is (images, tiles, 3, size, size), filled up to the
    most tiles.

    A picture alone in its conversation is seen whole and in tiles of the grid that keeps most of it. Beside others it
    is one square, padded. So its features hold both.
    """

    model_types = ("llava_onevision",)
    image_arguments = {"common": "cropped"}
    components = {
        "vision": ("model.vision_tower",),
        "connector": ("model.multi_modal_projector", "model.image_newline"),
        "language": ("model.language_model", "lm_head"),
    }

    def is_idle(self, name: str) -> bool:
        """The norm behind the layer whose states are read."""
        return name.startswith("model.vision_tower.post_layernorm.")

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (tokens, width): as a picture alone, then as one of several; ``alone`` counts the former."""
        if not images:
            return []
        alone = self._seen([[image] for image in images])
        beside = self._seen([[*images, images[0]]])  # the last makes several of one
        return [
            Features(torch.cat(both), {"alone": torch.tensor(len(both[0]))})
            for both in zip(alone, beside[:-1], strict=True)
        ]

    def _seen(self, images: list[list[Any]]) -> list[torch.Tensor]:
        inputs = self.to_model(self.processor.image_processor(images, return_tensors="pt"))
        network: Any = self.bare_model()
        return list(network.get_image_features(**inputs, return_dict=True).pooler_output)

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """Of each picture the states that it has in so large a company."""
        picked = [[_picked(f, len(row)) for f in row] for row in features]
        return super().feature_batch(texts, picked)

    def written(self, seen: Features) -> str:
        """A token for each state."""
        return str(self.processor.image_token) * len(seen.states)

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """Patches of the whole image, then of its tiles, to within a patch, each row with an end. Ends have no place,
        nor has the square that is seen beside others: what an answer hangs on is told of a picture alone.
        """
        line = math.isqrt(self.processor.num_image_tokens)
        whole = grid(line, line).flatten(0, 1)
        alone = int(seen.shape["alone"])
        tiles, ends = alone - len(whole), self._rows(image)
        nowhere = whole.new_full((ends, 1, 4), math.nan)
        cut = torch.cat([grid(ends, tiles // ends - 1), nowhere], dim=1).flatten(0, 1)
        return torch.cat([whole, cut, whole.new_full((len(seen.states) - alone, 4), math.nan)])

    def _rows(self, image: Any) -> int:
        """Rows of tokens that the tiles of an image become; each has an end."""
        images = self.processor.image_processor
        best = select_best_resolution((image.height, image.width), images.image_grid_pinpoints)
        line = math.isqrt(self.processor.num_image_tokens)
        down, across = best[0] // images.size.height, best[1] // images.size.width
        _, ends = self.processor._get_unpadded_features(image.height, image.width, line, line, down, across)
        return int(ends)

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """The whole, and tiles of one of the grids."""
        tower = config.vision_config
        grids = [[side // tower.image_size for side in pair] for pair in config.image_grid_pinpoints]
        most = int(config.vision_aspect_ratio.removeprefix("anyres_max_"))
        square = {"size": tower.image_size, "patch": tower.patch_size}
        return {"kind": "whole_and_tiles", **square, "grids": grids, "most": most}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A ``LlavaOnevisionProcessor``; the size of a tile and the grids come from ``config``."""
        from transformers import LlavaOnevisionImageProcessor, LlavaOnevisionProcessor, LlavaOnevisionVideoProcessor

        vision = spec.config["vision_config"]
        edge = vision["image_size"]
        tokenizer = twin_tokenizer(
            _SPECIAL, pad="<|endoftext|>", eos="<|im_end|>", bos=None, chat_template=_CHAT_TEMPLATE
        )
        half = [0.5, 0.5, 0.5]
        own: dict[str, Any] = {
            "size": {"height": edge, "width": edge},
            "image_grid_pinpoints": spec.config["image_grid_pinpoints"],
            "image_mean": half,
            "image_std": half,
        }
        return LlavaOnevisionProcessor(
            image_processor=LlavaOnevisionImageProcessor(**{**own, **spec.processor}),
            tokenizer=tokenizer,
            video_processor=LlavaOnevisionVideoProcessor(size=own["size"]),
            num_image_tokens=(edge // vision["patch_size"]) ** 2,
            vision_feature_select_strategy="full",
            chat_template=_CHAT_TEMPLATE,
            vision_aspect_ratio=spec.config.get("vision_aspect_ratio", "anyres_max_9"),
        )

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``LlavaOnevisionForConditionalGeneration`` of the same parts as LLaVA-OneVision."""
        from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

        text = text_settings(config, processor.tokenizer, model_type="qwen2")
        vision = {**config["vision_config"], "model_type": "siglip_vision_model", "vision_use_head": False}
        settings = {**config, "text_config": text, "vision_config": vision}
        ids = {"image_token_index": processor.image_token_id, "video_token_index": processor.video_token_id}
        model = LlavaOnevisionForConditionalGeneration(LlavaOnevisionConfig(**settings, **ids))
        settle(model.model.vision_tower.encoder.layers)
        return model


def _picked(seen: Features, together: int) -> Features:
    alone = int(seen.shape["alone"])
    states = seen.states[:alone] if together == 1 else seen.states[alone:]
    return dataclasses.replace(seen, states=states, shape={})


FAMILY = LlavaOnevision
