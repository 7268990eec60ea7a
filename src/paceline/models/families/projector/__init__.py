"""A vision model and a language model that were trained alone, joined by a projector (``parts:`` of the model's file).

The vision part is any model of ``AutoModel`` that gives patches or a feature map (ViT, CLIP, SigLIP, ResNet,
EfficientNet), or an EfficientNet-Lite; the language part any of ``AutoModelForCausalLM``. What is new, the connector,
begins random: it is learnt by tuning, with the parts frozen (``method=connector``) or not.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import transformers

import paceline.models.torchvision  # noqa: F401  # before the network, whose parts are imported with torchvision
from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.models.families.projector.efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig
from paceline.models.families.projector.network import (
    ProjectorConfig,
    ProjectorForConditionalGeneration,
    grid_of,
    tokens_of,
)
from paceline.models.joined import Joined, Pair
from paceline.models.tensors import Features, grid
from paceline.models.twins import twin_tokenizer

IMAGE = "<image>"
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

# What is saved here is found again by the library's own Auto classes, once this module is imported.
transformers.AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig)
transformers.AutoModel.register(EfficientNetLiteConfig, EfficientNetLite)
transformers.AutoConfig.register(ProjectorConfig.model_type, ProjectorConfig)
transformers.AutoModelForImageTextToText.register(ProjectorConfig, ProjectorForConditionalGeneration)


class WithPlaces(Pair):
    """An image processor, a tokenizer, and the places of images in a text.

    Attributes:
        reader: the tokenizer with one token more, for :data:`IMAGE`; it is in no vocabulary, and in no file.
        image_id: that token's id.
    """

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        super().__init__(image_processor, tokenizer)
        self.image_token = IMAGE
        self.reader = copy.deepcopy(tokenizer)
        self.reader.add_tokens([IMAGE], special_tokens=True)
        self.image_id = int(self.reader.convert_tokens_to_ids(IMAGE))

    def edges(self) -> tuple[int, int]:
        """Height and width of every picture as the vision part is shown it.

        Raises:
            UserError: the image processor makes pictures of several sizes.
        """
        images = self.image_processor
        crop = getattr(images, "crop_size", None) if getattr(images, "do_center_crop", False) else None
        size: Any = crop or images.size
        height, width = (getattr(size, name, None) or dict(size).get(name) for name in ("height", "width"))
        if not height or not width:
            raise UserError(
                f"{type(images).__name__} makes pictures of several sizes ({size}): give the model's file a square, "
                "such as processor: {size: {height: 224, width: 224}}"
            )
        return int(height), int(width)


transformers.AutoProcessor.register(ProjectorConfig, WithPlaces)


class Projector(Joined):
    """:class:`ProjectorForConditionalGeneration`. ``pixel_values`` is (samples, images, 3, height, width)."""

    network_class = ProjectorForConditionalGeneration
    model_types = ("projector",)
    joins_parts = True
    image_arguments = {"common": "cropped", "pad_size": "sizes"}
    image_sizes = (("height", "width"), ("shortest_edge",))
    components = {"vision": ("vision",), "connector": ("connector",), "language": ("language",)}
    prefixes: ClassVar[dict[str, str]] = {"vision": "vision", "language": "language"}
    config_names: ClassVar[dict[str, str]] = {"vision": "vision_config", "language": "text_config"}
    unquantised = ("language.lm_head", "connector")

    @classmethod
    def joined_config(cls, vision: Any, language: Any) -> ProjectorConfig:
        """The parts' configs side by side."""
        return ProjectorConfig(vision_config=vision.to_dict(), text_config=language.to_dict())

    @classmethod
    def spread(cls, name: str, shape: tuple[int, ...], config: Any) -> float:
        """As torch begins a linear layer: what passes keeps its size, whatever the widths."""
        return float((3 * shape[1]) ** -0.5)

    @classmethod
    def pair(cls, images: Any, tokenizer: Any) -> WithPlaces:
        """The two, and where images stand."""
        return WithPlaces(images, tokenizer)

    def is_idle(self, name: str) -> bool:
        """What makes one vector of a whole picture, as its map is read place by place; and what hides patches."""
        if not name.startswith("vision."):
            return False
        kind = self.bare_model().config.vision_config.model_type
        unread = (".pooler.", ".head.", ".mask_token") + ((".post_layernorm.",) if kind.startswith("clip") else ())
        return any(part in f"{name}." for part in unread)

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """One square, of which the language model reads every place of the map."""
        vision = config.vision_config
        edge = vision.image_size if isinstance(getattr(vision, "image_size", None), int) else 224
        count = tokens_of(vision, (edge, edge))
        patch = edge // grid_of(vision, (edge, edge))[0]
        return {"kind": "whole", "size": edge, "patch": patch, "states": 0, "tokens": count}

    # -- text

    def message(self, role: str, text: str, images: int = 0) -> dict[str, Any]:
        """A turn is a string, as language models' templates read it; every image stands on a line of its own."""
        return {"role": role, "content": f"{IMAGE}\n" * images + text}

    def _defused(self, text: str) -> str:
        return super()._defused(text).replace(IMAGE, f"{IMAGE[0]} {IMAGE[1:]}")

    # -- tensors

    def pixel_batch(self, texts: list[str], images: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Texts with the places of their images, and the pictures of each sample, as many as the one that has most."""
        inputs = self._read_texts(texts)
        if flat := [image for row in images for image in row]:
            inputs["pixel_values"] = _by_sample(self._pixels(flat), [len(row) for row in images])
        return inputs

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """``image_states`` is (samples, images, tokens, width)."""
        states = torch.stack([f.states for row in features for f in row])
        return {**self._read_texts(texts), "image_states": _by_sample(states, [len(row) for row in features])}

    def _pixels(self, images: Sequence[Any]) -> torch.Tensor:
        shown = [image.convert("RGB") for image in images]
        pixels: torch.Tensor = self.processor.image_processor(shown, return_tensors="pt")["pixel_values"]
        return pixels

    def _read_texts(self, texts: Sequence[str]) -> dict[str, Any]:
        each = tokens_of(self.bare_model().config.vision_config, self.processor.edges())
        written = [text.replace(IMAGE, IMAGE * each) for text in texts]
        inputs = dict(self.processor.reader(written, **self._text_options(texts)))
        here = inputs["input_ids"] == self.processor.image_id
        return {
            "input_ids": inputs["input_ids"].masked_fill(here, self.tokenizer.pad_token_id),
            "attention_mask": inputs["attention_mask"],
            "mm_token_type_ids": here.long(),
        }

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (tokens, width) of the connector."""
        if not images:
            return []
        network: Any = self.bare_model()
        placed = self.to_model({"pixel_values": self._pixels(images)})
        return [Features(state) for state in network.get_image_states(**placed)]

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """Places of the map row by row, on the picture as it was scaled, or on the square that was cut out of it."""
        images = self.processor.image_processor
        height, width = self.processor.edges()
        down, across = grid_of(self.bare_model().config.vision_config, (height, width))
        shortest = dict(images.size).get("shortest_edge") if getattr(images, "do_center_crop", False) else None
        if not shortest:
            return grid(down, across).flatten(0, 1)
        scale = shortest / min(image.width, image.height)
        right, bottom = (
            edge / (side * scale) / 2 for edge, side in ((width, image.width), (height, image.height))
        )  # half of what was cut out, in fractions of the picture
        return grid(down, across, left=0.5 - right, top=0.5 - bottom, right=0.5 + right, bottom=0.5 + bottom).flatten(
            0, 1
        )

    # -- twins

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> WithPlaces:
        """A square picture and a small tokenizer with a chat template."""
        edge = cls.twin_configs(spec.config)["vision"]["image_size"]
        tokenizer = twin_tokenizer(
            _SPECIAL, pad="<|endoftext|>", eos="<|im_end|>", bos=None, chat_template=_CHAT_TEMPLATE
        )
        given = {"size": {"height": edge, "width": edge}, **spec.processor}
        return WithPlaces(transformers.SiglipImageProcessor(**given), tokenizer)


def _by_sample(tensors: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    """(images, …) as (samples, most images of a sample, …), zeros behind the last of each."""
    rows = tensors.new_zeros(len(counts), max(counts), *tensors.shape[1:])
    rest = iter(tensors)
    for row, count in zip(rows, counts, strict=True):
        for place in range(count):
            row[place] = next(rest)
    return rows


FAMILY = Projector
