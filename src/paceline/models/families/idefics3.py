"""Idefics3 (Laurençon et al. 2024, arXiv:2408.12637) and SmolVLM (Marafioti et al. 2025, arXiv:2504.05299), one network
under two names: an image is cut into tiles, every tile becomes a few tokens, and the whole image stands behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from paceline.config.schema import ModelSpec
from paceline.models.family import Family
from paceline.models.tensors import Features, grid
from paceline.models.twins import text_settings, twin_tokenizer

UTTERANCE = "<end_of_utterance>"
_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'].capitalize() }}:"
    "{% if message['content'][0]['type'] != 'image' %} {% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
# The most tiles down and across that the vocabularies have marks for.
_MOST = 6
_SPECIAL = (
    "<pad>",
    "<fake_token_around_image>",
    "<image>",
    UTTERANCE,
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, _MOST + 1) for column in range(1, _MOST + 1)),
)


class Idefics3(Family):
    """``Idefics3ForConditionalGeneration`` or ``SmolVLMForConditionalGeneration``. ``pixel_values`` is (samples, tiles,
    3, height, width), where those of a sample's images follow each other; tiles of zeros fill up.

    An image is scaled up or down to ``size.longest_edge``, and stretched to whole tiles.
    """

    model_types = ("idefics3", "smolvlm")
    image_arguments = {"common": "resized", "do_pad": "flag", "do_image_splitting": "flag"}
    image_sizes = (("longest_edge",), ("height", "width"))
    components = {
        "vision": ("model.vision_model",),
        "connector": ("model.connector",),
        "language": ("model.text_model", "lm_head"),
    }
    # The template puts a space between "Assistant:" and what was said, and none behind the one that asks.
    answer_opening = " "

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        # Idefics3's tokenizer names Llama's end of a text.
        turn = self.tokenizer.convert_tokens_to_ids(UTTERANCE)
        self.end_tokens = list(dict.fromkeys([turn, *self.end_tokens]))

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (tiles × tokens, width), the whole image's last; ``rows`` and ``cols`` count the tiles."""
        if not images:
            return []
        # Each picture as a sample of its own: states come back by sample.
        options = {"return_row_col_info": True, "return_tensors": "pt"}
        inputs = dict(self.processor.image_processor([[image] for image in images], **options))
        cut = {name: torch.as_tensor(inputs.pop(name)) for name in ("rows", "cols")}
        network: Any = self.bare_model()
        seen = network.get_image_features(**self.to_model(inputs), return_dict=True).pooler_output
        return [Features(state, {name: counts[i] for name, counts in cut.items()}) for i, state in enumerate(seen)]

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """Marks of tiles are written from their counts, which the network does not take."""
        batch = super().feature_batch(texts, features)
        return {name: value for name, value in batch.items() if name not in ("rows", "cols")}

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """Squares of each tile, tile after tile, then of the whole image, which was stretched to whole tiles."""
        side = math.isqrt(self.processor.image_seq_len)
        rows, columns = (int(seen.shape[name]) for name in ("rows", "cols"))
        tiles = [
            grid(side, side, left=c / columns, right=(c + 1) / columns, top=r / rows, bottom=(r + 1) / rows)
            for r in range(rows)
            for c in range(columns)
        ]
        return torch.cat([tile.flatten(0, 1) for tile in (*tiles, grid(side, side))])

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """Tiles as large as the tower's image; all published processors scale to four of them at the longer edge."""
        tower = config.vision_config
        tokens = (tower.image_size // tower.patch_size // config.scale_factor) ** 2
        tile = {"size": tower.image_size, "patch": tower.patch_size, "tokens": tokens}
        return {"kind": "splits", **tile, "longest": 4 * tower.image_size}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """An ``Idefics3Processor`` or ``SmolVLMProcessor``; a tile's size comes from ``config``, ``size`` from
        ``processor``."""
        import transformers

        vision = spec.config["vision_config"]
        tile = {"longest_edge": vision["image_size"]}
        smol = spec.config["model_type"] == "smolvlm"
        tokenizer = twin_tokenizer(
            (*_SPECIAL, "<video>", bos := "<|im_start|>") if smol else (*_SPECIAL, bos := "<|begin_of_text|>"),
            pad="<pad>",
            eos=UTTERANCE,
            bos=bos,
            chat_template=_CHAT_TEMPLATE,
        )
        made = transformers.SmolVLMImageProcessor if smol else transformers.Idefics3ImageProcessor
        images = made(**{"max_image_size": tile, "size": {"longest_edge": 4 * tile["longest_edge"]}, **spec.processor})
        parts: dict[str, Any] = {"image_processor": images, "tokenizer": tokenizer, "chat_template": _CHAT_TEMPLATE}
        parts["image_seq_len"] = (vision["image_size"] // vision["patch_size"] // spec.config["scale_factor"]) ** 2
        if smol:
            return transformers.SmolVLMProcessor(video_processor=transformers.SmolVLMVideoProcessor(), **parts)
        return transformers.Idefics3Processor(**parts)

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small network of either name whose vocabulary is the twin tokenizer's."""
        from transformers import AutoConfig, AutoModelForImageTextToText

        tokenizer = processor.tokenizer
        text = text_settings(config, processor.tokenizer, model_type="llama")
        kind = config.pop("model_type")
        image = tokenizer.convert_tokens_to_ids("<image>")
        twin_config = AutoConfig.for_model(kind, **{**config, "text_config": text}, image_token_id=image)
        return AutoModelForImageTextToText.from_config(twin_config)


FAMILY = Idefics3
