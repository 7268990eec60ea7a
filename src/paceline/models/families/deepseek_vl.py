"""DeepSeek-VL (Lu et al. 2024, arXiv:2403.05525) in Transformers' form: a SigLIP tower, an aligner and Llama."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from paceline.config.schema import ModelSpec
from paceline.models.chat_text import space_before
from paceline.models.family import Family
from paceline.models.output_tying import as_stored
from paceline.models.tensors import Features, grid
from paceline.models.twins import begins_itself, settle, text_settings, twin_tokenizer

# The system's sentence of the template published with the weights.
_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)
# The published ones have wide bars and a low block for a blank, which a twin's tokenizer can't spell.
_BEGIN, _END, _IMAGE = "<|begin_of_sentence|>", "<|end_of_sentence|>", "<image_placeholder>"
# Writes what that template writes for turns of images before one text.
_CHAT_TEMPLATE = (
    f"{_SYSTEM}\n\n"
    "{% for message in messages %}{{ message['role'] | capitalize }}: "
    "{% for part in message['content'] %}"
    f"{{% if part['type'] == 'image' %}}{_IMAGE}{{% else %}}{{{{ part['text'] | trim }}}}{{% endif %}}"
    "{% endfor %}"
    # In quotes: a line break behind a tag is cut off.
    f"{{% if message['role'] == 'user' %}}{{{{ '\n\n' }}}}{{% else %}}{_END}{{% endif %}}"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


class DeepseekVL(Family):
    """``DeepseekVLForConditionalGeneration``. ``pixel_values`` is (images, 3, size, size): each image scaled to its
    longer edge and padded to a square with grey.
    """

    model_types = ("deepseek_vl",)
    image_arguments = {"common": "resized", "do_pad": "flag", "min_size": "count"}
    components = {
        "vision": ("model.vision_model",),
        "connector": ("model.aligner",),
        "language": ("model.language_model", "lm_head"),
    }

    @property
    def answer_opening(self) -> str:  # type: ignore[override]
        """A space behind ``Assistant:``."""
        return space_before(self.tokenizer)

    @classmethod
    def make_processor(cls, spec: ModelSpec, source: str, revision: str | None) -> Any:
        """The published file leaves open whether pictures are made RGB, and grey ones would then be refused."""
        processor = super().make_processor(spec, source, revision)
        if processor.image_processor.do_convert_rgb is None:
            processor.image_processor.do_convert_rgb = True
        return processor

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (tokens, width), a token for each patch of the square."""
        if not images:
            return []
        inputs = self.to_model(self.processor.image_processor(list(images), return_tensors="pt"))
        states = self.bare_model().model.get_image_features(**inputs, return_dict=True).pooler_output
        return [Features(part) for part in states]

    def written(self, seen: Features) -> str:
        """A token for each state."""
        return str(self.processor.image_token) * len(seen.states)

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """This network takes the states of all images as one tensor."""
        batch = super().feature_batch(texts, features)
        seen = batch["mm_encoder_outputs"]["image"]
        seen.pooler_output = torch.stack(seen.pooler_output)
        return batch

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """Patches of the square, row by row; the image stands in its middle."""
        line = round(len(seen.states) ** 0.5)
        images = self.processor.image_processor
        if not images.do_pad:
            return grid(line, line).flatten(0, 1)
        edge, longest = images.size.height, max(image.size)
        across, down = (max(round(n * edge / longest), images.min_size) for n in image.size)
        left, top = (edge - across) // 2, (edge - down) // 2
        place = {"left": -left / across, "top": -top / down}
        place |= {"right": (edge - left) / across, "bottom": (edge - top) / down}
        return grid(line, line, **place).flatten(0, 1)

    @classmethod
    def config_of(cls, values: dict[str, Any]) -> dict[str, Any]:
        """With the output layer as the files hold it."""
        return as_stored(values)

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """One square, without a class token."""
        tower = config.vision_config
        patches = (tower.image_size // tower.patch_size) ** 2
        return {"kind": "whole", "size": tower.image_size, "patch": tower.patch_size, "states": 0, "tokens": patches}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A ``DeepseekVLProcessor``; the size of the square comes from ``config``."""
        from transformers import DeepseekVLImageProcessor, DeepseekVLProcessor

        vision = spec.config["vision_config"]
        edge = vision["image_size"]
        tokenizer = twin_tokenizer(
            (_BEGIN, _END, _IMAGE), pad=_END, eos=_END, bos=_BEGIN, chat_template=_CHAT_TEMPLATE, image_token=_IMAGE
        )
        begins_itself(tokenizer)
        half = [0.5, 0.5, 0.5]
        own: dict[str, Any] = {"size": {"height": edge, "width": edge}, "image_mean": half, "image_std": half}
        own["do_convert_rgb"] = True
        return DeepseekVLProcessor(
            image_processor=DeepseekVLImageProcessor(**{**own, **spec.processor}),
            tokenizer=tokenizer,
            chat_template=_CHAT_TEMPLATE,
            num_image_tokens=(edge // vision["patch_size"]) ** 2,
        )

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``DeepseekVLForConditionalGeneration`` of the same parts as DeepSeek-VL-1.3B."""
        from transformers import DeepseekVLConfig, DeepseekVLForConditionalGeneration

        text = text_settings(config, processor.tokenizer, model_type="llama")
        vision = {**config["vision_config"], "model_type": "siglip_vision_model", "vision_use_head": False}
        settings = {**config, "text_config": text, "vision_config": vision, "tie_word_embeddings": False}
        model = DeepseekVLForConditionalGeneration(
            DeepseekVLConfig(**settings, image_token_id=processor.image_token_id)
        )
        settle(model.model.vision_model.encoder.layers)
        return model


FAMILY = DeepseekVL
