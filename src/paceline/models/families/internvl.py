"""InternVL3 (Zhu et al. 2025, arXiv:2504.10479) in Transformers' form: an InternViT tower over tiles, and Qwen2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from paceline.config.schema import ModelSpec
from paceline.models.family import Family
from paceline.models.output_tying import as_stored
from paceline.models.tensors import Features, grid
from paceline.models.twins import text_settings, twin_tokenizer

# isort: split
# After the families' base, which defines the operators that this import may want.
from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

# Writes what the template published with the weights writes.
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<IMG_CONTEXT>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_NAMED = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *_NAMED.values())


class InternVL(Family):
    """``InternVLForConditionalGeneration``. ``pixel_values`` is (tiles of all images, 3, size, size).

    An image is stretched to the grid of squares whose shape is nearest, and cut into them; where they are several, the
    whole image follows as one more.
    """

    model_types = ("internvl",)
    vision_types = ("internvl_vision",)
    image_arguments = {"common": "resized", "crop_to_patches": "flag", "min_patches": "count", "max_patches": "count"}
    components = {
        "vision": ("model.vision_tower",),
        "connector": ("model.multi_modal_projector",),
        "language": ("model.language_model", "lm_head"),
    }

    def pixel_batch(self, texts: list[str], images: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """The processor cuts images whatever its image processor is told, unless it is told so by itself."""
        options = {"images": images, "crop_to_patches": self._cuts} if any(images) else {}
        return dict(self.processor(text=texts, **self._text_options(texts), **options))

    @property
    def _cuts(self) -> bool:
        return bool(self.spec.processor.get("crop_to_patches", True))

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (tiles, tokens, width): the tiles row by row, then the whole image."""
        if not images:
            return []
        inputs = self.processor.image_processor(list(images), crop_to_patches=self._cuts, return_tensors="pt")
        tiles = [int(n) for n in inputs.pop("num_patches")]
        network: Any = self.bare_model()
        states = network.get_image_features(**self.to_model(inputs), return_dict=True).pooler_output
        return [Features(part) for part in states.split(tiles)]

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """This network takes the states of all tiles as one tensor."""
        batch = super().feature_batch(texts, features)
        seen = batch["mm_encoder_outputs"]["image"]
        seen.pooler_output = torch.cat(seen.pooler_output)
        return batch

    def written(self, seen: Features) -> str:
        """A token for each state, between two marks."""
        return str(self.processor.replace_image_token({"num_patches": [len(seen.states)]}, 0))

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """Merged patches of each tile, row by row, and of the whole image behind several tiles."""
        tiles, line = len(seen.states), round(seen.states.shape[1] ** 0.5)
        whole = grid(line, line).flatten(0, 1)
        if tiles == 1:
            return whole
        images = self.processor.image_processor
        size = images.size.height, images.size.width
        across, down = get_optimal_tiled_canvas(
            (image.height, image.width), size, images.min_patches, images.max_patches
        )
        cut = grid(down * line, across * line).view(down, line, across, line, 4).transpose(1, 2)
        return torch.cat([cut.reshape(-1, 4), whole])

    @classmethod
    def config_of(cls, values: dict[str, Any]) -> dict[str, Any]:
        """With the output layer as the files hold it."""
        return as_stored(values)

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """Up to twelve tiles and the whole."""
        tower = config.vision_config
        square = {"size": tower.image_size[0], "patch": tower.patch_size[0]}
        return {"kind": "tiles_and_whole", **square, "merge": round(1 / config.downsample_ratio), "tiles": 12}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """An ``InternVLProcessor``; the size of a tile comes from ``config``."""
        from transformers import GotOcr2ImageProcessor, InternVLProcessor, InternVLVideoProcessor
        from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

        vision = spec.config["vision_config"]
        edge, patch = (n[0] if isinstance(n, list) else n for n in (vision["image_size"], vision["patch_size"]))
        tokenizer = twin_tokenizer(
            _SPECIAL, pad="<|endoftext|>", eos="<|im_end|>", bos=None, chat_template=_CHAT_TEMPLATE, **_NAMED
        )
        own: dict[str, Any] = {
            "size": {"height": edge, "width": edge},
            "image_mean": IMAGENET_DEFAULT_MEAN,
            "image_std": IMAGENET_DEFAULT_STD,
        }
        merged = round(1 / spec.config.get("downsample_ratio", 0.5))
        return InternVLProcessor(
            image_processor=GotOcr2ImageProcessor(**{**own, **spec.processor}),
            tokenizer=tokenizer,
            video_processor=InternVLVideoProcessor(size=own["size"]),
            image_seq_length=(edge // patch // merged) ** 2,
            chat_template=_CHAT_TEMPLATE,
        )

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``InternVLForConditionalGeneration`` of the same parts as InternVL3, which tells places apart."""
        from transformers import InternVLConfig, InternVLForConditionalGeneration

        text = text_settings(config, processor.tokenizer, model_type="qwen2")
        settings = {**config, "text_config": text, "tie_word_embeddings": False}
        model = InternVLForConditionalGeneration(
            InternVLConfig(
                **settings, image_token_id=processor.image_token_id, image_seq_length=processor.image_seq_length
            )
        )
        # Those of a new network are zero.
        torch.nn.init.normal_(model.model.vision_tower.embeddings.position_embeddings, std=0.06)
        return model


FAMILY = InternVL
