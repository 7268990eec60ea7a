"""Llama 3.2 Vision (Dubey et al. 2024, arXiv:2407.21783): a language model that looks at tiles through gated layers of
cross-attention."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch

from paceline.config.schema import ModelSpec
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.tensors import Features, grid
from paceline.models.twins import begins_itself, text_settings, twin_tokenizer

# isort: split
# After the families' base, which defines the operators that these imports may want.
from transformers.models.mllama.image_processing_mllama import get_image_size_fit_to_canvas, get_optimal_tiled_canvas
from transformers.models.mllama.processing_mllama import (
    convert_sparse_cross_attention_mask_to_dense,
    get_cross_attention_token_mask,
)

_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|image|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|pad|>")
_IMAGE = "<|image|>"
# The gates of a new model are 0: with them the images of a twin would not reach its output.
OPEN = 0.5


class LlamaVision(Family):
    """``MllamaForConditionalGeneration``. ``pixel_values`` is (samples, images, tiles, 3, height, width).

    An image is one token, which the text behind it looks through: ``cross_attention_mask`` (samples, tokens, images,
    tiles) says which tiles a token sees. Images side by side are seen together; otherwise a token sees the last one
    before it.
    """

    model_types = ("mllama",)
    image_arguments = {"common": "values", "size": "sizes", "max_image_tiles": "count"}
    components = {
        "vision": ("model.vision_model",),
        "connector": ("model.multi_modal_projector",),
        "language": ("model.language_model", "lm_head"),
    }
    # Read behind the first of its two stacks of layers, and registered before it.
    beside_layers = ("model.vision_model.layernorm_post", "model.vision_model.post_tile_positional_embedding")
    attentions = ("sdpa", "eager")
    # Reported broken in 8 bit, and sound once the vision tower is left alone.
    unquantised = ("lm_head", "model.vision_model", "model.multi_modal_projector")
    token_tensors: ClassVar[Mapping[str, Literal["own", "zero", "last"]]] = {
        **Family.token_tensors,
        "cross_attention_mask": "last",
    }

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        network = self.bare_model().model
        network.register_forward_pre_hook(_see_once, with_kwargs=True)
        for layer in network.language_model.layers:
            if hasattr(layer, "cross_attn"):
                layer.register_forward_pre_hook(_blind_rows, with_kwargs=True)
                layer.cross_attn.register_forward_hook(_unseeing)

    def render(self, conversation: Conversation) -> str:
        """The base model's text begins behind its first image, as it was trained."""
        text = super().render(conversation)
        bos = self.tokenizer.bos_token
        if bos in text:
            return text
        rest = text.removeprefix(_IMAGE)
        while rest.startswith(_IMAGE):
            rest = rest.removeprefix(_IMAGE)
        return f"{text[: len(text) - len(rest)]}{bos}{rest}"

    def _messages(self, conversation: Conversation) -> list[dict[str, Any]]:
        """With an image, the published template refuses a system turn: its text then opens the first user's turn."""
        if not conversation.system or not conversation.all_images:
            return super()._messages(conversation)
        first = (*conversation.shots, conversation)[0]
        opened = dataclasses.replace(first, prompt=f"{conversation.system}\n\n{first.prompt}")
        if not conversation.shots:
            return super()._messages(dataclasses.replace(opened, system=""))
        shots = [opened, *conversation.shots[1:]]
        return super()._messages(dataclasses.replace(conversation, system="", shots=shots))

    def message(self, role: str, text: str, images: int = 0) -> dict[str, Any]:
        """The system's turn is a string, the others have parts."""
        return {"role": role, "content": text} if role == "system" else super().message(role, text, images)

    def pixel_batch(self, texts: list[str], images: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """As ``MllamaProcessor`` makes it where every sample has an image; it has no row for one without."""
        if not any(images):
            return dict(self.tokenizer(texts, **self._text_options(texts)))
        inputs, tiles = self._tiles([image for row in images for image in row])
        most = max(len(row) for row in images)
        packed = {name: tensor.new_zeros(len(texts), most, *tensor.shape[1:]) for name, tensor in inputs.items()}
        packed["aspect_ratio_mask"][:, :, 0] = 1  # a missing image is one tile, which is masked
        places = [(sample, place) for sample, row in enumerate(images) for place in range(len(row))]
        for i, at in enumerate(places):
            for name, tensor in inputs.items():
                packed[name][at] = tensor[i]
        counts = iter(tiles)
        return {**self._text_batch(texts, [[next(counts) for _ in row] for row in images]), **packed}

    def _tiles(self, images: Sequence[Any]) -> tuple[dict[str, torch.Tensor], list[int]]:
        """The image processor's tensors, a row per image, and how many tiles each image fills."""
        inputs = dict(self.processor.image_processor([[image] for image in images], return_tensors="pt"))
        tiles = [int(row[0]) for row in inputs.pop("num_tiles")]
        return {name: tensor[:, 0] for name, tensor in inputs.items()}, tiles

    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (tiles, patches + 1, width): the tiles that the image fills, a class token before each."""
        if not images:
            return []
        with torch.no_grad():
            inputs, tiles = self._tiles(images)
            network = self.bare_model().model
            placed = self.to_model({name: tensor.unsqueeze(1) for name, tensor in inputs.items()})
            states = network.multi_modal_projector(network.vision_model(**placed).last_hidden_state)
        return [Features(row[0, :count]) for row, count in zip(states, tiles, strict=True)]

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """A class token without a place before the patches of each tile. The image stands at the canvas's top left."""
        images, tiles = self.processor.image_processor, seen.states.shape[0]
        edge = images.size.height
        height, width = get_optimal_tiled_canvas(image.height, image.width, images.max_image_tiles, edge)
        drawn_height, drawn_width = get_image_size_fit_to_canvas(image.height, image.width, height, width, edge)
        down, across, line = height // edge, width // edge, math.isqrt(seen.states.shape[1] - 1)
        canvas = grid(down * line, across * line, right=width / drawn_width, bottom=height / drawn_height)
        patches = canvas.view(down, line, across, line, 4).transpose(1, 2).reshape(tiles, line**2, 4)
        return torch.cat([patches.new_full((tiles, 1, 4), math.nan), patches], dim=1).flatten(0, 1)

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """``cross_attention_states`` is (samples, images × tiles × (patches + 1), width), zeros where none is seen."""
        inputs = self._text_batch(texts, [[len(f.states) for f in row] for row in features])
        _, _, images, tiles = inputs["cross_attention_mask"].shape
        some = next(f.states for row in features for f in row)
        states = some.new_zeros(len(texts), images, tiles, *some.shape[1:])
        for sample, row in enumerate(features):
            for place, seen in enumerate(row):
                states[sample, place, : len(seen.states)] = seen.states
        return {**inputs, "cross_attention_states": states.flatten(1, 3)}

    def _text_batch(self, texts: list[str], tiles: list[list[int]]) -> dict[str, Any]:
        inputs = dict(self.tokenizer(texts, **self._text_options(texts)))
        ids = inputs["input_ids"]
        mask = convert_sparse_cross_attention_mask_to_dense(
            [get_cross_attention_token_mask(row, self.processor.image_token_id) for row in ids.tolist()],
            num_tiles=tiles,
            max_num_tiles=self.processor.image_processor.max_image_tiles,
            length=ids.shape[1],
        )
        return {**inputs, "cross_attention_mask": torch.from_numpy(mask)}

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """Up to four tiles. Every layer's output is kept until five are stacked beside the last (modeling_mllama)."""
        tower = config.vision_config
        cut = {"size": tower.image_size, "patch": tower.patch_size, "tiles": tower.max_num_tiles}
        return {"kind": "tiles", **cut, "gathered": 2 * len(tower.intermediate_layers_indices) + 1}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """An ``MllamaProcessor``; the size of a tile comes from ``config``."""
        from transformers import MllamaImageProcessor, MllamaProcessor
        from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

        vision = spec.config["vision_config"]
        edge = vision["image_size"]
        tokenizer = twin_tokenizer(
            _SPECIAL, pad="<|pad|>", eos="<|eot_id|>", bos="<|begin_of_text|>", chat_template=_CHAT_TEMPLATE
        )
        begins_itself(tokenizer)
        tokenizer.add_tokens([_IMAGE], special_tokens=True)  # behind the vocabulary, as in the published one
        own: dict[str, Any] = {
            "size": {"height": edge, "width": edge},
            "max_image_tiles": vision.get("max_num_tiles", 4),
            "image_mean": OPENAI_CLIP_MEAN,
            "image_std": OPENAI_CLIP_STD,
        }
        images = MllamaImageProcessor(**{**own, **spec.processor})
        return MllamaProcessor(image_processor=images, tokenizer=tokenizer, chat_template=_CHAT_TEMPLATE)

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``MllamaForConditionalGeneration`` with open gates; it can't say the image's token, nor can the
        published one."""
        from transformers import MllamaConfig, MllamaForConditionalGeneration

        tokenizer = processor.tokenizer
        image = tokenizer.convert_tokens_to_ids(_IMAGE)
        text = text_settings(config, processor.tokenizer, vocab_size=image)
        model = MllamaForConditionalGeneration(MllamaConfig(**{**config, "text_config": text}, image_token_index=image))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.rsplit(".", 1)[-1] in ("gate", "cross_attn_attn_gate", "cross_attn_mlp_gate"):
                    parameter.fill_(OPEN)
        return model


def _see_once(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Features are read with the prompt; afterwards the cache holds what the layers made of them.

    ``generate`` passes them again with every token, and the layers would append them to what they hold.
    """
    past = kwargs.get("past_key_values")
    if past is not None and past.get_seq_length() > 0:
        kwargs = {**kwargs, "cross_attention_states": None}
    return args, kwargs


def _blind_rows(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Remember which tokens see an image at all."""
    module.cross_attn.seeing = kwargs.get("full_text_row_masked_out_mask")


def _unseeing(module: Any, args: Any, output: tuple[Any, ...]) -> tuple[Any, ...]:
    """Nothing is seen by tokens that stand before every image, or in a question without one.

    Meta's own network makes their attention zero (``CrossAttention.forward`` of llama-models). Transformers lets them
    look at all tiles alike, padding included: an answer would depend on what else is in the batch.
    """
    if module.seeing is None:
        return output
    return output[0] * module.seeing[:, 0], *output[1:]


FAMILY = LlamaVision
