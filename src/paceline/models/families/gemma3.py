"""Gemma 3 (Gemma Team 2025, arXiv:2503.19786): a SigLIP tower whose patches are averaged to 256 tokens, which attend to
each other in both directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from paceline.config.schema import ModelSpec
from paceline.models.family import Family
from paceline.models.tensors import Features, grid
from paceline.models.twins import name_tokens, text_settings, twin_tokenizer

# isort: split
# After the families' base, which defines the operators that these imports may want.
from transformers.modeling_outputs import BaseModelOutputWithPooling

TURN_END = "<end_of_turn>"
_CHAT_TEMPLATE = (
    "{{ bos_token }}{% set system = messages[0]['role'] == 'system' %}"
    "{% for message in (messages[1:] if system else messages) %}"
    "<start_of_turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{% if loop.first and system %}{{ messages[0]['content'][0]['text'] + '\n\n' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<start_of_image>{% else %}{{ part['text'] | trim }}{% endif %}"
    "{% endfor %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_SPECIAL = (
    "<pad>",
    "<eos>",
    "<bos>",
    "<start_of_turn>",
    TURN_END,
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
)


class Gemma3(Family):
    """``Gemma3ForConditionalGeneration``. ``pixel_values`` is (squares of all images, 3, height, width).

    An image is stretched to one square; with ``do_pan_and_scan`` a long one is shown in crops behind it, too.
    ``token_type_ids`` mark the tokens of images, which attend to each other in both directions.
    """

    model_types = ("gemma3",)
    image_arguments = {
        "common": "resized",
        "do_pan_and_scan": "flag",
        "pan_and_scan_min_crop_size": "count",
        "pan_and_scan_max_num_crops": "count",
        "pan_and_scan_min_ratio_to_activate": "number",
    }
    components = {
        "vision": ("model.vision_tower",),
        "connector": ("model.multi_modal_projector",),
        "language": ("model.language_model", "lm_head"),
    }
    # FlashAttention-2 takes no mask: an image's tokens would look backwards alone, without a word.
    attentions = ("sdpa", "eager")

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        # The tokenizer's own end is that of a text.
        turn = self.tokenizer.convert_tokens_to_ids(TURN_END)
        self.end_tokens = list(dict.fromkeys([turn, *self.end_tokens]))

    def pixel_batch(self, texts: list[str], images: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """As the processor makes it, told what its image processor was: its own defaults would win."""
        options = {"images": images, **self._panned()} if any(images) else {}
        return dict(self.processor(text=texts, **self._text_options(texts), **options))

    def _panned(self) -> dict[str, Any]:
        """How crops are made, by the image processor's arguments; the processor's where it has none."""
        own = self.processor.image_processor
        defaults = type(self.processor).images_kwargs
        return {name: value if getattr(own, name) is None else getattr(own, name) for name, value in defaults.items()}

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (1 + crops, tokens, width), the whole image's first."""
        if not images:
            return []
        inputs = dict(self.processor.image_processor(list(images), return_tensors="pt", **self._panned()))
        crops = inputs.pop("num_crops")
        network: Any = self.bare_model()
        seen = network.get_image_features(**self.to_model(inputs), return_dict=True).pooler_output
        shown = seen.split((crops + 1).tolist())
        return [Features(state, {"num_crops": n}) for state, n in zip(shown, crops, strict=True)]

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """Crops are written from their count, which the network does not take."""
        batch = super().feature_batch(texts, features)
        del batch["num_crops"]
        types = self.processor.create_mm_token_type_ids(batch["input_ids"].tolist())
        seen = torch.cat([f.states for row in features for f in row])
        return {
            **batch,
            "token_type_ids": torch.tensor(types),
            "mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=seen)},
        }

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """Averaged patches of the whole image, which was stretched to a square; then those of its crops, side by side
        or one below the other."""
        side = math.isqrt(seen.states.shape[1])
        crops = int(seen.shape["num_crops"])
        across = image.width >= image.height
        long = image.width if across else image.height
        step = math.ceil(long / max(1, crops))
        boxes = [grid(side, side)]
        for start in (n * step for n in range(crops)):
            first, last = start / long, min(long, start + step) / long
            where = {"left": first, "right": last} if across else {"top": first, "bottom": last}
            boxes.append(grid(side, side, **where))
        return torch.cat([box.flatten(0, 1) for box in boxes])

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """One square; around its tokens stand two marks and two line breaks, one token each of the published words."""
        tower = config.vision_config
        square = {"size": tower.image_size, "patch": tower.patch_size}
        return {"kind": "square", **square, "tokens": config.mm_tokens_per_image + 4, "crops": 4}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A ``Gemma3Processor``; sizes and tokens of an image come from ``config``."""
        from transformers import Gemma3ImageProcessor, Gemma3Processor

        edge = spec.config["vision_config"]["image_size"]
        tokenizer = twin_tokenizer(_SPECIAL, pad="<pad>", eos="<eos>", bos="<bos>", chat_template=_CHAT_TEMPLATE)
        name_tokens(
            tokenizer, image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>"
        )
        return Gemma3Processor(
            image_processor=Gemma3ImageProcessor(**{"size": {"height": edge, "width": edge}, **spec.processor}),
            tokenizer=tokenizer,
            chat_template=_CHAT_TEMPLATE,
            image_seq_length=spec.config["mm_tokens_per_image"],
        )

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``Gemma3ForConditionalGeneration`` with an open connector: a new one's weights are zero."""
        from transformers import Gemma3Config, Gemma3ForConditionalGeneration

        tokenizer = processor.tokenizer
        text = text_settings(config, processor.tokenizer)
        tower = {**config["vision_config"], "model_type": "siglip_vision_model", "vision_use_head": False}
        twin_config = Gemma3Config(
            **{**config, "text_config": text, "vision_config": tower},
            image_token_index=tokenizer.image_token_id,
            boi_token_index=tokenizer.boi_token_id,
            eoi_token_index=tokenizer.eoi_token_id,
        )
        model = Gemma3ForConditionalGeneration(twin_config)
        projection = model.model.multi_modal_projector.mm_input_projection_weight
        torch.nn.init.normal_(projection, std=projection.shape[0] ** -0.5)
        return model


FAMILY = Gemma3
